// hearsay bench transport: real processes, for as short as it goes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "ops/bench/machine.h"
#include "ops/bench/transport_bench.h"
#include "tests/ops/program.h"

namespace hearsay::tests {
namespace {

using testing::DoubleNear;
using testing::HasSubstr;

// Workers of a benchmark that carries arrays of `bytes`.
std::vector<pid_t> WorkersFor(const std::string& bytes) {
  std::vector<pid_t> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
    std::ifstream stream(entry.path() / "cmdline");
    const std::string line((std::istreambuf_iterator<char>(stream)), {});
    if (line.find(std::string("worker") + '\0') != std::string::npos &&
        line.find('\0' + bytes + '\0') != std::string::npos)
      found.push_back(std::stoi(entry.path().filename()));
  }
  return found;
}

bool Eventually(const std::function<bool()>& condition) {
  const auto until =
      std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

void ExpectOrdered(const Json& spread) {
  EXPECT_GT(spread["p10"], 0);
  EXPECT_LE(spread["p10"], spread["median"]);
  EXPECT_LE(spread["median"], spread["p90"]);
}

TEST(BenchTransportTest, MeasuresWhatItIsAskedToAndSaysHowTheMachineWas) {
  const auto outcome = HearsayLine(
      "bench transport --quick --sizes 4KiB,64KiB --nodes 2,3 -o json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto json = Json::parse(outcome.out);
  EXPECT_EQ(json["schema"], 1);
  EXPECT_TRUE(json["machine"]["idle"].is_boolean());
  EXPECT_EQ(json["machine"]["idle"], json["machine"]["notes"].empty());
  ASSERT_EQ(json["lanes"].size(), 4U);  // two, open and sealed
  for (const auto& lane : json["lanes"]) {
    ExpectOrdered(lane["latency_seconds"]);
    ASSERT_EQ(lane["push"].size(), 2U);
    ASSERT_EQ(lane["exchange"].size(), 2U);
    for (const auto& push : lane["push"]) ExpectOrdered(push["seconds"]);
    for (const auto& one : lane["exchange"]) ExpectOrdered(one["seconds"]);
    EXPECT_GE(lane["fit"]["alpha_seconds"], 0);
  }
  ASSERT_EQ(json["all_reduce"].size(), 4U * 2U * 2U * 3U);
  for (const auto& row : json["all_reduce"]) {
    EXPECT_EQ(row["voted"], true);
    ExpectOrdered(row["seconds"]);
    EXPECT_GT(row["predicted_seconds"], 0);
    EXPECT_TRUE(row["algorithm"] == "auto" ||
                row["algorithm"] == row["chosen"]);
  }
}

TEST(BenchTransportTest, TheTableHasALineForEachMeasure) {
  const auto outcome = HearsayLine(
      "bench transport --quick --sizes 4KiB --nodes 2 --lane socket "
      "--algorithm ring --only all-reduce");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("4 KiB"));
  EXPECT_THAT(outcome.out, HasSubstr("ring"));
  EXPECT_THAT(outcome.out, testing::Not(HasSubstr("EXCHANGE")));
}

TEST(BenchTransportTest, AllReducesCanDoWithoutTheVote) {
  const auto outcome = HearsayLine(
      "bench transport --quick --sizes 64KiB --nodes 4 --lane socket "
      "--sealing open --only all-reduce --algorithm doubling --no-vote "
      "-o json");
  ASSERT_EQ(outcome.code, 0) << outcome.err;
  const auto rows = Json::parse(outcome.out)["all_reduce"];
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0]["voted"], false);
  ExpectOrdered(rows[0]["seconds"]);
}

TEST(BenchTransportTest, WhatCannotBeMeasuredIsAUsageError) {
  for (const char* arguments :
       {"--sizes 3", "--sizes 0", "--sizes 2GiB", "--sizes 4KiB,", "--sizes x",
        "--sizes 99999999999999999999", "--nodes 1", "--nodes 65",
        "--nodes two", "--lane rdma", "--sealing wax", "--only pull",
        "--algorithm tree", "--output yaml"}) {
    const auto outcome =
        HearsayLine("bench transport " + std::string(arguments));
    EXPECT_EQ(outcome.code, 2) << arguments;
    EXPECT_NE(outcome.err, "") << arguments;
    EXPECT_EQ(outcome.out, "") << arguments;
  }
}

TEST(BenchTransportTest, AWorkerThatDiesEndsItWithAnErrorAndTheOthersToo) {
  const std::string bytes = "8388596";
  Running bench({"bench", "transport", "--sizes", bytes, "--nodes", "3",
                 "--only", "all-reduce", "--lane", "socket", "--sealing",
                 "open"});
  ASSERT_TRUE(Eventually([&] { return WorkersFor(bytes).size() == 3; }));
  kill(WorkersFor(bytes).back(), SIGKILL);
  const auto outcome = bench.Wait();
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("worker"));
  EXPECT_TRUE(WorkersFor(bytes).empty());
}

TEST(BenchTransportTest, WorkersEndWithWhoHasStartedThem) {
  const std::string bytes = "8388592";
  {
    const Running bench({"bench", "transport", "--sizes", bytes, "--nodes", "3",
                         "--only", "all-reduce", "--lane", "socket",
                         "--sealing", "open"});
    ASSERT_TRUE(Eventually([&] { return WorkersFor(bytes).size() == 3; }));
  }  // Killed.
  EXPECT_TRUE(Eventually([&] { return WorkersFor(bytes).empty(); }));
}

TEST(FitAlphaBetaTest, FindsTheLineThatMadeTheTimes) {
  std::vector<std::pair<double, double>> times;
  for (const double bytes : {1e3, 1e5, 1e7})
    times.emplace_back(bytes, 2e-5 + bytes * 3e-10);
  const auto fit = ops::FitAlphaBeta(times);
  EXPECT_THAT(fit.alpha, DoubleNear(2e-5, 1e-10));
  EXPECT_THAT(fit.beta, DoubleNear(3e-10, 1e-15));
}

TEST(FitAlphaBetaTest, IsNeverNegative) {
  const auto steep = ops::FitAlphaBeta({{1, 1}, {10, 100}});
  EXPECT_EQ(steep.alpha, 0);
  EXPECT_GT(steep.beta, 0);
  const auto falling = ops::FitAlphaBeta({{1, 100}, {10, 1}});
  EXPECT_GT(falling.alpha, 0);
  EXPECT_EQ(falling.beta, 0);
}

TEST(SpreadTest, IsOfTheSortedValues) {
  const auto spread = ops::SpreadOf({5, 1, 4, 2, 3, 11, 7, 8, 9, 10, 6});
  EXPECT_EQ(spread.p10, 2);
  EXPECT_EQ(spread.median, 6);
  EXPECT_EQ(spread.p90, 10);
}

}  // namespace
}  // namespace hearsay::tests
