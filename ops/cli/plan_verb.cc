// plan: what a configuration will cost, before anything is spent.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "daemon/config.h"
#include "daemon/exchange_passes.h"
#include "daemon/model_config.h"
#include "daemon/run.h"
#include "daemon/statistics_charge.h"
#include "dp/accountant.h"
#include "dp/ledger.h"
#include "dp/sampler.h"
#include "ops/cli/verbs.h"
#include "ops/plan/ledger_plan.h"
#include "ops/plan/mixing_plan.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kPlanFooter =
    "Reads a node's hearsayd.toml, and its ledger if there is one, and runs "
    "nothing.\nExample:\n"
    "  hearsay plan --config run/a/hearsayd.toml --nodes 16 --rates "
    "1,1,1,0.1\n\n"
    "Mixing is that of synchronous rounds, the variance a node's distance "
    "from\n"
    "the mean in units of the noise that one step adds to its weights; both "
    "are\n"
    "closed forms for the ring, else computed from the topology's matrices.\n"
    "Wire times are alpha + beta M, with a link of its own for every node:\n"
    "--latency and --bandwidth as `hearsay bench transport` measures them.";

struct PlanRequest {
  std::string config;
  int nodes = 0;
  std::string rates;
  double latency_us = 0;
  double bandwidth_mb = 0;
  int inputs = 0;
  std::string output = "table";
};

std::vector<double> ParseRates(const PlanRequest& request, std::size_t nodes) {
  if (request.rates.empty()) return std::vector<double>(nodes, 1);
  std::vector<double> rates;
  std::istringstream text(request.rates);
  for (std::string part; std::getline(text, part, ',');) {
    std::istringstream number(part);
    double rate = 0;
    if (!(number >> rate) || !number.eof() || !(rate > 0))
      throw Exit(kUsage,
                 fmt::format("--rates {}: \"{}\" is no rate: write steps a "
                             "second, or any measure of it, as 1,1,1,0.1",
                             request.rates, part));
    rates.push_back(rate);
  }
  if (rates.size() > nodes)
    throw Exit(kUsage, fmt::format("--rates has {} nodes, --nodes {}",
                                   rates.size(), nodes));
  rates.resize(nodes, rates.empty() ? 1 : rates.back());
  return rates;
}

// Of what the daemon would build: the shard knows how wide its records are.
std::size_t Weights(const daemon::Config& config, int inputs) {
  if (!config.test.probe.empty())
    return static_cast<std::size_t>(config.test.dimension);
  model::ModelSpec spec = daemon::SpecOf(config.model, inputs);
  if (inputs == 0) {
    try {
      spec = daemon::SpecOf(config.model,
                            daemon::OpenFor(config.model, config.data.train));
    } catch (const std::exception& error) {
      throw Exit(kError, fmt::format("{}; or say how many features a record "
                                     "has, with --inputs",
                                     error.what()));
    }
  }
  model::Validate(spec);
  return model::TrainedCount(spec, config.model.frozen);
}

// What the node's ledger will begin with, if its shard is here.
dp::LedgerContents LedgerToBegin(const daemon::Config& config) {
  try {
    return daemon::ChargedLedger(
        daemon::OpenFor(config.model, config.data.train));
  } catch (const model::FileError&) {
    return {};
  }
}

// What runs before this one have spent of the data set's budget, if its ledger
// is here.
Json AfterLedger(const daemon::Config& config, const dp::Releases& releases) {
  const auto file = config.privacy.ledger / "ledger";
  std::error_code ignored;
  const bool begun = std::filesystem::exists(file, ignored);
  const auto ledger = begun ? dp::ReadLedger(file) : LedgerToBegin(config);
  if (!begun && ledger.charged.empty()) return nullptr;
  const auto& privacy = config.privacy;
  // The rate that the sampler really has, as it is in the ledger.
  dp::Releases planned = releases;
  planned.sample_rate = dp::PoissonSampler(releases.sample_rate).sample_rate();
  const auto plan = PlanAfter(ledger, planned, privacy.accountant,
                              privacy.delta, privacy.target_epsilon);
  return {{"file", file.string()},
          {"steps_charged", plan.steps_charged},
          {"epsilon_spent", plan.epsilon_spent},
          {"steps_that_fit", plan.steps_that_fit},
          {"epsilon_after", plan.epsilon_after},
          {"accountant", dp::Word(plan.accountant)}};
}

Json Privacy(const daemon::Config& config) {
  if (!config.test.probe.empty()) return nullptr;
  const auto& privacy = config.privacy;
  const double rate = daemon::MostSampleRate(config);
  const auto spent = LedgerToBegin(config).charged;
  const double noise =
      privacy.noise_multiplier
          ? *privacy.noise_multiplier
          : dp::CalibrateNoiseAfter(
                spent.empty() ? privacy.accountant : dp::Accountant::kRdp,
                spent, rate, config.train.steps, privacy.delta,
                *privacy.target_epsilon);
  const dp::Releases releases{.sample_rate = rate,
                              .noise_multiplier = noise,
                              .steps = config.train.steps};
  const double epsilon =
      dp::EpsilonOf(privacy.accountant, {&releases, 1}, privacy.delta);
  Json json = {{"noise_multiplier", noise},
               {"steps", config.train.steps},
               {"epsilon", epsilon},
               {"delta", privacy.delta},
               {"accountant", dp::Word(privacy.accountant)},
               {"target_epsilon", nullptr},
               {"within_target", nullptr},
               {"after_ledger", AfterLedger(config, releases)}};
  if (privacy.target_epsilon) {
    json["target_epsilon"] = *privacy.target_epsilon;
    json["within_target"] = epsilon <= *privacy.target_epsilon;
  }
  return json;
}

Json PlanOf(const PlanRequest& request) {
  const auto config = daemon::LoadConfig(request.config, {});
  const auto kind = config.mixing.topology.kind;
  if (kind == mixing::TopologyKind::kFile)
    throw Exit(kUsage, "plan does not know a topology that is written down");
  const auto nodes = static_cast<std::size_t>(
      request.nodes > 0
          ? request.nodes
          : std::max<int>(config.cluster.expect,
                          static_cast<int>(config.cluster.peers.size()) + 1));
  const auto rates = ParseRates(request, nodes);
  const auto weights = Weights(config, request.inputs);
  const auto rule = mixing::MakeRule(config.mixing.rule);
  const auto bytes = static_cast<double>(
      daemon::MessageBytes(rule->habits(), config.mixing.wire, weights));
  // What the profile is for, if nobody measured.
  const auto& profile = config.cluster.profile;
  const Link link = {
      .latency = request.latency_us > 0 ? request.latency_us * 1e-6
                 : profile == "wan"     ? 20e-3
                 : profile == "lan"     ? 100e-6
                                        : 20e-6,
      .bandwidth = request.bandwidth_mb > 0 ? request.bandwidth_mb * 1e6
                   : profile == "wan"       ? 12.5e6
                   : profile == "lan"       ? 1.25e9
                                            : 3e9};
  const auto wire = WireTimesOf(nodes, bytes, link);
  const auto mixing = MixingOf(kind, nodes);
  const auto every = config.resync.every_steps;
  const bool asks = rule->habits().asks != mixing::Habits::Asks::kNever;
  return {
      {"schema", 1},
      {"nodes", nodes},
      {"rule", mixing::Word(config.mixing.rule)},
      {"topology", mixing::Word(kind)},
      {"parameters", weights},
      {"privacy", Privacy(config)},
      {"effective_weights",
       EffectiveWeights(rates, config.mixing.objective_nodes)},
      {"mixing",
       {{"rate", mixing.rate},
        {"rounds_to_1e3", mixing.to_1e3 ? Json(*mixing.to_1e3) : Json(nullptr)},
        {"consensus_variance", ConsensusVariance(kind, nodes, every)},
        {"resync_every_steps", every}}},
      {"wire",
       {{"message_bytes", bytes},
        {"bytes_per_exchange",
         bytes *
             ((rule->habits().ask_carries != mixing::Carries::kNothing) +
              rule->habits().answer_carries) *
             asks},
        {"latency_seconds", link.latency},
        {"bandwidth_bytes_per_second", link.bandwidth},
        {"exchange_seconds", wire.exchange},
        {"ring_all_reduce_seconds", wire.ring},
        {"halving_doubling_seconds", wire.halving_doubling},
        {"parameter_server_seconds", wire.server}}},
      {"advice", Advice(kind, nodes, every, rates)}};
}

std::string Millis(const Json& seconds) {
  return fmt::format("{:.3g} ms", 1e3 * seconds.get<double>());
}

void PrintPlan(const Json& plan) {
  fmt::print("{} nodes, rule {}, topology {}, {} parameters\n\n",
             plan["nodes"].get<int>(), plan["rule"].get<std::string>(),
             plan["topology"].get<std::string>(),
             plan["parameters"].get<std::uint64_t>());
  if (const auto& privacy = plan["privacy"]; !privacy.is_null()) {
    fmt::print(
        "privacy    epsilon {:.4f} at delta {} after {} steps, noise "
        "multiplier {:.4f}\n",
        std::ceil(privacy["epsilon"].get<double>() * 1e4) / 1e4,
        privacy["delta"].get<double>(), privacy["steps"].get<std::uint64_t>(),
        privacy["noise_multiplier"].get<double>());
    if (privacy["within_target"] == false)
      fmt::print(
          "           that is more than the target of {}: training will "
          "stop before its last step\n",
          privacy["target_epsilon"].get<double>());
    if (const auto& after = privacy["after_ledger"]; !after.is_null())
      fmt::print(
          "ledger     {} steps are charged already, epsilon {:.4f}; {} of the "
          "{} planned fit,\n           then it is {:.4f} (by {})\n",
          after["steps_charged"].get<std::uint64_t>(),
          std::ceil(after["epsilon_spent"].get<double>() * 1e4) / 1e4,
          after["steps_that_fit"].get<std::uint64_t>(),
          privacy["steps"].get<std::uint64_t>(),
          std::ceil(after["epsilon_after"].get<double>() * 1e4) / 1e4,
          after["accountant"].get<std::string>());
  }
  const auto weights = plan["effective_weights"].get<std::vector<double>>();
  std::vector<std::string> shown;
  for (std::size_t i = 0; i < std::min<std::size_t>(weights.size(), 8); ++i)
    shown.push_back(fmt::format("{:.2f}", weights[i]));
  fmt::print("weights    each node's data counts for {}{}\n",
             fmt::join(shown, " "), weights.size() > 8 ? " ..." : "");
  const auto& mixing = plan["mixing"];
  fmt::print(
      "mixing     {:.4g} of disagreement is left a round, {} rounds to a "
      "thousandth\n",
      mixing["rate"].get<double>(),
      mixing["rounds_to_1e3"].is_null()
          ? std::string("more than 10^7")
          : fmt::format("{}", mixing["rounds_to_1e3"].get<int>()));
  fmt::print("           consensus variance {:.3g} of a step's noise\n",
             mixing["consensus_variance"].get<double>());
  const auto& wire = plan["wire"];
  fmt::print(
      "wire       {:.0f} bytes a message; an exchange {}, ring all-reduce "
      "{},\n           halving-doubling {}, parameter server {}\n",
      wire["message_bytes"].get<double>(), Millis(wire["exchange_seconds"]),
      Millis(wire["ring_all_reduce_seconds"]),
      Millis(wire["halving_doubling_seconds"]),
      Millis(wire["parameter_server_seconds"]));
  fmt::print("           at {:.3g} us and {:.4g} MB/s each way\n\n",
             1e6 * wire["latency_seconds"].get<double>(),
             1e-6 * wire["bandwidth_bytes_per_second"].get<double>());
  for (const auto& line : plan["advice"])
    fmt::print("* {}\n", line.get<std::string>());
}

void Run(const PlanRequest& request) {
  if (request.output != "table" && request.output != "json")
    throw Exit(kUsage, fmt::format("--output {} is unknown; use table or json",
                                   request.output));
  Json plan;
  try {
    plan = PlanOf(request);
  } catch (const daemon::ConfigError& error) {
    throw Exit(kUsage, error.what());
  } catch (const dp::LedgerError& error) {
    throw Exit(kError, error.what());
  } catch (const std::invalid_argument& error) {
    throw Exit(kUsage, error.what());
  }
  if (request.output == "json")
    std::puts(plan.dump().c_str());
  else
    PrintPlan(plan);
}

}  // namespace

void AddPlanVerb(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "plan", "What a configuration costs and gives, before it is run");
  const auto request = std::make_shared<PlanRequest>();
  verb->add_option("--config", request->config, "A node's hearsayd.toml")
      ->required()
      ->check(CLI::ExistingFile);
  verb->add_option("--nodes", request->nodes,
                   "How many there will be; else those of the file")
      ->check(CLI::Range(1, 1'000'000));
  verb->add_option(
      "--rates", request->rates,
      "Steps a second of each, as 1,1,1,0.1; the rest as the last");
  verb->add_option("--latency", request->latency_us,
                   "Microseconds, one way; else by the profile")
      ->check(CLI::PositiveNumber);
  verb->add_option("--bandwidth", request->bandwidth_mb,
                   "MB/s of a link; else by the profile")
      ->check(CLI::PositiveNumber);
  verb->add_option("--inputs", request->inputs,
                   "Features of a record, where the shard is not here")
      ->check(CLI::PositiveNumber);
  verb->add_option("-o,--output", request->output, "table or json");
  verb->footer(kPlanFooter);
  verb->callback([request] { Run(*request); });
}

}  // namespace hearsay::ops
