#include "transport/socket_wire.h"

#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "transport/socket_frame.h"

namespace hearsay::transport {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using namespace std::chrono_literals;

using Bytes = std::vector<std::byte>;

Bytes Text(const std::string& text) {
  Bytes bytes(text.size());
  std::transform(text.begin(), text.end(), bytes.begin(),
                 [](char c) { return static_cast<std::byte>(c); });
  return bytes;
}

// Listens, and gives a wire what comes; wants every message unless told not to.
struct End {
  explicit End(asio::io_context& io)
      : acceptor(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0)),
        wire(std::make_unique<SocketWire>(
            io, "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()),
            [this](std::span<const std::byte> header, std::size_t payload) {
              return Place(header, payload);
            })) {
    Accept();
  }

  void Accept() {
    acceptor.async_accept([this](const auto& error, tcp::socket socket) {
      if (error) return;
      // By the time it is adopted, its first byte has been looked at.
      wire->Adopt(std::move(socket));
      Accept();
    });
  }

  std::optional<Wire::Receive> Place(std::span<const std::byte> header,
                                     std::size_t payload) {
    headers.emplace_back(header.begin(), header.end());
    if (headers.back() == Text("nonsense")) {
      Wire::Receive receive;
      receive.nonsense = true;
      return receive;
    }
    if (!wanted) return std::nullopt;
    const auto into = std::make_shared<Bytes>(payload);
    return Wire::Receive{
        .into = *into, .keep = into, .done = [this, into](bool arrived) {
          if (arrived) payloads.push_back(*into);
          if (!arrived) ++lost;
        }};
  }

  bool wanted = true;
  int lost = 0;
  std::vector<Bytes> headers;
  std::vector<Bytes> payloads;
  tcp::acceptor acceptor;
  std::unique_ptr<SocketWire> wire;
};

class SocketWireTest : public testing::Test {
 protected:
  bool RunUntil(const std::function<bool()>& holds) {
    const auto limit = std::chrono::steady_clock::now() + 5s;
    while (!holds() && std::chrono::steady_clock::now() < limit) {
      io.restart();
      io.run_for(1ms);
    }
    return holds();
  }

  tcp::socket RawDial() {
    tcp::socket socket(io);
    socket.connect(receiver.acceptor.local_endpoint());
    return socket;
  }
  // True if the other end has closed it.
  bool Ended(tcp::socket& socket) {
    socket.non_blocking(true);
    return RunUntil([&] {
      std::byte byte{};
      boost::system::error_code error;
      socket.read_some(asio::buffer(&byte, 1), error);
      return error && error != asio::error::would_block;
    });
  }

  asio::io_context io;
  End sender{io};
  End receiver{io};
};

TEST_F(SocketWireTest, CarriesMessagesOfEverySizeInOrder) {
  const auto id = sender.wire->Connect(receiver.wire->address(), nullptr);
  ASSERT_TRUE(id);
  std::vector<Bytes> sent;
  int done = 0;
  for (const std::size_t size : {0, 1, 7, 4096, 5000, 1 << 20, 0, 9 << 20, 3}) {
    Bytes payload(size);
    for (std::size_t i = 0; i < size; ++i)
      payload[i] = static_cast<std::byte>((i * 31 + size) & 0xff);
    sent.push_back(payload);
  }
  for (const auto& payload : sent)
    sender.wire->Send(*id, Text("h" + std::to_string(payload.size())), payload,
                      nullptr, [&done](bool ok) { done += ok ? 1 : 0; });
  EXPECT_EQ(done, 0) << "never from within Send";
  ASSERT_TRUE(
      RunUntil([&] { return receiver.payloads.size() == sent.size(); }));
  EXPECT_EQ(receiver.payloads, sent);
  EXPECT_EQ(receiver.headers[7], Text("h9437184"));
  EXPECT_TRUE(RunUntil([&] { return done == 9; }));
  EXPECT_EQ(sender.wire->in_flight(), 0U);
}

TEST_F(SocketWireTest, SkipsWhatIsNotWantedAndGoesOn) {
  const auto id = sender.wire->Connect(receiver.wire->address(), nullptr);
  const Bytes payload(300000, std::byte{5});
  sender.wire->Send(*id, Text("wanted"), payload, nullptr, nullptr);
  ASSERT_TRUE(RunUntil([&] { return receiver.payloads.size() == 1; }));
  receiver.wanted = false;
  sender.wire->Send(*id, Text("not"), payload, nullptr, nullptr);
  ASSERT_TRUE(RunUntil([&] { return receiver.headers.size() == 2; }));
  receiver.wanted = true;
  sender.wire->Send(*id, Text("again"), payload, nullptr, nullptr);
  ASSERT_TRUE(RunUntil([&] { return receiver.payloads.size() == 2; }));
  EXPECT_EQ(receiver.headers.back(), Text("again"));
}

TEST_F(SocketWireTest, EndsAStreamThatHasLostItsPlace) {
  const auto id = sender.wire->Connect(receiver.wire->address(), nullptr);
  const Bytes payload(1000);
  sender.wire->Send(*id, Text("wanted"), payload, nullptr, nullptr);
  ASSERT_TRUE(RunUntil([&] { return receiver.payloads.size() == 1; }));
  sender.wire->Send(*id, Text("nonsense"), payload, nullptr, nullptr);
  ASSERT_TRUE(RunUntil([&] { return receiver.headers.size() == 2; }));
  io.run_for(20ms);  // Until the sender has heard of it, too.
  EXPECT_EQ(receiver.payloads.size(), 1U);
  sender.wire->Send(*id, Text("by another socket"), payload, nullptr, nullptr);
  EXPECT_TRUE(RunUntil([&] { return receiver.payloads.size() == 2; }));
}

TEST_F(SocketWireTest, RefusesAStrangerWhoBringsNothingWanted) {
  receiver.wanted = false;
  std::string reason;
  const auto id =
      sender.wire->Connect(receiver.wire->address(),
                           [&reason](const std::string& why) { reason = why; });
  const Bytes payload(100);
  for (int i = 0; i < 100; ++i)
    sender.wire->Send(*id, Text("let me in"), payload, nullptr, nullptr);
  EXPECT_TRUE(RunUntil([&] { return receiver.headers.size() > 60; }));
  io.run_for(20ms);
  EXPECT_LT(receiver.headers.size(), 100U);
}

TEST_F(SocketWireTest, RefusesWhatDoesNotGreet) {
  auto socket = RawDial();
  asio::write(socket, asio::buffer("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_TRUE(Ended(socket));
  EXPECT_TRUE(receiver.headers.empty());
}

TEST_F(SocketWireTest, RefusesLengthsBeyondTheirBounds) {
  for (const SocketPrefix prefix :
       {SocketPrefix{.header_bytes = 129, .payload_bytes = 0},
        SocketPrefix{.header_bytes = 0xffffffff, .payload_bytes = 0},
        SocketPrefix{.header_bytes = 1, .payload_bytes = 0xffffffff}}) {
    auto socket = RawDial();
    asio::write(socket, asio::buffer(kSocketGreeting));
    asio::write(socket, asio::buffer(EncodePrefix(prefix)));
    EXPECT_TRUE(Ended(socket)) << prefix.header_bytes;
  }
  EXPECT_TRUE(receiver.headers.empty());
}

TEST_F(SocketWireTest, LetsGoOfTheBuffersOfAPeerThatDoesNotRead) {
  tcp::acceptor frozen(io, tcp::endpoint(asio::ip::address_v4::loopback(), 0));
  const auto id = sender.wire->Connect(
      "127.0.0.1:" + std::to_string(frozen.local_endpoint().port()), nullptr);
  const auto payload = std::make_shared<Bytes>(Bytes(32 << 20));
  bool ok = true;
  int done = 0;
  for (int i = 0; i < 3; ++i)
    sender.wire->Send(*id, Text("x"), *payload, payload, [&](bool sent) {
      ok = sent;
      ++done;
    });
  io.run_for(100ms);
  EXPECT_EQ(done, 0);
  EXPECT_EQ(sender.wire->in_flight(), 3U);
  sender.wire->Close(*id);
  bool idle = false;
  sender.wire->WhenIdle(1000ms, [&idle] { idle = true; });
  EXPECT_TRUE(RunUntil([&] { return idle; }));
  EXPECT_EQ(done, 3);
  EXPECT_FALSE(ok);
  EXPECT_EQ(payload.use_count(), 1);
}

TEST_F(SocketWireTest, DialsAgainWhatEndedWhileIdle) {
  const auto id = sender.wire->Connect(receiver.wire->address(), nullptr);
  const Bytes payload(10);
  sender.wire->Send(*id, Text("x"), payload, nullptr, nullptr);
  ASSERT_TRUE(RunUntil([&] { return receiver.payloads.size() == 1; }));
  receiver.wire = std::make_unique<SocketWire>(
      io, receiver.wire->address(),
      [this](std::span<const std::byte> header, std::size_t bytes) {
        return receiver.Place(header, bytes);
      });
  io.run_for(10ms);
  sender.wire->Send(*id, Text("x"), payload, nullptr, nullptr);
  EXPECT_TRUE(RunUntil([&] { return receiver.payloads.size() == 2; }));
}

TEST_F(SocketWireTest, IdleStrangersKeepNobodyOut) {
  std::vector<tcp::socket> idle;
  for (int i = 0; i < 100; ++i) {
    idle.push_back(RawDial());
    asio::write(idle.back(), asio::buffer(kSocketGreeting));
  }
  const auto id = sender.wire->Connect(receiver.wire->address(), nullptr);
  const Bytes payload(10);
  sender.wire->Send(*id, Text("x"), payload, nullptr, nullptr);
  EXPECT_TRUE(RunUntil([&] { return receiver.payloads.size() == 1; }));
  EXPECT_TRUE(Ended(idle.front()));
}

TEST_F(SocketWireTest, TellsThatThePeerIsGone) {
  std::string reason;
  const auto id =
      sender.wire->Connect(receiver.wire->address(),
                           [&reason](const std::string& why) { reason = why; });
  const Bytes payload(10);
  sender.wire->Send(*id, Text("x"), payload, nullptr, nullptr);
  ASSERT_TRUE(RunUntil([&] { return receiver.payloads.size() == 1; }));
  receiver.wire.reset();
  receiver.acceptor.close();
  io.run_for(10ms);
  EXPECT_EQ(reason, "") << "nothing was to be sent";
  sender.wire->Send(*id, Text("x"), payload, nullptr, nullptr);
  EXPECT_TRUE(RunUntil([&] { return !reason.empty(); }));
  EXPECT_EQ(sender.wire->lane(*id), "socket");
}

TEST_F(SocketWireTest, DoesNotDialWhatIsNoAddress) {
  EXPECT_FALSE(sender.wire->Connect("nowhere", nullptr));
  EXPECT_FALSE(sender.wire->Connect("127.0.0.1:0", nullptr));
}

// The payload half arrived when its sender died.
TEST_F(SocketWireTest, GivesUpAPayloadThatStops) {
  auto socket = RawDial();
  asio::write(socket, asio::buffer(kSocketGreeting));
  asio::write(
      socket,
      asio::buffer(EncodePrefix({.header_bytes = 1, .payload_bytes = 1000})));
  asio::write(socket, asio::buffer("hgarbage"));
  ASSERT_TRUE(RunUntil([&] { return receiver.headers.size() == 1; }));
  socket.close();
  EXPECT_TRUE(RunUntil([&] { return receiver.lost == 1; }));
  EXPECT_TRUE(receiver.payloads.empty());
}

}  // namespace
}  // namespace hearsay::transport
