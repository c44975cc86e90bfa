#include "daemon/budget.h"

#include <algorithm>
#include <utility>

namespace hearsay::daemon {

namespace {
constexpr std::uint64_t kFirstBlock = 16;
constexpr std::uint64_t kLargestBlock = 1024;
constexpr int kReserveShare = 100;  // Of a block's time: 1 %.
}  // namespace

Budget::Budget(dp::Ledger ledger, const BudgetTerms& terms)
    : ledger_(std::move(ledger)),
      block_(kFirstBlock),
      block_began_(std::chrono::steady_clock::now()) {
  status_.terms = terms;
  Publish(0);
}

bool Budget::PayOneStep(std::uint64_t wanted) {
  if (reserved_unused_ == 0 && !ReserveBlock(wanted)) return false;
  --reserved_unused_;
  const std::lock_guard lock(mutex_);
  if (status_.steps_left > 0) --status_.steps_left;
  return true;
}

bool Budget::ReserveBlock(std::uint64_t wanted) {
  const auto terms = status().terms;
  const auto fit = [&](std::uint64_t steps) {
    if (!terms.target_epsilon) return steps;
    return ledger_.StepsThatFit(
        {terms.sample_rate, terms.noise_multiplier, steps}, terms.delta,
        *terms.target_epsilon);
  };
  const std::uint64_t fits = fit(wanted);
  const std::uint64_t steps = std::min(fits, block_);
  if (steps == 0) {
    Publish(0);
    return false;
  }
  const auto before = std::chrono::steady_clock::now();
  ledger_.Reserve({terms.sample_rate, terms.noise_multiplier, steps});
  const auto after = std::chrono::steady_clock::now();
  // `before - block_began_` is what the steps of the last block took.
  if ((after - before) * kReserveShare > before - block_began_)
    block_ = std::min(2 * block_, kLargestBlock);
  block_began_ = after;
  reserved_unused_ = steps;
  Publish(fits - steps);
  return true;
}

void Budget::Settle() {
  if (reserved_unused_ == 0) return;
  ledger_.Settle(std::exchange(reserved_unused_, 0));
  const std::lock_guard lock(mutex_);
  status_.epsilon = ledger_.Epsilon(status_.terms.delta).epsilon;
  status_.steps_charged = ledger_.charged_steps();
  status_.position = ledger_.position();
}

void Budget::Publish(std::uint64_t fits_beyond) {
  const std::lock_guard lock(mutex_);
  status_.epsilon = ledger_.Epsilon(status_.terms.delta).epsilon;
  status_.steps_charged = ledger_.charged_steps();
  status_.steps_left = fits_beyond + reserved_unused_;
  status_.position = ledger_.position();
}

bool Budget::LowerTarget(double target_epsilon) {
  const std::lock_guard lock(mutex_);
  auto& target = status_.terms.target_epsilon;
  if (target && target_epsilon > *target) return false;
  target = target_epsilon;
  return true;
}

BudgetStatus Budget::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

}  // namespace hearsay::daemon
