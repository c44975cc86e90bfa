#include "daemon/budget.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <ctime>
#include <utility>

namespace hearsay::daemon {

namespace {

// Of this thread, on a processor.
std::chrono::nanoseconds BusySoFar() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) +
         std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace

Budget::Budget(dp::Ledger ledger, const BudgetTerms& terms)
    : ledger_(std::move(ledger)), spending_(terms, ledger_) {
  status_.terms = terms;
  status_.accountant = spending_.accountant();
  Publish(spending_.Epsilon(ledger_));
}

bool Budget::PayOneStep(std::uint64_t wanted) {
  if (reserved_unused_ == 0) {
    if (!coming_.valid()) Begin(wanted);
    Adopt();
    if (reserved_unused_ == 0) return false;
  }
  --reserved_unused_;
  if (!coming_.valid() && reserved_unused_ <= plan_.ahead &&
      reserved_unused_ < wanted - 1)
    Begin(wanted - 1 - reserved_unused_);
  ++taken_;
  const std::lock_guard lock(mutex_);
  if (status_.steps_left > 0U) --*status_.steps_left;
  return true;
}

std::optional<PaidStep> Budget::Pay(std::uint64_t wanted) {
  if (!PayOneStep(wanted)) return std::nullopt;
  return PaidStep();
}

void Budget::Begin(std::uint64_t wanted) {
  const auto asked = Clock::now();
  sizes_.OnSteps(std::exchange(taken_, 0),
                 asked - std::exchange(told_, asked) -
                     std::exchange(waited_, Clock::duration(0)));
  plan_ = sizes_.For(left_);
  std::packaged_task<Reserved()> task(
      [this, wanted, asked, block = plan_.block] {
        return Reserve(wanted, block, asked);
      });
  coming_ = task.get_future();
  boost::asio::post(reserver_, std::move(task));
}

Budget::Reserved Budget::Reserve(std::uint64_t wanted, std::uint64_t block,
                                 Clock::time_point asked) {
  const auto busy = BusySoFar();
  const auto terms = status().terms;
  Reserved reserved;
  reserved.fits = spending_.StepsThatFit(ledger_, wanted, terms.target_epsilon);
  reserved.steps = std::min({reserved.fits, block, ledger_.most_steps()});
  if (reserved.steps == 0) {
    Publish(spending_.Epsilon(ledger_));
    return reserved;
  }
  ledger_.Reserve({terms.sample_rate, terms.noise_multiplier, reserved.steps},
                  terms.noise);
  // An evaluation of epsilon minds its own share of the time (Spending).
  reserved.took = Clock::now() - asked;
  reserved.busy = BusySoFar() - busy;
  Publish(spending_.EpsilonAhead(ledger_, reserved.fits - reserved.steps));
  return reserved;
}

void Budget::Adopt() {
  if (!coming_.valid()) return;
  const auto before = Clock::now();
  const Reserved reserved = coming_.get();
  waited_ += Clock::now() - before;
  if (reserved.steps > 0) sizes_.OnReserved(reserved.took, reserved.busy);
  left_ = reserved_unused_ + reserved.fits;
  reserved_unused_ += reserved.steps;
  const std::lock_guard lock(mutex_);
  status_.steps_left = left_;
}

void Budget::Settle() {
  Adopt();
  if (reserved_unused_ > 0) ledger_.Settle(std::exchange(reserved_unused_, 0));
  Publish(spending_.Epsilon(ledger_));
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
  if (coming_.valid()) coming_.wait();
  const auto terms = status().terms;
  auto phases = ledger_.charged();
  phases.push_back({terms.sample_rate, terms.noise_multiplier, steps});
  return dp::EpsilonOf(spending_.accountant(), phases, terms.delta);
}

void Budget::Publish(double epsilon) {
  const std::lock_guard lock(mutex_);
  status_.epsilon = epsilon;
  status_.steps_charged = ledger_.charged_steps();
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
