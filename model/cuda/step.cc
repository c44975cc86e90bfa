// model/device_step.h: what a step is told goes over in one copy, everything
// else stays on the device. A step is one CUDA graph, or one kernel.
//
// A step of more than max_batch examples is cut: its slices only sum, and the
// last one adds the noise. Shapes do not depend on how many examples there are.
#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "model/cuda/device.h"
#include "model/cuda/make.h"
#include "model/cuda/passes.h"
#include "model/cuda/resident_step.h"

namespace hearsay::model::cuda {

namespace {

// Steps that may be under way: while one runs, the next is prepared.
constexpr std::size_t kSlots = 4;
// Kernels fetch rows by so many.
constexpr std::size_t kRowsAtOnce = 8;

std::unique_ptr<Passes> ChoosePasses(const Plan& plan, const Examples& shard) {
  if (auto small = MakeSmallPasses(plan, shard)) return small;
  return plan.precision == Precision::kBf16 ? MakeBf16Passes(plan, shard)
                                            : MakeDensePasses(plan, shard);
}

class CudaStep final : public ResidentStep {
 public:
  CudaStep(const Plan& plan, const Examples& shard)
      : ResidentStep(plan, shard.rows),
        passes_(ChoosePasses(plan, shard)),
        told_(sizeof(StepHead) +
              (static_cast<std::size_t>(plan.max_batch) + kRowsAtOnce) *
                  sizeof(std::uint32_t)) {
    for (auto& slot : slots_) {
      slot.told = Pinned<std::byte>(told_.size());
      slot.done = MakeEvent();
      std::memset(slot.told.get(), 0, slot.told.size());
      FillUp(slot, 0);
    }
    // All kernels are loaded before any is recorded. Without examples and with
    // rates of 0 nothing moves.
    passes_->WeightsChanged(stream());
    Enqueue(slots_.front(), 0, true, true);
    Wait();
    if (passes_->direct()) return;
    for (auto& slot : slots_)
      for (const bool first : {false, true})
        for (const bool last : {false, true})
          slot.graphs[first][last] = Capture(slot, first, last);
    Wait();
  }
  ~CudaStep() override {
    cudaStreamSynchronize(stream());
    for (auto& slot : slots_) std::memset(slot.told.get(), 0, slot.told.size());
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
    bool first = true;
    EachSlice(rows, [&](std::span<const std::uint32_t> slice, bool last) {
      head.count = static_cast<std::int32_t>(slice.size());
      Launch(head, slice, first, last);
      first = false;
    });
  }

 private:
  float* weights() const override { return passes_->weights(); }
  const float* gradient() const override { return passes_->gradient(); }
  void WeightsChanged() override { passes_->WeightsChanged(stream()); }

  // `told`: a StepHead and the rows, as they go to the device.
  struct Slot {
    Pinned<std::byte> told;
    Event done;
    std::array<std::array<GraphExec, 2>, 2> graphs;  // [first][last]
  };

  static StepHead* HeadOf(std::byte* told) {
    return reinterpret_cast<StepHead*>(told);
  }
  static std::uint32_t* RowsOf(std::byte* told) {
    return reinterpret_cast<std::uint32_t*>(told + sizeof(StepHead));
  }
  void FillUp(const Slot& slot, std::size_t count) const {
    std::fill(
        RowsOf(slot.told.get()) + count,
        RowsOf(slot.told.get()) + static_cast<std::size_t>(plan().max_batch),
        passes_->padding_row());
  }

  void Launch(const StepHead& head, std::span<const std::uint32_t> rows,
              bool first, bool last) {
    Slot& slot = slots_[next_++ % kSlots];
    Must(cudaEventSynchronize(slot.done.get()), "finish");
    *HeadOf(slot.told.get()) = head;
    std::copy(rows.begin(), rows.end(), RowsOf(slot.told.get()));
    FillUp(slot, rows.size());
    if (passes_->direct())
      Enqueue(slot, head.count, first, last);
    else
      Must(cudaGraphLaunch(slot.graphs[first][last].get(), stream()),
           "launch a step");
    Must(cudaEventRecord(slot.done.get(), stream()), "launch a step");
  }

  void Enqueue(const Slot& slot, int count, bool first, bool last) {
    std::byte* at = slot.told.get();
    if (!passes_->direct()) {
      at = told_.get();
      Must(cudaMemcpyAsync(at, slot.told.get(), told_.bytes(),
                           cudaMemcpyHostToDevice, stream()),
           "copy to the device");
    }
    passes_->Enqueue(stream(), {.head = HeadOf(at), .rows = RowsOf(at)}, count,
                     first, last, totals());
  }

  GraphExec Capture(const Slot& slot, bool first, bool last) {
    Must(cudaStreamBeginCapture(stream(), cudaStreamCaptureModeThreadLocal),
         "record a step");
    cudaGraph_t raw = nullptr;
    try {
      Enqueue(slot, plan().max_batch, first, last);
    } catch (...) {
      cudaStreamEndCapture(stream(), &raw);
      const Graph half(raw);
      throw;
    }
    Must(cudaStreamEndCapture(stream(), &raw), "record a step");
    const Graph graph(raw);
    cudaGraphExec_t exec = nullptr;
    Must(cudaGraphInstantiate(&exec, graph.get(), 0), "record a step");
    return GraphExec(exec);
  }

  const std::unique_ptr<Passes> passes_;
  Memory<std::byte> told_;  // a StepHead, then the rows
  std::array<Slot, kSlots> slots_;
  std::size_t next_ = 0;
};

}  // namespace

std::unique_ptr<DeviceStep> MakeStep(const Plan& plan, const Examples& shard) {
  Must(cudaSetDevice(plan.device), "use this device");
  return std::make_unique<CudaStep>(plan, shard);
}

}  // namespace hearsay::model::cuda
