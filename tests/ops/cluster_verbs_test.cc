// up and down, with real daemons. Those that need no data train on a probe.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <chrono>
#include <set>
#include <thread>

#include "tests/ops/program.h"

namespace hearsay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using tests::Hearsay;
using tests::Json;
using tests::Outcome;
using tests::TemporaryFolder;

class ClusterVerbsTest : public ::testing::Test {
 protected:
  ClusterVerbsTest() {
    std::ofstream(folder_ / "probe.toml")
        << "[test]\nprobe = \"quadratic\"\ndimension = 16\n"
           "step_time = \"1ms\"\n[train]\nsteps = 100000\n";
  }
  ~ClusterVerbsTest() override {
    if (std::filesystem::exists(dir() + "/cluster.json")) Down();
  }

  std::string dir() const { return folder_ / "run"; }
  Outcome Up(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"up", "--dir", dir()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Hearsay(arguments);
  }
  Outcome UpProbes(const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {
        "--nodes", "2", "--config", folder_ / "probe.toml", "-o", "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Up(arguments);
  }
  Outcome Down() const { return Hearsay({"down", "--dir", dir()}); }
  static bool Alive(const Json& node) {
    // Nobody reaps orphans in some containers: a zombie is not alive.
    return !tests::ReadText("/proc/" + node["pid"].dump() + "/cmdline").empty();
  }
  // Four tiny shards, and an eval shard unless told otherwise.
  std::string Shards(const std::string& name, bool eval = true) const {
    const std::string csv = folder_ / (name + ".csv");
    Hearsay({"synth", "pums", "--rows", "2000", "--out", csv});
    std::vector<std::string> prep = {
        "prep",
        "--schema",
        HEARSAY_SOURCE_DIR "/ops/schemas/pums-employed.toml",
        csv,
        "--out",
        folder_ / name,
        "--shards",
        "2"};
    if (eval) prep.insert(prep.end(), {"--eval-fraction", "0.1"});
    EXPECT_EQ(Hearsay(prep).code, 0);
    return folder_ / name;
  }

  TemporaryFolder folder_;
};

TEST_F(ClusterVerbsTest, UpStartsDetachedDaemonsAndDownEndsThem) {
  const auto up = UpProbes({"--wait"});
  ASSERT_EQ(up.code, 0) << up.err;
  const Json cluster = up.json();
  EXPECT_EQ(cluster["cluster"], "run");
  ASSERT_EQ(cluster["nodes"].size(), 2u);
  EXPECT_EQ(cluster, Json::parse(tests::ReadText(dir() + "/cluster.json")));
  for (const auto& node : cluster["nodes"]) {
    const int pid = node["pid"];
    EXPECT_TRUE(Alive(node));
    EXPECT_EQ(getsid(pid), pid) << "a closed terminal would end it";
  }
  EXPECT_EQ(Hearsay({"wait", "--dir", dir(), "--for", "members=2", "--timeout",
                     "20s"})
                .code,
            0);
  EXPECT_EQ(Down().code, 0);
  for (const auto& node : cluster["nodes"]) EXPECT_FALSE(Alive(node));
  EXPECT_THAT(Down().out, HasSubstr("nothing was running"));
  EXPECT_EQ(Hearsay({"status", "--dir", dir()}).code, 5);
}

TEST_F(ClusterVerbsTest, UpAgainResumesWithTheSamePortsAndOnlyWhatIsMissing) {
  ASSERT_EQ(UpProbes().code, 0);
  const auto running = Up({});
  EXPECT_EQ(running.code, 1);
  EXPECT_THAT(running.err, HasSubstr("running already"));
  EXPECT_EQ(
      Hearsay({"wait", "--dir", dir(), "--for", "step>=5", "--timeout", "20s"})
          .code,
      0);
  const std::string before = tests::ReadText(dir() + "/a/hearsayd.toml");
  const Json old = Json::parse(tests::ReadText(dir() + "/cluster.json"));
  kill(old["nodes"][0]["pid"], SIGKILL);
  for (int i = 0; i < 500 && Alive(old["nodes"][0]); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  const auto again = Up({"-o", "json"});
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_NE(again.json()["nodes"][0]["pid"], old["nodes"][0]["pid"]);
  EXPECT_EQ(again.json()["nodes"][1]["pid"], old["nodes"][1]["pid"]);
  EXPECT_EQ(tests::ReadText(dir() + "/a/hearsayd.toml"), before);
  EXPECT_EQ(Up({"--nodes", "3"}).code, 2);
  EXPECT_EQ(Up({"--set", "train.steps=5"}).code, 2);
}

TEST_F(ClusterVerbsTest, DownLeavesAStrangerWithARecycledPidAlone) {
  ASSERT_EQ(UpProbes().code, 0);
  ASSERT_EQ(Down().code, 0);
  Json cluster = Json::parse(tests::ReadText(dir() + "/cluster.json"));
  const pid_t stranger = fork();
  if (stranger == 0) {
    execlp("sleep", "sleep", "60", nullptr);
    _exit(1);
  }
  cluster["nodes"][0]["pid"] = stranger;
  std::ofstream(dir() + "/cluster.json") << cluster;
  EXPECT_EQ(Down().code, 0);
  EXPECT_EQ(kill(stranger, 0), 0);
  EXPECT_EQ(waitpid(stranger, nullptr, WNOHANG), 0) << "it was ended";
  kill(stranger, SIGKILL);
  waitpid(stranger, nullptr, 0);
}

TEST_F(ClusterVerbsTest, ANodeThatFailsAtStartIsNamedWithItsLastWords) {
  ASSERT_EQ(UpProbes().code, 0);
  ASSERT_EQ(Down().code, 0);
  std::ofstream(dir() + "/b/hearsayd.toml", std::ios::app) << "\nbroken = 1\n";
  const auto up = Up({});
  EXPECT_EQ(up.code, 1);
  EXPECT_THAT(up.err, AllOf(HasSubstr("b exited with status 78"),
                            HasSubstr("broken"), HasSubstr("hearsayd.log"),
                            HasSubstr("stopped the others")));
  const Json cluster = Json::parse(tests::ReadText(dir() + "/cluster.json"));
  for (const auto& node : cluster["nodes"]) EXPECT_FALSE(Alive(node)) << node;
}

TEST_F(ClusterVerbsTest, BadConfigurationLeavesNothingBehind) {
  std::ofstream(folder_ / "probe.toml", std::ios::app) << "steppes = 1\n";
  const auto up = UpProbes();
  EXPECT_EQ(up.code, 1);
  EXPECT_THAT(up.err,
              AllOf(HasSubstr("probe.toml:"), HasSubstr("train.steppes")));
  EXPECT_FALSE(std::filesystem::exists(dir()));
}

TEST_F(ClusterVerbsTest, TrainsOnShardsWithDefaultsAlone) {
  const auto up = Up({"--nodes", "2", "--data", Shards("shards"), "--wait",
                      "--set", "train.steps=20"});
  ASSERT_EQ(up.code, 0) << up.err;
  EXPECT_THAT(up.out, HasSubstr("127.0.0.1:"));
  ASSERT_EQ(
      Hearsay({"wait", "--dir", dir(), "--for", "finished", "--timeout", "30s"})
          .code,
      0);
  const auto status =
      Hearsay({"status", "--dir", dir(), "--cluster", "-o", "json"});
  EXPECT_EQ(status.code, 0) << status.out;
  EXPECT_EQ(status.json()["nodes"][0]["step"], 20);
  const auto privacy = Hearsay({"privacy", "--dir", dir(), "-o", "json"});
  EXPECT_EQ(privacy.code, 0);
  EXPECT_NEAR(privacy.json()["nodes"][1]["epsilon"].get<double>(), 1.0, 0.01);
}

TEST_F(ClusterVerbsTest, DataThatIsNotThereIsToldBeforeAnythingStarts) {
  const auto missing = Up({"--nodes", "2", "--data", folder_ / "none"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("none: no such folder"));

  const std::string shards = Shards("shards", false);
  const auto few = Up({"--nodes", "3", "--data", shards});
  EXPECT_EQ(few.code, 1);
  EXPECT_THAT(few.err, AllOf(HasSubstr("part-2.safetensors: missing"),
                             HasSubstr("no eval.safetensors")));

  std::filesystem::resize_file(shards + "/part-1.safetensors", 500);
  const auto torn = Up({"--nodes", "2", "--data", shards});
  EXPECT_EQ(torn.code, 1);
  EXPECT_THAT(torn.err, HasSubstr("part-1.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(dir()));
}

TEST_F(ClusterVerbsTest, WhatANewClusterNeedsIsAUsageError) {
  EXPECT_EQ(Up({"--data", "x"}).code, 2);
  EXPECT_EQ(Up({"--nodes", "2"}).code, 2);
  EXPECT_EQ(Up({"--nodes", "0", "--data", "x"}).code, 2);
  EXPECT_EQ(Up({"--nodes", "9999", "--data", "x"}).code, 2);
  EXPECT_EQ(Hearsay({"up", "--nodes", "2"}).code, 2);
  EXPECT_EQ(UpProbes({"--set", "nonsense"}).code, 2);
  EXPECT_EQ(Hearsay({"down"}).code, 2);
  EXPECT_EQ(Hearsay({"down", "--dir", dir()}).code, 1);
}

TEST_F(ClusterVerbsTest, AFolderWithOtherThingsInItIsLeftAlone) {
  std::filesystem::create_directories(dir());
  std::ofstream(dir() + "/thesis.txt") << "precious";
  const auto up = UpProbes();
  EXPECT_EQ(up.code, 1);
  EXPECT_THAT(up.err, HasSubstr("is not empty"));
  EXPECT_EQ(tests::ReadText(dir() + "/thesis.txt"), "precious");
}

TEST_F(ClusterVerbsTest, ADirectoryTooDeepForASocketIsTold) {
  const auto deep =
      folder_ / (std::string(60, 'x') + "/" + std::string(60, 'y'));
  const auto up = Hearsay({"up", "--nodes", "1", "--config",
                           folder_ / "probe.toml", "--dir", deep.string()});
  EXPECT_EQ(up.code, 1);
  EXPECT_THAT(up.err, HasSubstr("unix socket"));
}

}  // namespace
}  // namespace hearsay
