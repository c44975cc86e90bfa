#include "daemon/ledger_mark.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <array>
#include <stdexcept>
#include <string_view>
#include <utility>

namespace hearsay::daemon {
namespace {

// HMAC-SHA-256, shortened. `purpose` keeps its uses apart.
std::string Keyed(const std::string& secret, std::string_view purpose,
                  std::string_view text) {
  std::string message(purpose);
  message += '\n';
  message += text;
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  unsigned size = 0;
  if (HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(message.data()),
           message.size(), digest.data(), &size) == nullptr)
    throw std::runtime_error("OpenSSL: HMAC failed");
  return {reinterpret_cast<const char*>(digest.data()), kMarkBytes};
}

// What a hash of the ledger says, shortened: 32 of its hexadecimal digits.
std::string Shortened(std::string_view hex) {
  const auto digit = [&](std::size_t i) {
    const char c = i < hex.size() ? hex[i] : '0';
    return c <= '9' ? c - '0' : c - 'a' + 10;
  };
  std::string bytes;
  for (std::size_t i = 0; i < kMarkBytes; ++i)
    bytes += static_cast<char>(digit(2 * i) * 16 + digit(2 * i + 1));
  return bytes;
}

}  // namespace

bool IsWellFormed(const LedgerMark& mark) {
  const auto full = [](const std::string& text) {
    return text.size() == kMarkBytes;
  };
  return full(mark.ledger) && full(mark.hash) &&
         (mark.data_set.empty() || full(mark.data_set)) &&
         (mark.seal.empty() || full(mark.seal));
}

MarkMaker::MarkMaker(Ledger ledger, const std::string& secret)
    : ledger_(std::move(ledger)),
      secret_(secret),
      // The id is 128 random bits, so the key may be known to all.
      label_(Keyed("hearsay", "ledger", ledger_.id)),
      data_set_(secret.empty() ? ""
                               : Keyed(secret, "data set", ledger_.data_set)) {}

std::string MarkMaker::SealOf(const LedgerMark& mark) const {
  if (secret_.empty()) return "";
  return Keyed(secret_, "mark",
               ledger_.node + '\n' + mark.ledger + mark.data_set + mark.hash +
                   std::to_string(mark.sequence));
}

LedgerMark MarkMaker::At(const dp::LedgerPosition& position) const {
  LedgerMark mark{label_, data_set_, position.sequence,
                  Shortened(position.hash), ""};
  mark.seal = SealOf(mark);
  return mark;
}

MarkMaker::Verdict MarkMaker::Compare(const LedgerMark& mark) const {
  const bool same_ledger = mark.ledger == label_;
  if (same_ledger) {
    const auto ours = ledger_.hash_at(mark.sequence);
    if (ours && Shortened(*ours) == mark.hash) return Verdict::kAgrees;
  } else if (data_set_.empty() || mark.data_set != data_set_) {
    return Verdict::kAgrees;
  }
  if (mark.seal != SealOf(mark)) return Verdict::kForeign;
  return same_ledger ? Verdict::kRolledBack : Verdict::kOtherLedger;
}

}  // namespace hearsay::daemon
