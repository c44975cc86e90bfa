#include "ops/sim/settings_toml.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <charconv>
#include <fstream>
#include <iterator>
#include <sstream>

#include "daemon/config_reader.h"

namespace hearsay::sim {

namespace {

using daemon::ConfigReader;

constexpr double kMost = 1e12;
constexpr std::int64_t kMostNodes = 10'000'000;
constexpr std::int64_t kMostSteps = std::int64_t{1} << 40;

template <typename T, typename U>
void Take(T& field, const std::optional<U>& value) {
  if (value) field = static_cast<T>(*value);
}

void TakeTime(double& field, const std::optional<daemon::Duration>& value) {
  if (value) field = std::chrono::duration<double>(*value).count();
}

// "3" or "3-7".
struct Range {
  std::size_t first = 0, last = 0;
};
std::optional<Range> ParseRange(std::string_view text, std::size_t nodes) {
  Range range;
  const auto* end = text.data() + text.size();
  auto parsed = std::from_chars(text.data(), end, range.first);
  range.last = range.first;
  if (parsed.ec == std::errc() && parsed.ptr != end && *parsed.ptr == '-')
    parsed = std::from_chars(parsed.ptr + 1, end, range.last);
  if (parsed.ec != std::errc() || parsed.ptr != end ||
      range.first > range.last || range.last >= nodes)
    return std::nullopt;
  return range;
}

void ReadSlower(ConfigReader& reader, Settings& settings) {
  const auto lines = reader.Strings("compute.slower");
  if (!lines) return;
  settings.compute.slower.assign(settings.nodes, 1);
  for (const auto& line : *lines) {
    const auto equals = line.find('=');
    const auto range = ParseRange(
        std::string_view(line).substr(0, std::min(equals, line.size())),
        settings.nodes);
    double factor = 0;
    if (equals != std::string::npos) {
      std::istringstream rest(line.substr(equals + 1));
      if (!(rest >> factor) || !rest.eof()) factor = 0;
    }
    if (!range || factor <= 0)
      reader.Fail("compute.slower",
                  fmt::format("\"{}\" is not NODE=FACTOR or FIRST-LAST=FACTOR, "
                              "with nodes 0 to {}: \"3=8\" makes node 3 eight "
                              "times slower",
                              line, settings.nodes - 1));
    for (auto i = range->first; i <= range->last; ++i)
      settings.compute.slower[i] = factor;
  }
}

void ReadIncidents(ConfigReader& reader, Settings& settings) {
  const auto lines = reader.Strings("incidents.list");
  if (!lines) return;
  for (const auto& line : *lines) {
    std::istringstream words(line);
    std::string at, what, nodes, word, lasts, more;
    words >> at >> what >> nodes >> word >> lasts >> more;
    Settings::Incident incident;
    using What = Settings::Incident::What;
    bool good = more.empty();
    try {
      TakeTime(incident.at, std::optional(daemon::ParseDuration(at)));
      if (word == "for")
        TakeTime(incident.lasts, std::optional(daemon::ParseDuration(lasts)));
    } catch (const std::invalid_argument&) {
      good = false;
    }
    if (what == "kill" && word.empty())
      incident.what = What::kKill;
    else if (what == "freeze" && word == "for")
      incident.what = What::kFreeze;
    else if (what == "part" && word == "for")
      incident.what = What::kPart;
    else
      good = false;
    const auto range = ParseRange(nodes, settings.nodes);
    if (!good || !range)
      reader.Fail(
          "incidents.list",
          fmt::format("\"{}\" is not one of \"5s kill 2\", \"5s freeze 2-3 for "
                      "10s\", \"5s part 0-3 for 10s\", with nodes 0 to {}",
                      line, settings.nodes - 1));
    incident.first = range->first;
    incident.last = range->last;
    settings.incidents.push_back(incident);
  }
}

void ReadTopology(ConfigReader& reader, Settings& settings) {
  const auto text = reader.String("mixing.topology");
  if (!text) return;
  const auto parsed = mixing::ParseTopology(*text);
  if (!parsed)
    reader.Fail("mixing.topology",
                fmt::format("\"{}\" is not allowed; allowed: {}", *text,
                            fmt::join(mixing::TopologyWords(), ", ")));
  settings.mixing.topology = parsed->kind;
  if (parsed->kind != mixing::TopologyKind::kFile) return;
  const auto path = reader.Absolute(parsed->path);
  std::ifstream file(path);
  const std::string lines((std::istreambuf_iterator<char>(file)), {});
  if (!file)
    reader.Fail("mixing.topology", path.string() + ": cannot read this file");
  try {
    settings.mixing.adjacency = mixing::ParseAdjacency(lines);
  } catch (const std::invalid_argument& error) {
    reader.Fail("mixing.topology",
                fmt::format("{}:{}", path.string(), error.what()));
  }
}

void ReadMixing(ConfigReader& reader, Settings& settings) {
  auto& mixing = settings.mixing;
  if (const auto rule = reader.Word("mixing.rule", mixing::RuleWords()))
    mixing.rule = *mixing::ParseRule(*rule);
  ReadTopology(reader, settings);
  if (mixing.rule == mixing::RuleKind::kSymmetricBlocking &&
      mixing.topology != mixing::TopologyKind::kRing)
    reader.Fail("mixing.topology", "symmetric_blocking is for \"ring\" only");
  const auto interval = reader.String("mixing.interval");
  if (interval && *interval != "auto")
    TakeTime(mixing.interval, reader.Time("mixing.interval"));
  mixing.objective_nodes =
      reader.Word("mixing.objective", {"gradients", "nodes"}) == "nodes";
  const auto momentum =
      reader.Word("mixing.momentum", {"off", "acid", "acid_unscaled"});
  mixing.acid = momentum.value_or("off") != "off";
  mixing.acid_scaled = momentum != "acid_unscaled";
  if (mixing.acid && (mixing.rule != mixing::RuleKind::kPairwise ||
                      mixing.topology != mixing::TopologyKind::kRing))
    reader.Fail("mixing.momentum",
                "acid is for rule = \"pairwise\" on topology = \"ring\"");
  using Trigger = Settings::Mixing::Trigger;
  const auto trigger = reader
                           .Word("mixing.trigger", {"clock", "before_step",
                                                    "after_step", "on_arrival"})
                           .value_or("clock");
  if (trigger == "before_step") mixing.trigger = Trigger::kBeforeStep;
  if (trigger == "after_step") mixing.trigger = Trigger::kAfterStep;
  if (trigger == "on_arrival") mixing.trigger = Trigger::kOnArrival;
  if (mixing.trigger != Trigger::kClock &&
      mixing.rule != mixing::RuleKind::kNaiveNewest)
    reader.Fail("mixing.trigger", "is for rule = \"naive_newest\" only");
  mixing.many_in_flight =
      reader.Word("mixing.many_in_flight", {"off", "on"}) == "on";

  auto& resync = settings.resync;
  using Mode = Settings::Resync::Mode;
  Take(resync.every_steps, reader.Integer("resync.every_steps", 0, kMostSteps));
  const auto mode =
      reader.Word("resync.mode", {"overlapped", "blocking", "adaptive"});
  if (mode == "blocking") resync.mode = Mode::kBlocking;
  if (mode == "adaptive") resync.mode = Mode::kAdaptive;
  resync.halving_doubling =
      reader.Word("resync.algorithm", {"ring", "halving_doubling"}) ==
      "halving_doubling";
  Take(resync.above, reader.Number("resync.above", 0, kMost));
  Take(resync.slow_momentum, reader.Number("resync.slow_momentum", 0, 0.999));
  if (mixing.rule == mixing::RuleKind::kLocalSgd && resync.every_steps == 0)
    reader.Fail("resync.every_steps",
                "this key is required by rule = \"local_sgd\"");
}

void ReadCompute(ConfigReader& reader, Settings& settings) {
  auto& compute = settings.compute;
  TakeTime(compute.step_time, reader.Time("compute.step_time"));
  if (compute.step_time <= 0)
    reader.Fail("compute.step_time", "must be longer than nothing");
  using Spread = Settings::Compute::Spread;
  const auto spread = reader.Word(
      "compute.spread", {"constant", "uniform", "exponential", "lognormal"});
  if (spread == "constant") compute.spread = Spread::kConstant;
  if (spread == "exponential") compute.spread = Spread::kExponential;
  if (spread == "lognormal") compute.spread = Spread::kLogNormal;
  Take(compute.width, reader.Number("compute.width", 0, 10));
  if (compute.spread == Spread::kUniform && compute.width > 1)
    reader.Fail("compute.width",
                "must be 1 at most: no step takes less than 0");
  ReadSlower(reader, settings);
  auto& network = settings.network;
  TakeTime(network.latency, reader.Time("network.latency"));
  Take(network.jitter, reader.Number("network.jitter", 0, 1));
  Take(network.bandwidth, reader.Number("network.bandwidth", 0, kMost * 1000));
  Take(network.loss, reader.Number("network.loss", 0, 1));
  Take(network.message_bytes, reader.Number("network.message_bytes", 0, kMost));
  TakeTime(network.deadline, reader.Time("network.deadline"));
  TakeTime(network.detect, reader.Time("network.detect"));
}

void ReadModel(ConfigReader& reader, Settings& settings) {
  auto& task = settings.task;
  using Kind = Settings::Task::Kind;
  const auto kind = reader.Word("model.kind", {"zero", "own", "classify"});
  if (kind == "own") task.kind = Kind::kOwn;
  if (kind == "classify") task.kind = Kind::kClassify;
  if (task.kind == Kind::kOwn) task.dimension = settings.nodes;
  Take(task.dimension, reader.Integer("model.dimension", 1, 100'000'000));
  Take(task.learning_rate, reader.Number("model.learning_rate", 0, 100));
  Take(task.noise, reader.Number("model.noise", 0, kMost));
  Take(task.rows, reader.Integer("model.rows", 1, 100'000'000));
  Take(task.sample_rate, reader.Number("model.sample_rate", 1e-9, 1));
  Take(task.clip_norm, reader.Number("model.clip_norm", 1e-9, kMost));
  Take(task.noise_multiplier,
       reader.Number("model.noise_multiplier", 0, kMost));
  Take(task.hidden, reader.Integer("model.hidden", 1, 100'000));
  task.skewed = reader.Word("model.partition", {"iid", "skewed"}) == "skewed";
}

}  // namespace

Settings ReadSettings(const std::filesystem::path& file,
                      const daemon::Overrides& flags) {
  ConfigReader reader(file.empty() ? "/dev/null" : file, flags);
  Settings settings;
  Take(settings.nodes, reader.Integer("sim.nodes", 1, kMostNodes));
  Take(settings.seed, reader.Integer("sim.seed", 0, kMostSteps));
  const auto steps = reader.Integer("sim.steps", 0, kMostSteps);
  TakeTime(settings.until, reader.Time("sim.until"));
  if (settings.until > 0) settings.steps = 0;
  Take(settings.steps, steps);
  if (settings.steps == 0 && settings.until <= 0)
    reader.Fail("sim.steps", "set this, or sim.until, to where it ends");
  TakeTime(settings.sample_every, reader.Time("sim.sample_every"));
  settings.rounds = reader.Word("sim.rounds", {"off", "on"}) == "on";
  ReadMixing(reader, settings);
  ReadCompute(reader, settings);
  ReadModel(reader, settings);
  ReadIncidents(reader, settings);
  reader.RefuseUnknown();
  return settings;
}

}  // namespace hearsay::sim
