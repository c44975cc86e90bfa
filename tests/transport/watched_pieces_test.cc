// What the owner of a data plane sees of arrays while they arrive.
#include <gmock/gmock.h>

#include <algorithm>
#include <vector>

#include "tests/transport/planes.h"

namespace hearsay::transport {
namespace {

// Sees pieces arrive, looks whether they hold what was sent, and changes them
// in place.
struct Watcher {
  struct Place {
    std::size_t offset = 0, bytes = 0;
    bool operator==(const Place&) const = default;
    auto operator<=>(const Place&) const = default;
  };

  // `sent` is what the payload will be.
  OnPiece Watch(const Message& begun, Buffer sent) {
    ++begins;
    // Whoever held the payload would keep it from its pool.
    return [this, into = *begun.payload, sent = std::move(sent)](
               std::size_t offset, std::size_t bytes) {
      places.push_back({offset, bytes});
      const auto piece = into.subspan(offset, bytes);
      as_sent =
          as_sent && std::ranges::equal(piece, sent->subspan(offset, bytes));
      for (auto& byte : piece) byte ^= kMask;
    };
  }
  static bool IsChanged(const Buffer& payload, const Buffer& sent) {
    return std::ranges::equal(*payload, *sent, {},
                              [](std::byte byte) { return byte ^ kMask; });
  }

  static constexpr std::byte kMask{0xa5};
  std::vector<Place> places;
  bool as_sent = true;
  int begins = 0;
};

class WatchedPiecesTest : public PlanesTest,
                          public testing::WithParamInterface<int> {
 protected:
  void SetUp() override {
    Connect(GetParam());
    b_.on_begin = [this](const Message& begun, const Respond&) {
      return at_b_.Watch(begun, b_.Filled(begun.version));
    };
  }
  // An answer of array `version` + 1.
  void AnswerAll() {
    b_.on_request = [this](const Message& request, const Respond& respond) {
      respond({request.version + 1, b_.Filled(request.version + 1)});
    };
  }
  auto AskWatched(std::uint64_t version) {
    auto result = std::make_shared<std::optional<Result<Message>>>();
    a_->Exchange(
        "b", {version, a_.Filled(version)}, Milliseconds(15000),
        [result](Result<Message> answer) { result->emplace(answer); },
        [this](const Message& begun) {
          return at_a_.Watch(begun, a_.Filled(begun.version));
        });
    return result;
  }
  // Lets `change` see each piece of an array of `kind` that has come to
  // `plane`, before the plane looks at it.
  static void Alter(
      Plane& plane, ChunkKind kind,
      std::function<void(const ChunkHeader&, std::span<std::byte>)> change) {
    plane.on_piece = [&plane, kind, change = std::move(change)](
                         std::span<const std::byte> bytes,
                         std::size_t received) {
      const auto header = DecodeChunk(bytes);
      auto receive = plane.Deliver(bytes, received);
      if (!receive || header->kind != kind) return receive;
      receive->done = [change, header = *header, into = receive->into,
                       done = std::move(receive->done)](bool arrived) {
        change(header, into);
        done(arrived);
      };
      return receive;
    };
  }
  static std::vector<Watcher::Place> AllPlaces() {
    std::vector<Watcher::Place> places;
    for (std::size_t at = 0; at < kArray; at += kChunk)
      places.push_back({at, std::min(kChunk, kArray - at)});
    return places;
  }

  Watcher at_a_;
  Watcher at_b_;
};

TEST_P(WatchedPiecesTest, EachIsSeenOnceAsItWasSentAndBeforeTheWhole) {
  std::size_t seen_before_the_whole = 0;
  bool changed = false;
  b_.on_request = [&](const Message& request, const Respond& respond) {
    seen_before_the_whole = at_b_.places.size();
    changed = Watcher::IsChanged(request.payload, b_.Filled(request.version));
    respond({request.version + 1, b_.Filled(request.version + 1)});
  };
  const auto result = AskWatched(4);
  ASSERT_TRUE(RunUntil([&] { return result->has_value(); }));
  ASSERT_TRUE(**result) << (*result)->error().detail;
  EXPECT_EQ(seen_before_the_whole, AllPlaces().size());
  EXPECT_TRUE(changed) << "what the watcher made of it is handed over";
  EXPECT_TRUE(Watcher::IsChanged((**result)->payload, a_.Filled(5)));
  for (const Watcher* watcher : {&at_a_, &at_b_}) {
    EXPECT_EQ(watcher->begins, 1);
    EXPECT_TRUE(watcher->as_sent);
    EXPECT_THAT(watcher->places,
                testing::UnorderedElementsAreArray(AllPlaces()));
  }
  result->reset();
  EXPECT_TRUE(AllBuffersAreBack());
}

TEST_P(WatchedPiecesTest, ADamagedOneOfARequestIsNotSeenNorIsItsRequest) {
  Alter(b_, ChunkKind::kRequest, [](const auto& header, auto bytes) {
    if (header.offset == 2 * kChunk) bytes[100] ^= std::byte{1};
  });
  bool whole = false;
  b_.on_request = [&](const auto&, const auto&) { whole = true; };
  const auto result = AskWatched(4);
  ASSERT_TRUE(RunUntil([&] {
    const auto of_a = b_.of("a");
    return of_a.dropped_checksum + of_a.dropped_forged > 0 &&
           of_a.bytes_in == kArray;
  }));
  EXPECT_FALSE(whole);
  EXPECT_TRUE(at_b_.as_sent);
  EXPECT_THAT(
      at_b_.places,
      testing::Not(testing::Contains(Watcher::Place{2 * kChunk, kChunk})));
  EXPECT_TRUE(at_a_.places.empty());
  a_->Close("b", "enough");
  EXPECT_TRUE(RunUntil([&] { return result->has_value(); }));
  EXPECT_TRUE(AllBuffersAreBack());
}

TEST_P(WatchedPiecesTest, ADamagedOneOfAnAnswerIsNotSeenNorAnyAfterIt) {
  std::vector<Watcher::Place> until_the_damage;
  Alter(a_, ChunkKind::kAnswer, [&](const auto& header, auto bytes) {
    if (header.offset != 2 * kChunk) return;
    until_the_damage = at_a_.places;
    bytes[100] ^= std::byte{1};
  });
  AnswerAll();
  const auto result = AskWatched(4);
  ASSERT_TRUE(RunUntil([&] { return result->has_value(); }));
  ASSERT_FALSE(**result);
  EXPECT_EQ((*result)->error().code, ErrorCode::kMalformed);
  EXPECT_TRUE(AllBuffersAreBack());
  EXPECT_EQ(at_a_.places, until_the_damage);
  EXPECT_TRUE(at_a_.as_sent);
}

TEST_P(WatchedPiecesTest, OnesThatAreReplayedAreNotSeen) {
  int refused = 0;
  b_.on_piece = [&](std::span<const std::byte> bytes, std::size_t received) {
    auto receive = b_.Deliver(bytes, received);
    if (!b_.Deliver(bytes, received)) ++refused;  // while it arrives
    if (!receive) return receive;
    receive->done = [&, header = std::vector(bytes.begin(), bytes.end()),
                     received, done = std::move(receive->done)](bool arrived) {
      done(arrived);
      if (!b_.Deliver(header, received)) ++refused;  // and when it has
    };
    return receive;
  };
  AnswerAll();
  const auto result = AskWatched(4);
  ASSERT_TRUE(RunUntil([&] { return result->has_value(); }));
  EXPECT_TRUE(**result);
  EXPECT_EQ(refused, 2 * static_cast<int>(AllPlaces().size()));
  EXPECT_THAT(at_b_.places, testing::UnorderedElementsAreArray(AllPlaces()));
  EXPECT_EQ(at_b_.begins, 1);
}

TEST_P(WatchedPiecesTest, OnesThatAreLateAreNotSeen) {
  std::function<void(bool)> last;
  a_.on_piece = [&](std::span<const std::byte> bytes, std::size_t received) {
    auto receive = a_.Deliver(bytes, received);
    if (receive && DecodeChunk(bytes)->offset == 4 * kChunk) {
      last = std::move(receive->done);  // It takes its time.
      receive->done = [](bool) {};
    }
    return receive;
  };
  AnswerAll();
  const auto result = AskWatched(4);
  ASSERT_TRUE(RunUntil([&] { return at_a_.places.size() == 4 && last; }));
  EXPECT_FALSE(result->has_value());
  a_->Close("b", "gone");
  ASSERT_TRUE(RunUntil([&] { return result->has_value(); }));
  EXPECT_FALSE(**result);
  std::exchange(last, nullptr)(true);
  EXPECT_EQ(at_a_.places.size(), 4U);
  b_->Close("a", "gone");
  EXPECT_TRUE(AllBuffersAreBack());
}

TEST_P(WatchedPiecesTest, WhatCarriesNothingHasNone) {
  b_.on_request = [&](const Message& request, const Respond& respond) {
    respond({request.version + 1, nullptr});
  };
  auto result = std::make_shared<std::optional<Result<Message>>>();
  a_->Exchange(
      "b", {7, nullptr}, Milliseconds(15000),
      [result](Result<Message> answer) { result->emplace(answer); },
      [this](const Message& begun) { return at_a_.Watch(begun, nullptr); });
  ASSERT_TRUE(RunUntil([&] { return result->has_value(); }));
  EXPECT_TRUE(**result);
  EXPECT_EQ(at_a_.begins + at_b_.begins, 0);
}

INSTANTIATE_TEST_SUITE_P(Open, WatchedPiecesTest, testing::Values(0));
INSTANTIATE_TEST_SUITE_P(Sealed, WatchedPiecesTest, testing::Values(1));

}  // namespace
}  // namespace hearsay::transport
