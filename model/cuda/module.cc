// The door of the module: what a program finds when it opens it.
#include <stdexcept>
#include <string>

#include "model/cuda/device.h"
#include "model/cuda/kernels.h"
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

// Of what is made for each layer there is room for so many.
const Plan& Checked(const Plan& plan) {
  if (plan.layers.size() > kMostLayers)
    throw std::runtime_error("CUDA: at most " + std::to_string(kMostLayers) +
                             " layers, not " +
                             std::to_string(plan.layers.size()));
  return plan;
}

}  // namespace

}  // namespace hearsay::model::cuda

extern "C" const hearsay::model::cuda::Api* hearsay_cuda_api() {
  namespace cuda = hearsay::model::cuda;
  static const cuda::Api api{
      .version = cuda::kApiVersion,
      .probe = &cuda::Probe,
      .make_network =
          [](const cuda::Plan& plan) {
            return cuda::MakeNetwork(cuda::Checked(plan));
          },
      .make_step =
          [](const cuda::Plan& plan, const cuda::Examples& shard) {
            return cuda::MakeStep(cuda::Checked(plan), shard);
          },
      .make_exact_step =
          [](const cuda::Plan& plan, const cuda::Examples& shard) {
            return cuda::MakeExactStep(cuda::Checked(plan), shard);
          }};
  return &api;
}
