// prep and synth: raw files to shards, and data to try everything with.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "model/prep/infer.h"
#include "model/prep/prepare.h"
#include "model/prep/synth.h"
#include "ops/cli/private_statistics.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {

namespace {

using model::prep::PartReport;
using model::prep::PrepareReport;

struct PrepFlags {
  model::prep::InferOptions infer;
  std::string schema;
  std::vector<std::string> inputs;
  std::vector<std::string> eval;
  std::string partition = "iid";
  std::string output = "table";
  std::int64_t public_size = 0;
  model::prep::PrepareOptions options;
  StatisticsPlace statistics;
};

struct SynthFlags {
  std::string output = "table";
  model::prep::SynthOptions options;
};

double Megabytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) / 1e6;
}

// A bar that redraws itself on a terminal, else a plain line every few seconds,
// on stderr; nothing at all for work that is done at once.
class ProgressLine {
 public:
  ProgressLine() : terminal_(isatty(STDERR_FILENO) == 1) {}
  ~ProgressLine() { Clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(const std::string& what, double done, std::uint64_t rows,
            std::uint64_t bytes) {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> pause(terminal_ ? 0.1 : 5.0);
    if (now - last_ < pause) return;
    last_ = now;
    const double seconds =
        std::max(std::chrono::duration<double>(now - begin_).count(), 1e-3);
    const double rate = static_cast<double>(rows) / seconds;
    const std::string eta =
        done > 0.01 ? fmt::format(", {:.0f} s left", seconds * (1 / done - 1))
                    : "";
    const std::string text =
        fmt::format("{}: {:.0f} %, {} rows, {:.0f} rows/s, {:.1f} MB/s{}", what,
                    100 * done, rows, rate, Megabytes(bytes) / seconds, eta);
    if (terminal_) {
      constexpr int kWidth = 30;
      const auto filled = static_cast<std::size_t>(kWidth * done);
      fmt::print(stderr, "\r\033[K[{}{}] {}", std::string(filled, '#'),
                 std::string(kWidth - filled, '.'), text);
      drawn_ = true;
    } else {
      fmt::print(stderr, "{}\n", text);
    }
    std::fflush(stderr);
  }

  void Clear() {
    if (drawn_) std::fputs("\r\033[K", stderr);
    drawn_ = false;
  }

 private:
  const bool terminal_;
  bool drawn_ = false;
  const std::chrono::steady_clock::time_point begin_ =
      std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_ = begin_;
};

nlohmann::json ToJson(const PartReport& part) {
  return {{"file", part.file.string()},
          {"source", part.source},
          {"rows", part.rows},
          {"class_counts", part.class_counts},
          {"public_size", part.public_size},
          {"bytes", part.bytes}};
}

using model::prep::RowFault;

constexpr std::array kFaults = {RowFault::kFields,  RowFault::kQuotes,
                                RowFault::kMissing, RowFault::kCategory,
                                RowFault::kNumber,  RowFault::kLabel,
                                RowFault::kFile};
static_assert(kFaults.size() == model::prep::kRowFaults);

// How long it took, and how much was read.
struct Pace {
  double seconds = 0;
  std::uint64_t bytes = 0;
};

void PrintJson(const PrepareReport& report, const Pace& pace) {
  const auto& counts = report.counts;
  nlohmann::json reasons = nlohmann::json::object();
  for (const RowFault fault : kFaults)
    if (const auto count = counts.faults[static_cast<std::size_t>(fault)])
      reasons[model::prep::Describe(fault)] = count;
  nlohmann::json json = {{"schema", 1},
                         {"features", report.features},
                         {"classes", report.classes},
                         {"schema_fingerprint", report.fingerprint},
                         {"rows_read", counts.read},
                         {"rows_left_out", counts.left_out},
                         {"rows_dropped", counts.dropped},
                         {"rows_bad", counts.bad()},
                         {"bad_by_reason", reasons},
                         {"first_bad", counts.first_bad},
                         {"duplicates", nullptr},
                         {"seconds", pace.seconds},
                         {"bytes_read", pace.bytes},
                         {"bytes_spilled", report.spilled_bytes},
                         {"eval", nullptr},
                         {"parts", nlohmann::json::array()}};
  if (report.duplicates)
    json["duplicates"] = {{"records", report.duplicates->records},
                          {"across_shards", report.duplicates->across}};
  if (report.eval) json["eval"] = ToJson(*report.eval);
  for (const PartReport& part : report.parts)
    json["parts"].push_back(ToJson(part));
  fmt::print("{}\n", json.dump(-1, ' ', false,
                               nlohmann::json::error_handler_t::replace));
}

// Of two classes the share of the last ("employed" of ["not employed",
// "employed"]), of more those of the rarest and the commonest.
std::string Share(const PartReport& part) {
  const auto& counts = part.class_counts;
  if (counts.empty()) return "-";
  const auto share = [&part](std::size_t count) {
    return static_cast<double>(count) / static_cast<double>(part.rows);
  };
  if (counts.size() == 2) return fmt::format("{:.3f}", share(counts.back()));
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  return fmt::format("{:.3f}-{:.3f}", share(*least), share(*most));
}

void PrintTable(const PrepareReport& report, const Pace& pace) {
  const std::string title = report.classes.empty()       ? "label"
                            : report.classes.size() == 2 ? report.classes.back()
                                                         : "class shares";
  const std::size_t width = std::max<std::size_t>(title.size(), 6);
  fmt::print("{:<20} {:>9} {:>{}} {:>11} {:>12}  {}\n", "shard", "rows", title,
             width, "public size", "bytes", "source");
  const auto row = [&](const PartReport& part) {
    fmt::print("{:<20} {:>9} {:>{}} {:>11} {:>12}  {}\n",
               part.file.stem().string(), part.rows, Share(part), width,
               part.public_size, part.bytes, part.source);
  };
  for (const PartReport& part : report.parts) row(part);
  if (report.eval) row(*report.eval);
  const auto& counts = report.counts;
  fmt::print("{} rows read, {} left out by the schema, {} network inputs\n",
             counts.read, counts.left_out, report.features);
  if (counts.dropped > 0)
    fmt::print("{} dropped for a missing value\n", counts.dropped);
  if (report.duplicates)
    fmt::print(
        "{} records are copies of another, {} of them in another shard\n",
        report.duplicates->records, report.duplicates->across);
  fmt::print("{:.2f} s, {:.0f} rows/s, {:.0f} MB/s\n", pace.seconds,
             static_cast<double>(counts.read) / pace.seconds,
             Megabytes(pace.bytes) / pace.seconds);
}

void WarnOfBadRows(const model::prep::LoadCounts& counts) {
  if (counts.bad() == 0) return;
  fmt::print(stderr,
             "hearsay: {} bad row(s) dropped (--strict stops at one):\n",
             counts.bad());
  for (const RowFault fault : kFaults)
    if (const auto count = counts.faults[static_cast<std::size_t>(fault)])
      fmt::print(stderr, "  {:>9}  {}\n", count, model::prep::Describe(fault));
  fmt::print(stderr, "such as\n");
  for (const std::string& bad : counts.first_bad)
    fmt::print(stderr, "  {}\n", bad);
}

// Where the schema wants some.
void UseStatistics(PrepFlags& flags) {
  const auto& place = flags.statistics;
  if (flags.options.schema.statistics_noise == 0) {
    if (!place.ledger.empty() || !place.released.empty())
      throw Exit(kUsage,
                 "--ledger and --statistics are for schemas that want "
                 "statistics of private rows; this one wants none");
    return;
  }
  switch (ResolveStatistics(place, flags.options)) {
    case StatisticsFrom::kNow:
      fmt::print(stderr,
                 "hearsay: statistics of the rows were released, charged to {} "
                 "and kept in {}\n",
                 (place.ledger / "ledger").string(),
                 (place.ledger / "statistics.json").string());
      break;
    case StatisticsFrom::kBefore:
      fmt::print(stderr,
                 "hearsay: statistics of the rows were released before: {}\n",
                 (place.ledger / "statistics.json").string());
      break;
    case StatisticsFrom::kOthers:
      fmt::print(stderr,
                 "hearsay: columns are as statistics of other rows have them; "
                 "if {} is of these, give --ledger in its stead\n",
                 place.released.string());
      break;
  }
}

void Prep(PrepFlags& flags) {
  auto& options = flags.options;
  if (!flags.infer.file.empty()) {
    fmt::print("{}", model::prep::InferSchema(flags.infer));
    return;
  }
  if (flags.schema.empty() || flags.inputs.empty() || options.out.empty())
    throw Exit(kUsage,
               "prep needs --schema FILE, INPUT... and --out FOLDER; or "
               "--infer FILE, which drafts a schema");
  options.schema = model::prep::LoadSchema(flags.schema);
  options.partition = model::prep::ParsePartition(flags.partition);
  options.inputs.assign(flags.inputs.begin(), flags.inputs.end());
  options.eval_inputs.assign(flags.eval.begin(), flags.eval.end());
  if (flags.public_size > 0) options.public_size = flags.public_size;
  Pace pace;
  const auto begin = std::chrono::steady_clock::now();
  ProgressLine line;
  options.progress = [&](const model::prep::Progress& progress) {
    const double done =
        progress.bytes_total == 0
            ? 0.0
            : std::min(1.0, static_cast<double>(progress.bytes_read) /
                                static_cast<double>(progress.bytes_total));
    line.Show(progress.file.filename().string(), done, progress.rows_read,
              progress.bytes_read);
    pace.bytes = progress.bytes_read;
  };
  UseStatistics(flags);
  const PrepareReport report = model::prep::Prepare(options);
  line.Clear();
  pace.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  WarnOfBadRows(report.counts);
  if (!report.eval)
    fmt::print(stderr,
               "hearsay: no evaluation shard was made, so nodes will report no "
               "accuracy; --eval FILE or --eval-fraction 0.1 declares some "
               "rows public for that\n");
  flags.output == "json" ? PrintJson(report, pace) : PrintTable(report, pace);
}

void AddPrep(CLI::App& app) {
  auto flags = std::make_shared<PrepFlags>();
  auto& options = flags->options;
  CLI::App* verb = app.add_subcommand(
      "prep",
      "Turn CSV, IDX, PNG or text files, plain, gzip or zstd, into shards");
  verb->add_option("--schema", flags->schema,
                   "What the columns mean (TOML; see ops/schemas)");
  verb->add_option("input", flags->inputs,
                   "CSV files; or IDX files in pairs: images, then labels; "
                   "or folders with one of PNG or text files for each class");
  verb->add_option("--out", options.out, "Folder for the shards");
  auto* infer = verb->add_option(
      "--infer", flags->infer.file,
      "Instead: read the first rows of this CSV file and print a draft of its "
      "schema, in which all that was read off the rows is marked as private");
  verb->add_option("--label", flags->infer.label,
                   "Of --infer: the column to predict (default: the last)")
      ->needs(infer);
  verb->add_option("--shards", options.shards,
                   "How many shards (default: one, or one a group)")
      ->check(CLI::Range(1, 100'000));
  verb->add_option("--partition", flags->partition,
                   "iid | quantity:ALPHA | dirichlet:ALPHA | labels:SLICES | "
                   "by:COLUMN | by:file")
      ->capture_default_str();
  auto* fraction = verb->add_option(
      "--eval-fraction", options.eval_fraction,
      "This share of the rows becomes eval.safetensors: declared public, and "
      "not trained on");
  verb->add_option("--eval", flags->eval,
                   "Files declared public that become eval.safetensors")
      ->excludes(fraction);
  verb->add_option("--seed", options.seed, "Deals the rows (public)")
      ->capture_default_str();
  verb->add_option("--public-size", flags->public_size,
                   "Size to publish for each shard (default: the rows, rounded "
                   "to two digits)")
      ->check(CLI::PositiveNumber);
  verb->add_flag(
      "--strict", options.strict,
      "Stop at the first row that does not fit the schema; else such "
      "rows are dropped, counted by reason, and ten are shown");
  verb->add_option("--ledger", flags->statistics.ledger,
                   "Where statistics of private rows, if the schema wants "
                   "some, are charged and kept: a folder for each data set");
  verb->add_option("--statistics", flags->statistics.released,
                   "Or: encode these rows by what was released of others");
  verb->add_flag("--check-duplicates", options.find_duplicates,
                 "Count records that are copies of another, and those of them "
                 "in another shard");
  options.threads =
      static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  verb->add_option("--threads", options.threads,
                   "How many (default: one a core); the shards do not depend "
                   "on it")
      ->check(CLI::Range(1, 1024));
  verb->add_flag("--force", options.replace,
                 "Replace the shards that the folder holds");
  verb->add_option("-o,--output", flags->output, "table | json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  verb->callback([flags] {
    try {
      Prep(*flags);
    } catch (const std::invalid_argument& error) {
      throw Exit(kUsage, error.what());
    }
  });
}

void Synth(SynthFlags& flags) {
  const auto report = model::prep::SynthesizePums(flags.options);
  if (flags.output == "json") {
    const nlohmann::json json = {
        {"schema", 1},
        {"file", flags.options.out.string()},
        {"rows", report.rows},
        {"bytes", report.bytes},
        {"employed_share", report.employed_share},
        {"unemployment_rate", report.unemployment_rate},
        {"bayes_accuracy", report.bayes_accuracy}};
    fmt::print("{}\n", json.dump());
    return;
  }
  fmt::print(
      "{}: {} rows, {} bytes\n"
      "employed {:.3f}, unemployed in the labour force {:.3f}\n"
      "best possible accuracy on these rows (the ground truth's own) {:.4f}\n",
      flags.options.out.string(), report.rows, report.bytes,
      report.employed_share, report.unemployment_rate, report.bayes_accuracy);
}

void AddSynth(CLI::App& app) {
  CLI::App* verb =
      app.add_subcommand("synth", "Make data with a known ground truth");
  verb->require_subcommand(1);
  auto flags = std::make_shared<SynthFlags>();
  auto& options = flags->options;
  CLI::App* pums = verb->add_subcommand(
      "pums", "Persons shaped like the American Community Survey's");
  pums->add_option("--rows", options.rows, "How many persons")
      ->required()
      ->check(CLI::Range(std::int64_t{1}, std::int64_t{1'000'000'000}));
  pums->add_option("--out", options.out, "CSV file; .gz compresses it")
      ->required();
  pums->add_option("--seed", options.seed, "Same seed, same rows")
      ->capture_default_str();
  pums->add_option("--state", options.state,
                   "0: the nation; 1 to 50: a state that is younger or older, "
                   "more or less schooled")
      ->check(CLI::Range(0, 50))
      ->capture_default_str();
  pums->add_option("-o,--output", flags->output, "table | json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  pums->callback([flags] { Synth(*flags); });
}

}  // namespace

void AddDataVerbs(CLI::App& app) {
  AddPrep(app);
  AddSynth(app);
}

}  // namespace hearsay::ops
