#include "daemon/exchange_record.h"

#include <algorithm>

namespace hearsay::daemon {
namespace {

constexpr double kSmoothing = 0.1;

}  // namespace

std::uint64_t ExchangeRecord::Corrections() const {
  std::uint64_t corrections = 0;
  for (const auto& [peer, counters] : counters_)
    corrections += counters.ok + counters.answered;
  return corrections;
}

bool ExchangeRecord::IsStale(const std::string& peer, std::uint64_t version) {
  return mixing::VetVersion(version, Of(peer).newest_version, max_staleness_)
      .has_value();
}

void ExchangeRecord::OnStep(const std::string& peer, std::uint64_t step) {
  auto& newest = Of(peer).newest_version;
  newest = std::max(newest, step);
}

void ExchangeRecord::OnRestart(const std::string& peer) {
  Of(peer).newest_version = 0;
}

void ExchangeRecord::OnUsed(const std::string& peer, std::uint64_t version) {
  auto& counters = Of(peer);
  counters.used_version = version;
  counters.used = transport::Clock::now();
  OnStep(peer, version);
}

void ExchangeRecord::OnFault(const std::string& peer, mixing::Fault fault) {
  auto& counters = Of(peer);
  switch (fault) {
    case mixing::Fault::kNotFinite:
      ++counters.not_finite;
      break;
    case mixing::Fault::kBeyondClip:
      ++counters.beyond_clip;
      break;
    case mixing::Fault::kStale:
      ++counters.stale;
      break;
    case mixing::Fault::kMalformed:
      ++counters.malformed;
      break;
  }
}

void ExchangeRecord::OnRoundTrip(const std::string& peer, double seconds) {
  double& average = Of(peer).round_trip_seconds;
  average = average == 0 ? seconds : average + kSmoothing * (seconds - average);
}

double ExchangeRecord::RoundTripSeconds(const std::string& peer) const {
  const auto found = counters_.find(peer);
  return found == counters_.end() ? 0 : found->second.round_trip_seconds;
}

}  // namespace hearsay::daemon
