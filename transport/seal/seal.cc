#include "transport/seal/seal.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <cassert>
#include <string_view>
#include <utility>

namespace hearsay::transport::seal {
namespace {

using Bytes = std::span<const std::byte>;

constexpr std::string_view kSalt = "hearsay data plane, first version";

Key Extract(const EdgeSecret& secret) {
  return HkdfExtract(std::as_bytes(std::span(kSalt)), secret.bytes);
}

// A part of what follows from the secret.
Key Derive(const EdgeSecret& secret, std::string_view what) {
  Key root = Extract(secret);
  Key key;
  HkdfExpand(root, what, key);
  OPENSSL_cleanse(root.data(), root.size());
  return key;
}

Direction Outwards(const EdgeSecret& secret) {
  return secret.dialler ? Direction::kFromDialler : Direction::kToDialler;
}
Direction Inwards(const EdgeSecret& secret) {
  return secret.dialler ? Direction::kToDialler : Direction::kFromDialler;
}

}  // namespace

Key Fingerprint(const EdgeSecret& secret) {
  return Derive(secret, "fingerprint");
}

EpochKeys::EpochKeys(std::uint32_t epoch,
                     std::span<const std::byte, kMaterialBytes> material)
    : epoch_(epoch),
      salt_{},
      payload_(material.first<Aead::kKeyBytes>()),
      proof_(material.subspan<Aead::kKeyBytes, Aead::kKeyBytes>()) {
  std::copy_n(material.last<4>().begin(), salt_.size(), salt_.begin());
}

Nonce EpochKeys::NonceOf(const ChunkHeader& header) const {
  Nonce nonce;
  auto* at = std::copy(salt_.begin(), salt_.end(), nonce.data());
  for (unsigned shift = 0; shift < 64; shift += 8)
    *at++ = static_cast<std::byte>((header.counter >> shift) & 0xff);
  return nonce;
}

void EpochKeys::Seal(ChunkHeader& header, std::span<const std::byte> in,
                     std::span<std::byte> out) {
  assert(in.size() == out.size());
  header.sealed = true;
  header.epoch = epoch_;
  const Nonce nonce = NonceOf(header);
  header.check = payload_.Seal(
      nonce, Bytes(EncodeChunk(header)).first(kCheckedBytes), in, out);
  header.proof = proof_.Seal(
      nonce, Bytes(EncodeChunk(header)).first(kProvenBytes), {}, {});
}

bool EpochKeys::Proves(const ChunkHeader& header) {
  return proof_.Open(NonceOf(header),
                     Bytes(EncodeChunk(header)).first(kProvenBytes), {},
                     header.proof);
}

bool EpochKeys::Open(const ChunkHeader& header, std::span<std::byte> bytes) {
  return payload_.Open(NonceOf(header),
                       Bytes(EncodeChunk(header)).first(kCheckedBytes), bytes,
                       header.check);
}

KeyChain::KeyChain(const EdgeSecret& secret, Direction direction)
    : chain_(Derive(secret, direction == Direction::kFromDialler
                                ? "from the dialler"
                                : "to the dialler")) {}

KeyChain::~KeyChain() { OPENSSL_cleanse(chain_.data(), chain_.size()); }

std::shared_ptr<EpochKeys> KeyChain::Next() {
  std::array<std::byte, EpochKeys::kMaterialBytes> material;
  HkdfExpand(chain_, "keys of an epoch", material);
  auto keys = std::make_shared<EpochKeys>(
      epoch_, std::span<const std::byte, EpochKeys::kMaterialBytes>(material));
  OPENSSL_cleanse(material.data(), material.size());
  Key next;
  HkdfExpand(chain_, "the next epoch", next);
  chain_ = next;
  OPENSSL_cleanse(next.data(), next.size());
  ++epoch_;
  return keys;
}

Sealer::Sealer(const EdgeSecret& secret, const Limits& limits)
    : limits_(limits), chain_(secret, Outwards(secret)) {}

void Sealer::Rekey(Clock::time_point now) {
  keys_ = chain_.Next();
  bytes_ = pieces_ = 0;
  since_ = now;
}

void Sealer::Seal(ChunkHeader& header, std::span<const std::byte> in,
                  std::span<std::byte> out, Clock::time_point now) {
  if (!keys_ || pieces_ >= limits_.pieces ||
      in.size() > limits_.bytes - std::min(bytes_, limits_.bytes) ||
      now - since_ >= limits_.age)
    Rekey(now);
  header.counter = counter_++;
  keys_->Seal(header, in, out);
  bytes_ += in.size();
  ++pieces_;
}

Opener::Opener(const EdgeSecret& secret, const Limits& limits)
    : limits_(limits),
      chain_(secret, Inwards(secret)),
      current_(chain_.Next()),
      next_(chain_.Next()) {}

const std::shared_ptr<EpochKeys>& Opener::Of(std::uint32_t epoch) const {
  static const std::shared_ptr<EpochKeys> kNone;
  for (const auto* keys : {&current_, &next_, &previous_})
    if (*keys && (*keys)->epoch() == epoch) return *keys;
  return kNone;
}

Opener::Admission Opener::Admit(const ChunkHeader& header,
                                Clock::time_point now) {
  Expire(now);
  const auto keys = Of(header.epoch);
  if (!keys) return {Verdict::kEpoch, nullptr};
  if (!keys->Proves(header)) return {Verdict::kForged, nullptr};
  switch (seen_.Look(header.counter)) {
    case ReplayWindow::Verdict::kSeen:
      return {Verdict::kReplayed, nullptr};
    case ReplayWindow::Verdict::kTooOld:
      return {Verdict::kStale, nullptr};
    case ReplayWindow::Verdict::kFresh:
      break;
  }
  seen_.Mark(header.counter);
  if (keys == next_) Advance(now);
  return {Verdict::kGood, keys};
}

void Opener::Advance(Clock::time_point now) {
  previous_ = std::move(current_);
  previous_expires_ = now + limits_.overlap;
  current_ = std::move(next_);
  next_ = chain_.Next();
}

bool Opener::Expire(Clock::time_point now) {
  if (now >= previous_expires_) previous_.reset();
  return previous_ != nullptr;
}

}  // namespace hearsay::transport::seal
