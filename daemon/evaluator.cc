#include "daemon/evaluator.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <utility>
#include <vector>

#include "model/arena.h"

namespace hearsay::daemon {

namespace {
constexpr std::chrono::milliseconds kShortestPause{500};
constexpr int kPauseShare = 20;  // Pause this many times the work.
}  // namespace

EvalResult EvaluateShard(model::Network& network, std::size_t max_batch,
                         const model::Shard& shard,
                         std::span<const float> weights) {
  std::vector<std::uint32_t> rows(max_batch);
  std::vector<float> features(max_batch *
                              static_cast<std::size_t>(shard.features()));
  std::vector<float> labels(max_batch);
  model::Evaluation total;
  for (std::size_t begin = 0; begin < shard.rows(); begin += max_batch) {
    const auto count = std::min(max_batch, shard.rows() - begin);
    std::iota(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(count),
              static_cast<std::uint32_t>(begin));
    const auto x = std::span(features).first(
        count * static_cast<std::size_t>(shard.features()));
    const auto y = std::span(labels).first(count);
    shard.Gather(std::span(rows).first(count), x, y);
    const auto part =
        network.Evaluate(weights, {static_cast<int>(count), x, y});
    total.loss_sum += part.loss_sum;
    total.correct += part.correct;
    total.count += part.count;
  }
  const auto n = static_cast<double>(total.count);
  EvalResult result;
  result.loss = total.loss_sum / n;
  if (shard.classes() > 0)
    result.accuracy = static_cast<double>(total.correct) / n;
  return result;
}

Evaluator::Evaluator(std::unique_ptr<model::Network> network, int max_batch,
                     const model::Shard& shard, const LiveWeights& weights,
                     const Ema* ema)
    : network_(std::move(network)),
      max_batch_(static_cast<std::size_t>(max_batch)),
      shard_(shard),
      weights_(weights),
      ema_(ema),
      thread_([this] { Run(); }) {}

Evaluator::~Evaluator() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  thread_.join();
}

std::optional<EvalResult> Evaluator::latest() const {
  const std::lock_guard lock(mutex_);
  return latest_;
}

EvalResult Evaluator::Evaluate() {
  model::Arena copy(weights_.size());
  if (ema_ && ema_->steps() > 0)
    ema_->Snapshot(copy.span());
  else
    weights_.Snapshot(copy.span());
  return EvaluateShard(*network_, max_batch_, shard_, copy.span());
}

void Evaluator::Run() {
  for (;;) {
    const auto begin = std::chrono::steady_clock::now();
    const auto result = Evaluate();
    const auto took = std::chrono::steady_clock::now() - begin;
    const auto pause = std::max<std::chrono::steady_clock::duration>(
        kShortestPause, took * kPauseShare);
    std::unique_lock lock(mutex_);
    latest_ = result;
    if (wake_.wait_for(lock, pause, [this] { return stop_; })) return;
  }
}

}  // namespace hearsay::daemon
