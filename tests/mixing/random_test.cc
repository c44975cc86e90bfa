// The sixteen generators against one written plainly, and that one against its
// authors' program.
#include "daemon/mixing/random.h"

#include <gtest/gtest.h>

#include <array>
#include <bit>

namespace hearsay::mixing {
namespace {

struct Reference {
  std::array<std::uint32_t, 4> s;

  std::uint32_t Next() {
    const std::uint32_t result = std::rotl(s[0] + s[3], 7) + s[0];
    const std::uint32_t t = s[1] << 9U;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = std::rotl(s[3], 11);
    return result;
  }
};

TEST(RandomTest, TheReferenceIsXoshiro128PlusPlus) {
  Reference reference{{1, 2, 3, 4}};
  // Of the authors' xoshiro128plusplus.c.
  for (const std::uint32_t expected :
       {641U, 1573767U, 3222811527U, 3517856514U, 836907274U, 4247214768U,
        3867114732U, 1355841295U, 495546011U, 621204420U})
    EXPECT_EQ(reference.Next(), expected);
}

TEST(RandomTest, EveryLaneIsThatGeneratorSeededBySplitMix) {
  std::uint64_t state = 42;
  const auto split_mix = [&state] {
    state += 0x9e3779b97f4a7c15U;
    std::uint64_t z = state;
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31U);
  };
  std::array<Reference, Random::kLanes> lanes{};
  for (auto& lane : lanes)
    for (std::size_t half = 0; half < 2; ++half) {
      const std::uint64_t word = split_mix();
      lane.s[2 * half] = static_cast<std::uint32_t>(word);
      lane.s[2 * half + 1] = static_cast<std::uint32_t>(word >> 32U);
    }
  Random random(42);
  Random::Words words;
  for (int turn = 0; turn < 3; ++turn) {
    random.Fill(words);
    for (std::size_t i = 0; i < words.size(); ++i)
      ASSERT_EQ(words[i], lanes[i % lanes.size()].Next()) << i;
  }
}

TEST(RandomTest, SeedsGiveDifferentWords) {
  Random::Words a, b;
  Random(1).Fill(a);
  Random(2).Fill(b);
  EXPECT_NE(a, b);
}

}  // namespace
}  // namespace hearsay::mixing
