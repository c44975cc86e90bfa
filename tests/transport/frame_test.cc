#include "transport/frame.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace hearsay::transport {
namespace {

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

// Feeds `stream` in pieces of at most `step` bytes; returns the frames.
std::vector<std::string> Frames(FrameDecoder& decoder,
                                const std::string& stream, std::size_t step) {
  std::vector<std::string> frames;
  std::span<const std::byte> rest = BytesOf(stream);
  while (!rest.empty() && !decoder.malformed()) {
    const auto piece = rest.first(std::min(step, rest.size()));
    const std::size_t taken = decoder.Feed(piece);
    rest = rest.subspan(taken);
    while (auto frame = decoder.Next()) frames.push_back(std::move(*frame));
    if (taken == 0) break;
  }
  return frames;
}

TEST(FrameTest, PutsABigEndianLengthInFront) {
  EXPECT_EQ(EncodeFrame(std::string(258, 'x')).substr(0, 5),
            std::string("\0\0\1\2x", 5));
}

RC_GTEST_PROP(FrameTest, GivesBackTheFramesHoweverTheStreamIsCut, ()) {
  const auto bodies = *rc::gen::container<std::vector<std::string>>(
      rc::gen::nonEmpty<std::string>());
  const auto step = *rc::gen::inRange<std::size_t>(1, 40);
  std::string stream;
  for (const auto& body : bodies) stream += EncodeFrame(body);
  FrameDecoder decoder;
  RC_ASSERT(Frames(decoder, stream, step) == bodies);
  RC_ASSERT(!decoder.malformed());
}

TEST(FrameTest, AcceptsTheLargestFrame) {
  const std::string body(kMaxFrameBytes, 'x');
  FrameDecoder decoder;
  EXPECT_EQ(Frames(decoder, EncodeFrame(body), 1000),
            std::vector<std::string>{body});
}

TEST(FrameTest, RejectsALengthOfZeroOrOverTheBoundForGood) {
  for (const std::string& header :
       {std::string("\0\0\0\0", 4), std::string("\0\1\0\1", 4),
        std::string("\xff\xff\xff\xff", 4), std::string("GET ", 4)}) {
    FrameDecoder decoder;
    decoder.Feed(BytesOf(header));
    EXPECT_TRUE(decoder.malformed());
    EXPECT_FALSE(decoder.Next());
    EXPECT_EQ(decoder.Feed(BytesOf(EncodeFrame("good"))), 0U);
    EXPECT_FALSE(decoder.Next());
  }
}

TEST(FrameTest, WaitsForTheRestOfATruncatedFrame) {
  const std::string frame = EncodeFrame("hello");
  for (std::size_t cut = 0; cut < frame.size(); ++cut) {
    FrameDecoder decoder;
    EXPECT_TRUE(Frames(decoder, frame.substr(0, cut), 3).empty());
    EXPECT_FALSE(decoder.malformed());
    EXPECT_EQ(Frames(decoder, frame.substr(cut), 3),
              std::vector<std::string>{"hello"});
  }
}

TEST(FrameTest, GivesNoFrameOverTheBoundFromAnyNoise) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string noise(random() % 300, '\0');
    for (auto& c : noise) c = static_cast<char>(random() & 0xff);
    // Small lengths, so that some noise is read as frames.
    if (round % 2 == 0 && noise.size() > 4)
      noise.replace(0, 3, std::string(3, '\0'));
    FrameDecoder decoder;
    for (const auto& frame : Frames(decoder, noise, 1 + random() % 50)) {
      EXPECT_GT(frame.size(), 0U);
      EXPECT_LE(frame.size(), noise.size());
    }
  }
}

}  // namespace
}  // namespace hearsay::transport
