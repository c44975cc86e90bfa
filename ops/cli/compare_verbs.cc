// compare: every way to mix, side by side.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "ops/cli/table.h"
#include "ops/cli/verbs.h"
#include "ops/compare/comparison.h"
#include "ops/compare/interrupts.h"
#include "ops/compare/results_json.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kCompareFooter =
    "A recipe says what differs, what is common, and how it is judged:\n\n"
    "  [compare]\n"
    "  title = \"What does one slow machine cost the others?\"\n"
    "  data = \"synth:6000\"        # or a CSV file, or a folder of shards\n"
    "  schema = \"../schemas/pums-employed.toml\"\n"
    "  target_accuracy = 0.77     # for the time and the samples to it\n"
    "  [[matrix]]                 # every combination is a cell\n"
    "  rule = [\"pairwise\", \"all_reduce\"]\n"
    "  straggler = [1, 10]        # also: topology, nodes, resync, kill\n"
    "  set = [\"mixing.clip=1\"]    # of all cells of this matrix; so is name\n"
    "  [nodes.train]              # any section of hearsayd.toml\n"
    "  steps = 300\n\n"
    "All cells have the same noise, sample rate and steps, so the same epsilon "
    "and the same\nexpected number of samples over the cluster, however many "
    "nodes it has: the records are\ndealt out anew. A cell that the daemons "
    "refuse stays in the report with their words.\n"
    "kill = [\"\", \"b@4s\"] kills node b 4 s after the first step; straggler "
    "slows the last node.\n\n"
    "DIR gets report.html (open it in a browser, also offline), cells.csv, "
    "samples.csv,\nresults.json and the nodes' logs. Interrupted? The same "
    "command goes on: cells finished\nunder the same conditions are not run "
    "again. Exit code 3: a cell was refused or failed.\n\n"
    "Examples:\n"
    "  hearsay compare ops/recipes/compare-stragglers.toml --out stragglers\n"
    "  hearsay compare ops/recipes/compare-death.toml --out death --only "
    "'pairwise*' --dry-run";

struct CompareFlags {
  std::string recipe;
  std::string out;
  std::vector<std::string> only;
  std::string output = "table";
  bool dry_run = false;
  bool again = false;
};

Json OrNull(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

std::string Samples(const std::optional<double>& samples) {
  return samples ? fmt::format("{:.0f}", *samples) : "-";
}

std::string Bytes(const std::optional<double>& bytes) {
  return bytes ? fmt::format("{:.2f} MB", *bytes * 1e-6) : "-";
}

void PrintTable(const Results& results) {
  Table table({{"CELL"},
               {"OUTCOME"},
               {"SECONDS", Align::kRight},
               {"SAMPLES", Align::kRight},
               {"ACCURACY", Align::kRight},
               {"WORST", Align::kRight},
               {"AVERAGE", Align::kRight},
               {"S TO TARGET", Align::kRight},
               {"SAMPLES TO IT", Align::kRight},
               {"HEALTHY STEPS/S", Align::kRight},
               {"DISTANCE", Align::kRight},
               {"SENT A NODE", Align::kRight},
               {"EPSILON", Align::kRight}});
  for (const auto& cell : results.cells) {
    const auto summary = Summarise(cell, results.target_accuracy);
    table.Add({cell.id, Word(cell.outcome),
               cell.ran() ? fmt::format("{:.1f}", cell.seconds) : "-",
               cell.ran() ? Samples(summary.samples) : "-",
               PercentCell(OrNull(summary.accuracy)),
               PercentCell(OrNull(summary.worst)),
               PercentCell(OrNull(cell.average_accuracy)),
               FixedCell(OrNull(summary.seconds_to_target), 1),
               Samples(summary.samples_to_target),
               FixedCell(OrNull(summary.healthy_steps_per_second), 1),
               FixedCell(OrNull(summary.distance), 4),
               Bytes(summary.bytes_per_node),
               FixedCell(OrNull(summary.epsilon), 3)});
  }
  Print(table);
}

void PrintNotes(const Results& results) {
  for (const auto& cell : results.cells)
    if (!cell.why.empty()) fmt::print("{}: {}\n", cell.id, cell.why);
}

void PrintPlan(const CompareFlags& flags, const Recipe& recipe) {
  const auto chosen = Chosen(recipe, flags.only);
  if (flags.output == "json") {
    Json cells = Json::array();
    for (const auto i : chosen) cells.push_back(recipe.ids[i]);
    const Json json = {
        {"schema", 1}, {"title", recipe.title}, {"cells", cells}};
    Print(json);
    return;
  }
  fmt::print("{}\n", recipe.title);
  for (const auto i : chosen) fmt::print("  {}\n", recipe.ids[i]);
  fmt::print("{} cells, each at most {} of training; nothing was run\n",
             chosen.size(), daemon::FormatDuration(recipe.time_limit));
}

void PrintResults(const CompareFlags& flags, const Results& results) {
  if (flags.output == "json") {
    Json cells = Json::array();
    for (const auto& cell : results.cells)
      cells.push_back(SummaryJson(cell, results.target_accuracy));
    const Json json = {{"schema", 1},
                       {"title", results.title},
                       {"out", flags.out},
                       {"cells", cells}};
    Print(json);
    return;
  }
  PrintTable(results);
  PrintNotes(results);
}

// What a shell would take to run this again.
std::string CommandOf(const CompareFlags& flags) {
  std::string command =
      fmt::format("hearsay compare {} --out {}", flags.recipe, flags.out);
  for (const auto& pattern : flags.only)
    command += fmt::format(" --only '{}'", pattern);
  return flags.again ? command + " --again" : command;
}

void RunCompare(const CompareFlags& flags) {
  Recipe recipe;
  try {
    recipe = ReadRecipe(flags.recipe);
  } catch (const daemon::ConfigError& error) {
    throw Exit(kUsage, error.what());
  }
  if (flags.dry_run) return PrintPlan(flags, recipe);
  if (flags.out.empty())
    throw Exit(kUsage, "compare needs --out DIR, unless --dry-run");
  Results results;
  try {
    results = Compare(recipe, {.recipe = flags.recipe,
                               .out = flags.out,
                               .only = flags.only,
                               .again = flags.again,
                               .command = CommandOf(flags)});
  } catch (const Interrupted& interrupted) {
    fmt::print(stderr,
               "hearsay: interrupted; all nodes are stopped, and the same "
               "command goes on from here\n");
    EndBy(interrupted.signal);
  }
  PrintResults(flags, results);
  for (const auto& cell : results.cells)
    if (!cell.ran()) throw Exit(kDegraded, "");
}

}  // namespace

void AddCompareVerb(CLI::App& app) {
  auto* verb =
      app.add_subcommand("compare", "Ways to mix, side by side, with a report");
  const auto flags = std::make_shared<CompareFlags>();
  verb->add_option("recipe", flags->recipe, "What to compare (TOML)")
      ->required();
  verb->add_option("--out", flags->out, "Folder for the report and all else");
  verb->add_option("--only", flags->only,
                   "Cells to run, such as 'pairwise*,*-x10'")
      ->delimiter(',')
      ->allow_extra_args(false);
  verb->add_flag("--dry-run", flags->dry_run,
                 "Check the recipe, list the cells, run nothing");
  verb->add_flag("--again", flags->again, "Run finished cells again, too");
  verb->add_option("-o,--output", flags->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  verb->footer(kCompareFooter);
  verb->callback([flags] { RunCompare(*flags); });
}

}  // namespace hearsay::ops
