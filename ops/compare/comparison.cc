#include "ops/compare/comparison.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "ops/bench/machine.h"
#include "ops/cli/progress.h"
#include "ops/cli/verbs.h"
#include "ops/compare/backend.h"
#include "ops/compare/report.h"
#include "ops/compare/results_csv.h"
#include "ops/compare/results_json.h"

namespace hearsay::ops {
namespace {

namespace fs = std::filesystem;
using SteadyClock = std::chrono::steady_clock;

std::string Now() {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(
                         std::chrono::system_clock::now())));
}

std::string Minutes(double seconds) {
  return seconds < 90 ? fmt::format("{:.0f} s", seconds)
                      : fmt::format("{:.0f} min", seconds / 60);
}

// Whole or not at all, however this ends.
void WriteWhole(const fs::path& file, const std::string& text) {
  const fs::path partial = file.string() + ".partial";
  std::ofstream stream(partial, std::ios::binary);
  stream << text;
  stream.close();
  std::error_code error;
  if (stream) fs::rename(partial, file, error);
  if (!stream || error)
    throw Exit(kError,
               fmt::format("{}: cannot write this file", file.string()));
}

// What earlier runs in this folder have found, by cell.
class Earlier {
 public:
  Earlier(const Recipe& recipe, const fs::path& out, Progress& progress) {
    const fs::path file = out / "results.json";
    auto results = ReadResults(file);
    if (!results) {
      if (fs::exists(out) && !fs::is_empty(out))
        throw Exit(kError,
                   fmt::format("{}: is not empty and holds no comparison; "
                               "choose another --out",
                               out.string()));
      return;
    }
    if (results->conditions != recipe.Conditions()) {
      progress.Say(
          fmt::format("{}: other conditions than the recipe now has; "
                      "all its cells are run again",
                      file.string()));
      return;
    }
    for (auto& result : results->cells) cells_[result.id] = std::move(result);
  }

  const CellResult* Find(const Recipe& recipe, std::size_t index) const {
    const auto found = cells_.find(recipe.ids[index]);
    if (found == cells_.end() || !(found->second.cell == recipe.cells[index]))
      return nullptr;
    return &found->second;
  }

 private:
  std::map<std::string, CellResult> cells_;
};

// The line that says how far it is.
class CellProgress {
 public:
  CellProgress(std::size_t cells, std::uint64_t time_limit_us)
      : cells_(cells), limit_(static_cast<double>(time_limit_us) * 1e-6) {}

  void Begin(std::string id) {
    id_ = std::move(id);
    ++at_;
    began_ = SteadyClock::now();
  }
  void Finish() {
    took_ += std::chrono::duration<double>(SteadyClock::now() - began_).count();
  }

  std::string Line(const CellResult& result) const {
    const auto& sample = result.samples.back();
    std::uint64_t step = 0;
    for (const auto& node : sample.nodes)
      if (node) step = std::max(step, node->step);
    std::string accuracy;
    if (const auto mean = MeanAccuracy(sample))
      accuracy = fmt::format(", accuracy {:.1f} %", 100 * *mean);
    return fmt::format("cell {} of {}, {}: step {} of {}{}, {:.0f} s{}", at_,
                       cells_, id_, step, result.planned_steps, accuracy,
                       sample.seconds, Eta(result, step));
  }

 private:
  // As long as those before on average; the first, by its own pace.
  std::string Eta(const CellResult& result, std::uint64_t step) const {
    const double now = result.samples.back().seconds;
    const double done =
        static_cast<double>(step) /
        static_cast<double>(std::max<std::uint64_t>(1, result.planned_steps));
    if (now <= 0 || done <= 0) return "";
    const double whole = std::min(now / done, limit_);
    const auto before = static_cast<double>(at_ - 1);
    const double usual = at_ > 1 ? took_ / before : whole;
    const double left =
        std::max(0.0, whole - now) + usual * static_cast<double>(cells_ - at_);
    return fmt::format("; about {} left", Minutes(left));
  }

  const std::size_t cells_;
  const double limit_;
  std::size_t at_ = 0;
  double took_ = 0;
  std::string id_;
  SteadyClock::time_point began_;
};

void WriteAll(Results& results, const fs::path& out) {
  results.written = Now();
  WriteWhole(out / "results.json", ToJson(results).dump() + "\n");
  WriteWhole(out / "cells.csv", CellsCsv(results));
  WriteWhole(out / "samples.csv", SamplesCsv(results));
  WriteWhole(out / "report.html", ReportHtml(results));
}

std::string Told(const CellResult& result) {
  std::string line = fmt::format("{}: {}", result.id, Word(result.outcome));
  if (result.ran()) line += fmt::format(", {:.1f} s", result.seconds);
  const auto summary = Summarise(result, std::nullopt);
  if (summary.accuracy)
    line += fmt::format(", accuracy {:.1f} %", 100 * *summary.accuracy);
  if (!result.why.empty()) line += ": " + result.why;
  return line;
}

}  // namespace

std::vector<std::size_t> Chosen(const Recipe& recipe,
                                const std::vector<std::string>& only) {
  std::vector<bool> chosen(recipe.ids.size(), only.empty());
  for (const auto& pattern : only) {
    bool any = false;
    for (std::size_t i = 0; i < recipe.ids.size(); ++i) {
      if (fnmatch(pattern.c_str(), recipe.ids[i].c_str(), 0) != 0) continue;
      chosen[i] = any = true;
    }
    if (!any)
      throw Exit(kUsage, fmt::format("--only {}: no such cell; there are {}",
                                     pattern, fmt::join(recipe.ids, ", ")));
  }
  std::vector<std::size_t> indices;
  for (std::size_t i = 0; i < chosen.size(); ++i)
    if (chosen[i]) indices.push_back(i);
  return indices;
}

Results Compare(const Recipe& recipe, const CompareOptions& options) {
  Interrupts interrupts;
  Progress progress;
  const fs::path out = fs::absolute(options.out).lexically_normal();
  const auto chosen = Chosen(recipe, options.only);
  const auto backend = MakeBackend(recipe, out, interrupts);
  const Earlier earlier(recipe, out, progress);
  std::error_code error;
  fs::create_directories(out, error);
  if (error)
    throw Exit(kError, fmt::format("{}: cannot make this folder: {}",
                                   out.string(), error.message()));

  Results results{.title = recipe.title,
                  .conditions = recipe.Conditions(),
                  .recipe = recipe.text,
                  .recipe_file = recipe.file.string(),
                  .command = options.command,
                  .version = HEARSAY_VERSION,
                  .cpu = CpuModel(),
                  .cores = std::thread::hardware_concurrency(),
                  .written = {},
                  .target_accuracy = recipe.target_accuracy,
                  .cells = {}};
  // In the recipe's order, whatever was run when.
  std::vector<std::optional<CellResult>> found(recipe.cells.size());
  std::vector<std::size_t> to_run;
  for (std::size_t i = 0; i < found.size(); ++i)
    if (const auto* before = earlier.Find(recipe, i)) found[i] = *before;
  for (const std::size_t i : chosen)
    if (options.again || !found[i] || !found[i]->ran()) to_run.push_back(i);
  if (to_run.size() < chosen.size())
    progress.Say(fmt::format(
        "{} of {} cells are finished already (--again runs them again)",
        chosen.size() - to_run.size(), chosen.size()));
  const auto write = [&] {
    results.cells.clear();
    for (const auto& result : found)
      if (result) results.cells.push_back(*result);
    WriteAll(results, out);
  };

  write();  // from now on the folder is known for a comparison's
  CellProgress at(to_run.size(),
                  static_cast<std::uint64_t>(recipe.time_limit.count()));
  for (const std::size_t i : to_run) {
    interrupts.SleepUntil(SteadyClock::now());
    at.Begin(recipe.ids[i]);
    const std::string started = Now();
    CellResult result = backend->Run(
        recipe.cells[i],
        [&](const CellResult& so_far) { progress.Show(at.Line(so_far)); });
    result.started = started;
    at.Finish();
    progress.Say(Told(result));
    found[i] = std::move(result);
    write();
  }
  return results;
}

}  // namespace hearsay::ops
