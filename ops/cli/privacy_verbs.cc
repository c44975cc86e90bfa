// epsilon and calibrate: accounting without a daemon.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <system_error>

#include "dp/accountant.h"
#include "dp/pld.h"
#include "dp/rdp.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {
namespace {

constexpr const char* kAdjacency = "add or remove one record";
constexpr const char* kConversion =
    "Canonne, Kamath and Steinke 2020, Proposition 12";

constexpr const char* kEpsilonFooter =
    "The loss is for any one record of the data set (adjacency: add or remove "
    "one record),\n"
    "for Poisson sampling and noise of standard deviation sigma * clip norm on "
    "the sum.\n\n"
    "  rdp  Renyi divergences, converted after Canonne, Kamath and Steinke "
    "2020,\n"
    "       Proposition 12; the older conversion of Mironov 2017, found in "
    "many "
    "papers,\n"
    "       gives larger numbers for the same training\n"
    "  pld  the distribution of the loss itself (Doroshenko and others 2022, "
    "connect\n"
    "       the dots): the least epsilon that is true, by a tenth or so; delta "
    "from 1e-9\n\n"
    "Example, batches of 256 of 60000 records for 60 epochs:\n"
    "  hearsay epsilon --q 0.0042667 --sigma 1.1 --steps 14063 --delta 1e-5\n"
    "Roughly: twice the steps cost 1.4 times the epsilon; twice the rate costs "
    "twice;\n"
    "below sigma 0.7 or so it rises steeply. Choose delta well below 1 / "
    "(number of records).";

constexpr const char* kCalibrateFooter =
    "Prints the least noise multiplier that keeps the training within epsilon, "
    "rounded up\n"
    "(by less than 0.01 %), and the epsilon that it really costs. Adjacency: "
    "add or remove\n"
    "one record; rdp (Canonne, Kamath and Steinke 2020, Proposition 12) and "
    "pld as in\n"
    "`hearsay epsilon`.\n\n"
    "Example:\n"
    "  hearsay calibrate --q 0.02 --steps 600 --delta 1e-5 --epsilon 1";

struct EpsilonRequest {
  double sample_rate = 0;
  double noise_multiplier = 0;
  std::string steps_text;
  std::uint64_t steps = 0;
  double delta = 0;
  double epsilon = 0;
  std::string accountant = "rdp";
  std::string output = "table";
};

// What the user gave is at fault, so exit 2; CLI11 only checks that numbers are
// numbers.
void Check(bool good, const std::string& option, double value,
           const char* allowed) {
  if (!good)
    throw Exit(kUsage, fmt::format("{} {} is out of range: it must be {}",
                                   option, value, allowed));
}

// CLI11 would read -1 as 2^64 - 1 and 010 as 8.
std::uint64_t ParseSteps(const std::string& text) {
  std::uint64_t steps = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, steps);
  if (error != std::errc() || stop != end)
    throw Exit(kUsage, fmt::format("--steps {} is not a count: it must be a "
                                   "whole number from 0 to 2^64 - 1",
                                   text));
  return steps;
}

void CheckCommon(EpsilonRequest& request) {
  if (request.accountant != "rdp" && request.accountant != "pld")
    throw Exit(kUsage, fmt::format("--accountant {} is unknown; use rdp or pld",
                                   request.accountant));
  if (request.output != "table" && request.output != "json")
    throw Exit(kUsage, fmt::format("--output {} is unknown; use table or json",
                                   request.output));
  Check(request.sample_rate >= 0 && request.sample_rate <= 1, "--q",
        request.sample_rate,
        "from 0 to 1, the chance of a record to be in a "
        "step's batch");
  Check(request.delta > 0 && request.delta < 1, "--delta", request.delta,
        "above 0 and below 1");
  Check(request.accountant == "rdp" || request.delta >= dp::kLeastPldDelta,
        "--delta", request.delta,
        "1e-9 or more for --accountant pld, or the rounding of its sums would "
        "count; rdp has no such limit");
  request.steps = ParseSteps(request.steps_text);
}

// No digit shown may promise more than is true: rounded up at six decimals.
std::string RoundedUp(double value) {
  if (!std::isfinite(value)) return "infinite: nothing is promised";
  return fmt::format("{:.6f}", std::ceil(value * 1e6) / 1e6);
}

// Epsilon, and how it came about.
struct Answer {
  double epsilon = 0;
  nlohmann::ordered_json method;
  std::string words;
};

dp::Accountant AccountantOf(const EpsilonRequest& request) {
  return request.accountant == "pld" ? dp::Accountant::kPld
                                     : dp::Accountant::kRdp;
}

Answer AnswerOf(const EpsilonRequest& request) {
  const dp::Releases releases{request.sample_rate, request.noise_multiplier,
                              request.steps};
  if (AccountantOf(request) == dp::Accountant::kPld)
    return {dp::EpsilonOf(dp::Accountant::kPld, {&releases, 1}, request.delta),
            {{"grid", dp::kLossGrid}},
            fmt::format("pld, connect the dots, grid {}", dp::kLossGrid)};
  const dp::EpsilonBound bound = dp::RdpEpsilon(releases, request.delta);
  return {
      bound.epsilon,
      {{"conversion", kConversion}, {"order", bound.order}},
      fmt::format("rdp, order {}; conversion: {}", bound.order, kConversion)};
}

void PrintPrivacy(const EpsilonRequest& request) {
  const Answer answer = AnswerOf(request);
  if (request.output == "json") {
    nlohmann::ordered_json json = {
        {"schema", 1},
        {"accountant", request.accountant},
        {"adjacency", kAdjacency},
        {"sample_rate", request.sample_rate},
        {"noise_multiplier", request.noise_multiplier},
        {"steps", request.steps},
        {"delta", request.delta}};
    // JSON has no infinity: null, and a word for it.
    json["epsilon"] = std::isfinite(answer.epsilon)
                          ? nlohmann::ordered_json(answer.epsilon)
                          : nlohmann::ordered_json(nullptr);
    json["private"] = std::isfinite(answer.epsilon);
    json.update(answer.method);
    std::puts(json.dump().c_str());
    return;
  }
  fmt::print("epsilon           {}\n", RoundedUp(answer.epsilon));
  fmt::print("delta             {}\n", request.delta);
  fmt::print("noise multiplier  {}\n", request.noise_multiplier);
  fmt::print("sample rate       {}\n", request.sample_rate);
  fmt::print("steps             {}\n", request.steps);
  fmt::print("adjacency         {}\n", kAdjacency);
  fmt::print("accountant        {}\n", answer.words);
}

void RunEpsilon(EpsilonRequest request) {
  CheckCommon(request);
  Check(
      request.noise_multiplier >= 0 && std::isfinite(request.noise_multiplier),
      "--sigma", request.noise_multiplier,
      "0 or more, the noise's standard deviation over the clip norm");
  PrintPrivacy(request);
}

void RunCalibrate(EpsilonRequest request) {
  CheckCommon(request);
  Check(request.epsilon > 0 && std::isfinite(request.epsilon), "--epsilon",
        request.epsilon, "above 0 and finite");
  try {
    request.noise_multiplier =
        dp::CalibrateNoise(AccountantOf(request), request.sample_rate,
                           request.steps, request.delta, request.epsilon);
  } catch (const std::runtime_error& error) {
    throw Exit(kUsage, error.what());
  }
  // What the table shows is what holds: round up, and account for that.
  request.noise_multiplier =
      std::max(request.noise_multiplier,
               std::ceil(request.noise_multiplier * 1e6) / 1e6);
  PrintPrivacy(request);
}

// Options that both verbs have.
void AddCommonOptions(CLI::App& verb, EpsilonRequest& request) {
  verb.add_option("--q", request.sample_rate,
                  "Poisson sampling rate: the chance of a record to be in a "
                  "step's batch, from 0 to 1")
      ->required();
  verb.add_option("--steps", request.steps_text, "noisy steps")->required();
  verb.add_option("--delta", request.delta,
                  "chance that epsilon does not hold, above 0 and below 1")
      ->required();
  verb.add_option("--accountant", request.accountant, "rdp, or pld (tighter)")
      ->capture_default_str();
  verb.add_option("-o,--output", request.output, "table or json")
      ->capture_default_str();
}

}  // namespace

void AddPrivacyVerbs(CLI::App& app) {
  auto epsilon = std::make_shared<EpsilonRequest>();
  CLI::App* const epsilon_verb = app.add_subcommand(
      "epsilon", "What a training costs in privacy, without a daemon");
  AddCommonOptions(*epsilon_verb, *epsilon);
  epsilon_verb
      ->add_option("--sigma", epsilon->noise_multiplier,
                   "noise multiplier: standard deviation of the noise over "
                   "the clip norm, 0 or more")
      ->required();
  epsilon_verb->footer(kEpsilonFooter);
  epsilon_verb->callback([epsilon] { RunEpsilon(*epsilon); });

  auto calibrate = std::make_shared<EpsilonRequest>();
  CLI::App* const calibrate_verb = app.add_subcommand(
      "calibrate", "The noise that a privacy budget needs, without a daemon");
  AddCommonOptions(*calibrate_verb, *calibrate);
  calibrate_verb
      ->add_option("--epsilon", calibrate->epsilon,
                   "the budget: above 0 and finite")
      ->required();
  calibrate_verb->footer(kCalibrateFooter);
  calibrate_verb->callback([calibrate] { RunCalibrate(*calibrate); });
}

}  // namespace hearsay::ops
