// hearsay audit as an auditor runs it: what a file claims, what the command
// line says instead, and what it refuses. What the audit itself catches is in
// tests/audit.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/ops/node_file.h"
#include "tests/ops/program.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::ops {
namespace {

using hearsay::tests::Hearsay;
using testing::HasSubstr;
using testing::IsEmpty;

class AuditVerbTest : public testing::Test {
 protected:
  std::string Config(const std::string& privacy, const std::string& more = "") {
    tests::NodeFile{.train = "steps = 30\nsample_rate = 0.25\n",
                    .privacy = privacy,
                    .more = more}
        .Write(folder_ / "node.toml");
    return folder_ / "node.toml";
  }
  static nlohmann::json Audit(std::vector<std::string> more) {
    more.insert(more.begin(), {"audit", "--canaries", "300", "-o", "json"});
    const auto run = Hearsay(more);
    EXPECT_EQ(run.code, 0) << run.err << run.out;
    return run.code == 0 ? nlohmann::json::parse(run.out) : nlohmann::json();
  }

  hearsay::tests::TemporaryFolder folder_;
};

TEST_F(AuditVerbTest, TakesTheClaimFromAFileAndTouchesNothingOfIt) {
  const auto file = Config(
      "noise_multiplier = 2.0\ndelta = 1e-6\nclip_norm = 0.5\n"
      "accountant = \"rdp\"\n");
  const auto report = Audit({"--config", file});
  const auto& claim = report["claim"];
  EXPECT_EQ(claim["steps"], 30);
  EXPECT_EQ(claim["sample_rate"], 0.25);
  EXPECT_EQ(claim["noise_multiplier"], 2.0);
  EXPECT_EQ(claim["delta"], 1e-6);
  EXPECT_EQ(claim["clip_norm"], 0.5);
  EXPECT_EQ(claim["accountant"], "rdp");
  // What `epsilon` says of the same.
  const auto epsilon = nlohmann::json::parse(
      Hearsay({"epsilon", "--q", "0.25", "--sigma", "2", "--steps", "30",
               "--delta", "1e-6", "-o", "json"})
          .out)["epsilon"];
  EXPECT_NEAR(claim["epsilon"], epsilon, 1e-9);
  EXPECT_TRUE(report["holds"]);
  EXPECT_LE(report["bounds"]["one_run"], claim["epsilon"]);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "ledger"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "state"));
}

TEST_F(AuditVerbTest, ATargetIsCalibratedFor) {
  const auto file = Config("target_epsilon = 3.0\naccountant = \"pld\"\n");
  const auto claim = Audit({"--config", file})["claim"];
  EXPECT_EQ(claim["accountant"], "pld");
  EXPECT_LE(claim["epsilon"], 3.0);
  EXPECT_GT(claim["epsilon"], 2.99);
}

TEST_F(AuditVerbTest, TheCommandLineCountsForMoreThanTheFile) {
  const auto file = Config("noise_multiplier = 2.0\n");
  const auto claim =
      Audit({"--config", file, "--steps", "20", "--sample-rate", "0.1",
             "--delta", "1e-4", "--epsilon", "2"})["claim"];
  EXPECT_EQ(claim["steps"], 20);
  EXPECT_EQ(claim["sample_rate"], 0.1);
  EXPECT_EQ(claim["delta"], 1e-4);
  EXPECT_LE(claim["epsilon"], 2.0);
  EXPECT_GT(claim["epsilon"], 1.99);
  EXPECT_NE(claim["noise_multiplier"], 2.0);
}

// A node whose rate follows its speed is audited at the most that it may take.
TEST_F(AuditVerbTest, TheLargestRateOfTheFileIsClaimed) {
  const auto file = Config("noise_multiplier = 2.0\n",
                           "[mixing]\nrule = \"all_reduce\"\n"
                           "[balance]\npolicy = \"fixed_global\"\n"
                           "most = 2.0\n");
  EXPECT_EQ(Audit({"--config", file})["claim"]["sample_rate"], 0.5);
}

TEST_F(AuditVerbTest, TheSameCoinsChooseTheSameCanaries) {
  const std::vector<std::string> line = {"--steps", "5", "--seed", "7"};
  const auto one = Audit(line), two = Audit(line);
  EXPECT_EQ(one["included"], two["included"]);
  EXPECT_EQ(one["seed"], 7);
  // Noise and sampling cannot be repeated.
  EXPECT_NE(one["noise_variance"]["value"], two["noise_variance"]["value"]);
}

TEST_F(AuditVerbTest, WhatIsWrongIsSaid) {
  struct {
    std::vector<std::string> arguments;
    const char* says;
  } const cases[] = {
      {{"--config", folder_ / "nowhere.toml"}, "does not exist"},
      {{"--config", Config("")}, "noise_multiplier: set this"},
      {{"--sample-rate", "0"}, "sample rate"},
      {{"--sample-rate", "1.5"}, "sample rate"},
      {{"--delta", "1"}, "delta"},
      {{"--delta", "1e-12"}, "delta"},
      {{"--confidence", "0.5"}, "confidence"},
      {{"--confidence", "1"}, "confidence"},
      {{"--canaries", "10"}, "canaries"},
      {{"--epsilon", "-1"}, "epsilon"},
      {{"--steps", "0"}, "steps"},
      {{"-o", "xml"}, "xml"},
  };
  for (const auto& of : cases) {
    auto arguments = of.arguments;
    arguments.insert(arguments.begin(), "audit");
    const auto run = Hearsay(arguments);
    EXPECT_EQ(run.code, 2) << arguments[1] << ' ' << arguments[2];
    EXPECT_THAT(run.err, HasSubstr(of.says));
    EXPECT_THAT(run.out, IsEmpty());
  }
}

}  // namespace
}  // namespace hearsay::ops
