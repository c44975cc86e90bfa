// HOST:PORT, as people write it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hearsay::transport {

struct HostPort {
  std::string host;  // without the brackets of [::1]
  std::uint16_t port = 0;

  bool operator==(const HostPort&) const = default;
};

inline constexpr std::size_t kMaxAddressBytes = 256;

// Nothing unless `text` is HOST:PORT or [IPV6]:PORT with a port of 0..65535.
std::optional<HostPort> ParseHostPort(std::string_view text);
std::string ToString(const HostPort& address);

// The network interface that holds the numeric address `ip`, such as "lo" for
// 127.0.0.1 (or all of 127/8); "" if none does or it means all of them.
std::string InterfaceOf(const std::string& ip);

}  // namespace hearsay::transport
