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

  struct Part {
    std::string source;
    std::vector<std::uint32_t> rows;
  };

  // As WriteShards does it: ranks are counted on, in the order of the rows. The
  // evaluation's part, if any, is the last.
  std::vector<Part> Dealt(const std::string& text, int shards,
                          std::uint64_t seed = 1, double eval_fraction = 0) {
    const Partition partition = ParsePartition(text);
    const auto stratum_of = [&](std::uint32_t row) -> std::size_t {
      switch (partition.strata()) {
        case Partition::Strata::kClass:
          return static_cast<std::size_t>(labels_[row]);
        case Partition::Strata::kGroup:
          return group_[row];
        default:
          return 0;
      }
    };
    StratumCounts counts;
    counts.rows.resize(partition.strata() == Partition::Strata::kClass   ? 2
                       : partition.strata() == Partition::Strata::kGroup ? 5
                                                                         : 1);
    if (partition.strata() == Partition::Strata::kGroup) counts.names = groups_;
    for (const std::uint32_t row : rows_) ++counts.rows[stratum_of(row)];
    const Deal deal(partition, shards, eval_fraction, seed, counts);
    std::vector<Part> parts(deal.parts().size() +
                            (deal.evaluation_rows() > 0 ? 1 : 0));
    std::vector<std::uint64_t> ranks(counts.rows.size());
    for (const std::uint32_t row : rows_) {
      const std::size_t stratum = stratum_of(row);
      const std::size_t part = deal(stratum, ranks[stratum]++);
      parts.at(std::min(part, deal.parts().size())).rows.push_back(row);
    }
    for (std::size_t i = 0; i < deal.parts().size(); ++i) {
      EXPECT_EQ(parts[i].rows.size(), deal.parts()[i].rows);
      parts[i].source = deal.parts()[i].source;
    }
    if (deal.evaluation_rows() > 0) {
      EXPECT_EQ(parts.back().rows.size(), deal.evaluation_rows());
      parts.back().source = "evaluation";
    }
    return parts;
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
       {"iid", "dirichlet:0.1", "dirichlet:100", "quantity:1", "labels:1",
        "labels:3", "by:COL", "by:file"})
    for (const int shards : {1, 3, 5})
      for (const double fraction : {0.0, 0.3}) {
        SCOPED_TRACE(testing::Message()
                     << kind << " " << shards << " " << fraction);
        const auto parts = Dealt(kind, shards, 1, fraction);
        EXPECT_EQ(parts.size(),
                  static_cast<std::size_t>(shards + (fraction > 0 ? 1 : 0)));
        ExpectEachRowOnce(parts);
        if (fraction > 0) {
          EXPECT_EQ(parts.back().rows.size(), 1200U);
        }
      }
}

TEST_F(PartitionTest, IidPartsAreEqualAndAlike) {
  const auto parts = Dealt("iid", 7);
  for (const Part& part : parts) {
    EXPECT_NEAR(static_cast<double>(part.rows.size()), kRows / 7.0, 1);
    // Hypergeometric: sd below sqrt(.25 * .75 / 571) = .018; five of them.
    EXPECT_NEAR(Share(part), 0.25, 0.09);
  }
}

TEST_F(PartitionTest, FollowsTheSeedAndNothingElse) {
  for (const char* kind : {"iid", "dirichlet:1"}) {
    EXPECT_EQ(Dealt(kind, 3, 5)[0].rows, Dealt(kind, 3, 5)[0].rows);
    EXPECT_NE(Dealt(kind, 3, 5)[0].rows, Dealt(kind, 3, 6)[0].rows);
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
      const auto parts = Dealt("dirichlet:" + std::to_string(alpha), kParts,
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
  ExpectEachRowOnce(Dealt("dirichlet:1e-300", 2));
  EXPECT_THAT(ErrorOf([&] { Dealt("dirichlet:1e-300", 3); }),
              HasSubstr("larger alpha or fewer shards"));
}

TEST_F(PartitionTest, GroupsKeepTheirOrderAndNames) {
  const auto parts = Dealt("by:file", 0);
  ASSERT_EQ(parts.size(), 5U);
  for (std::uint32_t g = 0; g < 5; ++g) {
    EXPECT_EQ(parts[g].source, groups_[g]);
    for (const auto row : parts[g].rows) EXPECT_EQ(group_[row], g);
  }
}

TEST_F(PartitionTest, FewerShardsThanGroupsKeepGroupsWholeAndSizesEven) {
  const auto parts = Dealt("by:COL", 3);
  // Shares 1..5 of 15 go, largest first, to the emptiest: {5}, {4, 1}, {3, 2}.
  EXPECT_EQ(parts[0].source, "e");
  EXPECT_EQ(parts[1].source, "d, a");
  EXPECT_EQ(parts[2].source, "c, b");
}

TEST_F(PartitionTest, SaysWhyItCannotDeal) {
  EXPECT_THAT(ErrorOf([&] { Dealt("by:file", 6); }),
              HasSubstr("more than the 5 group(s)"));
  rows_.resize(2);
  EXPECT_THAT(ErrorOf([&] { Dealt("iid", 3); }),
              HasSubstr("only 2 training rows"));
  rows_.clear();
  EXPECT_THAT(ErrorOf([&] { Dealt("by:file", 0); }),
              HasSubstr("only 0 training rows"));
  for (const char* kind : {"dirichlet:1", "labels:1"})
    EXPECT_THAT(ErrorOf([&] { Deal(ParsePartition(kind), 1, 0, 1, {}); }),
                HasSubstr("this label has none"));
}

// Sorted by label and cut into shards x slices: a part sees few labels.
TEST_F(PartitionTest, LabelSlicesGivePartsOfFewLabels) {
  const auto parts = Dealt("labels:1", 4);
  // A quarter of the rows is of class 1: one part is only of it.
  std::vector<double> shares;
  for (const Part& part : parts) {
    EXPECT_EQ(part.rows.size(), kRows / 4);
    shares.push_back(Share(part));
  }
  std::sort(shares.begin(), shares.end());
  EXPECT_THAT(shares, ElementsAre(0, 0, 0, 1));
  EXPECT_NE(Dealt("labels:1", 4, 1)[0].rows, Dealt("labels:1", 4, 2)[0].rows);
  EXPECT_THAT(ErrorOf([&] { Dealt("labels:1000", 5); }),
              HasSubstr("5000 slices of only 4000 training rows"));
}

// Sizes vary as Dirichlet shares do, labels do not.
TEST_F(PartitionTest, QuantitySkewMovesSizesAndNotLabels) {
  constexpr int kParts = 4;
  double square = 0;
  constexpr int kTrials = 400;
  double ones = 0;
  double rows = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    const auto part =
        Dealt("quantity:2", kParts, static_cast<std::uint64_t>(trial))[0];
    const double share = static_cast<double>(part.rows.size()) / kRows;
    square += (share - 0.25) * (share - 0.25);
    ones += Share(part) * static_cast<double>(part.rows.size());
    rows += static_cast<double>(part.rows.size());
  }
  const double expected = 0.25 * 0.75 / (kParts * 2 + 1);
  EXPECT_NEAR(square / kTrials, expected, 0.25 * expected);
  // Some 400,000 rows: the deviation is 0.0007; seven of them.
  EXPECT_NEAR(ones / rows, 0.25, 0.005);
}

// Each place as often as any other: the first row over many seeds.
TEST(PermutationTest, IsUniformOverSeedsAndCoversItsRange) {
  for (const std::uint64_t size : {1, 2, 3, 5, 16, 17, 1000}) {
    std::vector<int> seen(size);
    const Permutation order(size, size);
    for (std::uint64_t i = 0; i < size; ++i) ++seen.at(order(i));
    EXPECT_EQ(std::count(seen.begin(), seen.end(), 1),
              static_cast<std::ptrdiff_t>(size));
  }
  constexpr int kPlaces = 6;
  constexpr int kSeeds = 60'000;
  std::vector<int> at(kPlaces * kPlaces);
  for (int seed = 0; seed < kSeeds; ++seed) {
    const Permutation order(kPlaces, static_cast<std::uint64_t>(seed));
    ++at[order(0) * kPlaces + order(5)];
  }
  // Pairs of different places, 30 of them: 2000 each, deviation 44; six of
  // them.
  for (int i = 0; i < kPlaces; ++i)
    for (int j = 0; j < kPlaces; ++j)
      EXPECT_NEAR(at[static_cast<std::size_t>(i * kPlaces + j)],
                  i == j ? 0 : 2000, i == j ? 0 : 264);
}

TEST(PermutationTest, FillsManyPlacesAsOneByOne) {
  // Rounds are looked up from 2^15 to 2^32 on.
  constexpr std::uint64_t kMost = std::uint64_t{1} << 32;
  for (const std::uint64_t size : std::initializer_list<std::uint64_t>{
           1, 2, 3, 5, 17, 1000, 4097, 32'768, 32'769, 70'000, 1'200'000, kMost,
           kMost + 1}) {
    const Permutation order(size, size);
    std::vector<std::uint64_t> places(
        std::min<std::uint64_t>(size, Permutation::kMany));
    for (const std::uint64_t first : {std::uint64_t{0}, size - places.size()}) {
      order.Fill(first, places);
      for (std::uint64_t i = 0; i < places.size(); ++i)
        ASSERT_EQ(places[i], order(first + i)) << size << " " << first + i;
    }
  }
}

TEST(ParsePartitionTest, KnowsSixWordsAndRefusesTheRest) {
  EXPECT_EQ(ParsePartition("iid").kind, Partition::Kind::kIid);
  EXPECT_EQ(ParsePartition("dirichlet:0.3").alpha, 0.3);
  EXPECT_EQ(ParsePartition("quantity:2").kind, Partition::Kind::kQuantity);
  EXPECT_EQ(ParsePartition("labels:2").slices, 2);
  EXPECT_EQ(ParsePartition("by:STATE").column, "STATE");
  EXPECT_EQ(ParsePartition("by:file").kind, Partition::Kind::kByFile);
  for (const char* bad :
       {"", "IID", "dirichlet", "dirichlet:", "dirichlet:0", "dirichlet:-1",
        "dirichlet:nan", "dirichlet:1x", "quantity:0", "labels:0", "labels:1.5",
        "labels:1001", "labels", "by:", "by"})
    EXPECT_THAT(ErrorOf([&] { ParsePartition(bad); }),
                HasSubstr("allowed are iid, dirichlet:ALPHA"))
        << bad;
}

}  // namespace
}  // namespace hearsay::model::prep
