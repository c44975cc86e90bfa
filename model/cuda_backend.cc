#include "model/cuda_backend.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <stdexcept>
#include <system_error>

#include "model/cuda/api.h"

namespace hearsay::model {

namespace {

namespace fs = std::filesystem;

constexpr const char* kModule = "libhearsay_cuda.so";

struct Module {
  const cuda::Api* api = nullptr;
  std::string reason;  // why there is none
};

// Beside the program, or where an installation keeps it. The driver is looked
// for first: to load cuBLAS only to find that there is none takes a second.
Module Open() {
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) == nullptr)
    return {nullptr, "no NVIDIA driver on this machine (libcuda.so.1)"};
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path beside = program.parent_path() / kModule;
  const fs::path installed =
      program.parent_path().parent_path() / "lib" / "hearsay" / kModule;
  const fs::path file = fs::exists(beside, error) ? beside : installed;
  if (!fs::exists(file, error))
    return {nullptr,
            "this build has no CUDA module (HEARSAY_CUDA=ON makes it)"};
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    return {nullptr,
            fmt::format("the CUDA module cannot be loaded: {}", dlerror())};
  const auto door = reinterpret_cast<const cuda::Api* (*)()>(
      dlsym(handle, "hearsay_cuda_api"));
  const cuda::Api* api = door == nullptr ? nullptr : door();
  if (api == nullptr || api->version != cuda::kApiVersion)
    return {nullptr, fmt::format("{} is of another build", file.string())};
  return {api, ""};
}

const Module& TheModule() {
  static const Module module = Open();
  return module;
}

const cuda::Api& Usable(int device) {
  const auto probe = ProbeCuda(device);
  if (!probe.usable) throw std::runtime_error("CUDA: " + probe.reason);
  return *TheModule().api;
}

cuda::Plan PlanOf(const ModelSpec& spec, int max_batch,
                  const CudaOptions& options) {
  Validate(spec);
  std::string why;
  if (!IsPlain(spec, &why))
    throw std::runtime_error(
        "CUDA: only dense layers on flat inputs are offered, not " + why);
  if (max_batch < 1)
    throw std::invalid_argument(fmt::format(
        "a network needs room for 1 or more examples, not {}", max_batch));
  cuda::Plan plan{.inputs = spec.inputs,
                  .outputs = Outputs(spec),
                  .label_width = LabelWidth(spec),
                  .loss = spec.loss,
                  .parameters = ParameterCount(spec),
                  .layers = {},
                  .max_batch = max_batch,
                  .device = options.device,
                  .precision = options.precision};
  int inputs = spec.inputs;
  std::size_t next = 0;
  for (const Layer& layer : spec.layers) {
    const Dense& dense = layer.dense();
    const std::size_t bias = next + static_cast<std::size_t>(inputs) *
                                        static_cast<std::size_t>(dense.units);
    plan.layers.push_back({.inputs = inputs,
                           .units = dense.units,
                           .activation = dense.activation,
                           .weight = next,
                           .bias = bias});
    next = bias + static_cast<std::size_t>(dense.units);
    inputs = dense.units;
  }
  return plan;
}

}  // namespace

const char* Word(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return "float32";
    case Precision::kTf32:
      return "tf32";
    case Precision::kBf16:
      return "bf16";
  }
  return "";
}

CudaProbe ProbeCuda(int device) {
  const Module& module = TheModule();
  CudaProbe probe{.usable = false, .name = {}, .reason = module.reason};
  if (module.api == nullptr) return probe;
  probe.reason = module.api->probe(device, probe.name);
  probe.usable = probe.reason.empty();
  return probe;
}

std::unique_ptr<Network> MakeCudaNetwork(const ModelSpec& spec, int max_batch,
                                         const CudaOptions& options) {
  const auto plan = PlanOf(spec, max_batch, options);
  return Usable(options.device).make_network(plan);
}

std::unique_ptr<DeviceStep> MakeCudaStep(const ModelSpec& spec, int max_batch,
                                         std::span<const float> features,
                                         std::span<const float> labels,
                                         const CudaOptions& options) {
  const auto plan = PlanOf(spec, max_batch, options);
  const auto inputs = static_cast<std::size_t>(spec.inputs);
  const cuda::Examples shard{
      .rows = features.size() / inputs, .features = features, .labels = labels};
  if (labels.size() != shard.rows * static_cast<std::size_t>(plan.label_width))
    throw std::invalid_argument("as many labels as rows");
  const cuda::Api& api = Usable(options.device);
  return (options.exact ? api.make_exact_step : api.make_step)(plan, shard);
}

}  // namespace hearsay::model
