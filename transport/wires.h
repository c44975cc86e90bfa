// Several wires as one: a node offers all of its own, and reaches a peer over
// the first that both have.
//
// Threads: all on the thread that runs `io`.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "transport/wire.h"

namespace hearsay::transport {

class Wires final : public Wire {
 public:
  struct Named {
    std::string name;  // 1 to 255 bytes; never handed to a wire of another name
    std::unique_ptr<Wire> wire;
  };

  // The best first. Requires: 1 to kMax.
  explicit Wires(std::vector<Named> wires);
  ~Wires() override;

  void Adopt(boost::asio::ip::tcp::socket socket) override;
  std::string address() const override;
  std::optional<EndpointId> Connect(
      const std::string& peer_address,
      std::function<void(std::string)> on_broken) override;
  void Close(EndpointId endpoint) override;
  std::string lane(EndpointId endpoint) const override;
  void Send(EndpointId endpoint, std::span<const std::byte> header,
            std::span<const std::byte> payload, std::shared_ptr<void> keep,
            std::function<void(bool sent)> done) override;
  std::size_t window_bytes(EndpointId endpoint) const override;
  std::size_t in_flight() const override;
  void WhenIdle(std::chrono::milliseconds limit,
                std::function<void()> done) override;

  static constexpr std::size_t kMax = 8;

 private:
  Wire& Of(EndpointId endpoint) const { return *wires_[endpoint % kMax].wire; }

  const std::vector<Named> wires_;
};

// The address that the wire called `name` has within what address() gave;
// nothing if there is none, or the whole is malformed.
std::optional<std::string> AddressOfWire(const std::string& addresses,
                                         const std::string& name);

}  // namespace hearsay::transport
