// Data planes alone, without control planes: lanes are opened by hand, and
// everything happens on the test's thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/transport/node.h"
#include "transport/data_plane.h"
#include "transport/socket_wire.h"
#include "transport/ucx_worker.h"
#include "transport/wires.h"

namespace hearsay::transport {

// The wire under test, whose sockets come to `acceptor`.
inline std::unique_ptr<Wires> MakeWireUnderTest(
    boost::asio::io_context& io, const boost::asio::ip::tcp::acceptor& acceptor,
    const Wire::OnMessage& on_message) {
  std::vector<Wires::Named> wires;
  if (WireUnderTest() == WireKind::kUcx)
    wires.push_back({"ucx", std::make_unique<UcxWorker>(io, "lo", on_message)});
  else
    wires.push_back(
        {"socket",
         std::make_unique<SocketWire>(
             io,
             "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port()),
             on_message)});
  return std::make_unique<Wires>(std::move(wires));
}

// A data plane and what it hears.
class Plane {
 public:
  Plane(boost::asio::io_context& io, const Options& options,
        const SessionLimits& limits = {})
      : pool(BufferPool::Make(options.array_bytes, 16)),
        acceptor_(io, {boost::asio::ip::address_v4::loopback(), 0}) {
    plane_ = std::make_shared<DataPlane>(
        io, options,
        [&](const Wire::OnMessage& on_message) {
          deliver_ = on_message;
          return MakeWireUnderTest(
              io, acceptor_,
              [this](std::span<const std::byte> header, std::size_t bytes) {
                return on_piece ? on_piece(header, bytes)
                                : deliver_(header, bytes);
              });
        },
        pool,
        DataPlane::Events{
            .on_request_begin =
                [this](const auto&, const Message& begun, auto ahead) {
                  return on_begin ? on_begin(begun, std::move(ahead)) : nullptr;
                },
            .on_request =
                [this](const auto&, Message request, Respond respond) {
                  if (on_request)
                    on_request(std::move(request), std::move(respond));
                },
            .on_answer_lost = [this](const auto&,
                                     const auto&) { ++lost_answers; },
            .on_broken = [this](const auto&, const auto&) { ++broken; },
            .on_closed = [this](const auto&, const auto&) { ++closed; }},
        limits);
    Accept();
  }

  DataPlane* operator->() { return plane_.get(); }
  LinkCounters of(const std::string& node) { return plane_->counters(node); }
  Buffer Filled(std::uint64_t seed) {
    const auto buffer = pool->Take();
    FillPattern(buffer, seed);
    return buffer;
  }

  // As if it had come over the wire.
  std::optional<Wire::Receive> Deliver(std::span<const std::byte> header,
                                       std::size_t bytes) {
    return deliver_(header, bytes);
  }

  std::shared_ptr<BufferPool> pool;
  // In the middle: sees what the wire brings, before the plane does.
  Wire::OnMessage on_piece;
  std::function<OnPiece(const Message& begun, Respond ahead)> on_begin;
  std::function<void(Message, Respond)> on_request;
  int lost_answers = 0;
  int broken = 0;
  int closed = 0;

 private:
  void Accept() {
    acceptor_.async_accept([this](const auto& error, auto socket) {
      if (error) return;
      plane_->Adopt(std::move(socket));
      Accept();
    });
  }

  boost::asio::ip::tcp::acceptor acceptor_;
  Wire::OnMessage deliver_;
  std::shared_ptr<DataPlane> plane_;
};

// Remembers what comes of round 7.
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

// Two of them, "a" and "b".
class PlanesTest : public testing::Test {
 protected:
  explicit PlanesTest(const SessionLimits& limits = {})
      : a_(io_, PlaneOptions("a"), limits),
        b_(io_, PlaneOptions("b"), limits) {}

  static constexpr std::size_t kChunk = std::size_t{64} << 10;
  static constexpr std::size_t kArray = 4 * kChunk + 8;

  static Options PlaneOptions(const std::string& node) {
    auto options = TestOptions(node, {}, kArray);
    options.chunk_bytes = kChunk;
    return options;
  }
  static std::optional<EdgeSecret> Secret(int seed, bool dialler) {
    EdgeSecret secret{.dialler = dialler};
    for (auto& byte : secret.bytes) byte = static_cast<std::byte>(seed);
    return secret;
  }
  // A session number `seed` between the two; sealed unless `seed` is 0.
  LaneTerms Terms(Plane& to, int seed, bool dialler) {
    const auto token = static_cast<std::uint64_t>(1000 + seed);
    LaneTerms terms{
        .token = token,
        .grant = {.data_token = token, .worker_address = to->worker_address()},
        .chunk_bytes = kChunk,
        .secret = std::nullopt};
    if (seed != 0) terms.secret = Secret(seed, dialler);
    return terms;
  }
  // As the control planes do: first granted, then established.
  void Connect(int seed) {
    for (int time = 0; time < 2; ++time) {
      a_->Open("b", Terms(b_, seed, true));
      b_->Open("a", Terms(a_, seed, false));
    }
  }
  // False if it did not come true in time.
  bool RunUntil(const std::function<bool()>& condition,
                std::chrono::milliseconds limit = kPatience) {
    return Node::Eventually(
        [&] {
          io_.restart();
          io_.poll();
          return condition();
        },
        limit);
  }
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
  bool AllBuffersAreBack() {
    return RunUntil(
        [&] { return a_.pool->taken() == 0 && b_.pool->taken() == 0; });
  }

  boost::asio::io_context io_;
  Plane a_;
  Plane b_;
};

}  // namespace hearsay::transport
