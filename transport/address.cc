#include "transport/address.h"

#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <charconv>
#include <cstring>
#include <memory>

namespace hearsay::transport {
namespace {

namespace ip = boost::asio::ip;

std::optional<ip::address> AddressOf(const sockaddr* from) {
  if (from == nullptr) return std::nullopt;
  ip::tcp::endpoint endpoint;
  const std::size_t bytes = from->sa_family == AF_INET    ? sizeof(sockaddr_in)
                            : from->sa_family == AF_INET6 ? sizeof(sockaddr_in6)
                                                          : 0;
  if (bytes == 0) return std::nullopt;
  endpoint.resize(bytes);
  std::memcpy(endpoint.data(), from, bytes);
  ip::address address = endpoint.address();
  if (address.is_v6()) {  // The kernel adds a scope that people do not write.
    auto v6 = address.to_v6();
    v6.scope_id(0);
    address = v6;
  }
  return address;
}

}  // namespace

std::optional<HostPort> ParseHostPort(std::string_view text) {
  if (text.size() > kMaxAddressBytes) return std::nullopt;
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return std::nullopt;  // IPv6 without brackets is ambiguous.
  }
  const auto printable = [](char c) { return c > ' ' && c < 0x7f; };
  if (host.empty() || !std::all_of(host.begin(), host.end(), printable))
    return std::nullopt;
  HostPort address{std::string(host), 0};
  const auto [end, error] =
      std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size())
    return std::nullopt;
  return address;
}

std::string ToString(const HostPort& address) {
  const bool v6 = address.host.find(':') != std::string::npos;
  return (v6 ? "[" + address.host + "]" : address.host) + ":" +
         std::to_string(address.port);
}

std::string InterfaceOf(const std::string& ip) {
  boost::system::error_code error;
  const ip::address wanted = ip::make_address(ip, error);
  if (error || wanted.is_unspecified()) return {};
  ifaddrs* all = nullptr;
  if (getifaddrs(&all) != 0) return {};
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(all,
                                                               &freeifaddrs);
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    const bool loopback =
        (at->ifa_flags & IFF_LOOPBACK) != 0 && wanted.is_loopback();
    if (loopback || AddressOf(at->ifa_addr) == wanted) return at->ifa_name;
  }
  return {};
}

}  // namespace hearsay::transport
