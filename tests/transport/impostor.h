// A peer that speaks the protocols by hand, and may say anything: control
// frames over a blocking socket, data pieces through a UCX worker of its own.
// Everything happens on the test's thread.
#pragma once

#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/transport/node.h"
#include "transport/address.h"
#include "transport/chunk.h"
#include "transport/control_messages.h"
#include "transport/frame.h"
#include "transport/socket_wire.h"
#include "transport/ucx_worker.h"
#include "transport/wires.h"

namespace hearsay::transport {

// One control connection.
class RawControl {
 public:
  explicit RawControl(const std::string& address) : socket_(io_) {
    const auto parsed = *ParseHostPort(address);
    socket_.connect({boost::asio::ip::make_address(parsed.host), parsed.port});
  }
  // Accepts one connection.
  explicit RawControl(boost::asio::ip::tcp::acceptor& acceptor)
      : socket_(acceptor.accept()) {}

  // False if the other side has closed.
  bool SendBytes(const std::string& bytes) {
    boost::system::error_code error;
    boost::asio::write(socket_, boost::asio::buffer(bytes), error);
    return !error;
  }
  bool Send(const ControlMessage& message) {
    return SendBytes(EncodeFrame(EncodeControl(message)));
  }
  // The next message; nothing if the other side has closed.
  std::optional<ControlMessage> Read() {
    boost::system::error_code error;
    std::string header(kFrameHeaderBytes, '\0');
    boost::asio::read(socket_, boost::asio::buffer(header), error);
    if (error) return std::nullopt;
    std::size_t bytes = 0;
    for (const char c : header)
      bytes = (bytes << 8) | static_cast<unsigned char>(c);
    std::string body(bytes, '\0');
    boost::asio::read(socket_, boost::asio::buffer(body), error);
    if (error) return std::nullopt;
    return DecodeControl(body);
  }
  // Reads until it comes; nothing if the other side closes before.
  template <typename T>
  std::optional<T> ReadUntil() {
    while (auto message = Read())
      if (auto* wanted = std::get_if<T>(&*message)) return *wanted;
    return std::nullopt;
  }
  // True when the other side closes, whatever it says before.
  bool IsClosed() {
    while (Read()) {
    }
    return true;
  }

 private:
  boost::asio::io_context io_;
  boost::asio::ip::tcp::socket socket_;
};

inline Hello HelloFrom(const std::string& node, const Options& like) {
  return {.protocol = kProtocolVersion,
          .cluster = like.cluster,
          .node = node,
          .incarnation = 77,
          .model = like.model_fingerprint,
          .address = "127.0.0.1:9",  // discard: nobody is there
          .age_ms = 0,
          .array_bytes = like.array_bytes,
          .chunk_bytes = like.chunk_bytes,
          .attempt = 1};
}

// The wire under test, with whatever listens for it.
class LoneWire {
 public:
  LoneWire(boost::asio::io_context& io, const Wire::OnMessage& on_message)
      : acceptor_(io, {boost::asio::ip::address_v4::loopback(), 0}) {
    std::vector<Wires::Named> wires;
    if (WireUnderTest() == WireKind::kUcx)
      wires.push_back(
          {"ucx", std::make_unique<UcxWorker>(io, "lo", on_message)});
    else
      wires.push_back(
          {"socket",
           std::make_unique<SocketWire>(
               io,
               "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()),
               on_message)});
    wires_ = std::make_unique<Wires>(std::move(wires));
    Accept();
  }
  Wires* operator->() { return wires_.get(); }

 private:
  void Accept() {
    acceptor_.async_accept([this](const auto& error, auto socket) {
      if (error) return;
      wires_->Adopt(std::move(socket));
      Accept();
    });
  }

  boost::asio::ip::tcp::acceptor acceptor_;
  std::unique_ptr<Wires> wires_;
};

// A member as far as the handshake goes.
class Impostor {
 public:
  Impostor(Node& victim, const std::string& name, const Options& like)
      : control_(victim.address()),
        wire_(io_,
              [this](std::span<const std::byte> header, std::size_t bytes) {
                return OnMessage(header, bytes);
              }) {
    control_.Send(HelloFrom(name, like));
    const auto welcome = control_.ReadUntil<Welcome>();
    if (!welcome) throw std::runtime_error("not welcome");
    token_ = welcome->grant.data_token;
    control_.Send(Ready{
        .grant = {.data_token = kToken, .worker_address = wire_->address()}});
    if (!control_.ReadUntil<Heartbeat>())
      throw std::runtime_error("no session");
    endpoint_ = wire_->Connect(welcome->grant.worker_address, nullptr);
  }

  RawControl& control() { return control_; }
  // A whole request of one piece that carries `payload`.
  ChunkHeader Piece(std::uint64_t exchange, std::span<const std::byte> payload,
                    std::size_t total) const {
    ChunkHeader header;
    header.kind = ChunkKind::kRequest;
    header.token = token_;
    header.exchange = exchange;
    header.total = total;
    header.length = static_cast<std::uint32_t>(payload.size());
    header.deadline_ms = 10000;
    header.checksum = Checksum(payload);
    return header;
  }
  void Send(const ChunkHeader& header, std::span<const std::byte> payload) {
    SendRaw(EncodeChunk(header), payload);
  }
  void SendRaw(std::span<const std::byte> header,
               std::span<const std::byte> payload) {
    bool done = false;
    wire_->Send(*endpoint_, header, payload, nullptr,
                [&done](bool) { done = true; });
    RunUntil([&done] { return done; });
  }
  // Headers of what the victim has sent here.
  std::vector<ChunkHeader>& received() { return received_; }
  // Runs this side until `condition`; false if it did not come true in time.
  bool RunUntil(const std::function<bool()>& condition) {
    return Node::Eventually([&] {
      io_.restart();
      io_.poll();
      return condition();
    });
  }

 private:
  static constexpr std::uint64_t kToken = 4711;

  std::optional<Wire::Receive> OnMessage(std::span<const std::byte> bytes,
                                         std::size_t payload) {
    if (const auto header = DecodeChunk(bytes)) received_.push_back(*header);
    const auto memory = std::make_shared<std::vector<std::byte>>(payload);
    return Wire::Receive{.into = *memory, .keep = memory, .done = [](bool) {}};
  }

  RawControl control_;
  boost::asio::io_context io_;
  std::vector<ChunkHeader> received_;
  LoneWire wire_;
  std::uint64_t token_ = 0;
  std::optional<Wire::EndpointId> endpoint_;
};

}  // namespace hearsay::transport
