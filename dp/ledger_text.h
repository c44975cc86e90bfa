// The words of a ledger's lines, and the hash that seals each line. Inside dp/
// only. Numbers go through to_chars and from_chars, which know no locale.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hearsay::dp {

inline constexpr std::string_view kHashKey = " hash=";
inline constexpr std::size_t kHashDigits = 64;

// TEXT: everything but letters, digits and -._:@/+ becomes %XX.
std::string Escape(const std::string& text);
std::optional<std::string> Unescape(std::string_view escaped);

// FLOAT: hexadecimal and exact.
std::string FormatFloat(double value);
std::optional<double> ParseFloat(std::string_view text);
std::optional<std::uint64_t> ParseCount(std::string_view text);

// Cuts the text before the next space, or all of it, off `line`.
std::string_view TakeWord(std::string_view& line);
// The value of the next word, if that is KEY=value.
std::optional<std::string_view> TakeField(std::string_view& line,
                                          std::string_view key);

// `body`, its SHA-256 and a newline.
std::string Sealed(std::string body);

// A line whose hash is right, without it.
struct Verified {
  std::string_view body;
  std::string_view hash;
};
// Requires: `line` has no newline.
std::optional<Verified> Verify(std::string_view line);

}  // namespace hearsay::dp
