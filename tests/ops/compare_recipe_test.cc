#include "ops/compare/recipe.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "daemon/config.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::ops {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

constexpr const char* kGood = R"([compare]
title = "t"
data = "synth:1000"
schema = "s.toml"
target_accuracy = 0.7
until = "healthy"
[[matrix]]
rule = ["pairwise", "a rule of tomorrow"]
straggler = [1, 2.5]
[[matrix]]
nodes = [2]
kill = ["", "b@4s"]
set = ["mixing.server=a"]
name = "two"
[nodes.train]
steps = 30
[nodes.privacy]
target_epsilon = 2.0
[[nodes.model.layer]]
type = "dense"
units = 7
activation = "relu"
[[nodes.model.layer]]
type = "dense"
units = 2
)";

class CompareRecipeTest : public ::testing::Test {
 protected:
  CompareRecipeTest() { std::ofstream(folder_ / "s.toml") << "\n"; }

  Recipe Read(const std::string& text) {
    std::ofstream(file()) << text;
    return ReadRecipe(file());
  }
  // Of the good recipe with `from` replaced.
  std::string Complaint(const std::string& from, const std::string& to) {
    std::string text = kGood;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    try {
      Read(text);
    } catch (const daemon::ConfigError& error) {
      return error.what();
    }
    ADD_FAILURE() << "was taken: " << to;
    return "";
  }
  std::string At(int line) const {
    return fmt::format("{}:{}: ", file().string(), line);
  }
  std::filesystem::path file() const { return folder_ / "recipe.toml"; }

  tests::TemporaryFolder folder_;
};

TEST_F(CompareRecipeTest, ReadsAllOfIt) {
  const Recipe recipe = Read(kGood);
  EXPECT_EQ(recipe.synth_rows, 1000);
  EXPECT_EQ(recipe.schema, folder_ / "s.toml");
  EXPECT_EQ(recipe.until, Recipe::Until::kHealthy);
  ASSERT_EQ(recipe.cells.size(), 6u);
  EXPECT_EQ(recipe.cells[3].rule, "a rule of tomorrow");
  EXPECT_EQ(recipe.cells[3].straggler, 2.5);
  EXPECT_EQ(recipe.cells[4].nodes, 2);
  EXPECT_EQ(recipe.cells[5].kill, "b@4s");
  EXPECT_THAT(recipe.cells[5].set, testing::ElementsAre("mixing.server=a"));
  EXPECT_EQ(recipe.ids[4], "pairwise-ring-n2-two");
  EXPECT_THAT(
      recipe.node_settings,
      AllOf(Contains("train.steps=30"), Contains("privacy.target_epsilon=2.0"),
            Contains(HasSubstr("units = 7"))));
}

TEST_F(CompareRecipeTest, WhatIsWrongIsNamedWithItsLineAndTheNearestKey) {
  struct Case {
    const char* from;
    const char* to;
    int line;
    const char* says;
  };
  const Case cases[] = {
      {"until =", "untill =", 6, "did you mean compare.until?"},
      {"straggler = [", "stragler = [", 9, "did you mean matrix.straggler?"},
      {"steps = 30", "stepps = 30", 16,
       "nodes.train.stepps: there is no such "
       "key; did you mean train.steps?"},
      {"steps = 30", "steps = -1", 16, "nodes.train.steps: -1 is out of range"},
      {"[nodes.train]", "[nodes.trian]", 16, "did you mean train.steps?"},
      {"units = 7", "units = \"many\"", 21,
       "nodes.model.layer[0].units: must be a whole number"},
      {"steps = 30", "throttle = 2.0", 16, "is an axis"},
      {"steps = 30", "public_size = 5", 16, "follows from compare.data"},
      {"[nodes.train]\nsteps = 30", "[nodes.data]\ntrain = \"x\"", 16,
       "chosen by compare"},
      {"steps = 30", "steps = 30\n[nodes.node]\nname = \"x\"", 18, "fills in"},
      {"synth:1000", "synth:many", 3, "is not synth:ROWS"},
      {"synth:1000", "synth:0", 3, "is not synth:ROWS"},
      {"synth:1000", "nowhere", 3, "there is no such file"},
      {"s.toml", "nowhere.toml", 4, "there is no such file"},
      {"[1, 2.5]", "[0.5]", 9, "0.5 is out of range"},
      {"[1, 2.5]", "[]", 9, "at least one"},
      {"[1, 2.5]", "[\"x\"]", 9, "list of numbers"},
      {"nodes = [2]", "nodes = [2.5]", 11, "not a whole number"},
      {"nodes = [2]", "nodes = [65]", 11, "out of range"},
      {"\"b@4s\"", "\"c@4s\"", 12, "has no node c; they are a to b"},
      {"\"b@4s\"", "\"b4s\"", 12, "is not NODE@TIME"},
      {"\"healthy\"", "\"never\"", 6, "\"all\", \"healthy\""},
      {"target_accuracy = 0.7", "target_accuracy = 70", 5, "out of range"},
      {"target_accuracy = 0.7", "backend = \"dreams\"", 5, "\"daemons\""},
      {"target_accuracy = 0.7", "sample_every = \"1ms\"", 5, "at least"},
      {"set = [\"mixing.server=a\"]", "set = [\"mixing.server\"]", 13,
       "SECTION.KEY=VALUE"},
      {"set = [\"mixing.server=a\"]", "set = [\"train.steps=9\"]", 13,
       "the same in all"},
      {"set = [\"mixing.server=a\"]", "set = [\"privacy.delta=0.1\"]", 13,
       "the same in all"},
      {"set = [\"mixing.server=a\"]", "set = [\"mixing.rule=none\"]", 13,
       "is an axis"},
      {"title = \"t\"", "title = ", 2, "not TOML"},
  };
  for (const auto& [from, to, line, says] : cases)
    EXPECT_THAT(Complaint(from, to),
                AllOf(HasSubstr(At(line)), HasSubstr(says)))
        << to;
  EXPECT_THAT(Complaint("data = \"synth:1000\"\n", ""),
              HasSubstr("compare.data: this key is required"));
  EXPECT_THAT(Complaint("schema = \"s.toml\"\n", ""),
              HasSubstr("compare.schema: this key is required"));
}

TEST_F(CompareRecipeTest, WithoutAMatrixThereIsNothingToCompare) {
  std::string text = kGood;
  text = text.substr(0, text.find("[[matrix]]"));
  std::ofstream(file()) << text;
  EXPECT_THROW(ReadRecipe(file()), daemon::ConfigError);
  EXPECT_THROW(ReadRecipe(folder_ / "none.toml"), daemon::ConfigError);
}

TEST_F(CompareRecipeTest, AFolderOfShardsFixesTheNumberOfNodes) {
  std::filesystem::create_directory(folder_ / "shards");
  std::string text = kGood;
  text.replace(text.find("synth:1000"), 10, "shards");
  text.replace(text.find("schema = \"s.toml\"\n"), 18, "");
  EXPECT_THAT(
      [&] { Read(text); },
      ::testing::ThrowsMessage<daemon::ConfigError>(HasSubstr("same number")));
}

TEST_F(CompareRecipeTest, OnlyWhatResultsDependOnIsACondition) {
  const std::string before = Read(kGood).Conditions();
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = kGood;
    text.replace(text.find(from), from.size(), to);
    return Read(text).Conditions() != before;
  };
  EXPECT_FALSE(changed("title = \"t\"", "title = \"another\""));
  EXPECT_FALSE(changed("[1, 2.5]", "[1, 2.5, 9]"));
  EXPECT_FALSE(changed("target_accuracy = 0.7", "target_accuracy = 0.8"));
  EXPECT_TRUE(changed("synth:1000", "synth:1001"));
  EXPECT_TRUE(changed("steps = 30", "steps = 31"));
  EXPECT_TRUE(changed("target_epsilon = 2.0", "target_epsilon = 2.5"));
  EXPECT_TRUE(changed("until = \"healthy\"", "until = \"all\""));
}

TEST(CompareRecipesTest, ThoseOfTheProductAreGood) {
  int found = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(HEARSAY_SOURCE_DIR "/ops/recipes")) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with("compare-") || !name.ends_with(".toml")) continue;
    ++found;
    EXPECT_NO_THROW({
      const Recipe recipe = ReadRecipe(entry.path());
      // Under four minutes: start and end of a cell take about two seconds.
      const double limit =
          1e-6 * static_cast<double>(recipe.time_limit.count() +
                                     recipe.settle.count());
      if (recipe.backend == "daemons") {
        EXPECT_LE(limit, 22) << name;
      }
      EXPECT_LE(recipe.cells.size(), 20u) << name;
    }) << name;
  }
  EXPECT_EQ(found, 7);
}

}  // namespace
}  // namespace hearsay::ops
