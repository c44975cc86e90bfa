// model/device_step.h with exact sums and exact noise: integers, so that no
// order of additions matters, and every pass a launch.
//
// A step's gradient is a function of the set of its rows, the weights and the
// key, to the last bit; tf32 changes nothing.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/cuda/device.h"
#include "model/cuda/exact.h"
#include "model/cuda/exact_terms.h"
#include "model/cuda/make.h"
#include "model/cuda/resident_step.h"

namespace hearsay::model::cuda {

namespace {

std::size_t Size(int rows, int columns) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

class ExactStep final : public ResidentStep {
 public:
  ExactStep(const Plan& plan, const Examples& shard)
      : ResidentStep(plan, shard.rows),
        told_is_read_(MakeEvent()),
        shard_features_(shard.features.size()),
        shard_labels_(shard.labels.size()),
        told_(sizeof(StepHead) + Size(plan.max_batch, sizeof(std::uint32_t))),
        device_told_(told_.size()),
        weights_(plan.parameters),
        gradient_(plan.parameters),
        sum_(plan.parameters),
        features_(Size(plan.max_batch, plan.inputs)),
        labels_(Size(plan.max_batch, plan.label_width)),
        losses_(static_cast<std::size_t>(plan.max_batch)),
        factors_(static_cast<std::size_t>(plan.max_batch)) {
    MakeLayers();
    Upload(shard_features_.get(), shard.features, stream());
    Upload(shard_labels_.get(), shard.labels, stream());
    Clear(weights_);
    Clear(gradient_);
    Wait();
  }
  ~ExactStep() override {
    cudaStreamSynchronize(stream());
    std::memset(told_.get(), 0, told_.size());
  }

  void Begin(std::span<const std::uint32_t> rows, const NoiseKey& key,
             const DeviceStepTerms& terms) override {
    CheckExactTerms(terms);
    UseDevice();
    const ExactClip clip{.clip_norm = terms.clip_norm,
                         .reach = terms.grid->reach,
                         .margin = terms.grid->margin};
    StepHead head{};
    std::copy(key.begin(), key.end(), head.key.words);
    Clear(sum_);  // Here, so that a step that failed leaves nothing behind.
    EachSlice(rows, [&](std::span<const std::uint32_t> slice, bool /*last*/) {
      head.count = static_cast<std::int32_t>(slice.size());
      Tell(head, slice);
      if (!slice.empty()) AddSlice(head.count, clip);
    });
    // As dp::GridSum::TakeInto.
    const double step =
        terms.scale * clip.clip_norm / static_cast<double>(clip.reach);
    AddExactNoise(stream(), device_head(),
                  {.log_sigma = terms.grid->log_sigma,
                   .step = step,
                   .learning_rate = terms.learning_rate},
                  plan().parameters, sum_.get(), gradient_.get(),
                  weights_.get());
  }

 private:
  float* weights() const override { return weights_.get(); }
  const float* gradient() const override { return gradient_.get(); }

  struct Layer {
    LayerPlan plan;
    const float* in = nullptr;  // (B, I)
    Memory<float> z;            // (B, U); unless kept apart, out too
    Memory<float> out;          // (B, U) for gelu, whose derivative needs z
    Memory<float> grad;         // (B, U)
    float* result() const { return out.size() > 0 ? out.get() : z.get(); }
  };

  void MakeLayers() {
    const float* in = features_.get();
    for (const LayerPlan& shape : plan().layers) {
      const std::size_t values = Size(plan().max_batch, shape.units);
      const bool apart = shape.activation == Activation::kGelu;
      layers_.push_back({.plan = shape,
                         .in = in,
                         .z = Memory<float>(values),
                         .out = Memory<float>(apart ? values : 0),
                         .grad = Memory<float>(values)});
      const Layer& layer = layers_.back();
      in = layer.result();
      exact_layers_.layers[exact_layers_.count++] = {.in = layer.in,
                                                     .grad = layer.grad.get(),
                                                     .inputs = shape.inputs,
                                                     .units = shape.units,
                                                     .weight = shape.weight,
                                                     .bias = shape.bias};
    }
  }

  // The head and the rows of a slice, in one copy.
  void Tell(const StepHead& head, std::span<const std::uint32_t> rows) {
    Must(cudaEventSynchronize(told_is_read_.get()), "finish");
    std::memcpy(told_.get(), &head, sizeof head);
    if (!rows.empty())
      std::memcpy(told_.get() + sizeof head, rows.data(), rows.size_bytes());
    Upload(device_told_.get(),
           std::span<const std::byte>(told_.get(),
                                      sizeof head + rows.size_bytes()),
           stream());
    Must(cudaEventRecord(told_is_read_.get(), stream()), "launch a step");
  }

  void AddSlice(int B, const ExactClip& clip) {
    const auto stream = this->stream();
    Gather(stream, device_head(), device_rows(), shard_features_.get(),
           shard_labels_.get(), B, plan().inputs, plan().label_width,
           features_.get(), labels_.get());
    for (const Layer& layer : layers_) {
      const LayerPlan& shape = layer.plan;
      ProjectRows(stream, B, shape.inputs, shape.units, layer.in,
                  weights_.get() + shape.weight, layer.z.get());
      AddBiasAndActivate(stream, shape.activation, B, shape.units,
                         weights_.get() + shape.bias, layer.z.get(),
                         layer.result());
    }
    const Layer& last = layers_.back();
    LossGradients(stream, plan().loss, device_head(), B, plan().outputs,
                  last.result(), labels_.get(), losses_.get(), last.grad.get(),
                  nullptr);
    for (std::size_t l = layers_.size(); l-- > 0;) {
      const Layer& layer = layers_[l];
      MultiplyByDerivative(stream, layer.plan.activation, B, layer.plan.units,
                           layer.z.get(), layer.result(), layer.grad.get());
      if (l > 0)
        ProjectRowsBack(stream, B, layer.plan.inputs, layer.plan.units,
                        layer.grad.get(), weights_.get() + layer.plan.weight,
                        layers_[l - 1].grad.get());
    }
    FactorsOfRows(stream, exact_layers_, B, clip, losses_.get(), factors_.get(),
                  totals());
    AddSteps(stream, exact_layers_, B, factors_.get(), sum_.get());
  }

  const StepHead* device_head() const {
    return reinterpret_cast<const StepHead*>(device_told_.get());
  }
  const std::uint32_t* device_rows() const {
    return reinterpret_cast<const std::uint32_t*>(device_told_.get() +
                                                  sizeof(StepHead));
  }
  template <typename T>
  void Clear(const Memory<T>& memory) {
    Must(cudaMemsetAsync(memory.get(), 0, memory.bytes(), stream()), "clear");
  }
  Event told_is_read_;
  Memory<float> shard_features_, shard_labels_;
  Pinned<std::byte> told_;  // a StepHead, then the rows
  Memory<std::byte> device_told_;
  Memory<float> weights_, gradient_;
  Memory<std::int64_t> sum_;
  Memory<float> features_, labels_, losses_;  // of a slice
  Memory<double> factors_;
  std::vector<Layer> layers_;
  ExactLayers exact_layers_;
};

}  // namespace

std::unique_ptr<DeviceStep> MakeExactStep(const Plan& plan,
                                          const Examples& shard) {
  Must(cudaSetDevice(plan.device), "use this device");
  return std::make_unique<ExactStep>(plan, shard);
}

}  // namespace hearsay::model::cuda
