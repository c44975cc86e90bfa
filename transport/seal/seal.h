// Pieces sealed under the secret of a session (ops/decisions/0011): AES-256-GCM
// for each, under keys of the direction and of an epoch, which no other session
// ever has. The tag of a piece covers its header and its bytes; the proof in
// its header covers the header alone, so that a liar's piece is recognised
// before it has taken a place.
//
// The keys of an epoch come from a ratchet: from later ones, earlier ones
// cannot be computed.
//
// Threads: one at a time. Throws: std::runtime_error if OpenSSL cannot.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>

#include "transport/chunk.h"
#include "transport/data_lanes.h"
#include "transport/seal/aead.h"
#include "transport/seal/hkdf.h"
#include "transport/seal/replay_window.h"

namespace hearsay::transport::seal {

using Clock = std::chrono::steady_clock;

// What a key may seal before the next takes its place; far below what AES-GCM
// allows (2^36 bytes a nonce, 2^32 pieces at random nonces, which these are
// not).
struct Limits {
  std::uint64_t bytes = std::uint64_t{1} << 38;
  std::uint64_t pieces = std::uint64_t{1} << 32;  // of a window at least
  Clock::duration age = std::chrono::hours{1};
  // For how long the receiver keeps a key after its successor was seen.
  Clock::duration overlap = std::chrono::seconds{10};
};

// Names a secret, without telling it.
Key Fingerprint(const EdgeSecret& secret);

enum class Direction { kFromDialler, kToDialler };

// Seals and opens pieces of one direction and epoch.
class EpochKeys {
 public:
  // `material` of kMaterialBytes.
  static constexpr std::size_t kMaterialBytes = 2 * Aead::kKeyBytes + 4;
  EpochKeys(std::uint32_t epoch,
            std::span<const std::byte, kMaterialBytes> material);

  std::uint32_t epoch() const { return epoch_; }
  // Completes the header, whose counter is new. Requires: `out` as long as
  // `in`.
  void Seal(ChunkHeader& header, std::span<const std::byte> in,
            std::span<std::byte> out);
  bool Proves(const ChunkHeader& header);
  // In place. Requires: Proves(header).
  [[nodiscard]] bool Open(const ChunkHeader& header,
                          std::span<std::byte> bytes);

 private:
  Nonce NonceOf(const ChunkHeader& header) const;

  const std::uint32_t epoch_;
  std::array<std::byte, 4> salt_;
  Aead payload_;
  Aead proof_;
};

// The ratchet: the keys of epoch 0, 1, 2 ...
class KeyChain {
 public:
  KeyChain(const EdgeSecret& secret, Direction direction);
  ~KeyChain();
  KeyChain(const KeyChain&) = delete;
  KeyChain& operator=(const KeyChain&) = delete;

  std::shared_ptr<EpochKeys> Next();

 private:
  Key chain_;
  std::uint32_t epoch_ = 0;
};

// What this end sends in a session.
class Sealer {
 public:
  Sealer(const EdgeSecret& secret, const Limits& limits);

  // Completes the header. Requires: `out` as long as `in`.
  void Seal(ChunkHeader& header, std::span<const std::byte> in,
            std::span<std::byte> out, Clock::time_point now);

 private:
  void Rekey(Clock::time_point now);

  const Limits limits_;
  KeyChain chain_;
  std::shared_ptr<EpochKeys> keys_;
  std::uint64_t counter_ = 0;  // Never back to 0.
  std::uint64_t bytes_ = 0;    // of this epoch
  std::uint64_t pieces_ = 0;
  Clock::time_point since_{};
};

// What the other end sends.
class Opener {
 public:
  enum class Verdict { kGood, kForged, kReplayed, kStale, kEpoch };
  struct Admission {
    Verdict verdict;
    std::shared_ptr<EpochKeys> keys;  // Open the piece with them; if good.
  };

  Opener(const EdgeSecret& secret, const Limits& limits);

  // Judges a header; a good one is good once. Nothing but a good one changes
  // what is accepted later.
  Admission Admit(const ChunkHeader& header, Clock::time_point now);
  // Lets go of a key that is no longer accepted. True if there will be more to
  // let go of.
  bool Expire(Clock::time_point now);

 private:
  const std::shared_ptr<EpochKeys>& Of(std::uint32_t epoch) const;
  void Advance(Clock::time_point now);

  const Limits limits_;
  KeyChain chain_;
  std::shared_ptr<EpochKeys> previous_;  // Until previous_expires_.
  std::shared_ptr<EpochKeys> current_;
  std::shared_ptr<EpochKeys> next_;
  Clock::time_point previous_expires_{};
  ReplayWindow seen_;
};

}  // namespace hearsay::transport::seal
