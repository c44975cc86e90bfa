// UCX behind one file: a context, a worker and its endpoints, whose events
// arrive through an Asio io_context.
//
// Only active messages, in peer error mode (one-sided operations abort the
// survivor of a crash over TCP in UCX 1.13, and shared memory has no peer error
// mode). UCX's callbacks only note what happened; completions run afterwards,
// from the io_context, so they may call back into this class.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <boost/asio/io_context.hpp>

namespace hearsay::transport {

class UcxWorker {
 public:
  using EndpointId = std::uint64_t;  // never reused

  // Where the payload of an incoming message goes, and who hears of it.
  struct Receive {
    std::span<std::byte> into;   // of exactly the announced length
    std::shared_ptr<void> keep;  // owns `into` until UCX has let go of it
    std::function<void(bool arrived)> done;
  };
  // Nothing: the message is dropped. Called within UCX's progress: it must not
  // call this class.
  using OnMessage = std::function<std::optional<Receive>(
      std::span<const std::byte> header, std::size_t payload_bytes)>;

  // `network_interface`: such as "lo"; "" = UCX's choice. UCX_TLS and
  // UCX_NET_DEVICES in the environment win.
  // Throws: std::runtime_error naming the UCX call and what it said.
  UcxWorker(boost::asio::io_context& io, const std::string& network_interface,
            OnMessage on_message);
  // Waits for UCX to let go of all buffers; bounded.
  ~UcxWorker();
  UcxWorker(const UcxWorker&) = delete;
  UcxWorker& operator=(const UcxWorker&) = delete;

  // For the peer's Connect; opaque.
  std::string address() const;

  // `on_broken` is called once, if the connection fails before Close. Nothing
  // if UCX rejects the address. Requires: `peer_address` came from address().
  std::optional<EndpointId> Connect(const std::string& peer_address,
                                    std::function<void(std::string)> on_broken);
  // Abandons what is in flight. `done` of each such send still comes, with
  // false, and until then its buffer is kept.
  void Close(EndpointId endpoint);
  // Names of the UCX transports in use, such as "tcp"; "" if it does not say.
  std::string lane(EndpointId endpoint) const;

  // `keep` owns `payload` until UCX has let go of it. `done` is called exactly
  // once, never from within Send. Requires: header of at most 128 bytes.
  void Send(EndpointId endpoint, std::span<const std::byte> header,
            std::span<const std::byte> payload, std::shared_ptr<void> keep,
            std::function<void(bool sent)> done);

  // Operations of UCX that may still touch a buffer, and closes under way.
  std::size_t in_flight() const;
  // Calls `done` when in_flight() is 0, or `limit` has passed.
  void WhenIdle(std::chrono::milliseconds limit, std::function<void()> done);

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hearsay::transport
