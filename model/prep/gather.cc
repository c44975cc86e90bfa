#include "model/prep/gather.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <stdexcept>
#include <utility>

namespace hearsay::model::prep {

std::uint64_t LoadCounts::bad() const {
  return std::accumulate(faults.begin(), faults.end(), std::uint64_t{0});
}

void LoadCounts::Refuse(RowFault fault, const std::string& what) {
  ++faults[static_cast<std::size_t>(fault)];
  if (first_bad.size() < kFirstBad) first_bad.push_back(what);
}

void LoadCounts::Add(const LoadCounts& later) {
  read += later.read;
  left_out += later.left_out;
  dropped += later.dropped;
  for (std::size_t i = 0; i < faults.size(); ++i) faults[i] += later.faults[i];
  for (const std::string& bad : later.first_bad)
    if (first_bad.size() < kFirstBad) first_bad.push_back(bad);
}

Gathering::Gathering(const Partition& partition, std::size_t classes,
                     const std::vector<std::filesystem::path>& files,
                     RowStore& store)
    : partition_(partition),
      strata_(partition.strata()),
      classes_(classes),
      files_(files),
      store_(store) {}

std::size_t Gathering::block_strata() const {
  switch (strata_) {
    case Partition::Strata::kClass:
      return classes_;
    case Partition::Strata::kGroup:
      return partition_.kind == Partition::Kind::kByFile ? 1 : 0;
    default:
      return 1;
  }
}

void Gathering::Add(const RowBlock& block, BlockFacts facts) {
  store_.Add(block);
  const std::lock_guard lock(mutex_);
  facts_.emplace_back(block.place, std::move(facts));
}

void Gathering::Fail(BlockPlace place, std::exception_ptr error) {
  const std::lock_guard lock(mutex_);
  if (failure_ && failed_at_ < place) return;
  failed_at_ = place;
  failure_ = std::move(error);
  failed_file_ = place.file;
}

void Gathering::CheckRead(const std::vector<std::uint64_t>& read) const {
  const std::size_t until = failure_ ? failed_at_.file : files_.size();
  for (std::size_t file = 0; file < until; ++file)
    if (read[file] == 0)
      throw FileError(files_[file].string() + ": has no rows");
}

Loaded Gathering::Finish() {
  std::sort(facts_.begin(), facts_.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::uint64_t> read(files_.size());
  for (const auto& [place, facts] : facts_)
    read[place.file] += facts.counts.read;
  CheckRead(read);
  if (failure_) std::rethrow_exception(failure_);

  store_.Sort();
  Loaded loaded;
  auto& totals = loaded.strata.rows;
  auto& names = loaded.strata.names;
  if (strata_ != Partition::Strata::kGroup) totals.resize(block_strata());
  if (partition_.kind == Partition::Kind::kByFile)
    for (const auto& file : files_) {
      totals.push_back(0);
      names.push_back(file.filename().string());
    }
  std::map<std::string, std::uint32_t> groups;
  for (auto& [place, facts] : facts_) {
    loaded.counts.Add(facts.counts);
    auto& runs = loaded.runs.emplace_back();
    for (std::size_t i = 0; i < facts.rows.size(); ++i) {
      auto stratum = static_cast<std::uint32_t>(i);
      if (partition_.kind == Partition::Kind::kByFile)
        stratum = static_cast<std::uint32_t>(place.file);
      if (partition_.kind == Partition::Kind::kByColumn) {
        const auto [found, is_new] = groups.emplace(
            facts.groups[i], static_cast<std::uint32_t>(totals.size()));
        stratum = found->second;
        if (is_new) {
          if (totals.size() == kMaxGroups) FailGroups(partition_.column);
          totals.push_back(0);
          names.push_back(partition_.column + " = " + facts.groups[i]);
        }
      }
      runs.push_back({stratum, totals[stratum]});
      totals[stratum] += facts.rows[i];
      loaded.rows += facts.rows[i];
    }
  }
  if (loaded.rows > UINT32_MAX)
    throw FileError(files_.back().string() + ": more than 2^32 rows in all");
  return loaded;
}

void FailGroups(const std::string& column) {
  throw std::invalid_argument("--partition by:" + column + ": more than " +
                              std::to_string(kMaxGroups) + " different values");
}

ProgressMeter::ProgressMeter(const std::vector<std::filesystem::path>& files,
                             const std::function<void(const Progress&)>& tell)
    : tell_(tell) {
  for (const auto& file : files) {
    std::error_code unknown;  // A pipe has no size, a folder none that counts.
    const auto size = std::filesystem::file_size(file, unknown);
    if (!unknown) progress_.bytes_total += size;
  }
}

void ProgressMeter::Advance(const std::filesystem::path& file,
                            std::uint64_t rows, std::uint64_t bytes) {
  if (!tell_) return;
  const std::lock_guard lock(mutex_);
  progress_.file = file;
  progress_.rows_read += rows;
  progress_.bytes_read += bytes;
  tell_(progress_);
}

}  // namespace hearsay::model::prep
