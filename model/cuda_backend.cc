#include "model/cuda_backend.h"

#include <fmt/format.h>

#include <stdexcept>

#include "model/cuda/api.h"
#include "model/cuda_module.h"

namespace hearsay::model {

namespace {

const cuda::Api& Usable(int device) {
  const auto probe = ProbeCuda(device);
  if (!probe.usable) throw std::runtime_error("CUDA: " + probe.reason);
  return *OpenCudaModule().api;
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

CudaProbe ProbeCuda(int device) {
  const CudaModule& module = OpenCudaModule();
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
