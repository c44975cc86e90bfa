// HKDF with SHA-256 (RFC 5869), by OpenSSL.
//
// Threads: any. Throws: std::runtime_error if OpenSSL cannot.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <string_view>

namespace hearsay::transport::seal {

using Key = std::array<std::byte, 32>;

Key HkdfExtract(std::span<const std::byte> salt,
                std::span<const std::byte> input);

// Fills `out`: at most 255 * 32 bytes.
void HkdfExpand(const Key& key, std::string_view info,
                std::span<std::byte> out);

}  // namespace hearsay::transport::seal
