// A member of a group that lies: what it sends is dropped, and the round goes
// on as if it had not been sent.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <future>

#include "tests/transport/impostor.h"
#include "transport/collective/collective.h"
#include "transport/collective/header.h"

namespace hearsay::transport::collective {
namespace {

constexpr std::size_t kPiece = 4096;
constexpr std::size_t kBytes = 2 * kPiece;

// The victim is "a", the first of a group of two that swap whole arrays.
class LiveHostileTest : public testing::Test {
 protected:
  LiveHostileTest()
      : options_(TestOptions("a", {}, kBytes)),
        victim_(options_),
        impostor_(victim_, "x", options_) {}
  ~LiveHostileTest() override {
    victim_.Run([this] { group_.reset(); });
  }

  void SetUp() override {
    Terms terms;
    terms.members = {"a", "x"};
    terms.bytes = kBytes;
    terms.algorithm = Algorithm::kDirect;
    terms.piece_bytes = kPiece;
    victim_.Run([&] {
      victim_.transport().collectives().Form(
          "g", terms, Milliseconds(10000),
          [this](Result<std::shared_ptr<Group>> formed) {
            if (formed) group_ = *formed;
          });
    });
    const auto proposal = impostor_.control().ReadUntil<RoundProposal>();
    ASSERT_TRUE(proposal);
    id_ = proposal->round;
    impostor_.control().Send(
        RoundVerdict{.round = id_, .accepted = true, .reason = {}});
    const auto last_word = impostor_.control().ReadUntil<RoundVerdict>();
    ASSERT_TRUE(last_word && last_word->accepted);
    ASSERT_TRUE(Node::Eventually(
        [&] { return victim_.Run([&] { return group_ != nullptr; }); }));
    victim_.Run([&] {
      const auto input = victim_.pool()->Take();
      Fill(*input, 1);
      group_->Run(input, Milliseconds(10000), [this](Result<Buffer> result) {
        outcome_.set_value(std::move(result));
      });
    });
  }

  static void Fill(std::span<std::byte> bytes, float value) {
    for (std::size_t at = 0; at < bytes.size(); at += sizeof value)
      std::memcpy(bytes.data() + at, &value, sizeof value);
  }
  static std::vector<std::byte> Payload(std::size_t bytes, float value = 2) {
    std::vector<std::byte> payload(bytes);
    Fill(payload, value);
    return payload;
  }
  static void Send(Impostor& from, std::uint64_t group, const Header& header,
                   const std::vector<std::byte>& payload) {
    from.Send(Chunk(from, group, header, payload), payload);
  }
  static ChunkHeader Chunk(const Impostor& from, std::uint64_t group,
                           const Header& header,
                           const std::vector<std::byte>& payload) {
    const auto piece = Encode(group, header);
    auto chunk = from.Piece(piece.round, payload, payload.size());
    chunk.kind = ChunkKind::kRound;
    chunk.version = piece.tag;
    chunk.offset = piece.offset;
    return chunk;
  }
  void SendPiece(std::size_t offset, float value = 2) {
    Send(impostor_, id_, {0, Header::Kind::kPiece, 0, offset},
         Payload(kPiece, value));
  }
  void SendNote(Note note) {
    Send(impostor_, id_,
         {0, Header::Kind::kNote, static_cast<std::uint32_t>(note), 1}, {});
  }
  Result<Buffer> Outcome() {
    auto future = outcome_.get_future();
    EXPECT_TRUE(impostor_.RunUntil([&] {
      return future.wait_for(Milliseconds(0)) == std::future_status::ready;
    }));
    return future.get();
  }
  void ExpectSum(const Result<Buffer>& outcome) {
    ASSERT_TRUE(outcome) << outcome.error().detail;
    EXPECT_EQ(
        std::memcmp((*outcome)->data(), Payload(kBytes, 3).data(), kBytes), 0);
  }
  std::uint64_t dropped() {
    const auto counters = victim_.counters("x");
    return counters.dropped_late + counters.dropped_size;
  }

  Options options_;
  Node victim_;
  Impostor impostor_;
  std::uint64_t id_ = 0;
  std::shared_ptr<Group> group_;  // the victim's thread's
  std::promise<Result<Buffer>> outcome_;
};

TEST_F(LiveHostileTest, PiecesThatNobodyPlannedAreDroppedAndChangeNothing) {
  using Kind = Header::Kind;
  const auto piece = Payload(kPiece, 1e30F);
  struct Case {
    std::uint64_t group;
    Header header;
    std::vector<std::byte> payload;
  };
  const std::array<Case, 9> cases = {{
      {id_ + 1, {0, Kind::kPiece, 0, 0}, piece},              // no such group
      {id_, {7, Kind::kPiece, 0, 0}, piece},                  // round to come
      {id_, {0, Kind::kPiece, 1, 0}, piece},                  // no such step
      {id_, {0, Kind::kPiece, 0, 8}, piece},                  // off the grid
      {id_, {0, Kind::kPiece, 0, kBytes}, piece},             // beyond the end
      {id_, {0, Kind::kPiece, 0, ~std::uint64_t{0}}, piece},  // far beyond
      {id_, {0, Kind::kPiece, 0, 0}, Payload(kPiece - 4)},    // too short
      {id_, {0, static_cast<Kind>(9), 0, 0}, piece},          // no such kind
      {id_, {0, Kind::kCredit, 0, 1}, piece},  // a word that has a payload
  }};
  for (const auto& [group, header, payload] : cases)
    Send(impostor_, group, header, payload);
  EXPECT_TRUE(impostor_.RunUntil([&] { return dropped() == cases.size(); }))
      << dropped();
  SendPiece(0);
  SendPiece(0, 1e30F);  // Again, with other bytes.
  SendPiece(kPiece);
  SendNote(Note::kReady);
  ExpectSum(Outcome());
  EXPECT_EQ(dropped(), cases.size() + 1);
}

TEST_F(LiveHostileTest, WordsThatMakeNoSenseChangeNothing) {
  for (const std::uint32_t detail : {0U, 9U, 200U, 0xffffffU})
    Send(impostor_, id_, {0, Header::Kind::kNote, detail, 77}, {});
  for (const std::uint64_t used : {std::uint64_t{3}, ~std::uint64_t{0}})
    Send(impostor_, id_, {0, Header::Kind::kCredit, 0, used}, {});
  SendPiece(0);
  SendPiece(kPiece);
  SendNote(Note::kReady);
  ExpectSum(Outcome());
}

TEST_F(LiveHostileTest, AVoteWithoutTheDataDoesNotMakeARound) {
  SendNote(Note::kReady);
  SendNote(Note::kCommit);
  SendPiece(0);
  auto future = outcome_.get_future();
  impostor_.RunUntil([&] { return impostor_.received().size() >= 2; });
  EXPECT_EQ(future.wait_for(Milliseconds(50)), std::future_status::timeout);
  SendPiece(kPiece);
  ASSERT_TRUE(impostor_.RunUntil([&] {
    return future.wait_for(Milliseconds(0)) == std::future_status::ready;
  }));
  ExpectSum(future.get());
}

TEST_F(LiveHostileTest, ADamagedPieceFailsTheRound) {
  const auto payload = Payload(kPiece);
  auto chunk = Chunk(impostor_, id_, {0, Header::Kind::kPiece, 0, 0}, payload);
  chunk.check[0] ^= std::byte{1};
  impostor_.Send(chunk, payload);
  const auto outcome = Outcome();
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, ErrorCode::kMalformed);
  EXPECT_EQ(victim_.counters("x").dropped_checksum, 1U);
}

TEST_F(LiveHostileTest, AMemberOfTheClusterThatIsNotOfTheGroupIsNotHeard) {
  Impostor other(victim_, "y", options_);
  Send(other, id_, {0, Header::Kind::kPiece, 0, 0}, Payload(kPiece, 1e30F));
  Send(other, id_,
       {0, Header::Kind::kNote, static_cast<std::uint32_t>(Note::kAbort), 0},
       {});
  EXPECT_TRUE(
      other.RunUntil([&] { return victim_.counters("y").dropped_late == 2; }));
  SendPiece(0);
  SendPiece(kPiece);
  SendNote(Note::kReady);
  ExpectSum(Outcome());
}

}  // namespace
}  // namespace hearsay::transport::collective
