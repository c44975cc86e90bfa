#include "daemon/meetings.h"

#include <boost/asio/post.hpp>
#include <chrono>
#include <stdexcept>
#include <utility>

namespace hearsay::daemon {

using Habits = mixing::Habits;

Meetings::Meetings(boost::asio::io_context& io, const mixing::Rule& rule,
                   std::uint64_t blocks_every, ExchangeLoop& exchange,
                   Resync& resync)
    : io_(io),
      rule_(rule),
      blocks_every_(blocks_every),
      exchange_(exchange),
      resync_(resync) {}

bool Meetings::Needed(const Habits& habits, std::uint64_t blocks_every) {
  return habits.meets != Habits::Meets::kNever ||
         habits.asks == Habits::Asks::kAfterStep || blocks_every > 0;
}

std::optional<std::string> Meetings::Await(std::function<void(Done)> call) {
  const auto began = std::chrono::steady_clock::now();
  std::unique_lock lock(slot_->mutex);
  if (slot_->stopped) return std::nullopt;
  const auto id = ++slot_->call;
  slot_->outcome.reset();
  boost::asio::post(io_, [call = std::move(call), slot = slot_, id] {
    call([slot, id](std::string error) {
      const std::lock_guard guard(slot->mutex);
      if (slot->call != id) return;
      slot->outcome = std::move(error);
      slot->wake.notify_all();
    });
  });
  slot_->wake.wait(lock, [&] { return slot_->outcome || slot_->stopped; });
  stalled_ns_ +=
      std::chrono::nanoseconds(std::chrono::steady_clock::now() - began)
          .count();
  if (!slot_->outcome) ++slot_->call;  // Its answer is for nobody.
  return std::exchange(slot_->outcome, std::nullopt);
}

bool Meetings::OnGradient(std::span<float> gradient) {
  if (rule_.habits().meets != Habits::Meets::kGradients) return true;
  const auto outcome = Await([this, gradient](Done done) {
    resync_.MeanOf(gradient, std::move(done));
  });
  if (!outcome) return false;
  if (!outcome->empty())
    throw std::runtime_error(rule_.name() + ": " + *outcome);
  return true;
}

bool Meetings::OnStep(std::uint64_t step) {
  const auto& habits = rule_.habits();
  if (habits.asks == Habits::Asks::kAfterStep) {
    const auto outcome =
        Await([this](Done done) { exchange_.Meet(std::move(done)); });
    if (!outcome) return false;
    // One peer of many may be silent; the one server may not.
    if (!outcome->empty() && !habits.every_other)
      throw std::runtime_error(rule_.name() + ": " + *outcome);
  }
  const bool rule_meets =
      habits.meets == Habits::Meets::kWeights && step % habits.meet_every == 0;
  const bool resyncs = blocks_every_ > 0 && step % blocks_every_ == 0;
  if (!rule_meets && !resyncs) return true;
  const auto outcome =
      Await([this](Done done) { resync_.Meet(std::move(done)); });
  if (!outcome) return false;
  if (rule_meets && !outcome->empty())
    throw std::runtime_error(rule_.name() + ": " + *outcome);
  return true;
}

std::optional<OneOfEachMember> Meetings::OneOfEach(double mine) {
  // Not this function's: the call may come back when it has returned.
  const auto all = std::make_shared<OneOfEachMember>();
  const auto outcome = Await([this, mine, all](Done done) {
    resync_.OneOfEach(mine, [all, done](auto values, const auto& error) {
      *all = std::move(values);
      done(error);
    });
  });
  if (!outcome) return std::nullopt;
  if (!outcome->empty())
    throw std::runtime_error(rule_.name() + ": " + *outcome);
  return *all;
}

void Meetings::Stop() {
  const std::lock_guard lock(slot_->mutex);
  slot_->stopped = true;
  slot_->wake.notify_all();
}

double Meetings::stalled_seconds() const {
  return static_cast<double>(stalled_ns_.load()) * 1e-9;
}

}  // namespace hearsay::daemon
