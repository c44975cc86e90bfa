// How pieces travel between two processes, whatever carries them: UCX
// (ucx_worker.h) or plain sockets (socket_wire.h).
//
// A wire knows nothing of members, messages or keys: whoever reaches it can
// hand it bytes, and what they are worth is decided above it.
//
// Threads: all on the thread that runs the owner's `io`.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace hearsay::transport {

class Wire {
 public:
  using EndpointId = std::uint64_t;  // never reused

  // Where the payload of an incoming message goes, and who hears of it.
  struct Receive {
    std::span<std::byte> into;   // of exactly the announced length
    std::shared_ptr<void> keep;  // owns `into` until the wire has let go of it
    std::function<void(bool arrived)> done;
    // Instead of all that: this is no message. A stream has lost its place, and
    // the wire ends it; else lengths altered once would swallow what follows.
    bool nonsense = false;
  };
  // Nothing: the message is dropped. It must not call the wire.
  using OnMessage = std::function<std::optional<Receive>(
      std::span<const std::byte> header, std::size_t payload_bytes)>;

  // Waits for every buffer to be let go of; bounded.
  virtual ~Wire() = default;

  // Takes a data socket that came to the node's listener (socket_frame.h).
  virtual bool adopts() const { return false; }
  virtual void Adopt(boost::asio::ip::tcp::socket /*socket*/) {}

  // For the peer's Connect; opaque.
  virtual std::string address() const = 0;

  // `on_broken` is called once, if the connection fails before Close. Nothing
  // if the address cannot be one. Requires: it came from address() of a wire of
  // the same kind (UCX aborts the process over others).
  virtual std::optional<EndpointId> Connect(
      const std::string& peer_address,
      std::function<void(std::string)> on_broken) = 0;
  // Abandons what is in flight. `done` of each such send still comes, with
  // false, and until then its buffer is kept.
  virtual void Close(EndpointId endpoint) = 0;
  // What carries it, such as "tcp" or "socket"; "" if it does not say.
  virtual std::string lane(EndpointId endpoint) const = 0;

  // `keep` owns `payload` until the wire has let go of it. `done` is called
  // exactly once, never from within Send. Requires: header of at most 128
  // bytes.
  virtual void Send(EndpointId endpoint, std::span<const std::byte> header,
                    std::span<const std::byte> payload,
                    std::shared_ptr<void> keep,
                    std::function<void(bool sent)> done) = 0;

  // How much of an endpoint's payloads it likes to hold at a time.
  virtual std::size_t window_bytes(EndpointId endpoint) const = 0;
  // Operations that may still touch a buffer, and closes under way.
  virtual std::size_t in_flight() const = 0;
  // Calls `done` when in_flight() is 0, or `limit` has passed.
  virtual void WhenIdle(std::chrono::milliseconds limit,
                        std::function<void()> done) = 0;

 protected:
  Wire() = default;
  Wire(const Wire&) = delete;
  Wire& operator=(const Wire&) = delete;
};

inline constexpr std::size_t kMaxWireHeaderBytes = 128;

}  // namespace hearsay::transport
