#include "daemon/mixing/vet.h"

#include "daemon/mixing/difference.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace hearsay::mixing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TEST(AllFiniteTest, FindsASingleValueThatIsNot) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()})
    for (const std::size_t at : {0UL, 31UL, 999UL}) {
      std::vector<float> values(1000, 1);
      EXPECT_TRUE(AllFinite(values));
      values[at] = bad;
      EXPECT_FALSE(AllFinite(values)) << bad << " at " << at;
    }
}

TEST(AllFiniteTest, TheLargestAndSmallestFloatsAreFinite) {
  const std::vector<float> values = {std::numeric_limits<float>::max(),
                                     std::numeric_limits<float>::lowest(),
                                     std::numeric_limits<float>::denorm_min()};
  EXPECT_TRUE(AllFinite(values));
  EXPECT_TRUE(AllFinite({}));
}

TEST(NormTest, IsThePythagoreanOneForAnyLength) {
  // 3-4-5 and 2-3-6-7, with zeros between them.
  std::vector<float> values(19);
  values[0] = 3;
  values[18] = -4;
  EXPECT_DOUBLE_EQ(Norm(values), 5);
  values = {2, 3, -6};
  EXPECT_DOUBLE_EQ(Norm(values), 7);
  EXPECT_EQ(Norm({}), 0);
}

TEST(NormTest, NoFiniteFloatOverflowsIt) {
  const std::vector<float> values(4, std::numeric_limits<float>::max());
  EXPECT_DOUBLE_EQ(Norm(values),
                   2 * static_cast<double>(std::numeric_limits<float>::max()));
}

TEST(DistanceTest, IsTheNormOfTheDifference) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const std::size_t size : {1UL, 7UL, 8UL, 9UL, 1000UL}) {
    std::vector<float> a(size), b(size);
    long double squares = 0;
    for (std::size_t i = 0; i < size; ++i) {
      a[i] = normal(random);
      b[i] = normal(random);
      const long double d = static_cast<long double>(a[i]) - b[i];
      squares += d * d;
    }
    EXPECT_NEAR(Distance(a, b), static_cast<double>(std::sqrt(squares)), 1e-10);
  }
}

TEST(VetTest, LetsInWhatMovesTheWeightsByNoMoreThanTheClip) {
  const std::vector<float> mine = {1, 1, 1};
  const std::vector<float> theirs = {1, 4, 5};  // 5 away; half of it is 2.5
  EXPECT_EQ(Vet(theirs, mine, 0.5F, 2.5), std::nullopt);
  EXPECT_EQ(Vet(theirs, mine, 0.5F, 2.49), Fault::kBeyondClip);
  EXPECT_EQ(Vet(theirs, mine, 1.0F, 2.5), Fault::kBeyondClip);
  EXPECT_EQ(Vet(theirs, mine, 1.0F, 0), std::nullopt) << "no bound";
}

TEST(VetTest, NotFiniteIsWorseThanFar) {
  const std::vector<float> mine = {0, 0};
  for (const float bad : {kInfinity, -kInfinity, std::nanf("")})
    for (const double clip : {0.0, 1.0})
      EXPECT_EQ(Vet(std::vector<float>{1e30F, bad}, mine, 0.5F, clip),
                Fault::kNotFinite);
}

// Arrays of three blocks and some more.
class DifferenceTest : public testing::Test {
 protected:
  DifferenceTest() : theirs_(3 * kVetBlock + 77), mine_(theirs_.size()) {
    std::mt19937 random(3);
    std::normal_distribution<float> normal;
    for (float& x : theirs_) x = normal(random);
    for (float& x : mine_) x = normal(random);
  }
  std::vector<float> theirs_, mine_;
};

TEST_F(DifferenceTest, IsTheSameInWhateverPiecesItsArrayCame) {
  const std::vector<float> sent = theirs_;
  const std::size_t n = sent.size();
  std::vector<std::vector<std::size_t>> cuts = {
      {0, n}, {0, 5, n}, {0, kVetBlock, 2 * kVetBlock, n}, {0, n - 1, n}};
  cuts.emplace_back();
  for (std::size_t at = 0; at < n; at += 1000) cuts.back().push_back(at);
  for (const auto& cut : cuts)
    for (const bool backwards : {false, true}) {
      theirs_ = sent;
      Difference difference(theirs_, mine_, Difference::Distance::kWanted);
      for (std::size_t i = 0; i + 1 < cut.size(); ++i) {
        const std::size_t at = backwards ? cut.size() - 2 - i : i;
        difference.Make(cut[at], cut[at + 1]);
      }
      difference.MakeRest();
      EXPECT_TRUE(difference.finite());
      EXPECT_EQ(difference.distance(), Distance(sent, mine_)) << "to the bit";
      for (std::size_t i = 0; i < n; ++i)
        ASSERT_EQ(difference.span()[i], sent[i] - mine_[i]) << i;
      for (const double clip : {1.0, 1e3})
        EXPECT_EQ(Vet(difference, 0.5F, clip), Vet(sent, mine_, 0.5F, clip));
      EXPECT_EQ(ClippedGain(difference, 0.5F, 1.0),
                ClippedGain(sent, mine_, 0.5F, 1.0));
    }
}

TEST_F(DifferenceTest, TouchesNothingButWholeBlocksThatAreThere) {
  const std::vector<float> sent = theirs_;
  Difference difference(theirs_, mine_, Difference::Distance::kUnwanted);
  difference.Make(1, 3 * kVetBlock - 1);
  for (std::size_t i = 0; i < sent.size(); ++i)
    ASSERT_EQ(theirs_[i], i / kVetBlock == 1 ? sent[i] - mine_[i] : sent[i]);
}

TEST_F(DifferenceTest, ASingleValueThatIsNotFiniteIsFound) {
  const std::vector<float> sent = theirs_;
  for (const std::size_t at : {std::size_t{0}, kVetBlock, sent.size() - 1}) {
    theirs_ = sent;
    theirs_[at] = std::nanf("");
    Difference difference(theirs_, mine_, Difference::Distance::kUnwanted);
    difference.Make(0, 2 * kVetBlock);
    difference.MakeRest();
    EXPECT_EQ(Vet(difference, 0.5F, 0), Fault::kNotFinite) << at;
  }
}

TEST(VetVersionTest, BoundsHowFarBehindTheNewestAMessageMayBe) {
  EXPECT_EQ(VetVersion(90, 100, 10), std::nullopt);
  EXPECT_EQ(VetVersion(89, 100, 10), Fault::kStale);
  EXPECT_EQ(VetVersion(101, 100, 10), std::nullopt);
  EXPECT_EQ(VetVersion(0, 100, 0), std::nullopt) << "no bound";
  EXPECT_EQ(VetVersion(0, std::numeric_limits<std::uint64_t>::max(), 10),
            Fault::kStale);
}

}  // namespace
}  // namespace hearsay::mixing
