#include "ops/bench/transport_bench.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "ops/bench/crew.h"
#include "ops/bench/machine.h"
#include "ops/cli/verbs.h"
#include "transport/collective/cost.h"
#include "transport/tls/authority.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;
using transport::collective::Algorithm;
namespace tls = transport::tls;

constexpr double kBytesPerMeasure = 2e9;
constexpr double kMinRounds = 5;
constexpr double kMaxRounds = 200;

// A CA and certificates that are gone when the benchmark is.
class ThrowAway {
 public:
  explicit ThrowAway(int nodes) {
    std::string name =
        (std::filesystem::temp_directory_path() / "hearsay-bench-XXXXXX")
            .string();
    if (mkdtemp(name.data()) == nullptr)
      throw Exit(kError, "cannot make " + name);
    folder_ = name;
    const auto now = tls::WallNow();
    const tls::Validity validity{now - std::chrono::hours(1),
                                 now + std::chrono::days(1)};
    tls::Authority::Create(ca(), "bench", validity);
    tls::Authority authority(ca());
    for (int i = 0; i < nodes; ++i)
      authority.Issue(fmt::format("w{}", i), validity, ca(),
                      tls::Authority::IfThere::kRefuse);
  }
  ~ThrowAway() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  ThrowAway(const ThrowAway&) = delete;
  ThrowAway& operator=(const ThrowAway&) = delete;

  std::filesystem::path ca() const { return folder_ / "ca"; }

 private:
  std::filesystem::path folder_;
};

class Run {
 public:
  Run(const TransportBench& bench,
      const std::function<void(const std::string&)>& progress)
      : bench_(bench), progress_(progress) {
    if (std::ranges::count(bench.sealing, "sealed") > 0)
      credentials_.emplace(std::max(2, std::ranges::max(bench.nodes)));
  }

  Json All() {
    const MachineWatch watch;
    Json lanes = Json::array();
    for (const auto& lane : bench_.lanes)
      for (const auto& sealing : bench_.sealing)
        lanes.push_back(Lane(lane, sealing));
    Json reduces = Json::array();
    for (const auto& lane : bench_.lanes)
      for (const auto& sealing : bench_.sealing)
        for (const int nodes : bench_.nodes)
          if (bench_.all_reduces)
            AllReduces(lane, sealing, nodes, lanes, reduces);
    return {{"schema", 1},
            {"machine", watch.Report()},
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
  Json Lane(const std::string& wire, const std::string& sealing) {
    Json lane = {{"lane", wire},
                 {"transport", nullptr},
                 {"sealed", sealing == "sealed"},
                 {"latency_seconds", nullptr},
                 {"push", Json::array()},
                 {"fit", nullptr},
                 {"exchange", Json::array()}};
    if (!bench_.pushes && !bench_.exchanges) return lane;
    std::vector<std::pair<double, double>> times;
    for (const auto bytes : bench_.sizes) {
      progress_(
          fmt::format("{}, {}: arrays of {} KiB", wire, sealing, bytes >> 10));
      Crew crew(SetupOf(wire, sealing, 2, bytes));
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

  Crew::Setup SetupOf(const std::string& wire, const std::string& sealing,
                      int nodes, std::size_t bytes) const {
    return {.nodes = nodes,
            .wire = wire,
            .array_bytes = bytes,
            .credentials = sealing == "sealed" ? credentials_->ca()
                                               : std::filesystem::path()};
  }

  void AllReduces(const std::string& wire, const std::string& sealing,
                  int nodes, const Json& lanes, Json& rows) {
    progress_(fmt::format("{}, {}: all-reduce of {} processes", wire, sealing,
                          nodes));
    const auto largest =
        *std::max_element(bench_.sizes.begin(), bench_.sizes.end());
    Crew crew(SetupOf(wire, sealing, nodes, largest));
    for (const auto bytes : bench_.sizes)
      for (const auto& algorithm : bench_.algorithms) {
        const auto answers = crew.AskAll({{"measure", "all_reduce"},
                                          {"rounds", Rounds(bytes)},
                                          {"bytes", bytes},
                                          {"algorithm", algorithm},
                                          {"vote", bench_.vote},
                                          {"piece_bytes", bench_.piece_bytes}});
        Json row = {{"lane", wire},         {"sealed", sealing == "sealed"},
                    {"nodes", nodes},       {"algorithm", algorithm},
                    {"voted", bench_.vote}, {"bytes", bytes}};
        Complete(row, answers, lanes);
        rows.push_back(row);
      }
  }

  // A round takes as long as its slowest member.
  static void Complete(Json& row, const std::vector<Json>& answers,
                       const Json& lanes) {
    std::vector<double> seconds = answers.front().at("seconds");
    for (const auto& answer : answers) {
      const std::vector<double> others = answer.at("seconds");
      for (std::size_t i = 0; i < seconds.size(); ++i)
        seconds[i] = std::max(seconds[i], others.at(i));
    }
    const std::string chosen = answers.front().at("detail");
    row["chosen"] = chosen;
    row["seconds"] = ToJson(SpreadOf(seconds));
    row["predicted_seconds"] = nullptr;
    for (const auto& lane : lanes)
      if (lane["lane"] == row["lane"] && lane["sealed"] == row["sealed"] &&
          !lane["fit"].is_null())
        row["predicted_seconds"] = transport::collective::PredictSeconds(
            *transport::collective::AllReduceNamed(chosen), row["nodes"],
            row["bytes"],
            {.latency = lane["fit"]["alpha_seconds"],
             .overhead = 0,
             .per_byte = lane["fit"]["beta_seconds_per_byte"]});
  }

  const TransportBench& bench_;
  const std::function<void(const std::string&)>& progress_;
  std::optional<ThrowAway> credentials_;
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
