// What the CUDA module and the program that opens it agree on. They are built
// together; the version only catches a module that was left behind.
//
// The module knows nothing of the rest of Hearsay, so that it needs a driver,
// cublasLt and nothing else (model/cuda_backend.h opens it).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/device_step.h"
#include "model/network.h"
#include "model/spec.h"

namespace hearsay::model::cuda {

inline constexpr int kApiVersion = 3;

struct LayerPlan {
  int inputs = 0;
  int units = 0;
  Activation activation = Activation::kNone;
  std::size_t weight = 0;  // offsets into the flat parameters
  std::size_t bias = 0;
};

struct Plan {
  int inputs = 0;
  int outputs = 0;
  int label_width = 1;
  Loss loss = Loss::kSoftmaxCrossEntropy;
  std::size_t parameters = 0;
  std::vector<LayerPlan> layers;
  int max_batch = 0;
  int device = 0;
  Precision precision = Precision::kFloat32;
};

// (N, I) and (N, label_width), on the host; copied.
struct Examples {
  std::size_t rows = 0;
  std::span<const float> features;
  std::span<const float> labels;
};

struct Api {
  int version = 0;
  // "" and the device's name, or why there is none.
  std::string (*probe)(int device, std::string& name) = nullptr;
  // Throw std::runtime_error (no memory, no such device).
  std::unique_ptr<Network> (*make_network)(const Plan& plan) = nullptr;
  std::unique_ptr<DeviceStep> (*make_step)(const Plan& plan,
                                           const Examples& shard) = nullptr;
  // Of exact sums alone: its terms have a grid.
  std::unique_ptr<DeviceStep> (*make_exact_step)(
      const Plan& plan, const Examples& shard) = nullptr;
};

}  // namespace hearsay::model::cuda

extern "C" const hearsay::model::cuda::Api* hearsay_cuda_api();
