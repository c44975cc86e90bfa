#include "daemon/ring_chart.h"

#include <algorithm>
#include <limits>

#include "daemon/mixing/ring_order.h"

namespace hearsay::daemon {

namespace {

constexpr std::chrono::seconds kThinkAgain{5};
constexpr double kClearly = 0.8;   // of what the order of now costs
constexpr std::size_t kMost = 64;  // what a report has room for

}  // namespace

void RingChart::Note(const std::string& from,
                     const std::vector<LinkReport>& links) {
  for (const auto& link : links)
    if (link.direction == "out" && link.round_trip_seconds > 0)
      seconds_[{from, link.peer}] = link.round_trip_seconds;
}

// Either may have asked the other.
double RingChart::Cost(const std::string& a, const std::string& b) const {
  const auto there = seconds_.find({a, b});
  const auto back = seconds_.find({b, a});
  if (there == seconds_.end() && back == seconds_.end())
    return std::numeric_limits<double>::quiet_NaN();
  if (there == seconds_.end()) return back->second;
  if (back == seconds_.end()) return there->second;
  return (there->second + back->second) / 2;
}

const std::vector<std::string>& RingChart::Decide(
    const std::vector<std::string>& members, Time now) {
  const bool others = members != members_;
  if (!others && now < next_) return order_;
  next_ = now + kThinkAgain;
  members_ = members;
  if (members.size() > kMost) return order_ = members;
  mixing::EdgeCosts costs(members.size(), std::vector<double>(members.size()));
  for (std::size_t i = 0; i < members.size(); ++i)
    for (std::size_t j = 0; j < members.size(); ++j)
      costs[i][j] = i == j ? 0 : Cost(members[i], members[j]);
  const auto best = mixing::OrderRing(costs);
  if (!others) {
    std::vector<std::size_t> kept;
    for (const auto& name : order_)
      kept.push_back(static_cast<std::size_t>(
          std::find(members.begin(), members.end(), name) - members.begin()));
    if (mixing::RingCost(costs, best) >
        kClearly * mixing::RingCost(costs, kept))
      return order_;
  }
  order_.clear();
  for (const auto i : best) order_.push_back(members[i]);
  return order_;
}

}  // namespace hearsay::daemon
