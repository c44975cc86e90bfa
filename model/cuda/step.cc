// model/device_step.h as CUDA graphs: what a step is told goes over in one
// copy, everything else stays on the device.
//
// A step of at most max_batch examples is one graph. A larger one is cut: the
// first slice and the next ones only sum, and the last adds the noise. Shapes
// do not depend on how many examples there are: rows without one are zero.
#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <vector>

#include "model/cuda/engine.h"
#include "model/cuda/make.h"
#include "model/cuda/small.h"

namespace hearsay::model::cuda {

namespace {

// Steps that may be under way: while one runs, the next is prepared.
constexpr std::size_t kSlots = 4;

class CudaStep final : public DeviceStep {
 public:
  CudaStep(const Plan& plan, const Examples& shard)
      : engine_(plan),
        small_(MakeSmallPlan(plan, engine_.margin())),
        stream_(MakeStream()),
        noise_stream_(MakeStream()),
        forked_(MakeEvent()),
        drawn_(MakeEvent()),
        shard_rows_(shard.rows),
        shard_features_(shard.features.size()),
        shard_labels_(shard.labels.size()),
        told_(sizeof(StepHead) +
              static_cast<std::size_t>(plan.max_batch) * sizeof(std::uint32_t)),
        gradient_(plan.parameters),
        noise_(plan.parameters),
        totals_(1),
        staging_(plan.parameters) {
    Upload(shard_features_.get(), shard.features, stream_.get());
    Upload(shard_labels_.get(), shard.labels, stream_.get());
    Must(cudaMemsetAsync(totals_.get(), 0, totals_.bytes(), stream_.get()),
         "clear");
    Must(cudaMemsetAsync(engine_.weights(), 0, plan.parameters * sizeof(float),
                         stream_.get()),
         "clear");
    for (auto& slot : slots_) {
      slot.told = Pinned<std::byte>(told_.size());
      slot.done = MakeEvent();
      // All kernels are loaded before any is recorded. Without examples and
      // with rates of 0 nothing moves.
      std::memset(slot.told.get(), 0, slot.told.size());
      if (&slot == &slots_.front()) Enqueue(slot, true, true);
      for (const bool first : {false, true})
        for (const bool last : {false, true})
          slot.graphs[first][last] = Capture(slot, first, last);
    }
    Wait();
  }
  ~CudaStep() override {
    cudaStreamSynchronize(stream_.get());
    for (auto& slot : slots_) std::memset(slot.told.get(), 0, slot.told.size());
  }

  void SetWeights(std::span<const float> weights) override {
    assert(weights.size() == staging_.size());
    UseDevice();
    Wait();  // The last copy out of staging_.
    std::copy(weights.begin(), weights.end(), staging_.get());
    Upload(engine_.weights(),
           std::span<const float>(staging_.get(), staging_.size()),
           stream_.get());
  }
  void GetWeights(std::span<float> weights) override {
    Get(engine_.weights(), weights);
  }
  void GetGradient(std::span<float> gradient) override {
    Get(gradient_.get(), gradient);
  }

  void Begin(std::span<const std::uint32_t> rows, const NoiseKey& key,
             const DeviceStepTerms& terms) override {
    if (terms.grid)
      throw std::invalid_argument("a step with a grid needs an exact one");
    UseDevice();
    StepHead head{.clip_norm = terms.clip_norm,
                  .noise_stddev = terms.noise_stddev,
                  .scale = terms.scale,
                  .learning_rate = terms.learning_rate};
    std::copy(key.begin(), key.end(), head.key.words);
    const auto most = static_cast<std::size_t>(engine_.plan().max_batch);
    bool first = true;
    do {
      const auto slice = rows.first(std::min(most, rows.size()));
      rows = rows.subspan(slice.size());
      assert(std::all_of(slice.begin(), slice.end(),
                         [&](auto row) { return row < shard_rows_; }));
      head.count = static_cast<std::int32_t>(slice.size());
      Launch(head, slice, first, rows.empty());
      first = false;
    } while (!rows.empty());
  }

  ClippedSumStatistics TakeStatistics() override {
    UseDevice();
    StepTotals totals;
    Download(std::span(&totals, 1), totals_.get(), stream_.get());
    Must(cudaMemsetAsync(totals_.get(), 0, totals_.bytes(), stream_.get()),
         "clear");
    Wait();
    return {.loss_sum = totals.loss_sum,
            .clipped = static_cast<int>(totals.clipped),
            .rejected = static_cast<int>(totals.rejected)};
  }

 private:
  // `told`: a StepHead and the rows, as they go to the device.
  struct Slot {
    Pinned<std::byte> told;
    Event done;
    std::array<std::array<GraphExec, 2>, 2> graphs;  // [first][last]
  };

  const StepHead* head() const {
    return reinterpret_cast<const StepHead*>(told_.get());
  }
  const std::uint32_t* rows() const {
    return reinterpret_cast<const std::uint32_t*>(told_.get() +
                                                  sizeof(StepHead));
  }
  void UseDevice() { Must(cudaSetDevice(engine_.plan().device), "use it"); }
  void Wait() { Must(cudaStreamSynchronize(stream_.get()), "finish"); }

  void Launch(const StepHead& head, std::span<const std::uint32_t> rows,
              bool first, bool last) {
    Slot& slot = slots_[next_++ % kSlots];
    Must(cudaEventSynchronize(slot.done.get()), "finish");
    std::memcpy(slot.told.get(), &head, sizeof head);
    if (!rows.empty())
      std::memcpy(slot.told.get() + sizeof head, rows.data(),
                  rows.size_bytes());
    Must(cudaGraphLaunch(slot.graphs[first][last].get(), stream_.get()),
         "launch a step");
    Must(cudaEventRecord(slot.done.get(), stream_.get()), "launch a step");
  }

  void Enqueue(const Slot& slot, bool first, bool last) {
    const Plan& plan = engine_.plan();
    const auto stream = stream_.get();
    Must(cudaMemcpyAsync(told_.get(), slot.told.get(), told_.bytes(),
                         cudaMemcpyHostToDevice, stream),
         "copy to the device");
    if (last) {
      Must(cudaEventRecord(forked_.get(), stream), "fork a stream");
      Must(cudaStreamWaitEvent(noise_stream_.get(), forked_.get(), 0),
           "fork a stream");
      DrawNoise(noise_stream_.get(), head(), plan.parameters, noise_.get());
      Must(cudaEventRecord(drawn_.get(), noise_stream_.get()), "join a stream");
    }
    if (small_) {
      AddSmallClippedSum(stream, *small_, head(), rows(), plan.max_batch,
                         shard_features_.get(), shard_labels_.get(),
                         engine_.weights(), engine_.sum(), totals_.get());
    } else {
      Gather(stream, head(), rows(), shard_features_.get(), shard_labels_.get(),
             plan.max_batch, plan.inputs, plan.label_width, engine_.features(),
             engine_.labels());
      engine_.Forward(stream);
      engine_.Losses(stream, head(), nullptr);
      engine_.Backward(stream);
      engine_.Clip(stream, head(), nullptr, totals_.get(), true);
      engine_.SumGradients(stream, first ? 0 : 1);
    }
    if (!last) return;
    Must(cudaStreamWaitEvent(stream, drawn_.get(), 0), "join a stream");
    Update(stream, head(), plan.parameters, noise_.get(), engine_.sum(),
           gradient_.get(), engine_.weights());
  }

  GraphExec Capture(const Slot& slot, bool first, bool last) {
    Must(
        cudaStreamBeginCapture(stream_.get(), cudaStreamCaptureModeThreadLocal),
        "record a step");
    cudaGraph_t raw = nullptr;
    try {
      Enqueue(slot, first, last);
    } catch (...) {
      cudaStreamEndCapture(stream_.get(), &raw);
      const Graph half(raw);
      throw;
    }
    Must(cudaStreamEndCapture(stream_.get(), &raw), "record a step");
    const Graph graph(raw);
    cudaGraphExec_t exec = nullptr;
    Must(cudaGraphInstantiate(&exec, graph.get(), 0), "record a step");
    return GraphExec(exec);
  }

  void Get(const float* from, std::span<float> to) {
    assert(to.size() == staging_.size());
    UseDevice();
    Download(std::span<float>(staging_.get(), staging_.size()), from,
             stream_.get());
    Wait();
    std::copy_n(staging_.get(), to.size(), to.data());
  }

  Engine engine_;
  const std::optional<SmallPlan> small_;
  Stream stream_, noise_stream_;
  Event forked_, drawn_;
  const std::size_t shard_rows_;
  Memory<float> shard_features_, shard_labels_;
  Memory<std::byte> told_;  // a StepHead, then the rows
  Memory<float> gradient_;
  Memory<double> noise_;
  Memory<StepTotals> totals_;
  Pinned<float> staging_;
  std::array<Slot, kSlots> slots_;
  std::size_t next_ = 0;
};

}  // namespace

std::unique_ptr<DeviceStep> MakeStep(const Plan& plan, const Examples& shard) {
  Must(cudaSetDevice(plan.device), "use this device");
  return std::make_unique<CudaStep>(plan, shard);
}

}  // namespace hearsay::model::cuda
