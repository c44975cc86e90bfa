// Messages from a peer that means harm: refused whole, never a crash, nothing
// written outside (the sanitizers' builds look too).
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "daemon/mixing/wire.h"
#include "tests/mixing/wire_ring.h"

namespace hearsay::mixing {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Pairs {
  std::vector<std::uint32_t> indices;
  Floats values;
};

Bytes Written(const Pairs& pairs) {
  const std::size_t bytes = 4 * pairs.indices.size();
  Bytes written(2 * bytes);
  std::memcpy(written.data(), pairs.indices.data(), bytes);
  std::memcpy(written.data() + bytes, pairs.values.data(), bytes);
  return written;
}

TEST(TopKHostileTest, IndicesMustAscendWithinTheModel) {
  const auto format = MakeTopK(0.3);
  Floats out(10);
  Random random(1);
  const auto faults = [&](const Pairs& pairs) {
    const auto bytes = Written(pairs);
    Bytes answer(bytes.size());
    const auto fault = format->Decode(bytes, out);
    EXPECT_EQ(format->EncodeAnswer(bytes, out, random, answer), fault);
    return fault;
  };
  EXPECT_EQ(faults({{0, 5, 9}, {1, 2, 3}}), std::nullopt);
  for (const auto& indices : std::vector<std::vector<std::uint32_t>>{
           {0, 5, 10},           // beyond the end
           {0, 5, 0xffffffffU},  // far beyond
           {0xffffffffU, 0, 1},  // and wrapping round
           {0, 9, 5},            // not ascending
           {5, 5, 9},            // twice
           {9, 9, 9}})
    EXPECT_EQ(faults({indices, {1, 2, 3}}), Fault::kMalformed);
}

TEST(TopKHostileTest, ValuesMustBeFinite) {
  const auto format = MakeTopK(0.3);
  Floats out(10);
  EXPECT_EQ(format->Decode(Written({{0, 5, 9}, {1, kNan, 3}}), out),
            Fault::kNotFinite);
}

// Otherwise what was not asked would count as a difference to 0.
TEST(TopKHostileTest, AnAnswerAtOtherIndicesIsRefusedAndNothingRemembered) {
  const auto format = MakeTopK(0.3);
  const auto ask = Written({{0, 5, 9}, {1, 2, 3}});
  Memory memory;
  Floats out(10);
  EXPECT_EQ(
      format->DecodeAnswer(ask, Written({{0, 5, 8}, {1, 2, 3}}), memory, out),
      Fault::kMalformed);
  EXPECT_EQ(format->DecodeAnswer(ask, Written({{0, 5, 9}, {1, kNan, 3}}),
                                 memory, out),
            Fault::kNotFinite);
  EXPECT_TRUE(memory.said.empty());
}

TEST(Int8HostileTest, StepsMustBeOnesThatAnEncoderWrites) {
  const auto format = MakeInt8();
  Bytes bytes(format->Bytes(300), std::byte{1});
  Floats out(300);
  const auto fault = [&](std::size_t block, float step) {
    const float good = 0.5F;
    for (const std::size_t at : {0UL, 1UL})
      std::memcpy(bytes.data() + 4 * at, at == block ? &step : &good, 4);
    return format->Decode(bytes, out);
  };
  for (const std::size_t block : {0UL, 1UL}) {
    EXPECT_EQ(fault(block, 1.0F), std::nullopt);
    EXPECT_EQ(fault(block, std::numeric_limits<float>::max() / 128),
              std::nullopt);
    EXPECT_EQ(fault(block, kNan), Fault::kNotFinite);
    EXPECT_EQ(fault(block, std::numeric_limits<float>::infinity()),
              Fault::kNotFinite);
    EXPECT_EQ(fault(block, -1.0F), Fault::kMalformed);
    EXPECT_EQ(fault(block, 0.0F), Fault::kMalformed);
    EXPECT_EQ(fault(block, std::numeric_limits<float>::max() / 64),
              Fault::kMalformed);
  }
  EXPECT_EQ(fault(0, 1.0F), std::nullopt);
  bytes[8 + 299] = std::byte{0x80};
  EXPECT_EQ(format->Decode(bytes, out), Fault::kMalformed) << "-128";
}

// Whatever the bytes: what is accepted is finite, and nothing beside `out` is
// touched. Half of the messages are true ones with a few bytes changed.
TEST(WireHostileTest, AnyBytesAreRefusedOrDecodeToFiniteValues) {
  constexpr std::size_t kMargin = 64;
  std::mt19937_64 random(17);
  Random rounding(17);
  int accepted = 0;
  for (int turn = 0; turn < 20000; ++turn) {
    const char* names[] = {"fp32", "bf16", "int8", "topk:0.02"};
    const auto format = ParseWire(names[turn % 4]);
    const std::size_t n = 1 + random() % 600;
    const Floats mine = Rounded(RandomStart(1, n, random())[0]);
    Bytes bytes(format->Bytes(n));
    format->EncodeAsk(mine, {}, rounding, bytes);
    if (random() % 2 == 0)
      for (auto& byte : bytes) byte = static_cast<std::byte>(random());
    else
      for (std::uint64_t k = random() % 4; k > 0; --k)
        bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    Floats memory(n + 2 * kMargin, 12345);
    const std::span<float> out(memory.data() + kMargin, n);
    if (!format->Decode(bytes, out)) {
      ++accepted;
      ASSERT_TRUE(AllFinite(out)) << format->name();
    }
    for (std::size_t k = 0; k < kMargin; ++k) {
      ASSERT_EQ(memory[k], 12345);
      ASSERT_EQ(memory[n + kMargin + k], 12345);
    }
    Bytes answer(bytes.size());
    if (!format->EncodeAnswer(bytes, mine, rounding, answer)) {
      Memory of_peer;
      ASSERT_EQ(format->DecodeAnswer(bytes, answer, of_peer, out),
                std::nullopt);
    }
  }
  EXPECT_GT(accepted, 1000) << "the test must try what is accepted, too";
}

}  // namespace
}  // namespace hearsay::mixing
