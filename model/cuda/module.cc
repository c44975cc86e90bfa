// The door of the module: what a program finds when it opens it.
#include <exception>
#include <string>

#include "model/cuda/device.h"
#include "model/cuda/make.h"

namespace hearsay::model::cuda {

namespace {

// What the kernels are compiled for.
constexpr int kOldestMajor = HEARSAY_CUDA_MAJOR;

std::string Probe(int device, std::string& name) {
  int count = 0;
  if (const auto error = cudaGetDeviceCount(&count); error != cudaSuccess)
    return std::string("no usable GPU: ") + cudaGetErrorString(error);
  if (device >= count)
    return "no GPU " + std::to_string(device) + ": this machine has " +
           std::to_string(count);
  cudaDeviceProp properties{};
  if (const auto error = cudaGetDeviceProperties(&properties, device);
      error != cudaSuccess)
    return std::string("no usable GPU: ") + cudaGetErrorString(error);
  name = properties.name;
  if (properties.major < kOldestMajor)
    return name + " has compute capability " +
           std::to_string(properties.major) + "." +
           std::to_string(properties.minor) + "; this build needs " +
           std::to_string(kOldestMajor) + ".0 (HEARSAY_CUDA_ARCHITECTURES)";
  return "";
}

}  // namespace

}  // namespace hearsay::model::cuda

extern "C" const hearsay::model::cuda::Api* hearsay_cuda_api() {
  namespace cuda = hearsay::model::cuda;
  static const cuda::Api api{.version = cuda::kApiVersion,
                             .probe = &cuda::Probe,
                             .make_network = &cuda::MakeNetwork,
                             .make_step = &cuda::MakeStep,
                             .make_exact_step = &cuda::MakeExactStep};
  return &api;
}
