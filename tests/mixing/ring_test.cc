#include "daemon/mixing/ring.h"

#include <gtest/gtest.h>

#include <map>

namespace hearsay::mixing {
namespace {

using Names = std::vector<std::string>;

TEST(RingTest, FollowsTheNamesInOrderAndCloses) {
  const Names alive = {"c", "a", "d", "b"};
  EXPECT_EQ(RingSuccessor("a", alive), "b");
  EXPECT_EQ(RingSuccessor("b", alive), "c");
  EXPECT_EQ(RingSuccessor("c", alive), "d");
  EXPECT_EQ(RingSuccessor("d", alive), "a");
}

TEST(RingTest, SelfNeedNotBeInTheList) {
  EXPECT_EQ(RingSuccessor("b", {"a", "c"}), "c");
  EXPECT_EQ(RingSuccessor("d", {"a", "c"}), "a");
}

TEST(RingTest, ANodeAloneHasNoSuccessor) {
  EXPECT_EQ(RingSuccessor("a", {}), std::nullopt);
  EXPECT_EQ(RingSuccessor("a", {"a"}), std::nullopt);
}

TEST(RingTest, TwoNodesFollowEachOther) {
  EXPECT_EQ(RingSuccessor("a", {"b"}), "b");
  EXPECT_EQ(RingSuccessor("b", {"a"}), "a");
}

TEST(RingTest, ADeadNodeIsBypassed) {
  EXPECT_EQ(RingSuccessor("a", {"c", "d"}), "c") << "b is dead";
}

TEST(RingTest, EveryNodeIsTheSuccessorOfExactlyOne) {
  Names names;
  for (int i = 0; i < 50; ++i)
    names.push_back("node" + std::to_string(i * 7 % 50));
  std::map<std::string, int> followed;
  for (const auto& name : names) ++followed[*RingSuccessor(name, names)];
  EXPECT_EQ(followed.size(), names.size());
}

}  // namespace
}  // namespace hearsay::mixing
