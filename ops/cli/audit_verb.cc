// audit: what an attacker who sees everything that a node releases can prove
// about its privacy, against what is claimed.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>

#include "daemon/config.h"
#include "dp/accountant.h"
#include "dp/pld.h"
#include "ops/audit/audit.h"
#include "ops/cli/progress.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kAuditFooter =
    "Trains on a data set of its own making (canaries: examples whose "
    "gradients are\n"
    "orthogonal and ten times too long, each in or out by the toss of a coin) "
    "with the\n"
    "sampler, clipping, noise, budget, ledger and trainer of hearsayd on this "
    "machine's CPU,\n"
    "and guesses from the released weights alone which were in. No private "
    "data and no\n"
    "ledger of yours is read or written; --config takes only the numbers of "
    "the privacy\n"
    "claim (sample_rate, steps, noise, delta, clip_norm) from a file.\n\n"
    "What it shows: each bound is an epsilon that the guesses disprove, with "
    "the confidence\n"
    "asked for. One above the claim proves a fault in the build or in the "
    "claim. One below\n"
    "it proves nothing but that this attack found none: a lower bound is no "
    "guarantee.\n"
    "  one-run  Steinke, Nasr and Jagielski 2023: assumes nothing\n"
    "  f-DP     Mahloujifar and others 2024: that the claim is a Gaussian's "
    "curve\n"
    "  GDP      Nasr and others 2023: also that canaries are scored "
    "independently;\n"
    "           the sharpest, so the one that finds faults\n"
    "The checks beside them (noise, influence, sampling, ledger) hold or do "
    "not; a sound\n"
    "build fails one in a million times or less, a bound by chance in up to "
    "one of\n"
    "1 / (1 - confidence) runs where it is near the claim. It does not look "
    "at GPUs, nor\n"
    "at data sets, configurations or code other than this program's.\n\n"
    "Exit: 0 all bounds are at most the claim and all checks hold; 4 some "
    "not; 2 usage.\n\n"
    "Examples:\n"
    "  hearsay audit\n"
    "  hearsay audit --config run/a/hearsayd.toml -o json";

struct AuditRequest {
  double epsilon = 4;
  double delta = 1e-5;
  std::string config;
  std::size_t canaries = 5000;
  std::uint64_t steps = 200;
  double sample_rate = 0.1;
  double confidence = 0.95;
  std::uint64_t seed = 0;
  std::string output = "table";
};

// What the command line says counts for more than the file.
struct Given {
  bool epsilon, delta, steps, sample_rate, seed;
};

AuditTerms TermsOf(const AuditRequest& request, const Given& given) {
  AuditTerms terms;
  terms.canaries = request.canaries;
  terms.confidence = request.confidence;
  terms.steps = request.steps;
  terms.sample_rate = request.sample_rate;
  terms.delta = request.delta;
  terms.coins = given.seed ? request.seed : std::random_device()();
  std::optional<double> noise;
  double epsilon = request.epsilon;
  if (!request.config.empty()) {
    const auto config = daemon::LoadConfig(request.config, {});
    const auto& privacy = config.privacy;
    if (!given.steps) terms.steps = config.train.steps;
    if (!given.sample_rate) terms.sample_rate = daemon::MostSampleRate(config);
    if (!given.delta) terms.delta = privacy.delta;
    terms.clip_norm = privacy.clip_norm;
    terms.accountant = privacy.accountant;
    if (!given.epsilon) {
      noise = privacy.noise_multiplier;
      if (!noise && !privacy.target_epsilon)
        throw Exit(kUsage, request.config +
                               " claims no privacy: there is no "
                               "noise_multiplier and no target_epsilon");
      epsilon = privacy.target_epsilon.value_or(epsilon);
    }
  }
  if (!(terms.sample_rate > 0 && terms.sample_rate <= 1))
    throw Exit(kUsage, "the sample rate must be above 0 and at most 1");
  terms.noise_multiplier =
      noise ? *noise
            : dp::CalibrateNoise(terms.accountant, terms.sample_rate,
                                 terms.steps, terms.delta, epsilon);
  return terms;
}

std::string Verdict(const AuditReport& report) {
  if (report.Holds())
    return "No fault found: every bound is at most the claim, and every check "
           "holds. That is no proof that there is none.";
  if (!report.BoundsHold() && !report.ChecksHold())
    return "THE CLAIM IS FALSE: a bound is above it, and a check does not "
           "hold. Do not publish anything that this build has trained.";
  if (!report.BoundsHold())
    return fmt::format(
        "THE CLAIM IS DISPROVED with confidence {}: a bound is above it. Run "
        "it again; if it is so again, publish nothing that this build has "
        "trained.",
        report.terms.confidence);
  return "A CHECK DOES NOT HOLD, though no bound disproves the claim. Do not "
         "publish anything that this build has trained.";
}

Json ToJson(const AuditReport& report) {
  Json checks = Json::array();
  for (const auto& check : report.checks)
    checks.push_back({{"name", check.name},
                      {"value", check.value},
                      {"least", check.least},
                      {"most", check.most},
                      {"holds", check.holds()}});
  const auto& terms = report.terms;
  return {{"schema", 1},
          {"claim",
           {{"epsilon", report.claim},
            {"delta", terms.delta},
            {"accountant", dp::Word(terms.accountant)},
            {"sample_rate", terms.sample_rate},
            {"noise_multiplier", terms.noise_multiplier},
            {"steps", terms.steps},
            {"clip_norm", terms.clip_norm}}},
          {"canaries", terms.canaries},
          {"included", report.included},
          {"seed", terms.coins},
          {"confidence", terms.confidence},
          {"guesses", report.guesses},
          {"correct", report.correct},
          {"bounds",
           {{"one_run", report.one_run},
            {"f_dp", report.f_dp},
            {"gdp", report.gdp}}},
          {"noise_variance",
           {{"value", report.noise_variance},
            {"low", report.noise_low},
            {"high", report.noise_high}}},
          {"checks", checks},
          {"seconds", report.seconds},
          {"holds", report.Holds()},
          {"verdict", Verdict(report)}};
}

void PrintTable(const AuditReport& report) {
  const auto& terms = report.terms;
  fmt::print(
      "claim      epsilon {:.4f} at delta {} ({}), of {} steps at rate {}, "
      "noise multiplier {:.4f}\n",
      std::ceil(report.claim * 1e4) / 1e4, terms.delta,
      dp::Word(terms.accountant), terms.steps, terms.sample_rate,
      terms.noise_multiplier);
  fmt::print(
      "canaries   {}, of which {} in; {} of {} guesses right (coins: --seed "
      "{})\n\n",
      terms.canaries, report.included, report.correct, report.guesses,
      terms.coins);
  fmt::print("lower bounds on epsilon, confidence {}\n", terms.confidence);
  const auto bound = [&](const char* name, double value) {
    fmt::print("  {:<9}{:>8.3f}  {}\n", name, value,
               value <= report.claim ? "at most the claim" : "ABOVE THE CLAIM");
  };
  bound("one-run", report.one_run);
  bound("f-DP", report.f_dp);
  bound("GDP", report.gdp);
  fmt::print(
      "\nnoise variance, over the accounted one: {:.4f}, within [{:.4f}, "
      "{:.4f}]\n\nchecks\n",
      report.noise_variance, report.noise_low, report.noise_high);
  for (const auto& check : report.checks)
    fmt::print("  {:<52} {:>11.6f}  {}\n", check.name, check.value,
               check.holds() ? fmt::format("holds")
                             : fmt::format("FAILS: must be {:.6g} to {:.6g}",
                                           check.least, check.most));
  fmt::print("\n{}\n", Verdict(report));
}

void Run(const AuditRequest& request, const Given& given) {
  std::optional<AuditReport> report;
  try {
    const auto terms = TermsOf(request, given);
    Progress progress;
    std::uint64_t told = 0;
    report = RunAudit(terms, [&](std::uint64_t step) {
      // Ten lines where the output is no terminal.
      const std::uint64_t tenth = 10 * step / terms.steps;
      if (tenth <= told) return;
      told = tenth;
      progress.Show(fmt::format("audit: {} of {} steps", step, terms.steps));
    });
  } catch (const daemon::ConfigError& error) {
    throw Exit(kUsage, error.what());
  } catch (const std::invalid_argument& error) {
    throw Exit(kUsage, error.what());
  }
  if (request.output == "json")
    std::puts(ToJson(*report).dump().c_str());
  else
    PrintTable(*report);
  std::fflush(stdout);
  if (!report->Holds()) throw Exit(kUnhealthy, "the audit found a fault");
}

}  // namespace

void AddAuditVerb(CLI::App& app) {
  auto* const verb = app.add_subcommand(
      "audit", "Try to disprove the privacy claim, on made-up data");
  const auto request = std::make_shared<AuditRequest>();
  auto* const epsilon =
      verb->add_option("--epsilon", request->epsilon,
                       "the claim that the noise is calibrated for")
          ->check(CLI::PositiveNumber)
          ->capture_default_str();
  auto* const delta = verb->add_option("--delta", request->delta,
                                       "of the claim, above 0 and below 1")
                          ->capture_default_str();
  verb->add_option("--config", request->config,
                   "a node's hearsayd.toml: its claim instead; options given "
                   "beside it count for more")
      ->check(CLI::ExistingFile);
  verb->add_option("--canaries", request->canaries,
                   "examples to guess at: with fewer, bounds are lower")
      ->check(CLI::Range(100, 100'000))
      ->capture_default_str();
  auto* const steps = verb->add_option("--steps", request->steps, "noisy steps")
                          ->check(CLI::Range(1, 1'000'000))
                          ->capture_default_str();
  auto* const rate = verb->add_option("--sample-rate", request->sample_rate,
                                      "Poisson sampling rate")
                         ->capture_default_str();
  verb->add_option("--confidence", request->confidence,
                   "of each bound, above 0.5 and below 1")
      ->capture_default_str();
  auto* const seed = verb->add_option(
      "--seed", request->seed,
      "of the coins that choose canaries (never of noise or sampling, which "
      "nothing can repeat); else by chance");
  verb->add_option("-o,--output", request->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}))
      ->capture_default_str();
  verb->footer(kAuditFooter);
  verb->callback([=] {
    Run(*request, {.epsilon = epsilon->count() > 0,
                   .delta = delta->count() > 0,
                   .steps = steps->count() > 0,
                   .sample_rate = rate->count() > 0,
                   .seed = seed->count() > 0});
  });
}

}  // namespace hearsay::ops
