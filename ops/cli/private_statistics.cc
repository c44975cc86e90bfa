#include "ops/cli/private_statistics.h"

#include <fcntl.h>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dp/discrete_gaussian.h"
#include "dp/grid_sum.h"
#include "model/digest.h"
#include "model/prep/statistics.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {

namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;
using model::FileError;
using model::prep::ColumnStatistics;

// The grid that exact noise has everywhere else.
dp::GridTerms TermsOf(double noise_multiplier) {
  return dp::GridTermsFor(1.0, noise_multiplier);
}

// What was asked: the columns and bounds that released numbers are of.
Json RequestOf(const model::prep::Schema& schema) {
  Json columns = Json::array();
  for (const auto& column : schema.columns) {
    if (column.deviations)
      columns.push_back({{"name", column.name},
                         {"from", column.from},
                         {"min", column.minimum},
                         {"max", column.maximum},
                         {"deviations", *column.deviations}});
    if (!column.fold_below) continue;
    Json categories = Json::array();
    for (const auto& category : column.categories)
      categories.push_back(
          {{"name", category.name}, {"values", category.values}});
    columns.push_back({{"name", column.name},
                       {"from", column.from},
                       {"categories", categories},
                       {"fold_below", *column.fold_below}});
  }
  return {{"noise_multiplier", schema.statistics_noise},
          {"keep", schema.keep ? Json(schema.keep->text()) : Json(nullptr)},
          {"columns", columns}};
}

Json ToJson(const model::prep::Schema& schema,
            const std::vector<ColumnStatistics>& statistics) {
  Json columns = Json::array();
  for (const auto& column : statistics) {
    if (column.counts.empty())
      columns.push_back({{"name", column.name},
                         {"mean", column.mean},
                         {"deviation", column.deviation},
                         {"min", column.minimum},
                         {"max", column.maximum}});
    else
      columns.push_back({{"name", column.name},
                         {"counts", column.counts},
                         {"kept", column.kept}});
  }
  return {{"schema", 1}, {"request", RequestOf(schema)}, {"columns", columns}};
}

std::vector<ColumnStatistics> Parse(const fs::path& path,
                                    const model::prep::Schema& schema) {
  std::ifstream file(path, std::ios::binary);
  if (!file)
    throw FileError(path.string() + ": cannot open: " + std::strerror(errno));
  try {
    const Json json = Json::parse(file);
    if (json.at("schema") != 1)
      throw FileError(path.string() + ": is of another version");
    if (json.at("request") != RequestOf(schema))
      throw FileError(
          path.string() +
          ": holds statistics of other columns, bounds, filters or noise than "
          "the schema asks for. Rows are released once: set the schema back, "
          "or write the numbers of that file into it as min, max and "
          "categories, which are public now");
    std::vector<ColumnStatistics> statistics;
    for (const auto& entry : json.at("columns")) {
      ColumnStatistics column;
      entry.at("name").get_to(column.name);
      if (entry.contains("counts")) {
        entry.at("counts").get_to(column.counts);
        entry.at("kept").get_to(column.kept);
      } else {
        entry.at("mean").get_to(column.mean);
        entry.at("deviation").get_to(column.deviation);
        entry.at("min").get_to(column.minimum);
        entry.at("max").get_to(column.maximum);
      }
      statistics.push_back(std::move(column));
    }
    return statistics;
  } catch (const nlohmann::json::exception& error) {
    throw FileError(path.string() +
                    ": is no file of statistics: " + error.what());
  }
}

// On disk, whole or not at all, before anybody uses it: what was released and
// then lost would be released again.
void Write(const fs::path& path, const std::string& text) {
  const auto fail = [&](const char* what) {
    throw FileError(path.string() + ": cannot " + what + ": " +
                    std::strerror(errno));
  };
  const fs::path aside = path.string() + ".new";
  const int file =
      open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) fail("create");
  const ssize_t wrote = write(file, text.data(), text.size());
  const bool whole = wrote == static_cast<ssize_t>(text.size());
  if (!whole && wrote >= 0) errno = ENOSPC;
  const bool synced = whole && fsync(file) == 0;
  const int error = errno;
  close(file);
  errno = error;
  if (!synced) fail("write");
  if (rename(aside.c_str(), path.c_str()) != 0) fail("rename");
  const int folder =
      open(path.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0 || fsync(folder) != 0) {
    if (folder >= 0) close(folder);
    fail("keep");
  }
  close(folder);
}

// Which rows these are, in whatever order their files are given.
std::string NameOf(const std::vector<fs::path>& files) {
  constexpr std::size_t kBlock = std::size_t{1} << 20;
  std::vector<std::string> digests;
  std::vector<char> block(kBlock);
  for (const fs::path& path : files) {
    std::ifstream file(path, std::ios::binary);
    if (!file)
      throw FileError(path.string() + ": cannot open: " + std::strerror(errno));
    model::Digest digest;
    while (file.read(block.data(), static_cast<std::streamsize>(block.size())),
           file.gcount() > 0)
      digest.Add(std::as_bytes(
          std::span(block).first(static_cast<std::size_t>(file.gcount()))));
    if (file.bad()) throw FileError(path.string() + ": cannot be read");
    digests.push_back(digest.Hex());
  }
  std::sort(digests.begin(), digests.end());
  model::Digest all;
  for (const std::string& digest : digests)
    all.Add(std::as_bytes(std::span(digest)));
  return "input:" + all.Hex();
}

// Every release that was paid for, whether or not anybody ever had it.
std::vector<model::ShardCharge> ChargesOf(const fs::path& folder) {
  std::vector<model::ShardCharge> charges;
  for (const auto& record : dp::ReadLedger(folder / "ledger").records)
    charges.push_back(
        {record.hash, record.releases.noise_multiplier, record.releases.steps});
  return charges;
}

StatisticsFrom OfTheseRows(const fs::path& folder,
                           model::prep::PrepareOptions& options) {
  // Held until what was released is kept: two at once would release twice.
  dp::Ledger ledger(
      folder, NameOf(options.inputs),
      fmt::format("{}prep@{:%Y-%m-%dT%H:%M:%SZ}", dp::kStatisticsRun,
                  fmt::gmtime(std::chrono::system_clock::to_time_t(
                      std::chrono::system_clock::now()))));
  const auto& schema = options.schema;
  const fs::path kept = folder / "statistics.json";
  std::vector<ColumnStatistics> statistics;
  const bool before = fs::exists(kept);
  if (before) {
    if (ledger.charged_steps() == 0)
      throw dp::LedgerError(kept.string() +
                            ": was released, and its ledger does not say so: "
                            "restore the ledger");
    statistics = Parse(kept, schema);
  } else {
    const double noise = schema.statistics_noise;
    const model::prep::StatisticsGrid grid(schema, SumsReach(noise));
    auto sums = model::prep::SumStatistics(options, grid);
    dp::SecureRandom random;
    ReleaseSums(ledger, noise, random, sums);
    statistics = model::prep::ReadStatistics(schema, grid, sums);
    Write(kept, ToJson(schema, statistics).dump(2) + "\n");
  }
  options.charges = ChargesOf(folder);
  options.statistics = ToJson(schema, statistics).dump();
  options.schema = model::prep::Resolve(schema, statistics);
  return before ? StatisticsFrom::kBefore : StatisticsFrom::kNow;
}

}  // namespace

std::int64_t SumsReach(double noise_multiplier) {
  return TermsOf(noise_multiplier).reach;
}

void ReleaseSums(dp::Ledger& ledger, double noise_multiplier,
                 dp::SecureRandom& random, std::span<std::int64_t> sums) {
  ledger.Reserve({1.0, noise_multiplier, 1}, dp::LedgerNoise::kExact);
  dp::DiscreteGaussian(TermsOf(noise_multiplier).log_sigma).AddTo(random, sums);
}

StatisticsFrom ResolveStatistics(const StatisticsPlace& place,
                                 model::prep::PrepareOptions& options) {
  if (place.ledger.empty() == place.released.empty())
    throw Exit(kUsage,
               "the schema wants statistics of private rows: say by --ledger "
               "FOLDER where they are charged and kept, or, if these rows are "
               "to be encoded by what was released of others, --statistics "
               "FILE");
  if (!place.ledger.empty()) return OfTheseRows(place.ledger, options);
  const auto statistics = Parse(place.released, options.schema);
  options.statistics = ToJson(options.schema, statistics).dump();
  try {
    options.schema = model::prep::Resolve(options.schema, statistics);
  } catch (const std::invalid_argument& error) {
    throw FileError(place.released.string() + ": " + error.what());
  }
  return StatisticsFrom::kOthers;
}

}  // namespace hearsay::ops
