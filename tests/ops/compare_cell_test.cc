#include "ops/compare/cell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace hearsay::ops {
namespace {

Axes One() {
  return {.nodes = {4},
          .rule = {"pairwise"},
          .topology = {"ring"},
          .resync = {0},
          .straggler = {1},
          .kill = {""}};
}

TEST(CompareCellTest, EveryCombinationIsACellOnce) {
  Axes axes = One();
  axes.rule = {"pairwise", "none"};
  axes.straggler = {1, 10};
  axes.nodes = {2, 4, 8};
  EXPECT_EQ(Expand({axes}).size(), 2u * 2u * 3u);
  EXPECT_EQ(Expand({axes, axes}).size(), 12u) << "a second time is no new cell";
  axes.rule = {"one_way"};
  EXPECT_EQ(Expand({axes, One()}).size(), 7u);
}

TEST(CompareCellTest, IdsAreFolderNamesAndDiffer) {
  Axes axes = One();
  axes.topology = {"ring", "file:/a/b", "file:_a_b"};
  axes.straggler = {1, 2.5};
  axes.kill = {"", "b@4s"};
  axes.resync = {0, 100};
  const auto cells = Expand({axes});
  const auto ids = IdsOf(cells);
  EXPECT_EQ(std::set(ids.begin(), ids.end()).size(), cells.size());
  EXPECT_EQ(ids.front(), "pairwise-ring-n4");
  EXPECT_THAT(ids, ::testing::Contains("pairwise-ring-n4-k100-x2.5-kill-b@4s"));
  for (const auto& id : ids)
    EXPECT_EQ(id.find_first_of("/: \"'"), std::string::npos) << id;
}

TEST(CompareCellTest, ALabelSaysOnlyWhatDiffers) {
  MatrixCell slow;
  slow.straggler = 10;
  MatrixCell other;
  other.rule = "none";
  EXPECT_EQ(LabelOf(slow, VaryingOf({MatrixCell(), slow})), "one 10x slower");
  EXPECT_EQ(LabelOf(MatrixCell(), VaryingOf({MatrixCell(), slow})),
            "all equal");
  EXPECT_EQ(LabelOf(other, VaryingOf({slow, other})), "none, all equal");
  EXPECT_EQ(LabelOf(other, VaryingOf({other})), "none, ring, n=4");
}

TEST(CompareCellTest, KillsAreANodeAndATime) {
  EXPECT_FALSE(ParseKill("").has_value());
  const auto kill = ParseKill("b@1500ms");
  ASSERT_TRUE(kill);
  EXPECT_EQ(kill->node, "b");
  EXPECT_EQ(kill->at, std::chrono::milliseconds(1500));
  for (const char* bad : {"b", "@4s", "b@", "b@4", "b@soon", "4s"})
    EXPECT_THROW(ParseKill(bad), std::invalid_argument) << bad;
}

}  // namespace
}  // namespace hearsay::ops
