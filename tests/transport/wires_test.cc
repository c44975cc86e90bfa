#include "transport/wires.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

namespace hearsay::transport {
namespace {

// Remembers what it was asked.
struct FakeWire final : Wire {
  FakeWire(std::string own, std::vector<std::string>* log)
      : own_address(std::move(own)), calls(log) {}
  std::string address() const override { return own_address; }
  std::optional<EndpointId> Connect(const std::string& peer,
                                    std::function<void(std::string)>) override {
    calls->push_back(own_address + " to " + peer);
    if (peer == "bad") return std::nullopt;
    return ++last;
  }
  void Close(EndpointId id) override {
    calls->push_back(own_address + " closes " + std::to_string(id));
  }
  std::string lane(EndpointId) const override { return own_address; }
  void Send(EndpointId, std::span<const std::byte>, std::span<const std::byte>,
            std::shared_ptr<void>, std::function<void(bool)>) override {}
  std::size_t window_bytes(EndpointId id) const override { return id; }
  std::size_t in_flight() const override { return 1; }
  void WhenIdle(std::chrono::milliseconds,
                std::function<void()> done) override {
    done();
  }

  std::string own_address;
  std::vector<std::string>* calls;
  EndpointId last = 0;
};

struct Side {
  explicit Side(const std::vector<std::string>& names,
                const std::string& prefix = "at ") {
    std::vector<Wires::Named> all;
    for (const auto& name : names)
      all.push_back({name, std::make_unique<FakeWire>(prefix + name, &calls)});
    wires = std::make_unique<Wires>(std::move(all));
  }
  std::vector<std::string> calls;
  std::unique_ptr<Wires> wires;
};

TEST(WiresTest, TakesTheFirstThatBothHave) {
  Side both({"ucx", "socket"});
  Side plain({"socket"});
  const auto id = both.wires->Connect(plain.wires->address(), nullptr);
  ASSERT_TRUE(id);
  EXPECT_EQ(both.wires->lane(*id), "at socket");
  EXPECT_EQ(both.wires->window_bytes(*id), 1U) << "of its own number there";
  const auto other = both.wires->Connect(
      Side({"x", "ucx", "socket"}).wires->address(), nullptr);
  ASSERT_TRUE(other);
  EXPECT_EQ(both.wires->lane(*other), "at ucx");
  both.wires->Close(*other);
  EXPECT_EQ(both.calls,
            (std::vector<std::string>{"at socket to at socket",
                                      "at ucx to at ucx", "at ucx closes 1"}));
  EXPECT_EQ(both.wires->in_flight(), 2U);
}

TEST(WiresTest, NothingInCommonIsNoConnection) {
  Side ucx({"ucx"});
  Side socket({"socket"});
  EXPECT_FALSE(ucx.wires->Connect(socket.wires->address(), nullptr));
  EXPECT_TRUE(ucx.calls.empty())
      << "an address of another kind was handed over";
}

TEST(WiresTest, IsIdleWhenAllAre) {
  Side both({"ucx", "socket"});
  int calls = 0;
  both.wires->WhenIdle(std::chrono::milliseconds(1), [&calls] { ++calls; });
  EXPECT_EQ(calls, 1);
}

TEST(WiresTest, CarriesAddressesOfAnyBytes) {
  const std::string own(300, '\0');
  const Side side({"n"}, own);
  EXPECT_EQ(AddressOfWire(side.wires->address(), "n"), own + "n");
}

TEST(WiresTest, RefusesWhatIsCutOrOverlong) {
  const std::string whole = Side({"ucx", "socket"}).wires->address();
  ASSERT_TRUE(AddressOfWire(whole, "ucx"));
  for (std::size_t cut = 1; cut < whole.size(); ++cut) {
    const auto found = AddressOfWire(whole.substr(0, cut), "socket");
    EXPECT_FALSE(found) << cut;
  }
  EXPECT_FALSE(AddressOfWire(whole + "\xff", "ucx"));
  EXPECT_FALSE(AddressOfWire("", "ucx"));
  EXPECT_FALSE(AddressOfWire(std::string(1, '\0'), "ucx"));
}

}  // namespace
}  // namespace hearsay::transport
