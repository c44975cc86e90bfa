#include "ops/cli/ledger_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <vector>

#include "dp/accountant.h"
#include "dp/ledger.h"
#include "dp/pld.h"
#include "ops/cli/table.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {
namespace {

using ordered_json = nlohmann::ordered_json;

ordered_json FiniteOrNull(double value) {
  return std::isfinite(value) ? ordered_json(value) : ordered_json(nullptr);
}

// Net of what was given back, in the order in which runs first wrote.
ordered_json Runs(const dp::LedgerContents& ledger) {
  std::vector<std::string> order;
  std::map<std::string, std::uint64_t> steps;
  for (const auto& record : ledger.records) {
    if (!steps.contains(record.run)) order.push_back(record.run);
    const auto count = record.releases.steps;
    if (record.kind == dp::LedgerRecord::Kind::kSettle)
      steps[record.run] -= count;
    else
      steps[record.run] += count;
  }
  ordered_json runs = ordered_json::array();
  for (const auto& run : order)
    runs.push_back(
        {{"run", run.empty() ? "(torn)" : run}, {"steps", steps[run]}});
  return runs;
}

std::string EpsilonText(const ordered_json& epsilon) {
  if (epsilon.is_null()) return "infinite: nothing is promised";
  // No digit shown may promise more than is true.
  return fmt::format("{:.6f}", std::ceil(epsilon.get<double>() * 1e6) / 1e6);
}

}  // namespace

nlohmann::ordered_json LedgerReport(const std::filesystem::path& path,
                                    double delta) {
  if (!(delta > 0 && delta < 1))
    throw Exit(kUsage, fmt::format("--delta {} is out of range: it must be "
                                   "above 0 and below 1",
                                   delta));
  const auto file =
      std::filesystem::is_directory(path) ? path / "ledger" : path;
  if (!std::filesystem::exists(file))
    throw Exit(kError, fmt::format("{}: no such file", file.string()));
  const auto ledger = dp::ReadLedger(file);
  ordered_json report = {
      {"schema", 1},
      {"file", file.string()},
      {"verified", true},
      {"records", ledger.position.sequence},
      {"hash", ledger.position.hash},
      {"torn", ledger.torn},
      {"steps_charged", ledger.charged_steps},
      {"charged", ordered_json::array()},
      {"runs", Runs(ledger)},
      {"delta", delta},
      {"adjacency", "add-or-remove one record"},
      {"epsilon_rdp", FiniteOrNull(dp::EpsilonOf(dp::Accountant::kRdp,
                                                 ledger.charged, delta))},
      {"epsilon_pld", nullptr}};
  for (const auto& releases : ledger.charged)
    report["charged"].push_back(
        {{"steps", releases.steps},
         {"sample_rate", releases.sample_rate},
         {"noise_multiplier", releases.noise_multiplier}});
  if (ledger.charged.size() <= 1 && !ledger.exact &&
      delta >= dp::kLeastPldDelta)
    report["epsilon_pld"] = FiniteOrNull(
        dp::EpsilonOf(dp::Accountant::kPld, ledger.charged, delta));
  return report;
}

std::string LedgerReportText(const nlohmann::ordered_json& report) {
  std::string text = fmt::format(
      "{}: {} records, each follows from the one above it; the last is {}\n",
      report["file"].get<std::string>(), report["records"].get<std::uint64_t>(),
      report["hash"].get<std::string>());
  if (report["torn"] == true)
    text +=
        "its end is torn, by a crash or by the disk (or it is being written "
        "now): charged as a whole reservation\n";
  text += "\n";
  Table mechanisms({{"STEPS", Align::kRight},
                    {"RATE", Align::kRight},
                    {"NOISE", Align::kRight}});
  for (const auto& one : report["charged"])
    mechanisms.Add(
        {fmt::format("{}", one["steps"].get<std::uint64_t>()),
         fmt::format("{:g}", one["sample_rate"].get<double>()),
         fmt::format("{:g}", one["noise_multiplier"].get<double>())});
  text += mechanisms.Text() + "\n";
  Table runs({{"RUN"}, {"STEPS", Align::kRight}});
  for (const auto& one : report["runs"])
    runs.Add({one["run"].get<std::string>(),
              fmt::format("{}", one["steps"].get<std::uint64_t>())});
  text += runs.Text() + "\n";
  text +=
      fmt::format("epsilon  {} by rdp\n", EpsilonText(report["epsilon_rdp"]));
  if (!report["epsilon_pld"].is_null())
    text +=
        fmt::format("         {} by pld\n", EpsilonText(report["epsilon_pld"]));
  return text + fmt::format("delta    {:g}, {}\n",
                            report["delta"].get<double>(),
                            report["adjacency"].get<std::string>());
}

}  // namespace hearsay::ops
