// The CPU back end on several threads: each has a network and a sum of its own,
// and takes the next piece of the batch when it is free. Which thread takes
// which piece differs from step to step, and with it the last bits of a sum.
#include <algorithm>
#include <cassert>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "model/arena.h"
#include "model/cpu/make.h"
#include "model/layer_rules.h"
#include "model/workers.h"

namespace hearsay::model::cpu {

namespace {

class ThreadedNetwork final : public Network {
 public:
  ThreadedNetwork(const ModelSpec& spec, int max_batch, const Frozen& frozen,
                  std::shared_ptr<Workers> workers)
      : inputs_(static_cast<std::size_t>(spec.inputs)),
        outputs_(static_cast<std::size_t>(Outputs(spec))),
        label_width_(static_cast<std::size_t>(LabelWidth(spec))),
        least_(LeastPiece(TrainedCount(spec, frozen.layers))),
        workers_(std::move(workers)),
        own_(static_cast<std::size_t>(workers_->count())) {
    const int most = PieceOf(max_batch);
    for (auto& own : own_) {
      own.network = MakeNetwork(spec, most, frozen);
      if (&own != &own_.front())
        own.sum = Arena(TrainedCount(spec, frozen.layers));
    }
  }

  // Each network counts the examples that it sees, so each has a key of its own
  // for their masks.
  void BeginStep(const StepKey& key) override {
    StepKey one = key;
    for (std::size_t w = 0; w < own_.size(); ++w) {
      one[0] = key[0] ^ static_cast<std::uint32_t>(w);
      own_[w].network->BeginStep(one);
    }
  }

  ClippedSumStatistics AddClippedSum(std::span<const float> weights,
                                     const Batch& batch,
                                     const Clipping& clipping,
                                     std::span<float> sum) override {
    InPieces(
        batch, sum,
        [&](Own& own, std::size_t, const Batch& piece, std::span<float> part) {
          own.seen +=
              own.network->AddClippedSum(weights, piece, clipping, part);
        });
    ClippedSumStatistics all;
    for (auto& own : own_) all += std::exchange(own.seen, {});
    return all;
  }

  double AddSum(std::span<const float> weights, const Batch& batch,
                std::span<float> sum) override {
    InPieces(
        batch, sum,
        [&](Own& own, std::size_t, const Batch& piece, std::span<float> part) {
          own.seen.loss_sum += own.network->AddSum(weights, piece, part);
        });
    double loss = 0;
    for (auto& own : own_) loss += std::exchange(own.seen, {}).loss_sum;
    return loss;
  }

  void GradientNorms(std::span<const float> weights, const Batch& batch,
                     std::span<float> norms) override {
    InPieces(
        batch, {},
        [&](Own& own, std::size_t first, const Batch& piece, std::span<float>) {
          own.network->GradientNorms(
              weights, piece,
              norms.subspan(first, static_cast<std::size_t>(piece.count)));
        });
  }

  void Predict(std::span<const float> weights, int count,
               std::span<const float> features,
               std::span<float> outputs) override {
    InPieces(
        {count, features, {}}, {},
        [&](Own& own, std::size_t first, const Batch& piece, std::span<float>) {
          own.network->Predict(
              weights, piece.count, piece.features,
              outputs.subspan(
                  first * outputs_,
                  static_cast<std::size_t>(piece.count) * outputs_));
        });
  }

  Evaluation Evaluate(std::span<const float> weights,
                      const Batch& batch) override {
    InPieces(batch, {},
             [&](Own& own, std::size_t, const Batch& piece, std::span<float>) {
               const auto found = own.network->Evaluate(weights, piece);
               own.found.loss_sum += found.loss_sum;
               own.found.correct += found.correct;
             });
    Evaluation all{.count = batch.count};
    for (auto& own : own_) {
      const auto found = std::exchange(own.found, {});
      all.loss_sum += found.loss_sum;
      all.correct += found.correct;
    }
    return all;
  }

 private:
  // What only one worker touches, on cache lines of its own.
  struct alignas(128) Own {
    std::unique_ptr<Network> network;
    Arena sum;  // none for the first: it adds to the caller's
    bool added = false;
    ClippedSumStatistics seen;
    Evaluation found;
  };

  // So many that reading and writing a sum takes little beside its products.
  static int LeastPiece(std::size_t parameters) {
    constexpr std::size_t kInCache = std::size_t{1} << 17;
    return parameters <= kInCache ? 32 : 256;
  }
  // A few for each worker, so that one whose core is taken holds up nobody.
  int PieceOf(int count) const {
    constexpr int kEach = 4;
    const int pieces = kEach * workers_->count();
    return std::max(
        1, std::min(count, std::max(least_, (count + pieces - 1) / pieces)));
  }

  // each(own, first, piece, sum) for all of the batch; then `sum` holds the
  // parts of all.
  template <typename Each>
  void InPieces(const Batch& batch, std::span<float> sum, const Each& each) {
    workers_->Share(static_cast<std::size_t>(batch.count),
                    static_cast<std::size_t>(PieceOf(batch.count)),
                    [&](int w, std::size_t first, std::size_t rows) {
                      Own& own = own_[static_cast<std::size_t>(w)];
                      std::span<float> part = sum;
                      if (w > 0 && !sum.empty()) {
                        part = own.sum.span();
                        if (!std::exchange(own.added, true))
                          std::fill(part.begin(), part.end(), 0.0F);
                      }
                      each(own, first, PieceAt(batch, first, rows), part);
                    });
    AddParts(sum);
  }

  Batch PieceAt(const Batch& batch, std::size_t at, std::size_t rows) const {
    Batch piece{
        .count = static_cast<int>(rows),
        .features = batch.features.subspan(at * inputs_, rows * inputs_),
        .labels = {}};
    if (!batch.labels.empty())
      piece.labels =
          batch.labels.subspan(at * label_width_, rows * label_width_);
    return piece;
  }

  void AddParts(std::span<float> sum) {
    constexpr std::size_t kInCache = std::size_t{1} << 14;
    if (std::none_of(own_.begin(), own_.end(),
                     [](const Own& own) { return own.added; }))
      return;
    workers_->Share(sum.size(), kInCache,
                    [&](int, std::size_t first, std::size_t size) {
                      for (const auto& own : own_) {
                        if (!own.added) continue;
                        const float* const part = own.sum.span().data() + first;
                        float* const to = sum.data() + first;
                        for (std::size_t i = 0; i < size; ++i) to[i] += part[i];
                      }
                    });
    for (auto& own : own_) own.added = false;
  }

  const std::size_t inputs_, outputs_, label_width_;
  const int least_;
  const std::shared_ptr<Workers> workers_;
  std::vector<Own> own_;
};

}  // namespace

std::unique_ptr<Network> MakeThreadedNetwork(const ModelSpec& spec,
                                             int max_batch,
                                             const Frozen& frozen,
                                             std::shared_ptr<Workers> workers) {
  return std::make_unique<ThreadedNetwork>(spec, max_batch, frozen,
                                           std::move(workers));
}

}  // namespace hearsay::model::cpu
