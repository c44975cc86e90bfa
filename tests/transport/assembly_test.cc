#include "transport/assembly.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

namespace hearsay::transport {
namespace {

constexpr std::size_t kTotal = 1000;
constexpr std::size_t kChunk = 64;  // 16 pieces, the last of 40 bytes

class AssemblyTest : public testing::Test {
 protected:
  AssemblyTest() : source_(kTotal) {
    std::mt19937 random(1);
    for (auto& byte : source_) byte = static_cast<std::byte>(random() & 0xff);
  }

  ChunkHeader Piece(std::size_t index) const {
    const std::size_t offset = index * kChunk;
    const std::size_t length = std::min(kChunk, kTotal - offset);
    ChunkHeader header;
    header.exchange = 5;
    header.version = 9;
    header.total = kTotal;
    header.offset = offset;
    header.length = static_cast<std::uint32_t>(length);
    return header;
  }
  bool Deliver(Assembly& assembly, const ChunkHeader& piece) {
    const auto place = assembly.Claim(piece);
    if (!place) return false;
    std::memcpy(place->data(), source_.data() + piece.offset, piece.length);
    assembly.Accept();
    return true;
  }

  std::vector<std::byte> source_;
  std::shared_ptr<BufferPool> pool_ = BufferPool::Make(kTotal, 1);
};

TEST_F(AssemblyTest, IsTheArrayInWhateverOrderThePiecesCome) {
  std::vector<std::size_t> order(16);
  std::iota(order.begin(), order.end(), 0);
  std::mt19937 random(2);
  for (int round = 0; round < 20; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    Assembly assembly(Piece(order[0]), kChunk, pool_->Take());
    for (const auto index : order) {
      EXPECT_FALSE(assembly.complete());
      EXPECT_TRUE(Deliver(assembly, Piece(index)));
    }
    EXPECT_TRUE(assembly.complete());
    EXPECT_EQ(assembly.version(), 9U);
    EXPECT_TRUE(std::equal(source_.begin(), source_.end(),
                           assembly.payload()->begin()));
  }
}

TEST_F(AssemblyTest, HandsOutEachPlaceOnce) {
  Assembly assembly(Piece(0), kChunk, pool_->Take());
  EXPECT_TRUE(assembly.Claim(Piece(3)));
  EXPECT_FALSE(assembly.Claim(Piece(3)));
}

TEST_F(AssemblyTest, RejectsAPieceOfAnotherMessage) {
  Assembly assembly(Piece(0), kChunk, pool_->Take());
  ChunkHeader other = Piece(1);
  other.exchange = 6;
  EXPECT_FALSE(assembly.Claim(other));
  other = Piece(1);
  other.version = 10;
  EXPECT_FALSE(assembly.Claim(other));
  other = Piece(0);
  other.total = 0;
  other.length = 0;
  EXPECT_FALSE(assembly.Claim(other));
}

TEST_F(AssemblyTest, IsNeverCompleteWithoutAPiece) {
  for (std::size_t bad = 0; bad < 16; ++bad) {
    Assembly assembly(Piece(0), kChunk, pool_->Take());
    for (std::size_t index = 0; index < 16; ++index) {
      ASSERT_TRUE(assembly.Claim(Piece(index)));
      if (index != bad) assembly.Accept();
    }
    EXPECT_TRUE(assembly.claimed());
    EXPECT_FALSE(assembly.complete());
  }
}

TEST_F(AssemblyTest, AnEmptyMessageIsOneEmptyPiece) {
  ChunkHeader header;
  Assembly assembly(header, kChunk, nullptr);
  EXPECT_FALSE(assembly.complete());
  ASSERT_TRUE(assembly.Claim(header));
  assembly.Accept();
  EXPECT_TRUE(assembly.complete());
  EXPECT_EQ(assembly.payload(), nullptr);
}

}  // namespace
}  // namespace hearsay::transport
