// prep and synth: raw files to shards, and data to try everything with.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/prep/prepare.h"
#include "model/prep/synth.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {

namespace {

using model::prep::PartReport;
using model::prep::PrepareReport;

struct PrepFlags {
  std::string schema;
  std::vector<std::string> inputs;
  std::vector<std::string> eval;
  std::string partition = "iid";
  std::string output = "table";
  std::int64_t public_size = 0;
  model::prep::PrepareOptions options;
};

struct SynthFlags {
  std::string output = "table";
  model::prep::SynthOptions options;
};

// A bar that redraws itself on a terminal, else a plain line every few seconds,
// on stderr; nothing at all for work that is done at once.
class ProgressLine {
 public:
  ProgressLine() : terminal_(isatty(STDERR_FILENO) == 1) {}
  ~ProgressLine() { Clear(); }
  ProgressLine(const ProgressLine&) = delete;
  ProgressLine& operator=(const ProgressLine&) = delete;

  void Show(const std::string& what, double done, std::uint64_t rows) {
    const auto now = std::chrono::steady_clock::now();
    const std::chrono::duration<double> pause(terminal_ ? 0.1 : 5.0);
    if (now - last_ < pause) return;
    last_ = now;
    const double seconds = std::chrono::duration<double>(now - begin_).count();
    const double rate = static_cast<double>(rows) / std::max(seconds, 1e-3);
    const std::string eta =
        done > 0.01 ? fmt::format(", {:.0f} s left", seconds * (1 / done - 1))
                    : "";
    const std::string text =
        fmt::format("{}: {:.0f} %, {} rows, {:.0f} rows/s{}", what, 100 * done,
                    rows, rate, eta);
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

void PrintJson(const PrepareReport& report) {
  nlohmann::json json = {{"schema", 1},
                         {"features", report.features},
                         {"classes", report.classes},
                         {"schema_fingerprint", report.fingerprint},
                         {"rows_read", report.read},
                         {"rows_left_out", report.left_out},
                         {"rows_bad", report.bad},
                         {"first_bad", report.first_bad},
                         {"eval", nullptr},
                         {"parts", nlohmann::json::array()}};
  if (report.eval) json["eval"] = ToJson(*report.eval);
  for (const PartReport& part : report.parts)
    json["parts"].push_back(ToJson(part));
  fmt::print("{}\n", json.dump());
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

void PrintTable(const PrepareReport& report) {
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
  fmt::print("{} rows read, {} left out by the schema, {} network inputs\n",
             report.read, report.left_out, report.features);
}

void Prep(PrepFlags& flags) {
  auto& options = flags.options;
  options.schema = model::prep::LoadSchema(flags.schema);
  options.partition = model::prep::ParsePartition(flags.partition);
  options.inputs.assign(flags.inputs.begin(), flags.inputs.end());
  options.eval_inputs.assign(flags.eval.begin(), flags.eval.end());
  if (flags.public_size > 0) options.public_size = flags.public_size;
  ProgressLine line;
  options.progress = [&line](const model::prep::Progress& progress) {
    const double done =
        progress.bytes_total == 0
            ? 0.0
            : std::min(1.0, static_cast<double>(progress.bytes_read) /
                                static_cast<double>(progress.bytes_total));
    line.Show(progress.file.filename().string(), done, progress.rows_read);
  };
  const PrepareReport report = model::prep::Prepare(options);
  line.Clear();
  if (report.bad > 0) {
    fmt::print(stderr, "hearsay: {} bad row(s) dropped, such as\n", report.bad);
    for (const std::string& bad : report.first_bad)
      fmt::print(stderr, "  {}\n", bad);
  }
  if (!report.eval)
    fmt::print(stderr,
               "hearsay: no evaluation shard was made, so nodes will report no "
               "accuracy; --eval FILE or --eval-fraction 0.1 declares some "
               "rows public for that\n");
  flags.output == "json" ? PrintJson(report) : PrintTable(report);
}

void AddPrep(CLI::App& app) {
  auto flags = std::make_shared<PrepFlags>();
  auto& options = flags->options;
  CLI::App* verb = app.add_subcommand(
      "prep", "Turn CSV or IDX files, plain or gzip, into shards");
  verb->add_option("--schema", flags->schema,
                   "What the columns mean (TOML; see ops/schemas)")
      ->required();
  verb->add_option("input", flags->inputs,
                   "CSV files; or IDX files in pairs: images, then labels")
      ->required();
  verb->add_option("--out", options.out, "Folder for the shards")->required();
  verb->add_option("--shards", options.shards,
                   "How many shards (default: one, or one a group)")
      ->check(CLI::Range(1, 100'000));
  verb->add_option("--partition", flags->partition,
                   "iid | dirichlet:ALPHA | by:COLUMN | by:file")
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
  verb->add_flag("--skip-bad", options.skip_bad,
                 "Drop and count rows that do not fit the schema");
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
