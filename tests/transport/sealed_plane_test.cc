// Two data planes under a secret, and somebody in the middle who has none.
#include <gmock/gmock.h>

#include <algorithm>
#include <set>

#include "tests/transport/planes.h"

namespace hearsay::transport {
namespace {

constexpr Milliseconds kSoon{100};

SessionLimits Impatient() {
  return {.seal = {.bytes = std::uint64_t{1} << 38,
                   .pieces = 8,
                   .age = std::chrono::hours(1),
                   .overlap = std::chrono::seconds(10)},
          .overlap = std::chrono::milliseconds(300)};
}

// Sum of all reasons.
std::uint64_t Dropped(const LinkCounters& counters) {
  std::uint64_t sum = 0;
  for (const auto& [reason, count] : counters.dropped()) sum += count;
  return sum;
}

class SealedPlaneTest : public PlanesTest {
 protected:
  SealedPlaneTest() : PlanesTest(Impatient()) {}

  // Keeps the headers that come to `plane`.
  void Record(Plane& plane, std::vector<ChunkHeader>& into) {
    plane.on_piece = [&plane, &into](std::span<const std::byte> header,
                                     std::size_t bytes) {
      into.push_back(*DecodeChunk(header));
      return plane.Deliver(header, bytes);
    };
  }
  // True if the plane wants the piece.
  static bool Wants(Plane& plane, const ChunkHeader& header) {
    return plane.Deliver(EncodeChunk(header), header.length).has_value();
  }
  bool Fails(const std::shared_ptr<std::optional<Result<Message>>>& result,
             ErrorCode code) {
    if (!RunUntil([&] { return result->has_value(); })) return false;
    return !(*result)->has_value() && (*result)->error().code == code;
  }
};

TEST_F(SealedPlaneTest, NothingIsInTheClearOnTheWire) {
  Connect(1);
  AnswerNext(b_);
  const auto clear = b_.Filled(1);
  int pieces = 0;
  int equal = 0;
  b_.on_piece = [&](std::span<const std::byte> bytes, std::size_t received) {
    const auto header = *DecodeChunk(bytes);
    EXPECT_TRUE(header.sealed);
    auto receive = b_.Deliver(bytes, received);
    if (!receive) return receive;
    receive->done = [&, header, into = receive->into,
                     done = std::move(receive->done)](bool arrived) {
      ++pieces;
      // 8 bytes in a million are equal by chance in any 16.
      const auto at = clear->subspan(header.offset, header.length);
      if (!into.empty() &&
          std::equal(into.begin(), into.begin() + 8, at.begin()))
        ++equal;
      done(arrived);
    };
    return receive;
  };
  EXPECT_TRUE(Answered(Ask(a_, "b", 1), 2));
  EXPECT_EQ(pieces, 5);
  EXPECT_EQ(equal, 0);
  b_.on_piece = nullptr;
}

TEST_F(SealedPlaneTest, EveryPieceIsTakenOnce) {
  Connect(1);
  AnswerNext(b_);
  std::vector<ChunkHeader> seen;
  Record(b_, seen);
  EXPECT_TRUE(Answered(Ask(a_, "b", 1), 2));
  b_.on_piece = nullptr;
  ASSERT_EQ(seen.size(), 5U);
  for (const auto& header : seen) EXPECT_FALSE(Wants(b_, header));
  EXPECT_EQ(b_.of("a").dropped_replayed, 5U);
  EXPECT_EQ(Dropped(b_.of("a")), 5U);
  EXPECT_TRUE(AllBuffersAreBack());
}

// A forger knows everything but the keys: he takes no place, makes nothing be
// kept, and does not harm the message that he imitates.
TEST_F(SealedPlaneTest, AForgerAchievesNothing) {
  Connect(1);
  AnswerNext(b_);
  std::uint64_t forgeries = 0;
  b_.on_piece = [&](std::span<const std::byte> bytes, std::size_t received) {
    const std::size_t held = b_.pool->taken();
    for (std::size_t byte = 0; byte < kChunkHeaderBytes - 8; ++byte) {
      std::vector<std::byte> forged(bytes.begin(), bytes.end());
      forged[byte] ^= std::byte{0x04};
      const auto sum = Checksum(std::span(forged).first(kChunkHeaderBytes - 8));
      for (std::size_t i = 0; i < 8; ++i)
        forged[kChunkHeaderBytes - 8 + i] =
            static_cast<std::byte>((sum >> (8 * i)) & 0xff);
      const auto place = b_.Deliver(forged, received);
      EXPECT_TRUE(!place || place->nonsense) << byte;
      ++forgeries;
    }
    EXPECT_EQ(b_.pool->taken(), held);
    return b_.Deliver(bytes, received);
  };
  EXPECT_TRUE(Answered(Ask(a_, "b", 1), 2));
  b_.on_piece = nullptr;
  EXPECT_EQ(b_.of("a").requests_in, 1U);
  EXPECT_GT(b_.of("a").dropped_forged, 5U * 70);
  EXPECT_EQ(Dropped(b_.of("a")) + Dropped(b_.of("")), forgeries);
  EXPECT_TRUE(AllBuffersAreBack());
}

TEST_F(SealedPlaneTest, AnAlteredPieceCostsTheWholeArray) {
  Connect(1);
  AnswerNext(b_);
  int piece = 0;
  b_.on_piece = [&](std::span<const std::byte> bytes, std::size_t received) {
    auto receive = b_.Deliver(bytes, received);
    if (receive && piece++ == 2)
      receive->done = [into = receive->into,
                       done = std::move(receive->done)](bool arrived) {
        into[into.size() / 2] ^= std::byte{1};
        done(arrived);
      };
    return receive;
  };
  EXPECT_TRUE(Fails(Ask(a_, "b", 1, kSoon), ErrorCode::kTimeout));
  EXPECT_EQ(b_.of("a").dropped_forged, 1U);
  EXPECT_EQ(b_.of("a").requests_in, 0U);
  EXPECT_TRUE(AllBuffersAreBack());
  EXPECT_TRUE(Answered(Ask(a_, "b", 5), 6));
  b_.on_piece = nullptr;
}

TEST_F(SealedPlaneTest, AnAlteredPieceOfARoundIsToldAsBad) {
  Connect(1);
  Sink sink;
  b_->SetPieceSink(&sink);
  int placed = 0;
  sink.on_placed = [&] { ++placed; };
  b_.on_piece = [&](std::span<const std::byte> bytes, std::size_t received) {
    auto receive = b_.Deliver(bytes, received);
    receive->done = [into = receive->into,
                     done = std::move(receive->done)](bool arrived) {
      into[0] ^= std::byte{1};
      done(arrived);
    };
    return receive;
  };
  const auto bytes = std::make_shared<std::vector<std::byte>>(1000);
  a_->SendPiece("b", {.round = 7, .tag = 1, .offset = 0}, *bytes, bytes,
                [](bool) {});
  ASSERT_TRUE(RunUntil([&] { return placed == 1; }));
  EXPECT_TRUE(sink.whole.empty());
  EXPECT_EQ(b_.of("a").dropped_forged, 1U);
  EXPECT_EQ(bytes->at(0), std::byte{0}) << "the sender's own were changed";
  b_.on_piece = nullptr;
  b_->SetPieceSink(nullptr);
}

TEST_F(SealedPlaneTest, LostPiecesCostTheirMessageOnly) {
  Connect(1);
  AnswerNext(b_);
  int piece = 0;
  b_.on_piece = [&](std::span<const std::byte> bytes, std::size_t received) {
    return ++piece % 7 == 0 ? std::nullopt : b_.Deliver(bytes, received);
  };
  int answered = 0;
  for (std::uint64_t version = 0; version < 7; ++version) {
    const auto asked = Ask(a_, "b", version, kSoon);
    ASSERT_TRUE(RunUntil([&] { return asked->has_value(); }));
    if (asked->value()) ++answered;
  }
  EXPECT_EQ(answered, 2);
  EXPECT_EQ(Dropped(b_.of("a")), 0U);
  EXPECT_TRUE(AllBuffersAreBack());
  b_.on_piece = nullptr;
}

// Pieces of one conversation do not fit into another: not the other direction,
// not another lane, not another session.
TEST_F(SealedPlaneTest, PiecesCannotBeSpliced) {
  Plane c(io_, PlaneOptions("c"), Impatient());
  Connect(1);
  AnswerNext(b_);
  b_->Open("c", Terms(c, 3, false));
  std::vector<ChunkHeader> seen;
  Record(b_, seen);
  EXPECT_TRUE(Answered(Ask(a_, "b", 1), 2));
  b_.on_piece = nullptr;
  ASSERT_FALSE(seen.empty());
  for (auto header : seen) {
    EXPECT_FALSE(Wants(a_, header)) << "reflected";
    header.token = 1003;
    EXPECT_FALSE(Wants(b_, header)) << "from another lane";
  }
  EXPECT_EQ(a_.of("b").dropped_forged, seen.size());
  EXPECT_EQ(b_.of("c").dropped_forged, seen.size());
  Connect(2);
  for (auto header : seen) {
    header.token = 1002;
    EXPECT_FALSE(Wants(b_, header)) << "of another session";
  }
  EXPECT_EQ(b_.of("a").dropped_forged, seen.size());
  EXPECT_TRUE(AllBuffersAreBack());
}

// One end has the keys, the other does not: does the one that asks?
class HalfSealedTest : public SealedPlaneTest,
                       public ::testing::WithParamInterface<bool> {};

TEST_P(HalfSealedTest, NothingPasses) {
  auto to_b = Terms(b_, 1, true);
  auto to_a = Terms(a_, 1, false);
  (GetParam() ? to_a : to_b).secret = std::nullopt;
  a_->Open("b", to_b);
  b_->Open("a", to_a);
  AnswerNext(b_);
  EXPECT_TRUE(Fails(Ask(a_, "b", 1, Milliseconds(1000)), ErrorCode::kTimeout));
  EXPECT_EQ(b_.of("a").dropped_unsealed, 5U);
  EXPECT_EQ(b_.of("a").requests_in, 0U);
  EXPECT_TRUE(AllBuffersAreBack());
}

INSTANTIATE_TEST_SUITE_P(Asker, HalfSealedTest, ::testing::Bool());

TEST_F(SealedPlaneTest, KeysChangeUnderLoad) {
  Connect(1);
  AnswerNext(a_);
  AnswerNext(b_);
  std::vector<ChunkHeader> seen;
  Record(b_, seen);
  for (std::uint64_t version = 0; version < 40; ++version) {
    const auto from_a = Ask(a_, "b", version);
    const auto from_b = Ask(b_, "a", version + 1000);
    EXPECT_TRUE(Answered(from_a, version + 1));
    EXPECT_TRUE(Answered(from_b, version + 1001));
  }
  std::set<std::uint32_t> epochs;
  std::set<std::uint64_t> counters;
  for (const auto& header : seen) {
    epochs.insert(header.epoch);
    counters.insert(header.counter);
  }
  EXPECT_EQ(counters.size(), 400U);  // 5 pieces, 40 requests and 40 answers.
  EXPECT_EQ(epochs.size(), 50U);
  EXPECT_EQ(Dropped(a_.of("b")), 0U);
  EXPECT_EQ(Dropped(b_.of("a")), 0U);
  EXPECT_TRUE(AllBuffersAreBack());
  b_.on_piece = nullptr;
}

TEST_F(SealedPlaneTest, ANewSecretWhileAMessageIsOnItsWay) {
  Connect(1);
  AnswerNext(b_);
  std::set<std::uint64_t> tokens;
  int pieces = 0;
  b_.on_piece = [&](std::span<const std::byte> bytes, std::size_t received) {
    tokens.insert(DecodeChunk(bytes)->token);
    ++pieces;
    return b_.Deliver(bytes, received);
  };
  const auto asked = Ask(a_, "b", 1);
  ASSERT_TRUE(RunUntil([&] { return pieces > 0; }));
  Connect(2);
  EXPECT_TRUE(Answered(asked, 2));
  EXPECT_TRUE(Answered(Ask(a_, "b", 3), 4));
  EXPECT_THAT(tokens, testing::ElementsAre(1001, 1002));
  EXPECT_EQ(Dropped(b_.of("a")), 0U);
  EXPECT_EQ(Dropped(a_.of("b")), 0U);
  b_.on_piece = nullptr;
}

TEST_F(SealedPlaneTest, AnEarlierSessionEndsAfterTheOverlap) {
  Connect(1);
  ChunkHeader header;
  header.token = 1001;
  header.sealed = true;
  EXPECT_FALSE(Wants(b_, header));
  EXPECT_EQ(b_.of("a").dropped_forged, 1U);
  Connect(2);
  EXPECT_FALSE(Wants(b_, header));
  EXPECT_EQ(b_.of("a").dropped_forged, 2U);
  ASSERT_TRUE(RunUntil([&] {
    Wants(b_, header);
    return b_.of("").dropped_stranger > 0;
  }));
  AnswerNext(b_);
  EXPECT_TRUE(Answered(Ask(a_, "b", 1), 2));
}

TEST_F(SealedPlaneTest, WhoeverHasNoSessionAnyMoreIsAStranger) {
  Connect(1);
  AnswerNext(b_);
  std::vector<ChunkHeader> seen;
  Record(b_, seen);
  EXPECT_TRUE(Answered(Ask(a_, "b", 1), 2));
  b_.on_piece = nullptr;
  b_->Close("a", "its session has ended");
  for (const auto& header : seen) EXPECT_FALSE(Wants(b_, header));
  EXPECT_EQ(b_.of("").dropped_stranger, 5U);
  EXPECT_EQ(b_.of("a").requests_in, 1U);
  EXPECT_TRUE(AllBuffersAreBack());
}

// Or the same nonces would be used twice under the same keys.
TEST_F(SealedPlaneTest, ASecretIsUsedForOneLaneOnly) {
  Connect(1);
  AnswerNext(b_);
  EXPECT_TRUE(Answered(Ask(a_, "b", 1), 2));
  a_->Close("b", "its lane has failed");
  a_->Open("b", Terms(b_, 1, true));
  ASSERT_TRUE(RunUntil([&] { return a_.broken == 1; }));
  EXPECT_TRUE(Fails(Ask(a_, "b", 1), ErrorCode::kPeerGone));
  b_->Close("a", "its session has ended");
  Connect(2);
  EXPECT_TRUE(Answered(Ask(a_, "b", 1), 2));
}

// Two nodes that dial each other have two sessions for a moment, in any order,
// and one token for both.
TEST_F(SealedPlaneTest, TwoSessionsAtOnceDoNotDisturbEachOther) {
  const auto terms = [&](Plane& to, int seed, bool dialler) {
    auto one = Terms(to, seed, dialler);
    one.token = one.grant.data_token = 77;
    return one;
  };
  AnswerNext(a_);
  AnswerNext(b_);
  const auto exchange = [&] {
    const auto from_a = Ask(a_, "b", 1);
    const auto from_b = Ask(b_, "a", 5);
    EXPECT_TRUE(Answered(from_a, 2));
    EXPECT_TRUE(Answered(from_b, 6));
  };
  a_->Open("b", terms(b_, 1, true));  // Granted.
  b_->Open("a", terms(a_, 1, false));
  exchange();
  a_->Open("b", terms(b_, 2, false));
  exchange();  // b has heard of it not at all yet.
  b_->Open("a", terms(a_, 2, true));
  exchange();
  b_->Open("a", terms(a_, 2, true));  // Established, at one end.
  exchange();
  a_->Open("b", terms(b_, 1, true));  // And the other, there, for a moment.
  exchange();
  a_->Open("b", terms(b_, 2, false));
  exchange();
  EXPECT_EQ(Dropped(a_.of("b")), 0U);
  EXPECT_EQ(Dropped(b_.of("a")), 0U);
}

// A handshake that fails at its last word leaves a session at one end only.
TEST_F(SealedPlaneTest, ASessionThatThePeerNeverHadIsForgotten) {
  Connect(1);
  AnswerNext(b_);
  a_->Open("b", Terms(b_, 2, true));
  ChunkHeader header;
  header.token = 1002;
  header.sealed = true;
  EXPECT_FALSE(Wants(a_, header));
  EXPECT_EQ(a_.of("b").dropped_forged, 1U);
  ASSERT_TRUE(RunUntil([&] {
    Wants(a_, header);
    return a_.of("").dropped_stranger > 0;
  }));
  EXPECT_TRUE(Answered(Ask(a_, "b", 1), 2));
  EXPECT_EQ(Dropped(b_.of("a")), 0U);
}

// Each dial of a member's brings a session; the one in use is never the price.
TEST_F(SealedPlaneTest, ManySessionsDoNotPushOutTheOneInUse) {
  Connect(1);
  AnswerNext(b_);
  for (int seed = 2; seed < 20; ++seed) b_->Open("a", Terms(a_, seed, false));
  EXPECT_TRUE(Answered(Ask(a_, "b", 1), 2));
  EXPECT_EQ(Dropped(b_.of("a")), 0U);
}

}  // namespace
}  // namespace hearsay::transport
