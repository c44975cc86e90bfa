// What the numbers say, in sentences, and what speaks against them.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "ops/compare/html.h"
#include "ops/compare/report_parts.h"

namespace hearsay::ops {
namespace {

// Ends of ranges; two noise levels or sample counts this close are one.
constexpr double kSame = 0.005;
constexpr double kMaxOthers = 0.05;

using Number = std::function<std::optional<double>(const Ran&)>;

// The cell with the least (or most) of a number.
const Ran* Extreme(const ReportData& data, const Number& number, bool least) {
  const Ran* best = nullptr;
  for (const auto& ran : data.ran) {
    if (!number(ran)) continue;
    const bool better =
        best == nullptr ||
        (least ? *number(ran) < *number(*best) : *number(ran) > *number(*best));
    if (better) best = &ran;
  }
  return best;
}

void AddTarget(const ReportData& data, std::vector<std::string>& findings) {
  const auto target = data.results->target_accuracy;
  if (!target) return;
  const auto reached = std::count_if(
      data.ran.begin(), data.ran.end(),
      [](const Ran& ran) { return ran.summary.seconds_to_target.has_value(); });
  findings.push_back(
      fmt::format("{} of {} cells reached the target of {:.1f} %.", reached,
                  data.ran.size(), 100 * *target));
  const auto seconds = [](const Ran& ran) {
    return ran.summary.seconds_to_target;
  };
  const auto samples = [](const Ran& ran) {
    return ran.summary.samples_to_target;
  };
  if (const Ran* first = Extreme(data, seconds, true); first && reached > 1)
    findings.push_back(fmt::format(
        "First there: {}, after {:.1f} s; last: {}, "
        "after {:.1f} s.",
        first->label, *seconds(*first), Extreme(data, seconds, false)->label,
        *seconds(*Extreme(data, seconds, false))));
  if (const Ran* first = Extreme(data, samples, true); first && reached > 1)
    findings.push_back(fmt::format(
        "With the fewest samples: {}, {}; with the most: {}, {}.", first->label,
        Grouped(*samples(*first)), Extreme(data, samples, false)->label,
        Grouped(*samples(*Extreme(data, samples, false)))));
}

void AddStragglers(const ReportData& data, std::vector<std::string>& findings) {
  for (const auto& family : FamiliesAlong(data, Axis::kStraggler)) {
    const auto& [least, first] = family.members.front();
    const auto& [most, last] = family.members.back();
    const auto before = first->summary.healthy_steps_per_second;
    const auto after = last->summary.healthy_steps_per_second;
    if (least != 1 || most == 1 || !before || !after || *before <= 0) continue;
    findings.push_back(fmt::format(
        "{}: with one node {}x slower the others take {:.1f} steps "
        "a second, {:.0f} % of the {:.1f} without.",
        family.label, most, *after, 100 * *after / *before, *before));
  }
}

void AddDeaths(const ReportData& data, std::vector<std::string>& findings) {
  for (const auto& ran : data.ran)
    if (!ran.result->cell.kill.empty())
      findings.push_back(fmt::format("{}: {} ({}).", ran.label,
                                     ran.result->outcome == Outcome::kComplete
                                         ? "the others finished"
                                         : "the others did not finish",
                                     ran.result->why));
}

void AddResync(const ReportData& data, std::vector<std::string>& findings) {
  for (const auto& family : FamiliesAlong(data, Axis::kResync)) {
    const auto& [least, first] = family.members.front();
    if (least != 0 || family.members.size() < 2) continue;
    const auto& [k, often] = family.members[1];
    if (!first->summary.distance || !often->summary.distance) continue;
    findings.push_back(fmt::format(
        "{}: averaging all nodes every {} steps leaves a distance of {:.3f}, "
        "never leaves {:.3f}.",
        family.label, k, *often->summary.distance, *first->summary.distance));
  }
}

void AddScaling(const ReportData& data, std::vector<std::string>& findings) {
  for (const auto& family : FamiliesAlong(data, Axis::kNodes)) {
    const auto& [few, small] = family.members.front();
    const auto& [many, large] = family.members.back();
    const auto before = small->summary.healthy_steps_per_second;
    const auto after = large->summary.healthy_steps_per_second;
    if (few == many || !before || !after || *before <= 0 || *after <= 0)
      continue;
    findings.push_back(
        fmt::format("{}: a step takes {:.1f} ms on {} nodes, {:.1f} ms on {}.",
                    family.label, 1000 / *before, few, 1000 / *after, many));
  }
}

// True if all that are known are about the same.
bool Same(const ReportData& data, const Number& number) {
  const Ran* low = Extreme(data, number, true);
  const Ran* high = Extreme(data, number, false);
  return low == nullptr ||
         *number(*high) - *number(*low) <= kSame * std::fabs(*number(*high));
}

void AddConditions(const ReportData& data, std::vector<std::string>& warnings) {
  const auto samples = [](const Ran& ran) -> std::optional<double> {
    return ran.result->planned_samples;
  };
  const auto noise = [](const Ran& ran) {
    return ran.result->nodes.front().noise_multiplier;
  };
  const auto rate = [](const Ran& ran) -> std::optional<double> {
    return ran.result->nodes.front().sample_rate;
  };
  if (!Same(data, samples) || !Same(data, noise) || !Same(data, rate))
    warnings.emplace_back(
        "The cells do not have the same samples, noise and sample rate: see "
        "Conditions before comparing them.");
}

}  // namespace

std::vector<std::string> Findings(const ReportData& data) {
  std::vector<std::string> findings;
  AddTarget(data, findings);
  AddStragglers(data, findings);
  AddScaling(data, findings);
  AddResync(data, findings);
  AddDeaths(data, findings);
  return findings;
}

std::vector<std::string> Warnings(const ReportData& data) {
  std::vector<std::string> warnings;
  if (data.ran.empty()) return {"No cell ran: there is nothing to compare."};
  AddConditions(data, warnings);
  const auto others = [](const Ran& ran) -> std::optional<double> {
    return ran.result->others_fraction;
  };
  const Ran* busiest = Extreme(data, others, false);
  if (*others(*busiest) > kMaxOthers)
    warnings.push_back(fmt::format(
        "Other processes took up to {:.0f} % of the machine ({}): times would "
        "be better on an idle one.",
        100 * *others(*busiest), busiest->label));
  int most = 0;
  for (const auto& ran : data.ran)
    most = std::max(most, ran.result->cell.nodes);
  if (data.results->cores > 0 && most > static_cast<int>(data.results->cores))
    warnings.push_back(fmt::format(
        "Up to {} nodes shared {} cores: a step that is not paced by "
        "train.min_step_time is slower than on machines of their own.",
        most, data.results->cores));
  warnings.emplace_back(
      "Each cell was run once; the privacy noise alone moves an accuracy by "
      "about half a point.");
  return warnings;
}

}  // namespace hearsay::ops
