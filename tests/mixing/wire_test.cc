// Each format by itself: what it says, in how many bytes.
#include "daemon/mixing/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <set>

#include "tests/mixing/wire_ring.h"

namespace hearsay::mixing {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr const char* kFormats[] = {"fp32", "bf16", "int8", "topk:0.1"};

Floats RandomWeights(std::size_t n, std::uint64_t seed) {
  return Rounded(RandomStart(1, n, seed)[0]);
}

Bytes Asked(WireFormat& format, const Floats& mine, const Memory& memory = {},
            std::uint64_t seed = 1) {
  Bytes ask(format.Bytes(mine.size()));
  Random random(seed);
  format.EncodeAsk(mine, memory, random, ask);
  return ask;
}

Floats Decoded(const WireFormat& format, const Bytes& bytes, std::size_t n) {
  Floats out(n, kNan);
  EXPECT_EQ(format.Decode(bytes, out), std::nullopt);
  return out;
}

std::string ErrorOf(const std::string& text) {
  try {
    ParseWire(text);
    return "";
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
}

TEST(ParseWireTest, KnowsItsFormatsByName) {
  for (const char* name : {"fp32", "bf16", "int8", "topk:0.01", "topk:0.5"})
    EXPECT_EQ(ParseWire(name)->name(), name);
  EXPECT_EQ(ParseWire("topk:1e-2")->name(), "topk:0.01");
}

TEST(ParseWireTest, SaysWhatIsAllowed) {
  for (const char* text : {"", "fp16", "FP32", "topk", "int8 "})
    EXPECT_THAT(ErrorOf(text),
                testing::AllOf(testing::HasSubstr("\"" + std::string(text)),
                               testing::HasSubstr("\"topk:0.01\"")));
  for (const char* text : {"topk:", "topk:0", "topk:-0.1", "topk:0.51",
                           "topk:1", "topk:nan", "topk:0.1x", "topk: 0.1"})
    EXPECT_THAT(ErrorOf(text), testing::HasSubstr("above 0 and up to 0.5"))
        << text;
}

TEST(BytesTest, AreCounted) {
  const auto bytes = [](const char* name, std::size_t n) {
    return ParseWire(name)->Bytes(n);
  };
  for (const std::size_t n : {1UL, 255UL, 256UL, 257UL, 1000000UL}) {
    EXPECT_EQ(bytes("fp32", n), 4 * n);
    EXPECT_EQ(bytes("bf16", n), 2 * n);
  }
  EXPECT_EQ(bytes("int8", 1), 1U + 4U);
  EXPECT_EQ(bytes("int8", 256), 256U + 4U);
  EXPECT_EQ(bytes("int8", 257), 257U + 8U);
  EXPECT_EQ(bytes("int8", 1000000), 1000000U + 4U * 3907U);
  EXPECT_EQ(bytes("topk:0.01", 1), 8U) << "one at least";
  EXPECT_EQ(bytes("topk:0.01", 101), 16U) << "rounded up";
  EXPECT_EQ(bytes("topk:0.07", 100), 56U) << "7, although 0.07 * 100 > 7";
  EXPECT_EQ(bytes("topk:0.01", 1000000), 80000U);
}

TEST(WireTest, OnlyFp32IsTheWeightsThemselvesAndOnlyTopKSaysSome) {
  for (const char* name : kFormats) {
    EXPECT_EQ(ParseWire(name)->IsPlain(), name == std::string("fp32"));
    EXPECT_EQ(ParseWire(name)->IsWhole(), name[0] != 't');
  }
}

TEST(Fp32Test, GivesBackEveryBit) {
  Floats mine = RandomWeights(1000, 1);
  mine[0] = -0.0F;
  mine[1] = std::numeric_limits<float>::denorm_min();
  mine[2] = std::numeric_limits<float>::lowest();
  const auto format = MakeFp32();
  const auto out = Decoded(*format, Asked(*format, mine), mine.size());
  EXPECT_EQ(std::memcmp(out.data(), mine.data(), 4000), 0);
}

// The nearer of the two bf16 around a value; of equally near ones, the one with
// an even last bit.
float NearestBf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value) & 0xffff0000U;
  const auto low = std::bit_cast<float>(bits);
  const auto high = std::bit_cast<float>(bits + 0x10000U);
  const double down =
      std::abs(static_cast<double>(value) - static_cast<double>(low));
  const double up =
      std::abs(static_cast<double>(high) - static_cast<double>(value));
  if (down == up) return (bits >> 16U & 1U) == 0 ? low : high;
  return down < up ? low : high;
}

TEST(Bf16Test, RoundsToTheNearestTiesToEven) {
  std::mt19937 random(3);
  Floats mine = {1, -1, 0, -0.0F, 1 + 0x1p-8F, 1 + 0x3p-8F, 0x1p-140F};
  while (mine.size() < 100000) {
    const float value =
        std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::abs(value) < 3e38F) mine.push_back(value);  // and no NaN
  }
  const auto format = MakeBf16();
  const auto out = Decoded(*format, Asked(*format, mine), mine.size());
  for (std::size_t i = 0; i < mine.size(); ++i)
    ASSERT_EQ(std::bit_cast<std::uint32_t>(out[i]),
              std::bit_cast<std::uint32_t>(NearestBf16(mine[i])))
        << mine[i];
}

float Step(const Floats& mine, std::size_t i) {
  const std::size_t begin = i / 256 * 256;
  const std::size_t end = std::min(begin + 256, mine.size());
  float top = 0;
  for (std::size_t k = begin; k < end; ++k)
    top = std::max(top, std::abs(mine[k]));
  return top / 127;
}

TEST(Int8Test, IsOffByLessThanAStepOfItsBlock) {
  Floats mine = RandomWeights(1000, 5);
  for (std::size_t i = 256; i < 512; ++i) mine[i] *= 1e-6F;
  for (std::size_t i = 512; i < 768; ++i) mine[i] = 0;
  mine[0] = 1e6F;
  const auto format = MakeInt8();
  const auto out = Decoded(*format, Asked(*format, mine), mine.size());
  for (std::size_t i = 0; i < mine.size(); ++i)
    EXPECT_LE(std::abs(out[i] - mine[i]), 1.0001F * Step(mine, i)) << i;
}

TEST(Int8Test, BearsTheLargestAndTheSmallestFloats) {
  constexpr float kMax = std::numeric_limits<float>::max();
  const auto format = MakeInt8();
  const auto large = Decoded(*format, Asked(*format, {kMax, -kMax, 0}), 3);
  EXPECT_NEAR(large[0] / kMax, 1, 0.01);
  EXPECT_NEAR(large[1] / kMax, -1, 0.01);
  EXPECT_EQ(large[2], 0);
  const float tiny = std::numeric_limits<float>::denorm_min();
  const auto small = Decoded(*format, Asked(*format, {tiny, -tiny, 0}), 3);
  EXPECT_LE(std::abs(small[0]), std::numeric_limits<float>::min());
  EXPECT_EQ(small[2], 0);
}

// The error's mean, plain, by the weight's sign and by which neighbour is
// nearer, over a million roundings: 5 standard deviations each, so a correct
// generator fails with probability 2e-6. Rounding towards zero, down or to the
// nearest is off by 200 of them or more.
TEST(Int8Test, RoundsWithoutBias) {
  const Floats mine = RandomWeights(500, 7);
  const auto format = MakeInt8();
  constexpr int kTurns = 2000;
  double plain = 0, outwards = 0, nearer = 0, variance = 0;
  Random random(11);
  Bytes ask(format->Bytes(mine.size()));
  for (int turn = 0; turn < kTurns; ++turn) {
    format->EncodeAsk(mine, {}, random, ask);
    const auto out = Decoded(*format, ask, mine.size());
    for (std::size_t i = 0; i < mine.size(); ++i) {
      const double step = Step(mine, i);
      const double at = static_cast<double>(mine[i]) / step;
      const double share = at - std::floor(at);
      const double error = static_cast<double>(out[i]) / step - at;
      plain += error;
      outwards += mine[i] < 0 ? -error : error;
      nearer += share < 0.5 ? -error : error;
      variance += share * (1 - share);
    }
  }
  for (const double sum : {plain, outwards, nearer})
    EXPECT_LT(std::abs(sum), 5 * std::sqrt(variance));
}

std::set<std::size_t> SaidIn(const Bytes& bytes) {
  std::set<std::size_t> said;
  for (std::size_t i = 0; i < bytes.size() / 8; ++i) {
    std::uint32_t index = 0;
    std::memcpy(&index, bytes.data() + 4 * i, 4);
    said.insert(index);
  }
  return said;
}

TEST(TopKTest, SaysWhatHasChangedMost) {
  const auto format = MakeTopK(0.1);
  for (const std::size_t n : {1UL, 9UL, 10UL, 1000UL, 20000UL}) {
    const Floats mine = RandomWeights(n, n);
    const Memory memory{RandomWeights(n, n + 1)};
    // By sorting all of them.
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return std::abs(mine[a] - memory.said[a]) >
             std::abs(mine[b] - memory.said[b]);
    });
    const std::size_t k = (n + 9) / 10;
    const std::set<std::size_t> most(
        order.begin(), order.begin() + static_cast<std::ptrdiff_t>(k));
    const auto ask = Asked(*format, mine, memory);
    EXPECT_EQ(SaidIn(ask), most);
    const auto out = Decoded(*format, ask, n);
    for (std::size_t i = 0; i < n; ++i)
      EXPECT_EQ(out[i], most.contains(i) ? mine[i] : 0) << i;
  }
}

TEST(TopKTest, OfEquallyLargeChangesTheFirstAreSaid) {
  const auto format = MakeTopK(0.5);
  EXPECT_EQ(SaidIn(Asked(*format, {1, 1, 2, -1, 1, 1})),
            (std::set<std::size_t>{0, 1, 2}));
  EXPECT_EQ(SaidIn(Asked(*format, Floats(6))),
            (std::set<std::size_t>{0, 1, 2}));
}

TEST(TopKTest, AnswersAtTheIndicesOfTheAsk) {
  const auto format = MakeTopK(0.1);
  const Floats mine = RandomWeights(100, 1);
  const Floats theirs = RandomWeights(100, 2);
  const auto ask = Asked(*format, mine);
  Bytes answer(ask.size());
  Random random(1);
  ASSERT_FALSE(format->EncodeAnswer(ask, theirs, random, answer));
  EXPECT_EQ(SaidIn(answer), SaidIn(ask));
  Memory memory;
  Floats out(100);
  ASSERT_FALSE(format->DecodeAnswer(ask, answer, memory, out));
  for (std::size_t i = 0; i < 100; ++i)
    EXPECT_EQ(out[i], SaidIn(ask).contains(i) ? theirs[i] : 0);
}

TEST(TopKTest, WhatIsNotSaidHasItsTurn) {
  const auto format = MakeTopK(0.1);
  const Floats mine = RandomWeights(100, 1);
  Memory memory;
  Floats out(100);
  std::set<std::size_t> said;
  for (int turn = 1; turn <= 10; ++turn) {
    const auto ask = Asked(*format, mine, memory);
    EXPECT_EQ(SaidIn(Asked(*format, mine, memory)), SaidIn(ask))
        << "not answered: the same again";
    ASSERT_FALSE(format->DecodeAnswer(ask, ask, memory, out));
    said.merge(SaidIn(ask));
    EXPECT_EQ(said.size(), 10U * static_cast<std::size_t>(turn));
  }
  EXPECT_EQ(memory.said, mine);
}

TEST(WireTest, WeightsThatAreNotFiniteMakeAMessageThatIsRefused) {
  for (const char* name : kFormats)
    for (const float bad :
         {kNan, kInfinity, -kInfinity, std::bit_cast<float>(0x7fffffffU)})
      for (const std::size_t at : {0UL, 300UL, 999UL}) {
        const auto format = ParseWire(name);
        Floats mine = RandomWeights(1000, 1);
        mine[at] = bad;
        const auto ask = Asked(*format, mine);
        EXPECT_EQ(format->Decode(ask, mine), Fault::kNotFinite)
            << name << " " << bad << " at " << at;
      }
}

TEST(WireTest, MessagesOfAnotherLengthAreMalformed) {
  for (const char* name : kFormats) {
    const auto format = ParseWire(name);
    auto bytes = Asked(*format, RandomWeights(300, 1));
    Floats out(300);
    EXPECT_FALSE(format->Decode(bytes, out));
    bytes.push_back({});
    EXPECT_EQ(format->Decode(bytes, out), Fault::kMalformed) << name;
    bytes.resize(bytes.size() - 2);
    EXPECT_EQ(format->Decode(bytes, out), Fault::kMalformed) << name;
    EXPECT_EQ(format->Decode({}, out), Fault::kMalformed) << name;
  }
}

}  // namespace
}  // namespace hearsay::mixing
