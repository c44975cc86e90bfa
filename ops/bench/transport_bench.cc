#include "ops/bench/transport_bench.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "ops/bench/crew.h"
#include "ops/bench/machine.h"
#include "transport/collective/cost.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;
using transport::collective::Algorithm;

constexpr const char* kOpenOnly =
    "lanes are open: sealed ones are not measured by this version";
constexpr double kBytesPerMeasure = 2e9;
constexpr double kMinRounds = 5;
constexpr double kMaxRounds = 200;

std::optional<Algorithm> AlgorithmOf(const std::string& name) {
  for (const auto algorithm :
       {Algorithm::kRing, Algorithm::kHalvingDoubling, Algorithm::kDirect})
    if (name == Name(algorithm)) return algorithm;
  return std::nullopt;
}

class Run {
 public:
  Run(const TransportBench& bench,
      const std::function<void(const std::string&)>& progress)
      : bench_(bench), progress_(progress) {}

  Json All() {
    const MachineWatch watch;
    Json lanes = Json::array();
    for (const auto& lane : bench_.lanes) lanes.push_back(Lane(lane));
    Json reduces = Json::array();
    for (const auto& lane : bench_.lanes)
      for (const int nodes : bench_.nodes)
        if (bench_.all_reduces) AllReduces(lane, nodes, lanes, reduces);
    return {{"schema", 1},
            {"machine", watch.Report()},
            {"notes", Json::array({kOpenOnly})},
            {"lanes", lanes},
            {"all_reduce", reduces}};
  }

 private:
  std::size_t Rounds(std::size_t bytes) const {
    return static_cast<std::size_t>(
        bench_.effort *
        std::clamp(kBytesPerMeasure / static_cast<double>(bytes), kMinRounds,
                   kMaxRounds));
  }

  static Spread Ask(Crew& crew, const std::string& measure,
                    std::size_t rounds) {
    return SpreadOf(crew.AskFirst({{"measure", measure}, {"rounds", rounds}})
                        .at("seconds")
                        .get<std::vector<double>>());
  }

  // One pair of processes a size: a transport carries arrays of one size.
  Json Lane(const std::string& wire) {
    Json lane = {{"lane", wire},
                 {"transport", nullptr},
                 {"sealed", false},
                 {"latency_seconds", nullptr},
                 {"push", Json::array()},
                 {"fit", nullptr},
                 {"exchange", Json::array()}};
    if (!bench_.pushes && !bench_.exchanges) return lane;
    std::vector<std::pair<double, double>> times;
    for (const auto bytes : bench_.sizes) {
      progress_(fmt::format("{}: arrays of {} KiB", wire, bytes >> 10));
      Crew crew({.nodes = 2, .wire = wire, .array_bytes = bytes});
      lane["transport"] = crew.lane();
      if (bench_.pushes) {
        if (lane["latency_seconds"].is_null()) {
          const auto there_and_back = Ask(crew, "latency", 500);
          lane["latency_seconds"] =
              ToJson({there_and_back.p10 / 2, there_and_back.median / 2,
                      there_and_back.p90 / 2});
        }
        const auto push = Ask(crew, "push", Rounds(bytes));
        times.emplace_back(bytes, push.median);
        lane["push"].push_back(PushRow(crew, bytes, push));
      }
      if (bench_.exchanges)
        lane["exchange"].push_back(
            {{"bytes", bytes},
             {"seconds", ToJson(Ask(crew, "exchange", Rounds(bytes)))}});
    }
    if (times.size() >= 2) {
      const auto fit = FitAlphaBeta(times);
      lane["fit"] = {{"alpha_seconds", fit.alpha},
                     {"beta_seconds_per_byte", fit.beta}};
    }
    return lane;
  }

  Json PushRow(Crew& crew, std::size_t bytes, const Spread& alone) const {
    const auto stream = Ask(crew, "stream", 2 * Rounds(bytes));
    return {{"bytes", bytes},
            {"seconds", ToJson(alone)},
            {"stream_seconds", ToJson(stream)},
            {"bytes_per_second", static_cast<double>(bytes) / stream.median}};
  }

  void AllReduces(const std::string& wire, int nodes, const Json& lanes,
                  Json& rows) {
    progress_(fmt::format("{}: all-reduce of {} processes", wire, nodes));
    const auto largest =
        *std::max_element(bench_.sizes.begin(), bench_.sizes.end());
    Crew crew({.nodes = nodes, .wire = wire, .array_bytes = largest});
    for (const auto bytes : bench_.sizes)
      for (const auto& algorithm : bench_.algorithms) {
        const auto answers = crew.AskAll({{"measure", "all_reduce"},
                                          {"rounds", Rounds(bytes)},
                                          {"bytes", bytes},
                                          {"algorithm", algorithm},
                                          {"piece_bytes", bench_.piece_bytes}});
        rows.push_back(Row(wire, nodes, bytes, algorithm, answers, lanes));
      }
  }

  // A round takes as long as its slowest member.
  static Json Row(const std::string& wire, int nodes, std::size_t bytes,
                  const std::string& algorithm,
                  const std::vector<Json>& answers, const Json& lanes) {
    std::vector<double> seconds = answers.front().at("seconds");
    for (const auto& answer : answers) {
      const std::vector<double> others = answer.at("seconds");
      for (std::size_t i = 0; i < seconds.size(); ++i)
        seconds[i] = std::max(seconds[i], others.at(i));
    }
    const std::string chosen = answers.front().at("detail");
    Json predicted;
    for (const auto& lane : lanes)
      if (lane["lane"] == wire && !lane["fit"].is_null())
        predicted = transport::collective::PredictSeconds(
            *AlgorithmOf(chosen), static_cast<unsigned>(nodes), bytes,
            {.latency = lane["fit"]["alpha_seconds"],
             .overhead = 0,
             .per_byte = lane["fit"]["beta_seconds_per_byte"]});
    return {{"lane", wire},
            {"nodes", nodes},
            {"algorithm", algorithm},
            {"chosen", chosen},
            {"bytes", bytes},
            {"seconds", ToJson(SpreadOf(seconds))},
            {"predicted_seconds", predicted}};
  }

  const TransportBench& bench_;
  const std::function<void(const std::string&)>& progress_;
};

}  // namespace

// Least squares with weights 1 / t^2.
AlphaBeta FitAlphaBeta(const std::vector<std::pair<double, double>>& times) {
  assert(times.size() >= 2);
  double w = 0, wx = 0, wy = 0, wxx = 0, wxy = 0;
  for (const auto& [x, y] : times) {
    const double weight = 1 / (y * y);
    w += weight;
    wx += weight * x;
    wy += weight * y;
    wxx += weight * x * x;
    wxy += weight * x * y;
  }
  const double beta = (w * wxy - wx * wy) / (w * wxx - wx * wx);
  const double alpha = (wy - beta * wx) / w;
  if (alpha >= 0 && beta >= 0) return {alpha, beta};
  if (alpha < 0) return {0, wxy / wxx};
  return {wy / w, 0};
}

Json RunTransportBench(
    const TransportBench& bench,
    const std::function<void(const std::string&)>& progress) {
  return Run(bench, progress).All();
}

}  // namespace hearsay::ops
