// The CUDA back end, if this machine has one: a module that is opened at run
// time, so that programs start where there is neither driver nor cuBLAS.
//
// Threads: any; the module stays open until the process ends.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "model/device_step.h"
#include "model/network.h"
#include "model/spec.h"

namespace hearsay::model {

struct CudaOptions {
  int device = 0;  // the driver's number
  Precision precision = Precision::kFloat32;
  bool exact = false;  // steps whose terms have a grid, always in float32
};

// Is there one to use?
struct CudaProbe {
  bool usable = false;
  std::string name;    // of the device, "" if none was seen
  std::string reason;  // why it is not usable; one clear line
};
CudaProbe ProbeCuda(int device = 0);

// As MakeCpuNetwork; kBf16 is for steps, here it means kTf32. Throw
// std::runtime_error if it is not usable, or the device has too little memory;
// std::invalid_argument as there.
std::unique_ptr<Network> MakeCudaNetwork(const ModelSpec& spec, int max_batch,
                                         const CudaOptions& options = {});
// `features` (N, I) and `labels` (N, LabelWidth) are copied to the device.
// Requires: labels in range.
std::unique_ptr<DeviceStep> MakeCudaStep(const ModelSpec& spec, int max_batch,
                                         std::span<const float> features,
                                         std::span<const float> labels,
                                         const CudaOptions& options = {});

}  // namespace hearsay::model
