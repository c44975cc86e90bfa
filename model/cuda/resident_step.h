// What steps of every kind share: weights and a gradient that lie on the device
// and come and go through pinned memory, totals, and batches cut into slices.
//
// Threads: one at a time; everything is put on one stream.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <span>

#include "model/cuda/api.h"
#include "model/cuda/device.h"
#include "model/cuda/kernels.h"

namespace hearsay::model::cuda {

class ResidentStep : public DeviceStep {
 public:
  void SetWeights(std::span<const float> weights) final {
    assert(weights.size() == staging_.size());
    UseDevice();
    Wait();  // The last copy out of staging_.
    std::copy(weights.begin(), weights.end(), staging_.get());
    Upload(this->weights(),
           std::span<const float>(staging_.get(), staging_.size()), stream());
    WeightsChanged();
  }
  void GetWeights(std::span<float> weights) final {
    Get(this->weights(), weights);
  }
  void GetGradient(std::span<float> gradient) final {
    Get(this->gradient(), gradient);
  }

  ClippedSumStatistics TakeStatistics() final {
    UseDevice();
    StepTotals seen;
    Download(std::span(&seen, 1), totals_.get(), stream());
    Must(cudaMemsetAsync(totals_.get(), 0, totals_.bytes(), stream()), "clear");
    Wait();
    return {.loss_sum = seen.loss_sum,
            .clipped = static_cast<int>(seen.clipped),
            .rejected = static_cast<int>(seen.rejected)};
  }

 protected:
  ResidentStep(const Plan& plan, std::size_t shard_rows)
      : plan_(plan),
        shard_rows_(shard_rows),
        stream_(MakeStream()),
        totals_(Zeros<StepTotals>(1)),
        staging_(plan.parameters) {}

  virtual float* weights() const = 0;         // (P)
  virtual const float* gradient() const = 0;  // (P)
  virtual void WeightsChanged() {}

  // each(rows, last) for slices of up to max_batch rows; of none for no rows.
  template <typename Each>
  void EachSlice(std::span<const std::uint32_t> rows, const Each& each) const {
    assert(std::all_of(rows.begin(), rows.end(),
                       [&](auto row) { return row < shard_rows_; }));
    const auto most = static_cast<std::size_t>(plan_.max_batch);
    do {
      const auto slice = rows.first(std::min(most, rows.size()));
      rows = rows.subspan(slice.size());
      each(slice, rows.empty());
    } while (!rows.empty());
  }

  const Plan& plan() const { return plan_; }
  cudaStream_t stream() const { return stream_.get(); }
  StepTotals* totals() const { return totals_.get(); }
  void UseDevice() const { Must(cudaSetDevice(plan_.device), "use it"); }
  void Wait() const { Must(cudaStreamSynchronize(stream()), "finish"); }

 private:
  void Get(const float* from, std::span<float> to) {
    assert(to.size() == staging_.size());
    UseDevice();
    Download(std::span<float>(staging_.get(), staging_.size()), from, stream());
    Wait();
    std::copy_n(staging_.get(), to.size(), to.data());
  }

  const Plan plan_;
  const std::size_t shard_rows_;
  const Stream stream_;
  const Memory<StepTotals> totals_;
  const Pinned<float> staging_;
};

}  // namespace hearsay::model::cuda
