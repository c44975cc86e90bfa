#include "model/prep/partition.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <string>

namespace hearsay::model::prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(const std::function<void()>& action) {
  try {
    action();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

// Rows with two classes (one in four is 1) and five groups.
class PartitionTest : public testing::Test {
 protected:
  static constexpr std::uint32_t kRows = 4000;

  PartitionTest() : rows_(kRows), labels_(kRows), group_(kRows) {
    std::iota(rows_.begin(), rows_.end(), 0U);
    for (std::uint32_t i = 0; i < kRows; ++i) {
      labels_[i] = i % 4 == 0 ? 1.0F : 0.0F;
      // Group g has a share of about (g + 1) / 15.
      const std::uint32_t die = i % 15;
      group_[i] = die < 1 ? 0 : die < 3 ? 1 : die < 6 ? 2 : die < 10 ? 3 : 4;
    }
  }

  std::vector<Part> Deal(const std::string& partition, int shards,
                         std::uint64_t seed = 1) {
    std::mt19937_64 random(seed);
    const RowFacts facts{labels_, 2, group_, groups_};
    return MakeParts(ParsePartition(partition), shards, rows_, facts, random);
  }

  void ExpectEachRowOnce(const std::vector<Part>& parts) {
    std::vector<std::uint32_t> all;
    for (const Part& part : parts) {
      EXPECT_FALSE(part.rows.empty());
      EXPECT_FALSE(part.source.empty());
      all.insert(all.end(), part.rows.begin(), part.rows.end());
    }
    std::sort(all.begin(), all.end());
    EXPECT_EQ(all, rows_);
  }

  double Share(const Part& part) const {
    double sum = 0;
    for (const auto row : part.rows) sum += labels_[row];
    return sum / static_cast<double>(part.rows.size());
  }

  std::vector<std::uint32_t> rows_;
  std::vector<float> labels_;
  std::vector<std::uint32_t> group_;
  std::vector<std::string> groups_ = {"a", "b", "c", "d", "e"};
};

TEST_F(PartitionTest, EveryKindDealsEachRowExactlyOnce) {
  for (const char* kind :
       {"iid", "dirichlet:0.1", "dirichlet:100", "by:COL", "by:file"})
    for (const int shards : {1, 3, 5}) {
      const auto parts = Deal(kind, shards);
      EXPECT_EQ(parts.size(), static_cast<std::size_t>(shards)) << kind;
      ExpectEachRowOnce(parts);
    }
}

TEST_F(PartitionTest, IidPartsAreEqualAndAlike) {
  const auto parts = Deal("iid", 7);
  for (const Part& part : parts) {
    EXPECT_NEAR(static_cast<double>(part.rows.size()), kRows / 7.0, 1);
    // Hypergeometric: sd below sqrt(.25 * .75 / 571) = .018; five of them.
    EXPECT_NEAR(Share(part), 0.25, 0.09);
  }
}

TEST_F(PartitionTest, FollowsTheSeedAndNothingElse) {
  for (const char* kind : {"iid", "dirichlet:1"}) {
    EXPECT_EQ(Deal(kind, 3, 5)[0].rows, Deal(kind, 3, 5)[0].rows);
    EXPECT_NE(Deal(kind, 3, 5)[0].rows, Deal(kind, 3, 6)[0].rows);
  }
}

// A class's share in one of N parts has variance (1/N)(1 - 1/N) / (N alpha +
// 1).
TEST_F(PartitionTest, DirichletSharesHaveTheVarianceOfTheirAlpha) {
  constexpr int kParts = 4;
  for (const double alpha : {0.5, 5.0}) {
    double square = 0;
    constexpr int kTrials = 400;
    for (int trial = 0; trial < kTrials; ++trial) {
      const auto parts = Deal("dirichlet:" + std::to_string(alpha), kParts,
                              static_cast<std::uint64_t>(trial));
      double zeros = 0;
      for (const auto row : parts[0].rows) zeros += labels_[row] == 0;
      const double share = zeros / (0.75 * kRows);
      square += (share - 0.25) * (share - 0.25);
    }
    const double expected = 0.25 * 0.75 / (kParts * alpha + 1);
    // 400 draws of a bounded square: well within a quarter.
    EXPECT_NEAR(square / kTrials, expected, 0.25 * expected) << alpha;
  }
}

TEST_F(PartitionTest, ATinyAlphaStillFillsEveryPart) {
  // Two classes can fill two parts even if each class stays whole.
  ExpectEachRowOnce(Deal("dirichlet:1e-300", 2));
  EXPECT_THAT(ErrorOf([&] { Deal("dirichlet:1e-300", 3); }),
              HasSubstr("larger alpha or fewer shards"));
}

TEST_F(PartitionTest, GroupsKeepTheirOrderAndNames) {
  const auto parts = Deal("by:file", 0);
  ASSERT_EQ(parts.size(), 5U);
  for (std::uint32_t g = 0; g < 5; ++g) {
    EXPECT_EQ(parts[g].source, groups_[g]);
    for (const auto row : parts[g].rows) EXPECT_EQ(group_[row], g);
  }
}

TEST_F(PartitionTest, FewerShardsThanGroupsKeepGroupsWholeAndSizesEven) {
  const auto parts = Deal("by:COL", 3);
  // Shares 1..5 of 15 go, largest first, to the emptiest: {5}, {4, 1}, {3, 2}.
  EXPECT_EQ(parts[0].source, "e");
  EXPECT_EQ(parts[1].source, "d, a");
  EXPECT_EQ(parts[2].source, "c, b");
}

TEST_F(PartitionTest, SaysWhyItCannotDeal) {
  EXPECT_THAT(ErrorOf([&] { Deal("by:file", 6); }),
              HasSubstr("more than the 5 group(s)"));
  rows_.resize(2);
  EXPECT_THAT(ErrorOf([&] { Deal("iid", 3); }),
              HasSubstr("only 2 training rows"));
  rows_.clear();
  EXPECT_THAT(ErrorOf([&] { Deal("by:file", 0); }),
              HasSubstr("only 0 training rows"));
  std::mt19937_64 random(1);
  EXPECT_THAT(ErrorOf([&] {
                MakeParts(ParsePartition("dirichlet:1"), 1, {0},
                          {labels_, 0, group_, groups_}, random);
              }),
              HasSubstr("this label has none"));
}

TEST(ParsePartitionTest, KnowsFourWordsAndRefusesTheRest) {
  EXPECT_EQ(ParsePartition("iid").kind, Partition::Kind::kIid);
  EXPECT_EQ(ParsePartition("dirichlet:0.3").alpha, 0.3);
  EXPECT_EQ(ParsePartition("by:STATE").column, "STATE");
  EXPECT_EQ(ParsePartition("by:file").kind, Partition::Kind::kByFile);
  for (const char* bad :
       {"", "IID", "dirichlet", "dirichlet:", "dirichlet:0", "dirichlet:-1",
        "dirichlet:nan", "dirichlet:1x", "by:", "by"})
    EXPECT_THAT(ErrorOf([&] { ParsePartition(bad); }),
                HasSubstr("allowed are iid, dirichlet:ALPHA"))
        << bad;
}

}  // namespace
}  // namespace hearsay::model::prep
