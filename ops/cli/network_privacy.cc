#include "ops/cli/network_privacy.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "dp/accountant.h"
#include "dp/sampler.h"
#include "ops/cli/table.h"
#include "ops/cli/verbs.h"
#include "ops/plan/network_privacy.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kDoesNotApply = "does not apply";

// What no configuration can promise, of any node.
const std::vector<std::string>& Assumptions() {
  static const std::vector<std::string> all = {
      "nobody passes on to the viewer what it hears: does not apply to nodes "
      "that collude, nor to whoever reads several nodes' traffic",
      "exchanges are as the topology has them, rounds in step, each answered: "
      "does not apply across one-sided exchanges, stragglers, restarts, joins "
      "and ring repairs, which show other sums",
      "gradients are what they would be without the exchanges: true of "
      "averaging; in training they follow the weights, and what they show of "
      "others' gradients in that way is in no such bound",
      "heartbeats are left out: every member hears a sketch (1024 numbers) of "
      "every node's weights, and their public evaluation; does not apply to "
      "what those show",
  };
  return all;
}

// The largest share at each round among pairs of one distance.
struct AtDistance {
  std::vector<double> shares;
  double averaging_alone = 0;
  double message_by_message = 0;
};

double EpsilonOf(const std::vector<double>& shares, double rate, double noise,
                 std::uint64_t steps, double delta) {
  std::map<double, std::uint64_t> phases;
  for (const double share : shares)
    if (share > 0) phases[share] += steps;
  std::vector<dp::Releases> releases;
  for (const auto& [share, count] : phases)
    releases.push_back({rate, noise / std::sqrt(share), count});
  return releases.empty()
             ? 0
             : dp::EpsilonOf(dp::Accountant::kRdp, releases, delta);
}

// The same record with `steps` steps before each exchange, where they do not
// all count the same.
MixingRecord WithSteps(const MixingRecord& record, std::uint64_t steps) {
  MixingRecord more = record;
  more.rounds.clear();
  for (const auto& round : record.rounds) {
    more.rounds.resize(more.rounds.size() + steps - 1);
    more.rounds.push_back(round);
  }
  more.noisy_rounds = more.rounds.size();
  return more;
}

std::map<std::size_t, AtDistance> Distances(const MixingRecord& record,
                                            bool same_everywhere) {
  MixingRecord alone = record;
  alone.momentum = 0;
  alone.noisy_rounds = 1;
  std::map<std::size_t, AtDistance> distances;
  const std::size_t viewers = same_everywhere ? 1 : record.nodes;
  std::vector<std::vector<std::size_t>> from;
  for (std::size_t i = 0; i < record.nodes; ++i)
    from.push_back(DistancesFrom(record, i));
  for (std::size_t viewer = 0; viewer < viewers; ++viewer) {
    const NetworkView view(record, viewer);
    const NetworkView averaging(alone, viewer);
    for (std::size_t node = 0; node < record.nodes; ++node) {
      if (node == viewer) continue;
      AtDistance& at = distances[from[node][viewer]];
      const auto shares = view.Shares(node);
      at.shares.resize(shares.size());
      for (std::size_t t = 0; t < shares.size(); ++t)
        at.shares[t] = std::max(at.shares[t], shares[t]);
      at.averaging_alone =
          std::max(at.averaging_alone, averaging.Shares(node)[0]);
      at.message_by_message =
          std::max(at.message_by_message, averaging.MessageByMessage(node));
    }
  }
  return distances;
}

double NoiseOf(const daemon::Config& config, double rate) {
  const auto& privacy = config.privacy;
  return privacy.noise_multiplier
             ? *privacy.noise_multiplier
             : dp::CalibrateNoise(privacy.accountant, rate, config.train.steps,
                                  privacy.delta, *privacy.target_epsilon);
}

Json Pairs(const daemon::Config& config, const NetworkRequest& request,
           std::size_t nodes, double rate, double noise) {
  const auto kind = config.mixing.topology.kind;
  MixingRecord record =
      MixingRecordOf(kind, nodes, request.rounds,
                     config.mixing.rule == mixing::RuleKind::kPairwise);
  record.momentum = config.train.optimizer.momentum;
  record.nesterov = config.train.optimizer.nesterov;
  // Without momentum the steps before an exchange add up to one sum, of which
  // each counts the same: the share of a round is the share of each.
  std::uint64_t steps = request.steps_per_round;
  if (record.momentum > 0 && steps > 1) {
    record = WithSteps(record, steps);
    steps = 1;
  }
  Json pairs = Json::array();
  try {
    for (const auto& [distance, at] :
         Distances(record, kind == mixing::TopologyKind::kRing))
      pairs.push_back(
          {{"distance", distance > nodes ? Json(nullptr) : Json(distance)},
           {"seen", at.shares.empty() ? 0
                                      : *std::max_element(at.shares.begin(),
                                                          at.shares.end())},
           {"epsilon",
            EpsilonOf(at.shares, rate, noise, steps, config.privacy.delta)},
           {"averaging_alone", at.averaging_alone},
           {"message_by_message", at.message_by_message}});
  } catch (const std::invalid_argument& error) {
    throw Exit(kUsage, fmt::format("{}; use fewer --rounds or --nodes, or a "
                                   "smaller --steps-per-round",
                                   error.what()));
  }
  return pairs;
}

}  // namespace

std::vector<std::string> WhyNetworkPrivacyDoesNotApply(
    const daemon::Config& config) {
  using Kind = model::OptimizerSpec::Kind;
  std::vector<std::string> why;
  const auto& mixing = config.mixing;
  if (!config.test.probe.empty())
    why.emplace_back("test.probe: no data, so nothing to hide");
  if (mixing.rule != mixing::RuleKind::kPairwise &&
      mixing.rule != mixing::RuleKind::kOneWay)
    why.push_back(fmt::format(
        "mixing.rule = \"{}\": the exchanges of pairwise and one_way alone are "
        "known as matrices",
        mixing::Word(mixing.rule)));
  if (mixing.topology.kind == mixing::TopologyKind::kFile)
    why.emplace_back("mixing.topology: one that is written down");
  if (mixing.momentum == mixing::Momentum::kAcid)
    why.emplace_back(
        "mixing.momentum: what it mixes follows clocks and round trips");
  if (mixing.wire != "fp32")
    why.push_back(fmt::format(
        "mixing.wire = \"{}\": what is rounded or left out is no linear sum, "
        "and what is left over comes later",
        mixing.wire));
  if (mixing.clip > 0)
    why.emplace_back("mixing.clip: a clipped message is no linear sum");
  if (config.resync.every_steps > 0)
    why.emplace_back(
        "resync: a full average shows everybody sums of all nodes");
  if (config.train.optimizer.kind != Kind::kSgd)
    why.emplace_back(
        "train.optimizer: Adam divides by what it saw of the gradients, which "
        "is no linear sum");
  const auto& schedule = config.train.optimizer.schedule;
  if (schedule.kind != model::Schedule::Kind::kConstant ||
      schedule.warmup_steps > 0)
    why.emplace_back(
        "train.schedule: steps of different rates weigh differently");
  if (mixing.objective_nodes)
    why.emplace_back(
        "mixing.objective = \"nodes\": nodes weigh their steps differently");
  if (config.privacy.clip_quantile)
    why.emplace_back(
        "privacy.clipping = \"adaptive\": each node's noise goes its own way");
  if (config.privacy.loss_bound > 0)
    why.emplace_back(
        "privacy.loss_bound: everybody hears each node's noised training loss");
  if (config.privacy.exact_noise)
    why.emplace_back(
        "privacy.noise = \"exact\": sums of discrete Gaussians are none");
  return why;
}

Json NetworkReport(const NetworkRequest& request) {
  const auto config = daemon::LoadConfig(request.config, {});
  const auto nodes =
      request.nodes > 0
          ? request.nodes
          : std::max<std::size_t>(
                static_cast<std::size_t>(std::max(config.cluster.expect, 1)),
                config.cluster.peers.size() + 1);
  const auto why = WhyNetworkPrivacyDoesNotApply(config);
  Json report = {
      {"schema", 1},
      {"headline", false},
      {"nodes", nodes},
      {"rule", mixing::Word(config.mixing.rule)},
      {"topology", mixing::Word(config.mixing.topology.kind)},
      {"rounds", request.rounds},
      {"steps_per_round", request.steps_per_round},
      {"applies", why.empty()},
      {"verdict", why.empty() ? "of the exchanges alone" : kDoesNotApply},
      {"why_not", why},
      {"assumptions", Assumptions()},
      {"delta", config.privacy.delta},
      {"local_epsilon", nullptr},
      {"pairs", Json::array()}};
  if (!config.test.probe.empty()) return report;
  const double rate =
      dp::PoissonSampler(config.train.sample_rate).sample_rate();
  const double noise = NoiseOf(config, daemon::MostSampleRate(config));
  const dp::Releases local{rate, noise,
                           request.rounds * request.steps_per_round};
  report["local_epsilon"] =
      dp::EpsilonOf(dp::Accountant::kRdp, {&local, 1}, config.privacy.delta);
  if (why.empty()) report["pairs"] = Pairs(config, request, nodes, rate, noise);
  return report;
}

std::string NetworkReportText(const Json& report) {
  const auto epsilon = [](const Json& value) {
    return value.is_null()
               ? std::string("-")
               : fmt::format("{:.4f}",
                             std::ceil(value.get<double>() * 1e4) / 1e4);
  };
  std::string text = fmt::format(
      "{} nodes, rule {}, topology {}: the first {} rounds of a run, {} step{} "
      "a round\n\n"
      "The claim is epsilon {} of these steps at delta {:g}: it holds if all "
      "others collude.\nWhat follows is information, and no claim.\n\n",
      report["nodes"].get<std::size_t>(), report["rule"].get<std::string>(),
      report["topology"].get<std::string>(),
      report["rounds"].get<std::size_t>(),
      report["steps_per_round"].get<std::uint64_t>(),
      report["steps_per_round"] == 1 ? "" : "s",
      epsilon(report["local_epsilon"]), report["delta"].get<double>());
  if (report["applies"] == false) {
    text += "pairwise network privacy: does not apply\n";
    for (const auto& why : report["why_not"])
      text += fmt::format("* {}\n", why.get<std::string>());
    return text;
  }
  Table table({{"DISTANCE", Align::kRight},
               {"SEEN", Align::kRight},
               {"EPSILON", Align::kRight},
               {"AVERAGING ALONE", Align::kRight},
               {"BY MESSAGE", Align::kRight}});
  bool solved = false;
  for (const auto& pair : report["pairs"]) {
    const double alone = pair["averaging_alone"].get<double>();
    solved = solved || alone > 1 - 1e-6;
    table.Add(
        {pair["distance"].is_null()
             ? "never"
             : fmt::format("{}", pair["distance"].get<std::size_t>()),
         fmt::format("{:.4f}", pair["seen"].get<double>()),
         epsilon(pair["epsilon"]), fmt::format("{:.4f}", alone),
         fmt::format("{:.4f}", pair["message_by_message"].get<double>())});
  }
  text += table.Text();
  text +=
      "\nDISTANCE  exchanges that it takes from a node to the viewer\n"
      "SEEN      the most that the viewer learns of a step's noised gradient; "
      "1: all of it\n"
      "EPSILON   of a record of that node, towards that viewer alone\n"
      "AVERAGING ALONE  SEEN if there were noise in the first round only\n"
      "BY MESSAGE  the same as Cyffers et al. 2022 sum it up, message by "
      "message: no bound\n          on what messages tell together\n";
  if (solved)
    text +=
        "\nAveraging alone amplifies nothing here: a viewer can solve for the "
        "noised value of\nothers. Only the noise of later steps hides "
        "anything.\n";
  text += "\nThis holds as far as:\n";
  for (const auto& assumption : report["assumptions"])
    text += fmt::format("* {}\n", assumption.get<std::string>());
  return text;
}

}  // namespace hearsay::ops
