#include "transport/wires.h"

#include <cassert>
#include <utility>

namespace hearsay::transport {
namespace {

// name length (1 byte), name, address length (2 bytes, low first), address.
void AppendAddress(const std::string& name, const std::string& address,
                   std::string& to) {
  assert(!name.empty() && name.size() <= 255 && address.size() <= 65535);
  to += static_cast<char>(name.size());
  to += name;
  to += static_cast<char>(address.size() & 0xff);
  to += static_cast<char>(address.size() >> 8);
  to += address;
}

}  // namespace

std::optional<std::string> AddressOfWire(const std::string& addresses,
                                         const std::string& name) {
  const auto byte = [&addresses](std::size_t at) {
    return static_cast<std::size_t>(static_cast<unsigned char>(addresses[at]));
  };
  std::optional<std::string> found;
  std::size_t at = 0;
  while (at < addresses.size()) {
    const std::size_t name_at = at + 1;
    const std::size_t size_at = name_at + byte(at);
    if (size_at + 2 > addresses.size()) return std::nullopt;
    const std::size_t address_at = size_at + 2;
    at = address_at + byte(size_at) + (byte(size_at + 1) << 8);
    if (at > addresses.size()) return std::nullopt;
    if (!found && addresses.compare(name_at, size_at - name_at, name) == 0)
      found = addresses.substr(address_at, at - address_at);
  }
  return found;
}

Wires::Wires(std::vector<Named> wires) : wires_(std::move(wires)) {
  assert(!wires_.empty() && wires_.size() <= kMax);
}

Wires::~Wires() = default;

void Wires::Adopt(boost::asio::ip::tcp::socket socket) {
  for (const auto& [name, wire] : wires_)
    if (wire->adopts()) return wire->Adopt(std::move(socket));
}

std::string Wires::address() const {
  std::string addresses;
  for (const auto& [name, wire] : wires_)
    AppendAddress(name, wire->address(), addresses);
  return addresses;
}

std::optional<Wire::EndpointId> Wires::Connect(
    const std::string& peer_address,
    std::function<void(std::string)> on_broken) {
  for (std::size_t i = 0; i < wires_.size(); ++i) {
    const auto address = AddressOfWire(peer_address, wires_[i].name);
    if (!address) continue;
    const auto endpoint = wires_[i].wire->Connect(*address, on_broken);
    if (endpoint) return *endpoint * kMax + i;
  }
  return std::nullopt;
}

void Wires::Close(EndpointId endpoint) { Of(endpoint).Close(endpoint / kMax); }

std::string Wires::lane(EndpointId endpoint) const {
  return Of(endpoint).lane(endpoint / kMax);
}

void Wires::Send(EndpointId endpoint, std::span<const std::byte> header,
                 std::span<const std::byte> payload, std::shared_ptr<void> keep,
                 std::function<void(bool)> done) {
  Of(endpoint).Send(endpoint / kMax, header, payload, std::move(keep),
                    std::move(done));
}

std::size_t Wires::window_bytes(EndpointId endpoint) const {
  return Of(endpoint).window_bytes(endpoint / kMax);
}

std::size_t Wires::in_flight() const {
  std::size_t operations = 0;
  for (const auto& [name, wire] : wires_) operations += wire->in_flight();
  return operations;
}

void Wires::WhenIdle(std::chrono::milliseconds limit,
                     std::function<void()> done) {
  const auto waiting = std::make_shared<std::size_t>(wires_.size());
  const auto one_idle = [waiting, done = std::move(done)] {
    if (--*waiting == 0) done();
  };
  for (const auto& [name, wire] : wires_) wire->WhenIdle(limit, one_idle);
}

}  // namespace hearsay::transport
