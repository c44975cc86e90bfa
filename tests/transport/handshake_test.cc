#include "transport/handshake.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearsay::transport {
namespace {

using Kind = Refuse::Kind;

Hello From(const std::string& node, std::uint64_t incarnation) {
  return {.protocol = kProtocolVersion,
          .cluster = "pums",
          .node = node,
          .incarnation = incarnation,
          .model = "91bc",
          .address = "127.0.0.1:740" + std::to_string(incarnation),
          .age_ms = 0,
          .array_bytes = 400,
          .chunk_bytes = 100,
          .attempt = 1};
}

TEST(HandshakeTest, AcceptsAnotherNodeOfTheSameClusterAndModel) {
  EXPECT_EQ(Judge(From("a", 1), From("b", 2)), std::nullopt);
}

TEST(HandshakeTest, AChunkSizeOfItsOwnIsNoReasonToRefuse) {
  Hello theirs = From("b", 2);
  theirs.chunk_bytes = 50;
  EXPECT_EQ(Judge(From("a", 1), theirs), std::nullopt);
}

TEST(HandshakeTest, RefusesForTheFirstReasonThatMakesSense) {
  Hello theirs = From("a", 2);
  theirs.array_bytes = 404;
  EXPECT_EQ(Judge(From("b", 1), theirs), Kind::kModel);
  theirs.array_bytes = 400;
  theirs.model = "other";
  EXPECT_EQ(Judge(From("b", 1), theirs), Kind::kModel);
  EXPECT_EQ(Judge(From("a", 1), theirs), Kind::kDuplicateName);
  theirs.cluster = "other";
  EXPECT_EQ(Judge(From("a", 1), theirs), Kind::kCluster);
  theirs.protocol = 99;
  EXPECT_EQ(Judge(From("a", 1), theirs), Kind::kProtocol);
}

TEST(HandshakeTest, RecognisesItself) {
  EXPECT_EQ(Judge(From("a", 1), From("a", 1)), Kind::kSelf);
}

TEST(HandshakeTest, SaysBothValuesOnBothSides) {
  const Hello ours = From("a", 1);
  Hello theirs = From("b", 2);
  theirs.model = "3fa2";
  EXPECT_EQ(
      RefusingText(Kind::kModel, ours, theirs, ""),
      "refused b@127.0.0.1:7402: its model is 3fa2, ours is 91bc; all "
      "members must have the same [model] and the same [mixing] rule and wire");
  EXPECT_EQ(RefusedText(Kind::kModel, theirs, ours, ""),
            "a@127.0.0.1:7401 refused this node: its model is 91bc, ours is "
            "3fa2; all members must have the same [model] and the same "
            "[mixing] rule and wire");
  theirs.model = ours.model;
  theirs.array_bytes = 404;
  EXPECT_THAT(RefusingText(Kind::kModel, ours, theirs, ""),
              testing::HasSubstr("its array size is 404 bytes, ours is 400"));
  theirs.cluster = "adult";
  EXPECT_THAT(RefusingText(Kind::kCluster, ours, theirs, ""),
              testing::HasSubstr("its cluster is 'adult', ours is 'pums'"));
  theirs.protocol = 99;
  EXPECT_THAT(RefusingText(Kind::kProtocol, ours, theirs, ""),
              testing::HasSubstr("its protocol version is 99, ours is 2"));
}

TEST(HandshakeTest, SaysWhereTheTwoNodesOfOneNameAre) {
  EXPECT_THAT(
      RefusingText(Kind::kDuplicateName, From("a", 1), From("a", 2), ""),
      testing::HasSubstr("two nodes named 'a': this one at "
                         "127.0.0.1:7401, that one at 127.0.0.1:7402"));
  EXPECT_THAT(
      RefusedText(Kind::kDuplicateName, From("a", 2), From("b", 3), "h:1"),
      testing::AllOf(
          testing::StartsWith("b@127.0.0.1:7403 refused this node: "),
          testing::HasSubstr("two nodes named 'a': this one at 127.0.0.1:7402, "
                             "that one at h:1; give each its own node.name")));
}

}  // namespace
}  // namespace hearsay::transport
