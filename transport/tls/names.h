// Which node a certificate belongs to: the dNSName entries of its
// subjectAltName, compared with the node's name byte by byte. No wildcards, no
// case folding, no common name, nothing that merely looks like a name. Pure, so
// that it can be fuzzed.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct x509_st;

namespace hearsay::transport::tls {

// A certificate with more is read as if it had no others.
inline constexpr std::size_t kMaxNames = 64;
// Of one name, in words for people.
inline constexpr std::size_t kMaxShownBytes = 64;

// As they are written: they may hold any byte. None if the extension is there
// twice or cannot be read.
std::vector<std::string> NamesOf(const x509_st& certificate);

bool Belongs(std::span<const std::string> names, std::string_view node);

// For one line of text: "'a'", "'a', 'b' and 3 more", "nobody"; bounded, and
// bytes that do not print are shown as '?'.
std::string ShowNames(std::span<const std::string> names);
// Any text of a certificate, made safe to print the same way.
std::string Printable(std::string_view text);

}  // namespace hearsay::transport::tls
