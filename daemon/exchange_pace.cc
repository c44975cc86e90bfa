#include "daemon/exchange_pace.h"

#include <algorithm>
#include <cmath>

namespace hearsay::daemon {

namespace {

constexpr double kRoundTripSmoothing = 0.1;
constexpr std::chrono::seconds kWindow{1};
// Fewer in a window tell little of what one costs.
constexpr std::uint64_t kEnough = 8;

Duration Seconds(double seconds) {
  return Duration(std::llround(1e6 * std::clamp(seconds, 0.0, 1e3)));
}

}  // namespace

ExchangePace::ExchangePace(std::optional<Duration> configured, double cores)
    : configured_(configured), cores_(cores) {}

void ExchangePace::SetCluster(Duration median_step_time,
                              Duration largest_proposed) {
  median_step_time_ = median_step_time;
  largest_proposed_ = std::min(largest_proposed, kLongest);
}

void ExchangePace::OnRoundTrip(double seconds) {
  round_trip_seconds_ =
      round_trip_seconds_ == 0
          ? seconds
          : round_trip_seconds_ +
                kRoundTripSmoothing * (seconds - round_trip_seconds_);
}

void ExchangePace::OnUse(const CpuUse& use) {
  if (!last_) {
    last_ = use;
    return;
  }
  if (use.at - last_->at < kWindow) return;
  const double seconds =
      std::chrono::duration<double>(use.at - last_->at).count();
  const double busy = (use.process_seconds - last_->process_seconds) / seconds;
  core_free_ = cores_ - busy >= kFreeCore;
  if (const auto done = use.exchanges - last_->exchanges; done >= kEnough) {
    const double cost = (use.exchange_seconds - last_->exchange_seconds) /
                        static_cast<double>(done);
    cost_seconds_ = cost_seconds_ == 0 ? cost : std::min(cost_seconds_, cost);
  }
  last_ = use;
}

Duration ExchangePace::Proposed() const {
  if (configured_) return *configured_;
  auto interval = std::max(median_step_time_, Seconds(2 * round_trip_seconds_));
  // In one interval a node of a ring asks once and answers once.
  if (!core_free_)
    interval = std::max(interval, Seconds(2 * cost_seconds_ / kCoreShare));
  return std::clamp(interval, kShortest, kLongest);
}

std::optional<double> ExchangePace::Delay() const {
  if (round_trip_seconds_ == 0) return std::nullopt;
  return round_trip_seconds_ /
         std::chrono::duration<double>(Proposed()).count();
}

Duration ExchangePace::Common() const {
  return std::max(Proposed(), largest_proposed_);
}

}  // namespace hearsay::daemon
