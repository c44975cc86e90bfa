#include "ops/compare/sim_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <stdexcept>
#include <utility>

#include "dp/rdp.h"
#include "ops/cli/new_cluster.h"
#include "ops/sim/settings_toml.h"
#include "ops/sim/world.h"

namespace hearsay::ops {

namespace {

// What the daemons call otherwise, or what has no meaning here ("").
const std::map<std::string, std::string>& SimKeys() {
  static const std::map<std::string, std::string> kKeys = {
      {"train.steps", "sim.steps"},
      {"train.sample_rate", "model.sample_rate"},
      {"train.learning_rate", "model.learning_rate"},
      {"train.min_step_time", "compute.step_time"},
      {"privacy.noise_multiplier", "model.noise_multiplier"},
      {"privacy.clip_norm", "model.clip_norm"},
      {"mixing.server", ""},
      {"mixing.wire", ""},
      {"train.public_size", ""}};
  return kKeys;
}

std::string Bare(std::string text) {
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"')
    text = text.substr(1, text.size() - 2);
  return text;
}

struct Terms {
  daemon::Overrides flags;
  std::optional<double> target_epsilon;
  double delta = 1e-5;
};

void AddSetting(const std::string& setting, Terms& terms) {
  const auto equals = setting.find('=');
  const auto key = setting.substr(0, equals);
  const auto value = Bare(setting.substr(equals + 1));
  if (key == "privacy.target_epsilon") terms.target_epsilon = std::stod(value);
  if (key == "privacy.delta") terms.delta = std::stod(value);
  if (key == "privacy.target_epsilon" || key == "privacy.delta") return;
  const auto known = SimKeys().find(key);
  const auto name = known == SimKeys().end() ? key : known->second;
  if (!name.empty()) terms.flags[name] = value;
}

Terms TermsOf(const Recipe& recipe, const MatrixCell& cell) {
  Terms terms;
  terms.flags["model.kind"] = "classify";
  // As many as prep would leave a node to train on.
  if (recipe.synth_rows > 0)
    terms.flags["model.rows"] = std::to_string(std::max<std::int64_t>(
        std::llround(static_cast<double>(recipe.synth_rows) *
                     (1 - recipe.eval_fraction) / cell.nodes),
        1));
  for (const auto& setting : recipe.node_settings) AddSetting(setting, terms);
  for (const auto& setting : cell.set) AddSetting(setting, terms);
  terms.flags["sim.nodes"] = std::to_string(cell.nodes);
  terms.flags["sim.until"] = daemon::FormatDuration(recipe.time_limit);
  terms.flags["sim.sample_every"] = daemon::FormatDuration(recipe.sample_every);
  terms.flags["mixing.rule"] = cell.rule;
  terms.flags["mixing.topology"] = cell.topology;
  terms.flags["resync.every_steps"] = std::to_string(cell.resync);
  return terms;
}

sim::Settings SettingsOf(const Recipe& recipe, const MatrixCell& cell,
                         const Terms& terms) {
  auto settings = sim::ReadSettings("", terms.flags);
  if (settings.steps == 0)
    throw std::invalid_argument("[nodes.train] steps is missing");
  if (terms.target_epsilon)
    settings.task.noise_multiplier =
        dp::CalibrateNoise(settings.task.sample_rate, settings.steps,
                           terms.delta, *terms.target_epsilon);
  settings.each_node = true;
  settings.until_healthy = recipe.until == Recipe::Until::kHealthy;
  settings.compute.slower.assign(settings.nodes, 1);
  settings.compute.slower.back() = cell.straggler;
  if (const auto kill = ParseKill(cell.kill)) {
    std::size_t victim = 0;
    while (NodeName(static_cast<int>(victim)) != kill->node) ++victim;
    settings.incidents.push_back(
        {.at = std::chrono::duration<double>(kill->at).count(),
         .first = victim,
         .last = victim});
  }
  return settings;
}

double Epsilon(const sim::Settings& settings, std::uint64_t steps,
               double delta) {
  return dp::RdpEpsilon({.sample_rate = settings.task.sample_rate,
                         .noise_multiplier = settings.task.noise_multiplier,
                         .steps = steps},
                        delta)
      .epsilon;
}

void AddSamples(const sim::Settings& settings, const sim::Result& from,
                double delta, CellResult& result) {
  const sim::Sample* before = nullptr;
  for (const auto& sample : from.samples) {
    Sample out;
    out.seconds = sample.time;
    out.distance = sample.consensus;
    for (std::size_t i = 0; i < settings.nodes; ++i) {
      if (!sample.node_alive[i]) {
        out.nodes.emplace_back();
        continue;
      }
      NodeSample node;
      node.step = sample.node_steps[i];
      node.state = node.step >= settings.steps ? "finished" : "training";
      node.accuracy = sample.node_accuracy[i];
      node.epsilon = Epsilon(settings, node.step, delta);
      if (before != nullptr && sample.time > before->time)
        node.steps_per_second =
            static_cast<double>(node.step - before->node_steps[i]) /
            (sample.time - before->time);
      out.nodes.emplace_back(std::move(node));
    }
    before = &sample;
    result.samples.push_back(std::move(out));
  }
}

void AddNodes(const sim::Settings& settings, const sim::Result& from,
              double delta, CellResult& result) {
  const auto& last = from.samples.back();
  for (std::size_t i = 0; i < settings.nodes; ++i) {
    const auto& totals = from.nodes[i];
    NodeEnd node;
    node.name = NodeName(static_cast<int>(i));
    node.throttle = settings.compute.slower[i];
    node.step = totals.steps;
    node.samples_per_step =
        settings.task.sample_rate * static_cast<double>(settings.task.rows);
    node.sample_rate = settings.task.sample_rate;
    node.noise_multiplier = settings.task.noise_multiplier;
    node.epsilon = Epsilon(settings, totals.steps, delta);
    node.delta = delta;
    node.state = totals.steps >= settings.steps ? "finished"
                 : totals.failure.empty()       ? "training"
                                                : "failed";
    node.trouble = totals.failure;
    if (totals.alive) node.accuracy = last.node_accuracy[i];
    node.bytes_out = totals.bytes;
    result.planned_samples +=
        static_cast<double>(settings.steps) * node.samples_per_step;
    result.nodes.push_back(std::move(node));
  }
}

void Judge(const sim::Settings& settings, const sim::Result& from,
           CellResult& result) {
  result.seconds = from.virtual_seconds;
  result.average_accuracy = from.samples.back().accuracy;
  result.average_loss = from.samples.back().loss;
  result.outcome = Outcome::kComplete;
  for (std::size_t i = 0; i < settings.nodes; ++i) {
    const auto& totals = from.nodes[i];
    if (!totals.failure.empty() && totals.alive) result.why = totals.failure;
    const bool awaited = totals.alive && !(settings.until_healthy &&
                                           settings.compute.slower[i] > 1);
    if (awaited && totals.steps < settings.steps)
      result.outcome = Outcome::kShort;
  }
  if (result.outcome == Outcome::kShort && result.why.empty())
    result.why = "its time was over";
}

}  // namespace

CellResult SimBackend::Run(const MatrixCell& cell, const Look& look) {
  CellResult result;
  result.cell = cell;
  const auto known =
      std::find(recipe_.cells.begin(), recipe_.cells.end(), cell);
  result.id =
      recipe_.ids.at(static_cast<std::size_t>(known - recipe_.cells.begin()));
  try {
    const auto terms = TermsOf(recipe_, cell);
    const auto settings = SettingsOf(recipe_, cell, terms);
    result.planned_steps = settings.steps;
    const auto ran = sim::Simulate(settings);
    AddSamples(settings, ran, terms.delta, result);
    AddNodes(settings, ran, terms.delta, result);
    Judge(settings, ran, result);
    look(result);
  } catch (const daemon::ConfigError& refusal) {
    result.outcome = Outcome::kRefused;
    result.why = refusal.what();
  } catch (const std::invalid_argument& refusal) {
    result.outcome = Outcome::kRefused;
    result.why = refusal.what();
  }
  return result;
}

}  // namespace hearsay::ops
