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
            std::shared_ptr<void>, std::function<void(bool)> done) override {
    held.push_back(std::move(done));
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
    done(true);
  }

  std::vector<std::function<void(bool)>> held;

 private:
  const std::size_t window_;
};

// So many pieces of `bytes` each are with the wire at a time.
std::size_t HeldOf(std::size_t bytes, std::size_t window) {
  HoldingWire wire(window);
  LinkCounters counters;
  const auto queue = std::make_shared<SendQueue>(wire, 1, bytes + 1, counters);
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

}  // namespace
}  // namespace hearsay::transport
