// What two data planes do between them, with lanes opened by hand.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>

#include "tests/transport/planes.h"

namespace hearsay::transport {
namespace {

using testing::ElementsAre;

class DataPlaneTest : public PlanesTest,
                      public testing::WithParamInterface<int> {};

TEST_P(DataPlaneTest, ExchangesArrays) {
  Connect(GetParam());
  AnswerNext(b_);
  for (std::uint64_t version : {1U, 5U, 9U})
    EXPECT_TRUE(Answered(Ask(a_, "b", version), version + 1));
  EXPECT_TRUE(AllBuffersAreBack());
}

TEST_P(DataPlaneTest, CarriesPiecesOfCollectivesOfAnySize) {
  Connect(GetParam());
  Sink sink;
  b_->SetPieceSink(&sink);
  std::vector<std::byte> bytes(kChunk);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<std::byte>(i % 251);
  std::vector<bool> sent;
  const auto send = [&](std::uint64_t round, std::uint64_t tag, std::size_t n) {
    a_->SendPiece("b", {.round = round, .tag = tag, .offset = UINT64_MAX},
                  std::span(bytes).first(n), nullptr,
                  [&sent](bool ok) { sent.push_back(ok); });
  };
  send(7, 1, 0);
  send(7, 2, 1);
  send(8, 3, 100);  // Of a round that nobody wants.
  send(7, 4, kChunk - 1);
  send(7, 5, kChunk);
  ASSERT_TRUE(
      RunUntil([&] { return sink.whole.size() == 4 && sent.size() == 5; }));
  EXPECT_THAT(sink.whole, testing::UnorderedElementsAre(1, 2, 4, 5));
  EXPECT_THAT(sink.names, testing::Each("a"));
  for (const auto& [name, memory] : sink.places)
    EXPECT_TRUE(std::equal(memory->begin(), memory->end(), bytes.begin()));
  EXPECT_EQ(b_.of("a").dropped_late, 1U);
  EXPECT_THROW(
      a_->SendPiece("b", {}, std::vector<std::byte>(kChunk + 1), nullptr, {}),
      std::invalid_argument);
  b_->SetPieceSink(nullptr);
}

TEST_P(DataPlaneTest, APieceToAStrangerIsNotSent) {
  Connect(GetParam());
  std::optional<bool> sent;
  a_->SendPiece("c", {}, {}, nullptr, [&](bool ok) { sent = ok; });
  EXPECT_FALSE(sent) << "done was called from within";
  EXPECT_TRUE(RunUntil([&] { return sent.has_value(); }));
  EXPECT_FALSE(*sent);
}

// Without this, a round would wait for every 64 MiB array in its way.
TEST_P(DataPlaneTest, PiecesOvertakeArrays) {
  Connect(GetParam());
  Sink sink;
  b_->SetPieceSink(&sink);
  std::vector<std::string> order;
  b_.on_request = [&](const Message&, const Respond&) {
    order.emplace_back("array");
  };
  sink.on_placed = [&] { order.emplace_back("piece"); };
  const auto asked = Ask(a_, "b", 1);
  a_->SendPiece("b", {.round = 7, .tag = 1, .offset = 0}, {}, nullptr,
                [](bool) {});
  ASSERT_TRUE(RunUntil([&] { return order.size() == 2; }));
  EXPECT_THAT(order, ElementsAre("piece", "array"));
  b_->SetPieceSink(nullptr);
}

INSTANTIATE_TEST_SUITE_P(Open, DataPlaneTest, testing::Values(0));
INSTANTIATE_TEST_SUITE_P(Sealed, DataPlaneTest, testing::Values(1));

}  // namespace
}  // namespace hearsay::transport
