#include "transport/chunk.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <cstring>
#include <string_view>
#include <vector>

namespace hearsay::transport {
namespace {

std::span<const std::byte> BytesOf(std::string_view text) {
  return std::as_bytes(std::span(text));
}

ChunkHeader AnyHeader() {
  ChunkHeader header;
  header.kind = *rc::gen::element(ChunkKind::kRequest, ChunkKind::kAnswer);
  header.token = *rc::gen::arbitrary<std::uint64_t>();
  header.exchange = *rc::gen::arbitrary<std::uint64_t>();
  header.version = *rc::gen::arbitrary<std::uint64_t>();
  header.total = *rc::gen::arbitrary<std::uint64_t>();
  header.offset = *rc::gen::arbitrary<std::uint64_t>();
  header.length = *rc::gen::arbitrary<std::uint32_t>();
  header.deadline_ms = *rc::gen::arbitrary<std::uint32_t>();
  header.sealed = *rc::gen::arbitrary<bool>();
  header.epoch = *rc::gen::arbitrary<std::uint32_t>();
  header.counter = *rc::gen::arbitrary<std::uint64_t>();
  for (auto* tag : {&header.check, &header.proof})
    for (auto& byte : *tag)
      byte = std::byte{*rc::gen::arbitrary<std::uint8_t>()};
  return header;
}

// Published test vector: XXH3-64 of nothing, with seed 0 (xxHash's own tests).
TEST(ChunkTest, ChecksumIsXxh3) {
  EXPECT_EQ(Checksum({}), 0x2D06800538D394C2ULL);
  EXPECT_NE(Checksum(BytesOf("a")), Checksum(BytesOf("b")));
}

TEST(ChunkTest, LaysTheHeaderOutLittleEndianAtFixedPlaces) {
  ChunkHeader header;
  header.kind = ChunkKind::kAnswer;
  header.token = 0x0102030405060708;
  header.length = 0x0a0b0c0d;
  const auto bytes = EncodeChunk(header);
  EXPECT_EQ(std::memcmp(bytes.data(), "HRSY\x02\x00\x02\x00", 8), 0);
  EXPECT_EQ(std::to_integer<int>(bytes[8]), 0x08);   // token, lowest first
  EXPECT_EQ(std::to_integer<int>(bytes[15]), 0x01);  // and highest last
  EXPECT_EQ(std::to_integer<int>(bytes[48]), 0x0d);  // length
}

RC_GTEST_PROP(ChunkTest, DecodesWhatWasEncoded, ()) {
  const ChunkHeader header = AnyHeader();
  const auto decoded = DecodeChunk(EncodeChunk(header));
  RC_ASSERT(decoded.has_value());
  RC_ASSERT(*decoded == header);
}

RC_GTEST_PROP(ChunkTest, RejectsEveryFlippedBit, ()) {
  const auto good = EncodeChunk(AnyHeader());
  for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
    auto bad = good;
    bad[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    RC_ASSERT(!DecodeChunk(bad).has_value());
  }
}

RC_GTEST_PROP(ChunkTest, RejectsEveryOtherLength, ()) {
  const auto good = EncodeChunk(AnyHeader());
  for (std::size_t size = 0; size < good.size(); ++size)
    RC_ASSERT(!DecodeChunk(std::span(good).first(size)).has_value());
  std::vector<std::byte> longer(good.begin(), good.end());
  longer.push_back(std::byte{0});
  RC_ASSERT(!DecodeChunk(longer).has_value());
}

RC_GTEST_PROP(ChunkTest, RejectsNoise,
              (const std::vector<std::uint8_t>& noise)) {
  RC_ASSERT(!DecodeChunk(std::as_bytes(std::span(noise))).has_value());
}

// The whole point of the bounds: what passes lies within the array.
RC_GTEST_PROP(ChunkTest, WhatPassesTheBoundsLiesWithinTheArray, ()) {
  const auto array_bytes = *rc::gen::inRange<std::size_t>(1, 40);
  const auto chunk_bytes = *rc::gen::inRange<std::size_t>(1, 40);
  ChunkHeader header = AnyHeader();
  header.total = *rc::gen::element<std::uint64_t>(
      0, array_bytes, *rc::gen::arbitrary<std::uint64_t>());
  header.offset = *rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, 50),
                                  rc::gen::arbitrary<std::uint64_t>());
  header.length = *rc::gen::oneOf(rc::gen::inRange<std::uint32_t>(0, 50),
                                  rc::gen::arbitrary<std::uint32_t>());
  const auto received = *rc::gen::element<std::size_t>(
      header.length, *rc::gen::inRange<std::size_t>(0, 50));
  if (!CheckBounds(header, array_bytes, chunk_bytes, received)) return;
  RC_ASSERT(received == header.length);
  RC_ASSERT(header.length <= chunk_bytes);
  if (header.total == 0) {
    RC_ASSERT(header.length == 0U && header.offset == 0U);
  } else {
    RC_ASSERT(header.total == array_bytes);
    RC_ASSERT(header.offset < array_bytes);
    RC_ASSERT(header.length <= array_bytes - header.offset);
    RC_ASSERT(header.offset % chunk_bytes == 0U);
  }
}

// And the pieces that a sender cuts do pass, and cover the array once.
RC_GTEST_PROP(ChunkTest, TheBoundsAcceptExactlyOneCutting, ()) {
  const auto array_bytes = *rc::gen::inRange<std::size_t>(1, 200);
  const auto chunk_bytes = *rc::gen::inRange<std::size_t>(1, 64);
  std::vector<int> covered(array_bytes, 0);
  for (std::uint64_t offset = 0; offset < array_bytes + 70; ++offset) {
    for (std::uint32_t length = 0; length <= 70; ++length) {
      ChunkHeader header;
      header.total = array_bytes;
      header.offset = offset;
      header.length = length;
      if (!CheckBounds(header, array_bytes, chunk_bytes, length)) continue;
      for (std::uint64_t i = 0; i < length; ++i) ++covered.at(offset + i);
    }
  }
  RC_ASSERT(covered == std::vector<int>(array_bytes, 1));
}

}  // namespace
}  // namespace hearsay::transport
