#include "model/prep/prepare.h"

#include <algorithm>
#include <set>
#include <stdexcept>
#include <utility>

#include "model/prep/duplicates.h"
#include "model/prep/load.h"
#include "model/prep/load_images.h"
#include "model/prep/output_folder.h"
#include "model/prep/write_shards.h"

namespace hearsay::model::prep {

namespace {

namespace fs = std::filesystem;

constexpr int kMaxShards = 100'000;

// One record in two shards would be protected half as well as promised, and a
// training file declared public not at all.
void CheckFiles(const PrepareOptions& options) {
  std::set<fs::path> seen;
  for (const auto* files : {&options.inputs, &options.eval_inputs})
    for (const fs::path& file : *files) {
      std::error_code error;
      const fs::path real = fs::canonical(file, error);
      if (!error && !seen.insert(real).second)
        throw std::invalid_argument(
            file.string() +
            ": is given twice; a record must be in one shard only");
    }
}

void CheckTexts(const PrepareOptions& options) {
  if (options.partition.kind == Partition::Kind::kByColumn)
    throw std::invalid_argument("--partition by:COLUMN: text files have none");
  for (const auto* inputs : {&options.inputs, &options.eval_inputs})
    for (const fs::path& input : *inputs) {
      std::error_code unknown;
      if (!fs::is_directory(input, unknown))
        throw std::invalid_argument(
            input.string() +
            ": is no folder; a schema with [text] reads folders that hold one "
            "of text files for each class (text in a column of a CSV file: "
            "kind = \"text\")");
    }
}

std::string NamesOf(const std::vector<fs::path>& files) {
  constexpr std::size_t kMost = 5;
  std::string names;
  for (std::size_t i = 0; i < std::min(kMost, files.size()); ++i)
    names += (i > 0 ? ", " : "") + files[i].filename().string();
  return files.size() > kMost ? names + ", ..." : names;
}

class Preparation {
 public:
  explicit Preparation(const PrepareOptions& options)
      : options_(options),
        folder_(options.out, options.replace),
        store_(options.out, options.memory_bytes / 2),
        eval_store_(options.out, options.memory_bytes / 2),
        columns_(ShardColumns(options.schema)),
        label_(MakeShardLabel(options.schema)) {
    report_.classes = label_.classes;
    report_.fingerprint = SchemaFingerprint(columns_, label_);
    for (const ShardColumn& column : columns_)
      report_.features += column.width();
  }

  PrepareReport Run() {
    std::vector<fs::path> files = options_.inputs;
    files.insert(files.end(), options_.eval_inputs.begin(),
                 options_.eval_inputs.end());
    ProgressMeter progress(files, options_.progress);
    const Loaded loaded =
        LoadFiles(options_.inputs, options_.partition, progress, store_);
    if (loaded.rows == 0) FailNoRows();
    const Deal deal(options_.partition, options_.shards, options_.eval_fraction,
                    options_.seed, loaded.strata);
    std::vector<ShardPlan> plans = Plan(deal);

    Loaded eval_loaded;
    std::optional<Deal> eval_deal;
    std::vector<ShardPlan> eval_plans;
    const Partition whole;
    if (!options_.eval_inputs.empty()) {
      eval_loaded =
          LoadFiles(options_.eval_inputs, whole, progress, eval_store_);
      if (eval_loaded.rows == 0)
        throw std::invalid_argument(NoRowLeft("eval.safetensors"));
      eval_deal.emplace(whole, 1, 0.0, options_.seed, eval_loaded.strata);
      eval_plans = {
          Plan("eval", NamesOf(options_.eval_inputs), eval_loaded.rows)};
    }
    if (options_.find_duplicates) {
      DuplicateFinder finder;
      finder.Add(store_, loaded, deal);
      if (eval_deal)
        finder.Add(eval_store_, eval_loaded, *eval_deal, Deal::kEvaluation);
      report_.duplicates = finder.Find();
    }

    folder_.RemoveOld(options_.threads);
    for (auto* some : {&plans, &eval_plans})
      for (const ShardPlan& plan : *some) folder_.Expect(plan.file);
    WriteShards(store_, loaded, deal, plans, options_.threads);
    if (eval_deal)
      WriteShards(eval_store_, eval_loaded, *eval_deal, eval_plans,
                  options_.threads);
    Report(deal, plans, eval_plans);
    folder_.WriteFacts(options_, report_);
    folder_.Keep();
    return std::move(report_);
  }

 private:
  Loaded LoadFiles(const std::vector<fs::path>& files,
                   const Partition& partition, ProgressMeter& progress,
                   RowStore& store) {
    Loaded loaded = Load({.schema = options_.schema,
                          .files = files,
                          .partition = partition,
                          .threads = options_.threads,
                          .strict = options_.strict,
                          .hashes = options_.find_duplicates,
                          .block_bytes = options_.block_bytes,
                          .progress = progress},
                         store);
    report_.counts.Add(loaded.counts);
    report_.spilled_bytes += store.spilled_bytes();
    return loaded;
  }

  [[noreturn]] void FailNoRows() const {
    const LoadCounts& counts = report_.counts;
    throw FileError(
        "no row of the input is left to train on: " +
        std::to_string(counts.left_out) + " were left out by keep, " +
        std::to_string(counts.dropped) + " dropped for a missing value, " +
        std::to_string(counts.bad()) + " were bad" +
        (counts.first_bad.empty() ? std::string()
                                  : ", such as " + counts.first_bad.front()));
  }

  std::string NoRowLeft(const std::string& name) const {
    return name + ": no row is left for it" +
           (options_.schema.keep
                ? " (keep = \"" + options_.schema.keep->text() + "\")"
                : std::string());
  }

  ShardPlan Plan(const std::string& name, const std::string& source,
                 std::uint64_t rows) const {
    ShardPlan plan;
    plan.file = options_.out / (name + ".safetensors");
    plan.rows = rows;
    plan.head.name = options_.schema.name;
    plan.head.source = source;
    plan.head.columns = columns_;
    plan.head.label = label_;
    plan.head.public_size = options_.public_size.value_or(
        options_.schema.public_size.value_or(RoundPublicSize(rows)));
    return plan;
  }

  std::vector<ShardPlan> Plan(const Deal& deal) const {
    std::vector<ShardPlan> plans;
    for (std::size_t i = 0; i < deal.parts().size(); ++i) {
      plans.push_back(Plan("part-" + std::to_string(i), deal.parts()[i].source,
                           deal.parts()[i].rows));
      plans.back().head.charges = options_.charges;
      plans.back().head.statistics = options_.statistics;
    }
    if (deal.evaluation_rows() > 0)
      plans.push_back(
          Plan("eval", NamesOf(options_.inputs), deal.evaluation_rows()));
    return plans;
  }

  void Report(const Deal& deal, const std::vector<ShardPlan>& plans,
              const std::vector<ShardPlan>& eval_plans) {
    const auto report = [](const ShardPlan& plan) {
      return PartReport{
          plan.file,         plan.head.source,      plan.rows,
          plan.class_counts, plan.head.public_size, fs::file_size(plan.file)};
    };
    for (std::size_t i = 0; i < plans.size(); ++i)
      if (i < deal.parts().size())
        report_.parts.push_back(report(plans[i]));
      else
        report_.eval = report(plans[i]);
    if (!eval_plans.empty()) report_.eval = report(eval_plans[0]);
  }

  const PrepareOptions& options_;
  PrepareReport report_;
  OutputFolder folder_;
  RowStore store_;
  RowStore eval_store_;
  const std::vector<ShardColumn> columns_;
  const ShardLabel label_;
};

}  // namespace

std::int64_t RoundPublicSize(std::uint64_t rows) {
  std::uint64_t unit = 1;
  while (rows / unit >= 100) unit *= 10;
  return static_cast<std::int64_t>((rows + unit / 2) / unit * unit);
}

const char* Describe(RowFault fault) {
  switch (fault) {
    case RowFault::kFields:
      return "wrong number of fields";
    case RowFault::kQuotes:
      return "broken quotes";
    case RowFault::kMissing:
      return "missing value";
    case RowFault::kCategory:
      return "unknown category";
    case RowFault::kNumber:
      return "not a number";
    case RowFault::kLabel:
      return "label of no class";
    case RowFault::kFile:
      return "unreadable file";
  }
  return "?";
}

void CheckOptions(const PrepareOptions& options) {
  if (options.inputs.empty())
    throw std::invalid_argument("no input file is given");
  if (options.shards < 0 || options.shards > kMaxShards)
    throw std::invalid_argument("--shards must be 1 to 100000");
  if (!(options.eval_fraction >= 0) || options.eval_fraction >= 1)
    throw std::invalid_argument(
        "--eval-fraction must be at least 0 and below 1");
  if (options.eval_fraction > 0 && !options.eval_inputs.empty())
    throw std::invalid_argument(
        "--eval-fraction and --eval exclude each other");
  if (options.public_size && *options.public_size < 1)
    throw std::invalid_argument("--public-size must be positive");
  if (options.threads < 1)
    throw std::invalid_argument("--threads must be positive");
  if (options.schema.images) {
    PairImages(options.inputs);
    PairImages(options.eval_inputs);
    if (options.partition.kind == Partition::Kind::kByColumn)
      throw std::invalid_argument("--partition by:COLUMN: images have none");
  }
  if (options.schema.text) CheckTexts(options);
  CheckFiles(options);
}

PrepareReport Prepare(const PrepareOptions& options) {
  CheckOptions(options);
  if (options.schema.statistics_noise > 0)
    throw std::invalid_argument(
        "the schema wants statistics of the rows, and none were released");
  return Preparation(options).Run();
}

}  // namespace hearsay::model::prep
