#include "daemon/join_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace hearsay::daemon {

namespace {

// Training moves a norm; this is far beyond what it does between two members
// that mix with each other.
constexpr double kSaneRatio = 10;

// Has everybody who may be there been heard?
bool AllHeard(const JoinSituation& s) {
  const std::size_t wanted =
      s.resumed || s.expect <= 1 ? s.configured + 1 : s.expect;
  return s.silent == 0 && s.peers.size() + 1 >= wanted;
}

bool MayStopWaiting(const JoinSituation& s) {
  if (AllHeard(s) || s.expect_over) return true;
  // Nobody is waited for: long enough for those who are there to be heard.
  return (s.resumed || s.expect <= 1) && s.listened;
}

}  // namespace

JoinPlan PlanJoin(const JoinSituation& s) {
  bool ahead_but_joining = false;
  for (const auto& peer : s.peers) {
    if (!s.mixes || !peer.ahead) continue;
    if (!peer.joining) return JoinPlan::kFetch;
    ahead_but_joining = true;
  }
  // Who trains alone has nobody to be late for.
  if (!s.mixes && s.resumed) return JoinPlan::kBegin;
  // A fresh node beside resumed ones: they are about to begin.
  if (ahead_but_joining && !s.resumed && !s.listened) return JoinPlan::kWait;
  return MayStopWaiting(s) ? JoinPlan::kBegin : JoinPlan::kWait;
}

std::optional<std::string> InsaneNorm(double norm, double own,
                                      std::vector<double> others) {
  others.push_back(own);
  std::sort(others.begin(), others.end());
  // The upper one of an even number: beside a single member it is the larger.
  const double median = others[others.size() / 2];
  if (std::isfinite(norm) && norm <= kSaneRatio * median) return std::nullopt;
  return fmt::format("its norm is {:.3g} where the members have about {:.3g}",
                     norm, median);
}

}  // namespace hearsay::daemon
