#include "daemon/statistics_charge.h"

#include <algorithm>
#include <string>
#include <vector>

namespace hearsay::daemon {

namespace {

std::string RunOf(const model::ShardCharge& charge) {
  return std::string(dp::kStatisticsRun) + charge.id;
}

// Of all rows, once; on a grid of integers.
dp::Releases ReleasesOf(const model::ShardCharge& charge) {
  return {1.0, charge.noise_multiplier, charge.releases};
}

bool Holds(const dp::LedgerContents& ledger, const model::ShardCharge& charge) {
  const auto releases = ReleasesOf(charge);
  const auto run = RunOf(charge);
  return std::any_of(
      ledger.records.begin(), ledger.records.end(),
      [&](const dp::LedgerRecord& record) {
        return record.kind == dp::LedgerRecord::Kind::kReserve &&
               record.run == run &&
               record.releases.sample_rate == releases.sample_rate &&
               record.releases.noise_multiplier == releases.noise_multiplier &&
               record.releases.steps == releases.steps;
      });
}

// Of before training; also a tail that was torn, as the first ones were
// written: whatever it was, it is charged.
bool IsFirst(const dp::LedgerRecord& record) {
  return dp::IsStatistics(record) ||
         (record.kind == dp::LedgerRecord::Kind::kTorn && record.hash.empty());
}

std::vector<model::ShardCharge> Missing(const std::filesystem::path& folder,
                                        const model::Shard& shard) {
  std::error_code ignored;
  const auto file = folder / "ledger";
  if (!std::filesystem::exists(file, ignored)) return shard.charges();
  const auto ledger = dp::ReadLedger(file);
  if (ledger.data_set != shard.content_hash())
    return {};  // Whoever opens it for this shard is refused.
  std::vector<model::ShardCharge> missing;
  for (const auto& charge : shard.charges())
    if (!Holds(ledger, charge)) missing.push_back(charge);
  if (!missing.empty() &&
      !std::all_of(ledger.records.begin(), ledger.records.end(), IsFirst))
    throw dp::LedgerError(
        file.string() + ": lacks what statistics of the shard's rows cost (" +
        RunOf(missing.front()) +
        "), though training has been charged: it is not the ledger that was "
        "begun for this shard; restore that one");
  return missing;
}

}  // namespace

void BookCharges(const std::filesystem::path& folder,
                 const model::Shard& shard) {
  if (shard.charges().empty()) return;
  for (const auto& charge : Missing(folder, shard)) {
    dp::Ledger ledger(folder, shard.content_hash(), RunOf(charge));
    ledger.Reserve(ReleasesOf(charge), dp::LedgerNoise::kExact);
  }
}

dp::LedgerContents ChargedLedger(const model::Shard& shard) {
  dp::LedgerContents ledger;
  for (const auto& charge : shard.charges()) {
    dp::LedgerRecord record;
    record.releases = ReleasesOf(charge);
    record.run = RunOf(charge);
    record.noise = dp::LedgerNoise::kExact;
    ledger.charged.push_back(record.releases);
    ledger.charged_steps += record.releases.steps;
    ledger.exact = true;
    ledger.records.push_back(std::move(record));
  }
  return ledger;
}

}  // namespace hearsay::daemon
