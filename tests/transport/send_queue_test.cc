// How much a lane gives its wire at a time.
#include "transport/send_queue.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

namespace hearsay::transport {
namespace {

// Holds what it is given until the test says that it is out.
struct HoldingWire final : Wire {
  explicit HoldingWire(std::size_t window) : window_(window) {}
  std::string address() const override { return "here"; }
  std::optional<EndpointId> Connect(const std::string&,
                                    std::function<void(std::string)>) override {
    return 1;
  }
  void Close(EndpointId) override {}
  std::string lane(EndpointId) const override { return "test"; }
  void Send(EndpointId, std::span<const std::byte>, std::span<const std::byte>,
            std::shared_ptr<void> keep,
            std::function<void(bool)> done) override {
    held.push_back(std::move(done));
    kept.push_back(std::move(keep));
  }
  std::size_t window_bytes(EndpointId) const override { return window_; }
  std::size_t in_flight() const override { return held.size(); }
  void WhenIdle(std::chrono::milliseconds,
                std::function<void()> done) override {
    done();
  }
  void FinishFirst() {
    const auto done = std::move(held.front());
    held.erase(held.begin());
    kept.erase(kept.begin());
    done(true);
  }

  std::vector<std::function<void(bool)>> held;
  std::vector<std::shared_ptr<void>> kept;

 private:
  const std::size_t window_;
};

std::shared_ptr<BufferPool> PoolOf(std::size_t bytes_each) {
  return BufferPool::Make(bytes_each, 100);
}

constexpr std::size_t kPiece = 100;

std::shared_ptr<Outgoing> RequestOf(Buffer array, std::uint64_t exchange = 1) {
  auto request = std::make_shared<Outgoing>();
  request->exchange = exchange;
  request->message.payload = std::move(array);
  request->expires = Clock::now() + std::chrono::hours(1);
  return request;
}

std::shared_ptr<seal::Sealer> NewSealer() {
  return std::make_shared<seal::Sealer>(EdgeSecret{}, seal::Limits{});
}

// So many pieces of `bytes` each are with the wire at a time.
std::size_t HeldOf(std::size_t bytes, std::size_t window) {
  HoldingWire wire(window);
  LinkCounters counters;
  const auto queue =
      std::make_shared<SendQueue>(wire, 1, PoolOf(bytes + 1), counters);
  const std::vector<std::byte> payload(bytes);
  int sent = 0;
  for (int i = 0; i < 10; ++i)
    queue->PushPiece({}, payload, nullptr, [&](bool ok) { sent += ok; });
  const std::size_t held = wire.held.size();
  while (!wire.held.empty()) {
    wire.FinishFirst();
    EXPECT_LE(wire.held.size(), held);
  }
  EXPECT_EQ(sent, 10) << "all of them in the end";
  return held;
}

TEST(SendQueueTest, GivesTheWireAsManyBytesAsItLikesToHold) {
  EXPECT_EQ(HeldOf(1000, 1000), 1U);
  EXPECT_EQ(HeldOf(5000, 1000), 1U) << "a first one, whatever its size";
  EXPECT_EQ(HeldOf(600, 1000), 2U);
  EXPECT_EQ(HeldOf(0, 1000), 4U) << "and no more than a few";
  EXPECT_EQ(HeldOf(10, 1000), 4U);
}

// Of a peer that does not read: pieces stay with the wire until its lane ends.
TEST(SendQueueTest, AnArrayThatNobodyWaitsForIsFreeUnlessItIsWithTheWire) {
  for (const bool sealed : {true, false}) {
    HoldingWire wire(1);
    LinkCounters counters;
    const auto arrays = PoolOf(3 * kPiece);
    const auto queue =
        std::make_shared<SendQueue>(wire, 1, PoolOf(kPiece), counters);
    queue->Use(1, sealed ? NewSealer() : nullptr);
    const auto request = RequestOf(arrays->Take());
    queue->Push(request);
    ASSERT_EQ(wire.held.size(), 1U);
    EXPECT_EQ(arrays->taken(), 1U) << "two pieces are to come";
    queue->Cancel(*request);
    EXPECT_EQ(wire.held.size(), 1U);
    EXPECT_EQ(arrays->taken(), sealed ? 0U : 1U);
    wire.FinishFirst();
    EXPECT_TRUE(wire.held.empty());
    EXPECT_EQ(arrays->taken(), 0U);
  }
}

TEST(SendQueueTest, SealedPiecesTakeNoMoreMemoryThanIsOnItsWay) {
  LinkCounters counters;
  const auto arrays = PoolOf(kPiece);
  const auto staging = PoolOf(kPiece);
  std::vector<std::unique_ptr<HoldingWire>> wires;
  std::vector<std::shared_ptr<SendQueue>> queues;
  for (std::uint64_t i = 0; i < 3; ++i) {
    wires.push_back(std::make_unique<HoldingWire>(1));
    queues.push_back(
        std::make_shared<SendQueue>(*wires[i], 1, staging, counters));
    queues[i]->Use(1, NewSealer());
    queues[i]->Push(RequestOf(arrays->Take()));
    EXPECT_EQ(staging->taken(), 1U);
    EXPECT_EQ(arrays->taken(), 0U) << "all of it is with the wire, sealed";
    wires[i]->FinishFirst();
    EXPECT_EQ(staging->taken(), 0U) << "the next lane's";
  }
}

}  // namespace
}  // namespace hearsay::transport
