#include "dp/ledger_text.h"

#include <openssl/evp.h>

#include <array>
#include <charconv>
#include <stdexcept>
#include <system_error>

namespace hearsay::dp {
namespace {

std::string Sha256(std::string_view text) {
  std::array<unsigned char, 32> digest{};
  if (EVP_Digest(text.data(), text.size(), digest.data(), nullptr, EVP_sha256(),
                 nullptr) != 1)
    throw std::runtime_error("OpenSSL: SHA-256 failed");
  constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : digest) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

bool IsPlain(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
         (c >= 'A' && c <= 'Z') ||
         std::string_view("-._:@/+").find(c) != std::string_view::npos;
}

}  // namespace

std::string Escape(const std::string& text) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string escaped;
  for (const char c : text) {
    if (IsPlain(c)) {
      escaped += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      escaped += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }
  return escaped;
}

std::optional<std::string> Unescape(std::string_view escaped) {
  std::string text;
  for (std::size_t i = 0; i < escaped.size(); ++i) {
    if (escaped[i] != '%') {
      if (!IsPlain(escaped[i])) return std::nullopt;
      text += escaped[i];
      continue;
    }
    unsigned byte = 0;
    if (i + 2 >= escaped.size()) return std::nullopt;
    const char* const end = escaped.data() + i + 3;
    if (std::from_chars(escaped.data() + i + 1, end, byte, 16).ptr != end)
      return std::nullopt;
    text += static_cast<char>(byte);
    i += 2;
  }
  return text;
}

std::string FormatFloat(double value) {
  std::array<char, 64> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(),
                                 value, std::chars_format::hex);
  return "0x" + std::string(buffer.data(), end.ptr);
}

std::optional<double> ParseFloat(std::string_view text) {
  if (!text.starts_with("0x")) return std::nullopt;
  text.remove_prefix(2);
  double value = 0;
  const char* const end = text.data() + text.size();
  const auto result =
      std::from_chars(text.data(), end, value, std::chars_format::hex);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

std::optional<std::uint64_t> ParseCount(std::string_view text) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return value;
}

std::string_view TakeWord(std::string_view& line) {
  const std::size_t end = line.find(' ');
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(end == std::string_view::npos ? line.size() : end + 1);
  return word;
}

std::optional<std::string_view> TakeField(std::string_view& line,
                                          std::string_view key) {
  std::string_view word = TakeWord(line);
  if (!word.starts_with(key) || !word.substr(key.size()).starts_with('='))
    return std::nullopt;
  return word.substr(key.size() + 1);
}

std::string Sealed(std::string body) {
  const std::string hash = Sha256(body);
  body += kHashKey;
  return body + hash + '\n';
}

std::optional<Verified> Verify(std::string_view line) {
  const std::size_t tail = kHashKey.size() + kHashDigits;
  if (line.size() < tail) return std::nullopt;
  const std::string_view body = line.substr(0, line.size() - tail);
  const std::string_view hash = line.substr(line.size() - kHashDigits);
  if (line.substr(body.size(), kHashKey.size()) != kHashKey ||
      Sha256(body) != hash)
    return std::nullopt;
  return Verified{body, hash};
}

}  // namespace hearsay::dp
