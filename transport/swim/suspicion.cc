#include "transport/swim/suspicion.h"

#include <algorithm>
#include <cmath>

namespace hearsay::transport::swim {

Suspicion::Suspicion(const Settings& settings, std::size_t members,
                     const std::string& accuser, Clock::time_point now)
    : accusers_{accuser}, start_(now) {
  const double scale = std::max(1.0, std::log10(static_cast<double>(members)));
  min_ = std::chrono::duration_cast<Clock::duration>(
      settings.suspicion_multiplier * scale * settings.probe_interval);
  // Where there are not so many others, nobody could confirm.
  const auto wanted =
      static_cast<std::size_t>(std::max(0, settings.suspicion_multiplier - 2));
  needed_ = members >= wanted + 2 ? wanted : 0;
  const bool may_wait = settings.lifeguard && needed_ > 0;
  max_ = may_wait ? settings.suspicion_max_multiplier * min_ : min_;
}

bool Suspicion::Confirm(const std::string& accuser) {
  if (accusers_.size() > needed_) return false;
  return accusers_.insert(accuser).second;
}

Clock::time_point Suspicion::deadline() const {
  const auto confirmed = static_cast<double>(accusers_.size() - 1);
  if (convinced_ || needed_ == 0 || max_ <= min_) return start_ + min_;
  const double part =
      std::log(confirmed + 1) / std::log(static_cast<double>(needed_) + 1);
  const auto wait = std::chrono::duration_cast<Clock::duration>(
      max_ - (max_ - min_) * std::min(part, 1.0));
  return start_ + std::max(wait, min_);
}

}  // namespace hearsay::transport::swim
