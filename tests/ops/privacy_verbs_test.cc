#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/ops/program.h"

namespace hearsay::ops {
namespace {

using tests::HearsayLine;
using tests::Outcome;

constexpr const char* kKnown =
    "epsilon --q 0.01 --sigma 1 --steps 1000 --delta 1e-5";

// Oracle: quadrature in 50 digits, as in tests/dp/rdp_test.cc.
TEST(EpsilonVerbTest, PrintsTheEpsilonRoundedUp) {
  const Outcome found = HearsayLine(kKnown);
  EXPECT_EQ(found.code, 0);
  EXPECT_EQ(found.err, "");
  EXPECT_TRUE(found.out.starts_with("epsilon           2.101366\n"))
      << found.out;
  EXPECT_NE(found.out.find("add or remove one record"), std::string::npos);
  EXPECT_NE(found.out.find("Proposition 12"), std::string::npos);
}

TEST(EpsilonVerbTest, AnswersInJson) {
  const Outcome found = HearsayLine(std::string(kKnown) + " -o json");
  EXPECT_EQ(found.code, 0);
  const auto json = nlohmann::json::parse(found.out);
  EXPECT_EQ(json.at("schema"), 1);
  EXPECT_EQ(json.at("accountant"), "rdp");
  EXPECT_EQ(json.at("adjacency"), "add or remove one record");
  EXPECT_NEAR(json.at("epsilon").get<double>(), 2.1013652716483951883, 1e-9);
  EXPECT_GE(json.at("epsilon").get<double>(), 2.1013652716483951883);
  EXPECT_EQ(json.at("order"), 7.8);
  EXPECT_EQ(json.at("steps"), 1000);
  EXPECT_EQ(json.at("private"), true);
}

// Oracle: Google's dp_accounting, connect the dots on the same grid.
TEST(EpsilonVerbTest, AnswersByPrivacyLossDistributionsToo) {
  const std::string line = std::string(kKnown) + " --accountant pld";
  EXPECT_TRUE(HearsayLine(line).out.starts_with("epsilon           1.82824"))
      << HearsayLine(line).out;
  const Outcome found = HearsayLine(line + " -o json");
  EXPECT_EQ(found.code, 0);
  const auto json = nlohmann::json::parse(found.out);
  EXPECT_EQ(json.at("accountant"), "pld");
  EXPECT_NEAR(json.at("epsilon").get<double>(), 1.8282436452775885, 1e-6);
  EXPECT_EQ(json.at("grid"), 1e-4);
  EXPECT_FALSE(json.contains("order"));
}

TEST(CalibrateVerbTest, NeedsLessNoiseByPrivacyLossDistributions) {
  const auto json = nlohmann::json::parse(
      HearsayLine("calibrate --q 0.04 --steps 2000 --delta 1e-5 --epsilon "
                  "7.383118310031248 --accountant pld -o json")
          .out);
  EXPECT_EQ(json.at("accountant"), "pld");
  // The shared table: sigma 1.3562 gives this epsilon.
  EXPECT_NEAR(json.at("noise_multiplier").get<double>(), 1.3562, 2e-4);
  EXPECT_GE(json.at("noise_multiplier").get<double>(), 1.3562 * (1 - 1e-6));
  EXPECT_LE(json.at("epsilon").get<double>(), 7.383118310031248);
}

TEST(EpsilonVerbTest, PromisesNothingWithoutNoise) {
  const std::string none = "epsilon --q 0.01 --sigma 0 --steps 1 --delta 1e-5";
  const Outcome table = HearsayLine(none);
  EXPECT_EQ(table.code, 0);
  EXPECT_NE(table.out.find("nothing is promised"), std::string::npos);
  const auto json = nlohmann::json::parse(HearsayLine(none + " -o json").out);
  EXPECT_TRUE(json.at("epsilon").is_null());
  EXPECT_EQ(json.at("private"), false);
}

TEST(CalibrateVerbTest, FindsNoiseThatKeepsTheBudget) {
  const Outcome found = HearsayLine(
      "calibrate --q 0.04 --steps 2000 --delta 1e-5 --epsilon 8 --output json");
  EXPECT_EQ(found.code, 0);
  const auto json = nlohmann::json::parse(found.out);
  // Published: sigma 1.3562 gives 7.9993889.
  EXPECT_NEAR(json.at("noise_multiplier").get<double>(), 1.3562, 3e-4);
  EXPECT_LE(json.at("epsilon").get<double>(), 8);
  EXPECT_GT(json.at("epsilon").get<double>(), 7.995);
  // And what it says is what the other verb says of it.
  const Outcome back = HearsayLine(
      "epsilon --q 0.04 --steps 2000 --delta 1e-5 -o json --sigma " +
      json.at("noise_multiplier").dump());
  EXPECT_EQ(nlohmann::json::parse(back.out).at("epsilon"), json.at("epsilon"));
}

TEST(PrivacyVerbsTest, RefuseBadValuesInOneClearLineAndExitTwo) {
  const std::string epsilon =
      "epsilon --q .1 --sigma 1 --steps 9 --delta 1e-5 ";
  const std::vector<std::pair<std::string, std::string>> bad = {
      {"epsilon --q 1.5 --sigma 1 --steps 9 --delta 1e-5", "from 0 to 1"},
      {"epsilon --q -.1 --sigma 1 --steps 9 --delta 1e-5", "from 0 to 1"},
      {"epsilon --q nan --sigma 1 --steps 9 --delta 1e-5", "from 0 to 1"},
      {"epsilon --q .1 --sigma -1 --steps 9 --delta 1e-5", "0 or more"},
      {"epsilon --q .1 --sigma inf --steps 9 --delta 1e-5", "0 or more"},
      {"epsilon --q .1 --sigma 1 --steps -1 --delta 1e-5", "whole number"},
      {"epsilon --q .1 --sigma 1 --steps 1.5 --delta 1e-5", "whole number"},
      {"epsilon --q .1 --sigma 1 --steps 99999999999999999999 --delta 1e-5",
       "whole number"},
      {"epsilon --q .1 --sigma 1 --steps 9 --delta 0", "above 0 and below 1"},
      {"epsilon --q .1 --sigma 1 --steps 9 --delta 1", "above 0 and below 1"},
      {"epsilon --q .1 --sigma 1 --steps 9 --delta 1e-10 --accountant pld",
       "1e-9 or more"},
      {epsilon + "--accountant gdp", "unknown"},
      {epsilon + "-o xml", "table or json"},
      {"calibrate --q .1 --steps 9 --delta 1e-5 --epsilon 0", "above 0"},
      {"calibrate --q .1 --steps 9 --delta 1e-5 --epsilon inf", "finite"},
      {"calibrate --q 2 --steps 9 --delta 1e-5 --epsilon 1", "from 0 to 1"},
      {"calibrate --q .1 --steps 9 --delta 1e-10 --epsilon 1 --accountant pld",
       "1e-9 or more"},
      {"calibrate --q 1 --steps 1000000000000000000 --delta 1e-12 --epsilon "
       "1e-9",
       "fewer steps or a larger epsilon"}};
  for (const auto& [arguments, why] : bad) {
    const Outcome found = HearsayLine(arguments);
    EXPECT_EQ(found.code, 2) << arguments;
    EXPECT_EQ(found.out, "") << arguments;
    EXPECT_NE(found.err.find(why), std::string::npos) << found.err;
    EXPECT_EQ(std::count(found.err.begin(), found.err.end(), '\n'), 1)
        << found.err;
  }
}

TEST(PrivacyVerbsTest, ExitTwoWithoutWhatTheyNeed) {
  for (const char* arguments :
       {"epsilon", "calibrate", "epsilon --q .1 --sigma 1 --delta 1e-5",
        "calibrate --q .1 --steps 9 --delta 1e-5",
        "epsilon --q x --sigma 1 --steps 9 --delta 1e-5",
        "epsilon --q .1 --sigma 1 --steps 9 --delta 1e-5 --frobnicate"}) {
    const Outcome found = HearsayLine(arguments);
    EXPECT_EQ(found.code, 2) << arguments;
    EXPECT_NE(found.err, "") << arguments;
  }
}

TEST(PrivacyVerbsTest, TeachInTheirHelp) {
  for (const char* verb : {"epsilon", "calibrate"}) {
    const Outcome found = HearsayLine(std::string(verb) + " --help");
    EXPECT_EQ(found.code, 0);
    EXPECT_NE(found.out.find("Example"), std::string::npos);
    EXPECT_NE(found.out.find("remove"), std::string::npos);
    EXPECT_NE(found.out.find("Steinke 2020"), std::string::npos);
  }
}

}  // namespace
}  // namespace hearsay::ops
