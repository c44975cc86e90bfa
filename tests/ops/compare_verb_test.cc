// compare as a user meets it, with real daemons.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <map>
#include <thread>

#include "tests/ops/program.h"

namespace hearsay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using tests::Hearsay;
using tests::Json;

constexpr const char* kCommon = R"(
[nodes.train]
steps = {}
sample_rate = 0.05
min_step_time = "5ms"
[nodes.privacy]
noise_multiplier = 2.0
)";

class CompareVerbTest : public ::testing::Test {
 protected:
  void Recipe(const std::string& matrix, int steps = 60,
              const std::string& compare = "",
              const std::string& settle = "100ms") {
    std::ofstream(folder_ / "recipe.toml")
        << fmt::format(
               "[compare]\ntitle = \"Which?\"\ndata = \"synth:800\"\n"
               "schema = \"{}/ops/schemas/pums-employed.toml\"\n"
               "sample_every = \"50ms\"\nsettle = "
               "\"{}\"\n{}\n[[matrix]]\n{}\n",
               HEARSAY_SOURCE_DIR, settle, compare, matrix)
        << fmt::format(kCommon, steps);
  }
  std::vector<std::string> Arguments(
      const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"compare", folder_ / "recipe.toml",
                                          "--out", out()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  tests::Outcome Compare(const std::vector<std::string>& more = {}) {
    return Hearsay(Arguments(more));
  }
  Json Results() const {
    return Json::parse(tests::ReadText(folder_ / "out/results.json"));
  }
  std::string out() const { return folder_ / "out"; }

  // Processes that have this test's folder in their arguments.
  std::vector<int> Daemons() const {
    std::vector<int> pids;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string name = entry.path().filename().string();
      if (name.find_first_not_of("0123456789") != std::string::npos) continue;
      const std::string command = tests::ReadText(entry.path() / "cmdline");
      if (command.find("hearsayd") != std::string::npos &&
          command.find(folder_.path().string()) != std::string::npos)
        pids.push_back(std::stoi(name));
    }
    return pids;
  }

  tests::TemporaryFolder folder_;
};

TEST_F(CompareVerbTest, CellsRunAtEqualEpsilonAndSamplesAndOneIsRefused) {
  Recipe("nodes = [2]\nrule = [\"pairwise\", \"none\", \"of tomorrow\"]", 200,
         "target_accuracy = 0.1");
  const auto run = Compare({"-o", "json"});
  EXPECT_EQ(run.code, 3) << run.err;
  const Json printed = run.json();
  const Json results = Results();
  ASSERT_EQ(results["cells"].size(), 3u);
  for (int i = 0; i < 2; ++i) {
    const auto& cell = results["cells"][i];
    EXPECT_EQ(cell["outcome"], "complete") << cell["why"];
    EXPECT_EQ(cell["planned_samples"], results["cells"][0]["planned_samples"]);
    // 800 rows, a fifth of them to judge on: 640 of 0.05 a step.
    EXPECT_EQ(cell["planned_samples"], 200 * 0.05 * 640);
    ASSERT_EQ(cell["nodes"].size(), 2u);
    for (const auto& node : cell["nodes"]) {
      EXPECT_EQ(node["state"], "finished");
      EXPECT_EQ(node["step"], 200);
      // Another implementation of the same question: the verb `epsilon`.
      const auto epsilon =
          Hearsay({"epsilon", "--q", "0.05", "--sigma", "2", "--steps", "200",
                   "--delta", "1e-5", "-o", "json"});
      EXPECT_NEAR(node["epsilon"], epsilon.json()["epsilon"], 1e-3);
      EXPECT_GT(node["accuracy"], 0.2);
      EXPECT_EQ(node["noise_multiplier"], 2.0);
    }
    EXPECT_GT(cell["samples"].size(), 3u);
    EXPECT_TRUE(printed["cells"][i]["summary"]["seconds_to_target"].is_number())
        << printed["cells"][i];
  }
  EXPECT_GT(results["cells"][0]["nodes"][0]["bytes_out"], 0);
  EXPECT_EQ(results["cells"][1]["nodes"][0]["bytes_out"], 0);
  EXPECT_EQ(results["cells"][2]["outcome"], "refused");
  EXPECT_THAT(results["cells"][2]["why"].get<std::string>(),
              HasSubstr("mixing.rule: \"of tomorrow\" is not allowed"));
  EXPECT_THAT(Daemons(), testing::IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(folder_ / "out/run"));
  EXPECT_THAT(tests::ReadText(folder_ / "out/logs/pairwise-ring-n2/a.log"),
              Not(testing::IsEmpty()));

  const std::string page = tests::ReadText(folder_ / "out/report.html");
  const std::string cells = tests::ReadText(folder_ / "out/cells.csv");
  const std::string samples = tests::ReadText(folder_ / "out/samples.csv");
  EXPECT_THAT(page, AllOf(HasSubstr("Which?"), HasSubstr("of tomorrow")));
  EXPECT_THAT(cells, HasSubstr("of tomorrow"));
  // Decision 4: nothing private, in no file for others.
  for (const char* name : {"train_loss", "clip_fraction", "realised",
                           "shard_rows", "step_seconds"})
    for (const auto& text : {results.dump(), page, cells, samples})
      EXPECT_THAT(text, Not(HasSubstr(name)));
}

TEST_F(CompareVerbTest, FinishedCellsAreNotRunAgainUnlessAskedFor) {
  Recipe("nodes = [1, 2]\nrule = [\"none\"]", 20);
  ASSERT_EQ(Compare({"--only", "*-n1"}).code, 0);
  EXPECT_EQ(Results()["cells"].size(), 1u);
  const auto started = Results()["cells"][0]["started"];
  const auto samples = Results()["cells"][0]["samples"];
  const auto rest = Compare();
  EXPECT_EQ(rest.code, 0) << rest.err;
  EXPECT_THAT(rest.err, HasSubstr("1 of 2 cells are finished already"));
  ASSERT_EQ(Results()["cells"].size(), 2u);
  EXPECT_EQ(Results()["cells"][0]["samples"], samples);
  ASSERT_EQ(Compare({"--again", "--only", "*-n1"}).code, 0);
  EXPECT_NE(Results()["cells"][0]["samples"], samples);
  EXPECT_EQ(Results()["cells"].size(), 2u) << "the other was forgotten";
  Recipe("nodes = [1, 2]\nrule = [\"none\"]", 21);
  const auto changed = Compare({"--only", "*-n1"});
  EXPECT_THAT(changed.err, HasSubstr("other conditions"));
  ASSERT_EQ(Results()["cells"].size(), 1u);
  EXPECT_EQ(Results()["cells"][0]["planned_steps"], 21);
}

TEST_F(CompareVerbTest, AnInterruptedRunLeavesNoProcessAndGoesOn) {
  Recipe("nodes = [2]\nrule = [\"none\", \"pairwise\"]", 200);
  {
    tests::Running running(Arguments({}));
    // Into the second cell: the first is then on disk.
    for (int i = 0;
         i < 600 && tests::ReadText(folder_ / "out/results.json")
                            .find("\"none-ring-n2\"") == std::string::npos;
         ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    for (int i = 0; i < 600 && Daemons().size() < 2; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    ASSERT_EQ(Daemons().size(), 2u);
    running.Interrupt();
    const auto run = running.Wait();
    EXPECT_EQ(run.code, 128 + SIGINT);
    EXPECT_THAT(run.err, HasSubstr("goes on from here"));
  }
  EXPECT_THAT(Daemons(), testing::IsEmpty());
  ASSERT_EQ(Results()["cells"].size(), 1u);
  const auto samples = Results()["cells"][0]["samples"];
  const auto run = Compare();
  EXPECT_EQ(run.code, 0) << run.err;
  ASSERT_EQ(Results()["cells"].size(), 2u);
  EXPECT_EQ(Results()["cells"][0]["samples"], samples);
}

TEST_F(CompareVerbTest, ARunThatWasKilledIsClearedAwayByTheNext) {
  Recipe("nodes = [2]\nrule = [\"none\"]", 100);
  {
    const tests::Running running(Arguments({}));
    for (int i = 0; i < 600 && Daemons().size() < 2; ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    // Until the pids are on disk.
    for (int i = 0; i < 600 && !std::filesystem::exists(
                                   folder_ / "out/run/a/state/admin.sock");
         ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }  // kill -9
  EXPECT_EQ(Daemons().size(), 2u);
  const auto run = Compare();
  EXPECT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(Daemons(), testing::IsEmpty());
}

TEST_F(CompareVerbTest, AKilledNodeAndASlowOneAreTold) {
  Recipe(
      "nodes = [2]\nrule = [\"none\"]\nkill = [\"a@200ms\"]\n"
      "straggler = [3]",
      100);
  const auto run = Compare();
  EXPECT_EQ(run.code, 0) << run.err;
  const auto cell = Results()["cells"][0];
  EXPECT_EQ(cell["outcome"], "complete");
  EXPECT_THAT(cell["why"].get<std::string>(), HasSubstr("a was killed at 0.2"));
  EXPECT_LT(cell["nodes"][0]["step"], 100);
  EXPECT_TRUE(cell["nodes"][0]["accuracy"].is_null());
  EXPECT_GT(cell["nodes"][0]["epsilon"], 0);
  EXPECT_EQ(cell["nodes"][1]["step"], 100);
  EXPECT_EQ(cell["nodes"][1]["throttle"], 3);
  EXPECT_THAT(tests::ReadText(folder_ / "out/report.html"),
              HasSubstr("a was killed at 0.2"));
}

TEST_F(CompareVerbTest, ACellThatDoesNotEndIsEnded) {
  Recipe("nodes = [1]\nstraggler = [1, 1000000]\nrule = [\"none\"]", 200,
         "time_limit = \"500ms\"\nstalled_after = \"200ms\"", "800ms");
  const auto run = Compare();
  EXPECT_EQ(run.code, 0) << run.err;
  const auto cells = Results()["cells"];
  EXPECT_EQ(cells[0]["outcome"], "short");
  EXPECT_THAT(cells[0]["why"].get<std::string>(),
              HasSubstr("time limit of 500ms at step"));
  // 5 ms a step: what it went on to do while it was judged would be seen.
  EXPECT_LE(cells[0]["nodes"][0]["step"], 130);
  EXPECT_EQ(cells[0]["nodes"][0]["state"], "training");
  EXPECT_EQ(cells[1]["outcome"], "short");
  EXPECT_THAT(cells[1]["why"].get<std::string>(),
              HasSubstr("stalled: no step for 200ms"));
}

TEST_F(CompareVerbTest, CellsRunUnderVirtualTimeAtEqualEpsilonAndSamples) {
  Recipe(
      "nodes = [4]\nrule = [\"pairwise\", \"all_reduce\", \"of tomorrow\"]\n"
      "straggler = [1, 10]",
      60, "backend = \"sim\"\ntime_limit = \"100s\"\nuntil = \"healthy\"");
  const auto run = Compare();
  EXPECT_EQ(run.code, 3) << run.err;
  const Json cells = Results()["cells"];
  ASSERT_EQ(cells.size(), 6U);
  std::map<std::string, double> seconds;
  for (const auto& cell : cells) {
    const std::string id = cell["id"];
    if (id.starts_with("of_tomorrow")) continue;
    EXPECT_EQ(cell["outcome"], "complete") << id << cell["why"];
    EXPECT_EQ(cell["planned_samples"], 60 * 0.05 * 640);
    seconds[id] = cell["seconds"];
    const auto epsilon =
        Hearsay({"epsilon", "--q", "0.05", "--sigma", "2", "--steps", "60",
                 "--delta", "1e-5", "-o", "json"});
    EXPECT_NEAR(cell["nodes"][0]["epsilon"], epsilon.json()["epsilon"], 1e-3);
    EXPECT_GT(cell["nodes"][0]["bytes_out"], 0);
  }
  EXPECT_EQ(cells[4]["outcome"], "refused");
  EXPECT_THAT(cells[4]["why"].get<std::string>(), HasSubstr("mixing.rule"));
  // 60 steps of 5 ms; who waits for a node ten times slower takes ten times.
  EXPECT_NEAR(seconds["pairwise-ring-n4"], 0.3, 0.05);
  EXPECT_NEAR(seconds["pairwise-ring-n4-x10"], 0.3, 0.05);
  EXPECT_NEAR(seconds["all_reduce-ring-n4-x10"], 3, 0.4);
}

TEST_F(CompareVerbTest, BadRequestsAreRefusedBeforeAnythingIsMade) {
  Recipe("rule = [\"none\", \"pairwise\"]");
  const auto plan = Compare({"--dry-run", "--only", "none*"});
  EXPECT_EQ(plan.code, 0);
  EXPECT_THAT(plan.out,
              AllOf(HasSubstr("none-ring-n4"), Not(HasSubstr("pairwise")),
                    HasSubstr("1 cells")));
  const auto only = Compare({"--only", "nobody"});
  EXPECT_EQ(only.code, 2);
  EXPECT_THAT(only.err, AllOf(HasSubstr("no such cell"),
                              HasSubstr("none-ring-n4, pairwise-ring-n4")));
  EXPECT_EQ(Hearsay({"compare", folder_ / "recipe.toml"}).code, 2);
  EXPECT_EQ(Hearsay({"compare", folder_ / "nothing.toml", "--dry-run"}).code,
            2);

  std::filesystem::create_directory(out());
  std::ofstream(folder_ / "out/mine.txt") << "precious";
  Recipe("rule = [\"none\"]");
  const auto occupied = Compare();
  EXPECT_EQ(occupied.code, 1);
  EXPECT_THAT(occupied.err, HasSubstr("is not empty and holds no comparison"));
  EXPECT_EQ(tests::ReadText(folder_ / "out/mine.txt"), "precious");
}

}  // namespace
}  // namespace hearsay
