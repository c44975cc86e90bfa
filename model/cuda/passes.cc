#include "model/cuda/passes.h"

#include <optional>

#include "model/cuda/bf16_engine.h"
#include "model/cuda/device.h"
#include "model/cuda/engine.h"
#include "model/cuda/small.h"

namespace hearsay::model::cuda {

namespace {

Memory<float> Copy(std::span<const float> values) {
  Memory<float> copy(values.size());
  UploadNow(copy.get(), values);
  return copy;
}

// A step's noise, drawn beside everything that does not need it.
class NoiseAside {
 public:
  explicit NoiseAside(std::size_t parameters)
      : stream_(MakeStream()),
        forked_(MakeEvent()),
        drawn_(MakeEvent()),
        noise_(parameters) {}

  void Fork(cudaStream_t stream, const StepHead* head) {
    Must(cudaEventRecord(forked_.get(), stream), "fork a stream");
    Must(cudaStreamWaitEvent(stream_.get(), forked_.get(), 0), "fork a stream");
    DrawNoise(stream_.get(), head, noise_.size(), noise_.get());
    Must(cudaEventRecord(drawn_.get(), stream_.get()), "join a stream");
  }
  void Join(cudaStream_t stream) {
    Must(cudaStreamWaitEvent(stream, drawn_.get(), 0), "join a stream");
  }
  const double* get() const { return noise_.get(); }

 private:
  Stream stream_;
  Event forked_, drawn_;
  Memory<double> noise_;
};

class DensePasses final : public Passes {
 public:
  DensePasses(const Plan& plan, const Examples& shard)
      : engine_(plan),
        features_(Copy(shard.features)),
        labels_(Copy(shard.labels)),
        noise_(plan.parameters),
        gradient_(plan.parameters) {
    Must(cudaMemset(engine_.weights(), 0, plan.parameters * sizeof(float)),
         "clear");
    FinishUnnamed();
  }

  void Enqueue(cudaStream_t stream, const Told& told, int /*count*/, bool first,
               bool last, StepTotals* totals) override {
    const Plan& plan = engine_.plan();
    if (last) noise_.Fork(stream, told.head);
    Gather(stream, told.head, told.rows, features_.get(), labels_.get(),
           plan.max_batch, plan.inputs, plan.label_width, engine_.features(),
           engine_.labels());
    engine_.Forward(stream);
    engine_.Losses(stream, told.head, nullptr);
    engine_.Backward(stream);
    engine_.Clip(stream, told.head, nullptr, totals, true);
    engine_.SumGradients(stream, first ? 0 : 1);
    if (!last) return;
    noise_.Join(stream);
    Update(stream, told.head, plan.parameters, noise_.get(), engine_.sum(),
           gradient_.get(), engine_.weights());
  }
  float* weights() const override { return engine_.weights(); }
  const float* gradient() const override { return gradient_.get(); }

 private:
  Engine engine_;
  Memory<float> features_, labels_;
  NoiseAside noise_;
  Memory<float> gradient_;
};

class Bf16Passes final : public Passes {
 public:
  Bf16Passes(const Plan& plan, const Examples& shard)
      : labels_(WithZeroRow(plan, shard)),
        weights_(Zeros<float>(plan.parameters)),
        sum_(plan.parameters),
        gradient_(plan.parameters),
        noise_(plan.parameters),
        engine_(plan, shard, labels_.get(), weights_.get()) {}

  void Enqueue(cudaStream_t stream, const Told& told, int /*count*/, bool first,
               bool last, StepTotals* totals) override {
    if (last) noise_.Fork(stream, told.head);
    engine_.Backward(stream, told.head, told.rows);
    // Not later: what follows comes early, and can await one kernel only.
    if (last) noise_.Join(stream);
    engine_.Clip(stream, told.head, told.rows, totals);
    engine_.Sum(stream, told.head, told.rows,
                {.first = first,
                 .last = last,
                 .noise = noise_.get(),
                 .sum = sum_.get(),
                 .gradient = gradient_.get()});
  }
  std::uint32_t padding_row() const override { return engine_.zero_row(); }
  void WeightsChanged(cudaStream_t stream) override {
    engine_.WeightsChanged(stream);
  }
  float* weights() const override { return weights_.get(); }
  const float* gradient() const override { return gradient_.get(); }

 private:
  static Memory<float> WithZeroRow(const Plan& plan, const Examples& shard) {
    auto labels = Zeros<float>(shard.labels.size() +
                               static_cast<std::size_t>(plan.label_width));
    UploadNow(labels.get(), shard.labels);
    return labels;
  }

  Memory<float> labels_;
  Memory<float> weights_, sum_, gradient_;
  NoiseAside noise_;
  Bf16Engine engine_;
};

class SmallPasses final : public Passes {
 public:
  SmallPasses(const SmallPlan& small, const Plan& plan, const Examples& shard)
      : small_(small),
        features_(Copy(shard.features)),
        labels_(Copy(shard.labels)),
        weights_(Zeros<float>(plan.parameters)),
        sum_(Zeros<float>(plan.parameters)),
        gradient_(plan.parameters),
        noise_(plan.parameters),
        arrived_(Zeros<unsigned>(1)) {}

  void Enqueue(cudaStream_t stream, const Told& told, int count, bool /*first*/,
               bool last, StepTotals* totals) override {
    AddSmallClippedSum(stream, small_, told.head, told.rows, count,
                       {.features = features_.get(),
                        .labels = labels_.get(),
                        .weights = weights_.get(),
                        .sum = sum_.get(),
                        .gradient = gradient_.get(),
                        .noise = noise_.get(),
                        .totals = totals,
                        .arrived = arrived_.get(),
                        .last = last});
  }
  bool direct() const override { return true; }
  float* weights() const override { return weights_.get(); }
  const float* gradient() const override { return gradient_.get(); }

 private:
  const SmallPlan small_;
  Memory<float> features_, labels_;
  Memory<float> weights_, sum_, gradient_;
  Memory<double> noise_;
  Memory<unsigned> arrived_;
};

}  // namespace

std::unique_ptr<Passes> MakeDensePasses(const Plan& plan,
                                        const Examples& shard) {
  return std::make_unique<DensePasses>(plan, shard);
}

std::unique_ptr<Passes> MakeBf16Passes(const Plan& plan,
                                       const Examples& shard) {
  return std::make_unique<Bf16Passes>(plan, shard);
}

std::unique_ptr<Passes> MakeSmallPasses(const Plan& plan,
                                        const Examples& shard) {
  if (const auto small = MakeSmallPlan(plan))
    return std::make_unique<SmallPasses>(*small, plan, shard);
  return nullptr;
}

}  // namespace hearsay::model::cuda
