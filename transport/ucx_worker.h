// UCX behind one file, as a wire: a context, a worker and its endpoints, whose
// events arrive through an Asio io_context.
//
// Only active messages, in peer error mode (one-sided operations abort the
// survivor of a crash over TCP in UCX 1.13, and shared memory has no peer error
// mode). UCX's callbacks only note what happened; completions run afterwards,
// from the io_context, so they may call back into this class.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "transport/wire.h"

namespace hearsay::transport {

class UcxWorker final : public Wire {
 public:
  // `network_interface`: such as "lo"; "" = UCX's choice. UCX_TLS and
  // UCX_NET_DEVICES in the environment win.
  // Throws: std::runtime_error naming the UCX call and what it said.
  UcxWorker(boost::asio::io_context& io, const std::string& network_interface,
            OnMessage on_message);
  ~UcxWorker() override;

  std::string address() const override;
  // Requires: `peer_address` came from address().
  std::optional<EndpointId> Connect(
      const std::string& peer_address,
      std::function<void(std::string)> on_broken) override;
  void Close(EndpointId endpoint) override;
  std::string lane(EndpointId endpoint) const override;
  void Send(EndpointId endpoint, std::span<const std::byte> header,
            std::span<const std::byte> payload, std::shared_ptr<void> keep,
            std::function<void(bool sent)> done) override;
  // A rendezvous is a round trip: others go on meanwhile.
  std::size_t window_bytes(EndpointId) const override {
    return std::size_t{4} << 20;
  }
  std::size_t in_flight() const override;
  void WhenIdle(std::chrono::milliseconds limit,
                std::function<void()> done) override;

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hearsay::transport
