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
      spending_(terms, ledger_),
      block_(kFirstBlock),
      block_began_(std::chrono::steady_clock::now()) {
  status_.terms = terms;
  status_.accountant = spending_.accountant();
  Publish(spending_.Epsilon(ledger_), 0);
}

bool Budget::PayOneStep(std::uint64_t wanted) {
  if (reserved_unused_ == 0 && !ReserveBlock(wanted)) return false;
  --reserved_unused_;
  const std::lock_guard lock(mutex_);
  if (status_.steps_left > 0) --status_.steps_left;
  return true;
}

std::optional<PaidStep> Budget::Pay(std::uint64_t wanted) {
  if (!PayOneStep(wanted)) return std::nullopt;
  return PaidStep();
}

bool Budget::ReserveBlock(std::uint64_t wanted) {
  const auto terms = status().terms;
  const std::uint64_t fits =
      spending_.StepsThatFit(ledger_, wanted, terms.target_epsilon);
  const std::uint64_t steps = std::min(fits, block_);
  if (steps == 0) {
    Publish(spending_.Epsilon(ledger_), 0);
    return false;
  }
  const auto before = std::chrono::steady_clock::now();
  ledger_.Reserve({terms.sample_rate, terms.noise_multiplier, steps},
                  terms.noise);
  const auto after = std::chrono::steady_clock::now();
  // `before - block_began_` is what the steps of the last block took.
  if ((after - before) * kReserveShare > before - block_began_)
    block_ = std::min(2 * block_, kLargestBlock);
  block_began_ = after;
  reserved_unused_ = steps;
  Publish(spending_.EpsilonAhead(ledger_, fits - steps), fits - steps);
  return true;
}

void Budget::Settle() {
  if (reserved_unused_ > 0) ledger_.Settle(std::exchange(reserved_unused_, 0));
  const double epsilon = spending_.Epsilon(ledger_);
  const std::lock_guard lock(mutex_);
  status_.epsilon = epsilon;
  status_.steps_charged = ledger_.charged_steps();
  status_.position = ledger_.position();
}

void Budget::ChangeSampleRate(double sample_rate) {
  Settle();
  auto terms = status().terms;
  terms.sample_rate = sample_rate;
  spending_ = Spending(terms, ledger_);
  const std::lock_guard lock(mutex_);
  status_.terms.sample_rate = sample_rate;
  status_.accountant = spending_.accountant();
}

double Budget::EpsilonAfter(std::uint64_t steps) const {
  const auto terms = status().terms;
  auto phases = ledger_.charged();
  phases.push_back({terms.sample_rate, terms.noise_multiplier, steps});
  return dp::EpsilonOf(spending_.accountant(), phases, terms.delta);
}

void Budget::Publish(double epsilon, std::uint64_t fits_beyond) {
  const std::lock_guard lock(mutex_);
  status_.epsilon = epsilon;
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
