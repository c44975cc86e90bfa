// Bytes as publications print them.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <vector>

namespace hearsay::transport::seal {

inline std::vector<std::byte> Hex(std::string_view text) {
  const auto digit = [](char c) {
    return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
  };
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(
        static_cast<std::byte>(16 * digit(text[i]) + digit(text[i + 1])));
  return bytes;
}

template <std::size_t kBytes>
std::array<std::byte, kBytes> Fixed(std::string_view hex) {
  const auto bytes = Hex(hex);
  std::array<std::byte, kBytes> fixed{};
  std::copy_n(bytes.begin(), std::min(kBytes, bytes.size()), fixed.begin());
  return fixed;
}

}  // namespace hearsay::transport::seal
