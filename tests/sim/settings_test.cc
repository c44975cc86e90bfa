// What can be written, and what is refused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "ops/sim/settings_toml.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::sim {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class SettingsTest : public testing::Test {
 protected:
  Settings Read(const std::string& text) {
    std::ofstream(folder_ / "sim.toml") << text;
    return ReadSettings(folder_ / "sim.toml", {});
  }
  std::string Error(const std::string& text) {
    try {
      Read(text);
    } catch (const daemon::ConfigError& error) {
      return error.what();
    }
    return "";
  }
  hearsay::tests::TemporaryFolder folder_;
};

TEST_F(SettingsTest, AreReadWhole) {
  const auto s = Read(R"(
[sim]
nodes = 16
until = "30s"
[mixing]
rule = "push_sum"
topology = "torus"
interval = "20ms"
objective = "nodes"
[resync]
every_steps = 50
mode = "blocking"
algorithm = "halving_doubling"
[compute]
step_time = "5ms"
spread = "lognormal"
slower = ["3=8", "4-5=2.5"]
[network]
latency = "2ms"
loss = 0.05
[model]
kind = "own"
noise = 0.5
[incidents]
list = ["5s kill 2", "6s freeze 3-4 for 2s", "7s part 0-7 for 500ms"]
)");
  EXPECT_EQ(s.nodes, 16U);
  EXPECT_EQ(s.until, 30);
  EXPECT_EQ(s.steps, 0U);
  EXPECT_EQ(s.mixing.rule, mixing::RuleKind::kPushSum);
  EXPECT_EQ(s.mixing.topology, mixing::TopologyKind::kTorus);
  EXPECT_DOUBLE_EQ(s.mixing.interval, 0.02);
  EXPECT_TRUE(s.mixing.objective_nodes);
  EXPECT_TRUE(s.resync.halving_doubling);
  EXPECT_EQ(s.compute.slower[3], 8);
  EXPECT_EQ(s.compute.slower[5], 2.5);
  EXPECT_EQ(s.compute.slower[6], 1);
  EXPECT_EQ(s.task.dimension, 16U);
  ASSERT_EQ(s.incidents.size(), 3U);
  EXPECT_EQ(s.incidents[1].what, Settings::Incident::What::kFreeze);
  EXPECT_EQ(s.incidents[1].last, 4U);
  EXPECT_DOUBLE_EQ(s.incidents[2].lasts, 0.5);
}

TEST_F(SettingsTest, FlagsAreOverTheFileAndNoFileIsNeeded) {
  EXPECT_EQ(ReadSettings("", {{"sim.nodes", "3"}}).nodes, 3U);
}

TEST_F(SettingsTest, WhatIsWrongIsNamedWithItsLine) {
  EXPECT_THAT(Error("[sim]\nnods = 3\n"),
              AllOf(HasSubstr("sim.toml:2"), HasSubstr("sim.nodes")));
  EXPECT_THAT(Error("[mixing]\nrule = \"gossip\"\n"),
              HasSubstr("\"pairwise\""));
  EXPECT_THAT(Error("[mixing]\ntopology = \"star\"\n"), HasSubstr("torus"));
  EXPECT_THAT(Error("[mixing]\nrule = \"local_sgd\"\n"),
              HasSubstr("resync.every_steps"));
  EXPECT_THAT(Error("[mixing]\ntrigger = \"after_step\"\n"),
              HasSubstr("naive_newest"));
  EXPECT_THAT(Error("[mixing]\nrule = \"symmetric_blocking\"\n"
                    "topology = \"complete\"\n"),
              HasSubstr("symmetric_blocking is for \"ring\" only"));
  EXPECT_THAT(Error("[mixing]\nmomentum = \"acid\"\ntopology = \"torus\"\n"),
              HasSubstr("mixing.momentum"));
  for (const char* slower : {"9=2", "a=2", "3", "3=x", "3=-1", "5-4=2"})
    EXPECT_THAT(
        Error("[compute]\nslower = [\"" + std::string(slower) + "\"]\n"),
        HasSubstr("NODE=FACTOR"))
        << slower;
  for (const char* incident :
       {"kill 2", "5s kill", "5s kill 8", "5s freeze 2", "5s nap 2 for 1s",
        "5s kill 2 for 1s", "5s part 1 for", "5 kill 2", "5s kill 2 for 1s x"})
    EXPECT_THAT(
        Error("[incidents]\nlist = [\"" + std::string(incident) + "\"]\n"),
        HasSubstr("is not one of"))
        << incident;
  EXPECT_THAT(Error("[sim]\nsteps = 0\n"), HasSubstr("sim.until"));
  EXPECT_THAT(Error("[compute]\nstep_time = \"0s\"\n"),
              HasSubstr("longer than nothing"));
  EXPECT_THAT(Error("[compute]\nwidth = 2.0\n"), HasSubstr("1 at most"));
  EXPECT_THAT(Error("[network]\nloss = 1.5\n"), HasSubstr("network.loss"));
}

}  // namespace
}  // namespace hearsay::sim
