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

namespace hearsay::model::cuda {

namespace {

std::size_t Size(int rows, int columns) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

class ExactStep final : public DeviceStep {
 public:
  ExactStep(const Plan& plan, const Examples& shard)
      : plan_(plan),
        stream_(MakeStream()),
        told_is_read_(MakeEvent()),
        shard_rows_(shard.rows),
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
        factors_(static_cast<std::size_t>(plan.max_batch)),
        totals_(1),
        staging_(plan.parameters) {
    MakeLayers();
    Upload(shard_features_.get(), shard.features, stream_.get());
    Upload(shard_labels_.get(), shard.labels, stream_.get());
    Clear(weights_);
    Clear(gradient_);
    Clear(totals_);
    Wait();
  }
  ~ExactStep() override {
    cudaStreamSynchronize(stream_.get());
    std::memset(told_.get(), 0, told_.size());
  }

  void SetWeights(std::span<const float> weights) override {
    assert(weights.size() == staging_.size());
    UseDevice();
    Wait();  // The last copy out of staging_.
    std::copy(weights.begin(), weights.end(), staging_.get());
    Upload(weights_.get(),
           std::span<const float>(staging_.get(), staging_.size()),
           stream_.get());
  }
  void GetWeights(std::span<float> weights) override { Get(weights_, weights); }
  void GetGradient(std::span<float> gradient) override {
    Get(gradient_, gradient);
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
    const auto most = static_cast<std::size_t>(plan_.max_batch);
    Clear(sum_);  // Here, so that a step that failed leaves nothing behind.
    do {
      const auto slice = rows.first(std::min(most, rows.size()));
      rows = rows.subspan(slice.size());
      assert(std::all_of(slice.begin(), slice.end(),
                         [&](auto row) { return row < shard_rows_; }));
      head.count = static_cast<std::int32_t>(slice.size());
      Tell(head, slice);
      if (!slice.empty()) AddSlice(head.count, clip);
    } while (!rows.empty());
    // As dp::GridSum::TakeInto.
    const double step =
        terms.scale * clip.clip_norm / static_cast<double>(clip.reach);
    AddExactNoise(stream_.get(), device_head(),
                  {.log_sigma = terms.grid->log_sigma,
                   .step = step,
                   .learning_rate = terms.learning_rate},
                  plan_.parameters, sum_.get(), gradient_.get(),
                  weights_.get());
  }

  ClippedSumStatistics TakeStatistics() override {
    UseDevice();
    StepTotals totals;
    Download(std::span(&totals, 1), totals_.get(), stream_.get());
    Clear(totals_);
    Wait();
    return {.loss_sum = totals.loss_sum,
            .clipped = static_cast<int>(totals.clipped),
            .rejected = static_cast<int>(totals.rejected)};
  }

 private:
  struct Layer {
    LayerPlan plan;
    const float* in = nullptr;  // (B, I)
    Memory<float> z;            // (B, U); unless kept apart, out too
    Memory<float> out;          // (B, U) for gelu, whose derivative needs z
    Memory<float> grad;         // (B, U)
    float* result() const { return out.size() > 0 ? out.get() : z.get(); }
  };

  void MakeLayers() {
    if (plan_.layers.size() > kMostLayers)
      throw std::runtime_error("CUDA: at most " + std::to_string(kMostLayers) +
                               " layers, not " +
                               std::to_string(plan_.layers.size()));
    const float* in = features_.get();
    for (const auto& plan : plan_.layers) {
      const std::size_t values = Size(plan_.max_batch, plan.units);
      layers_.push_back({.plan = plan,
                         .in = in,
                         .z = Memory<float>(values),
                         .out = Memory<float>(
                             plan.activation == Activation::kGelu ? values : 0),
                         .grad = Memory<float>(values)});
      const Layer& layer = layers_.back();
      in = layer.result();
      exact_layers_.layers[exact_layers_.count++] = {.in = layer.in,
                                                     .grad = layer.grad.get(),
                                                     .inputs = plan.inputs,
                                                     .units = plan.units,
                                                     .weight = plan.weight,
                                                     .bias = plan.bias};
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
           stream_.get());
    Must(cudaEventRecord(told_is_read_.get(), stream_.get()), "launch a step");
  }

  void AddSlice(int B, const ExactClip& clip) {
    const auto stream = stream_.get();
    Gather(stream, device_head(), device_rows(), shard_features_.get(),
           shard_labels_.get(), B, plan_.inputs, plan_.label_width,
           features_.get(), labels_.get());
    for (const Layer& layer : layers_) {
      const LayerPlan& plan = layer.plan;
      ProjectRows(stream, B, plan.inputs, plan.units, layer.in,
                  weights_.get() + plan.weight, layer.z.get());
      AddBiasAndActivate(stream, plan.activation, B, plan.units,
                         weights_.get() + plan.bias, layer.z.get(),
                         layer.result());
    }
    const Layer& last = layers_.back();
    LossGradients(stream, plan_.loss, device_head(), B, plan_.outputs,
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
                  totals_.get());
    AddSteps(stream, exact_layers_, B, factors_.get(), sum_.get());
  }

  const StepHead* device_head() const {
    return reinterpret_cast<const StepHead*>(device_told_.get());
  }
  const std::uint32_t* device_rows() const {
    return reinterpret_cast<const std::uint32_t*>(device_told_.get() +
                                                  sizeof(StepHead));
  }
  void UseDevice() { Must(cudaSetDevice(plan_.device), "use it"); }
  void Wait() { Must(cudaStreamSynchronize(stream_.get()), "finish"); }
  template <typename T>
  void Clear(const Memory<T>& memory) {
    Must(cudaMemsetAsync(memory.get(), 0, memory.bytes(), stream_.get()),
         "clear");
  }
  void Get(const Memory<float>& from, std::span<float> to) {
    assert(to.size() == staging_.size());
    UseDevice();
    Download(std::span<float>(staging_.get(), staging_.size()), from.get(),
             stream_.get());
    Wait();
    std::copy_n(staging_.get(), to.size(), to.data());
  }

  const Plan plan_;
  Stream stream_;
  Event told_is_read_;
  const std::size_t shard_rows_;
  Memory<float> shard_features_, shard_labels_;
  Pinned<std::byte> told_;  // a StepHead, then the rows
  Memory<std::byte> device_told_;
  Memory<float> weights_, gradient_;
  Memory<std::int64_t> sum_;
  Memory<float> features_, labels_, losses_;  // of a slice
  Memory<double> factors_;
  Memory<StepTotals> totals_;
  Pinned<float> staging_;
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
