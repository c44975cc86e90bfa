// model/network.h on the device: examples and weights come from the host with
// every call, and the sum goes back. Memory is allocated at construction.
#include <cassert>
#include <cmath>
#include <vector>

#include "model/cuda/engine.h"
#include "model/cuda/make.h"

namespace hearsay::model::cuda {

namespace {

class CudaNetwork final : public Network {
 public:
  explicit CudaNetwork(const Plan& plan)
      : engine_(plan),
        stream_(MakeStream()),
        device_head_(1),
        totals_(1),
        norms_(static_cast<std::size_t>(plan.max_batch)),
        staging_(plan.parameters) {}

  ClippedSumStatistics AddClippedSum(std::span<const float> weights,
                                     const Batch& batch,
                                     const Clipping& clipping,
                                     std::span<float> sum) override {
    assert(clipping.kind == Clipping::Kind::kFlat);
    const auto totals = Sum(weights, batch, clipping.norm, true, sum);
    return {.loss_sum = totals.loss_sum,
            .clipped = static_cast<int>(totals.clipped),
            .rejected = static_cast<int>(totals.rejected)};
  }

  double AddSum(std::span<const float> weights, const Batch& batch,
                std::span<float> sum) override {
    return Sum(weights, batch, 1, false, sum).loss_sum;
  }

  void GradientNorms(std::span<const float> weights, const Batch& batch,
                     std::span<float> norms) override {
    UseDevice();
    Load(weights, batch, 1);
    engine_.Forward(stream_.get());
    engine_.Losses(stream_.get(), device_head_.get(), nullptr);
    engine_.Backward(stream_.get());
    engine_.Clip(stream_.get(), device_head_.get(), norms_.get(), nullptr,
                 true);
    Download(norms, norms_.get(), stream_.get());
    Wait();
  }

  void Predict(std::span<const float> weights, int count,
               std::span<const float> features,
               std::span<float> outputs) override {
    UseDevice();
    Load(weights, {.count = count, .features = features, .labels = {}}, 1);
    engine_.Forward(stream_.get());
    Download(outputs, engine_.outputs(), stream_.get());
    Wait();
  }

  Evaluation Evaluate(std::span<const float> weights,
                      const Batch& batch) override {
    UseDevice();
    Load(weights, batch, 1);
    engine_.Forward(stream_.get());
    engine_.Losses(stream_.get(), device_head_.get(), totals_.get());
    // Losses are added up where gradients are clipped.
    engine_.Clip(stream_.get(), device_head_.get(), nullptr, totals_.get(),
                 false);
    const auto totals = Totals();
    return {.loss_sum = totals.loss_sum,
            .correct = totals.correct,
            .count = batch.count};
  }

 private:
  void UseDevice() { Must(cudaSetDevice(engine_.plan().device), "use it"); }
  void Wait() { Must(cudaStreamSynchronize(stream_.get()), "finish"); }

  StepTotals Totals() {
    StepTotals totals;
    Download(std::span(&totals, 1), totals_.get(), stream_.get());
    Wait();
    return totals;
  }

  void Load(std::span<const float> weights, const Batch& batch,
            double clip_norm) {
    assert(weights.size() == engine_.plan().parameters);
    assert(batch.count >= 0 && batch.count <= engine_.plan().max_batch);
    head_ = {.clip_norm = clip_norm, .count = batch.count};
    Upload(device_head_.get(), std::span<const StepHead>(&head_, 1),
           stream_.get());
    Must(cudaMemsetAsync(totals_.get(), 0, totals_.bytes(), stream_.get()),
         "clear");
    Upload(engine_.weights(), weights, stream_.get());
    // Rows that are no examples take part in products: they must be zero.
    const auto& plan = engine_.plan();
    const auto rows = static_cast<std::size_t>(plan.max_batch);
    Must(cudaMemsetAsync(
             engine_.features(), 0,
             rows * static_cast<std::size_t>(plan.inputs) * sizeof(float),
             stream_.get()),
         "clear");
    Upload(engine_.features(), batch.features, stream_.get());
    Upload(engine_.labels(), batch.labels, stream_.get());
  }

  StepTotals Sum(std::span<const float> weights, const Batch& batch,
                 double clip_norm, bool clip, std::span<float> sum) {
    assert(clip_norm > 0 && sum.size() == engine_.plan().parameters);
    UseDevice();
    Load(weights, batch, clip_norm);
    engine_.Forward(stream_.get());
    engine_.Losses(stream_.get(), device_head_.get(), nullptr);
    engine_.Backward(stream_.get());
    engine_.Clip(stream_.get(), device_head_.get(), nullptr, totals_.get(),
                 clip);
    engine_.SumGradients(stream_.get(), 0);
    const std::span<float> staging(staging_.get(), staging_.size());
    Download(staging, engine_.sum(), stream_.get());
    const auto totals = Totals();
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += staging[i];
    return totals;
  }

  Engine engine_;
  Stream stream_;
  Memory<StepHead> device_head_;
  Memory<StepTotals> totals_;
  Memory<float> norms_;
  Pinned<float> staging_;
  StepHead head_;
};

}  // namespace

std::unique_ptr<Network> MakeNetwork(const Plan& plan) {
  Must(cudaSetDevice(plan.device), "use this device");
  return std::make_unique<CudaNetwork>(plan);
}

}  // namespace hearsay::model::cuda
