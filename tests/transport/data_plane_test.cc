// What two data planes do between them, with lanes opened by hand.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>

#include "tests/transport/planes.h"

namespace hearsay::transport {
namespace {

using testing::ElementsAre;

// Remembers what comes.
struct Sink final : PieceSink {
  std::optional<Place> OnPiece(const std::string& from, const RoundPiece& piece,
                               std::size_t length) override {
    if (piece.round != 7) return std::nullopt;
    const auto memory = std::make_shared<std::vector<std::byte>>(length);
    places[{piece.tag, piece.offset}] = memory;
    names.push_back(from);
    return Place{.into = *memory, .keep = memory};
  }
  void OnPlaced(const std::string&, const RoundPiece& piece, bool ok) override {
    if (ok) whole.push_back(piece.tag);
    if (on_placed) on_placed();
  }
  std::map<std::pair<std::uint64_t, std::uint64_t>,
           std::shared_ptr<std::vector<std::byte>>>
      places;
  std::vector<std::string> names;
  std::vector<std::uint64_t> whole;
  std::function<void()> on_placed;
};

class DataPlaneTest : public PlanesTest,
                      public testing::WithParamInterface<int> {
 protected:
  // An answer of array `version` + 1 to whatever comes.
  void AnswerNext(Plane& plane) {
    plane.on_request = [&plane](const Message& request,
                                const Respond& respond) {
      if (HasPattern(request.payload, request.version))
        respond({request.version + 1, plane.Filled(request.version + 1)});
    };
  }
  std::shared_ptr<std::optional<Result<Message>>> Ask(
      Plane& from, const std::string& to, std::uint64_t version,
      Milliseconds deadline = Milliseconds(15000)) {
    auto result = std::make_shared<std::optional<Result<Message>>>();
    from->Exchange(to, {version, from.Filled(version)}, deadline,
                   [result](Result<Message> answer) {
                     result->emplace(std::move(answer));
                   });
    return result;
  }
  bool Answered(const std::shared_ptr<std::optional<Result<Message>>>& result,
                std::uint64_t version) {
    if (!RunUntil([&] { return result->has_value(); })) return false;
    const bool good = (*result)->has_value() &&
                      (**result)->version == version &&
                      HasPattern((**result)->payload, version);
    result->reset();
    return good;
  }
};

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

}  // namespace
}  // namespace hearsay::transport
