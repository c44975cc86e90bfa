// One direction of a session, without a wire.
#include "transport/seal/seal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <vector>

#include "tests/transport/seal/hex.h"

namespace hearsay::transport::seal {
namespace {

using Verdict = Opener::Verdict;

EdgeSecret SecretOf(int seed, bool dialler) {
  EdgeSecret secret{.bytes = {}, .dialler = dialler};
  for (std::size_t i = 0; i < secret.bytes.size(); ++i)
    secret.bytes[i] = static_cast<std::byte>(seed + static_cast<int>(i));
  return secret;
}

ChunkHeader HeaderOf(std::size_t bytes) {
  ChunkHeader header;
  header.token = 0x1122334455667788;
  header.exchange = 5;
  header.version = 9;
  header.total = header.length = static_cast<std::uint32_t>(bytes);
  header.deadline_ms = 1000;
  return header;
}

std::vector<std::byte> Noise(std::size_t bytes) {
  std::mt19937 random(static_cast<unsigned>(bytes));
  std::vector<std::byte> noise(bytes);
  for (auto& byte : noise) byte = static_cast<std::byte>(random() & 0xff);
  return noise;
}

struct Piece {
  ChunkHeader header;
  std::vector<std::byte> bytes;
};

class SealTest : public testing::Test {
 protected:
  Piece Sealed(Sealer& sealer, const std::vector<std::byte>& clear) {
    Piece piece{HeaderOf(clear.size()), std::vector<std::byte>(clear.size())};
    sealer.Seal(piece.header, clear, piece.bytes, now_);
    return piece;
  }
  Piece Sealed() { return Sealed(sealer_, clear_); }
  Verdict Look(const Piece& piece) {
    return opener_.Admit(piece.header, now_).verdict;
  }
  // All the way; nothing if it was refused or does not open.
  std::optional<std::vector<std::byte>> Opened(Opener& opener, Piece piece) {
    const auto admission = opener.Admit(piece.header, now_);
    if (admission.verdict != Verdict::kGood ||
        !admission.keys->Open(piece.header, piece.bytes))
      return std::nullopt;
    return piece.bytes;
  }

  const std::vector<std::byte> clear_ = Noise(1000);
  Clock::time_point now_ = Clock::now();
  Limits limits_{.bytes = 1 << 20,
                 .pieces = 8,
                 .age = std::chrono::hours(1),
                 .overlap = std::chrono::seconds(10)};
  Sealer sealer_{SecretOf(1, true), limits_};
  Opener opener_{SecretOf(1, false), limits_};
};

TEST_F(SealTest, OpensWhatTheOtherEndSealed) {
  for (const std::size_t bytes : {0, 1, 15, 16, 17, 4096, 100001}) {
    const auto clear = Noise(bytes);
    const Piece piece = Sealed(sealer_, clear);
    EXPECT_TRUE(piece.header.sealed);
    if (bytes > 15) {
      EXPECT_NE(piece.bytes, clear);
    }
    EXPECT_EQ(Opened(opener_, piece), clear);
  }
}

// Computed from the text of ops/decisions/0011 with Python's hmac and the
// AESGCM of its `cryptography`: what one release seals, every other opens.
TEST_F(SealTest, IsWhatTheDecisionSays) {
  const auto hello =
      std::vector<std::byte>{std::byte{'h'}, std::byte{'e'}, std::byte{'l'},
                             std::byte{'l'}, std::byte{'o'}};
  const Piece first = Sealed(sealer_, hello);
  EXPECT_EQ(first.bytes, Hex("26544a3c6a"));
  EXPECT_EQ(first.header.check, Fixed<16>("3cdf8c9dd2d7dab7fc68efbe5dc9f80f"));
  EXPECT_EQ(first.header.proof, Fixed<16>("24432549cc60dd0edf314014496f5fb7"));
  for (int i = 0; i < 7; ++i) Sealed();
  const Piece ninth = Sealed(sealer_, hello);  // The next epoch's first.
  EXPECT_EQ(ninth.bytes, Hex("5c25cfe208"));
  EXPECT_EQ(ninth.header.check, Fixed<16>("2f45e2c64a1a58389bf866420143a4bf"));
  EXPECT_EQ(ninth.header.proof, Fixed<16>("ffa2ae8b5d5bfd8ff45bb6588a88565c"));
  EXPECT_EQ(Fingerprint(SecretOf(1, true)),
            Fixed<32>("4a5216b522a588f8463875bc0b086aeb"
                      "194ea3abefd811fa3a2a0025b7e0f0e9"));
}

TEST_F(SealTest, NeverUsesANonceTwice) {
  std::set<std::uint64_t> counters;
  for (int i = 0; i < 100; ++i)
    EXPECT_TRUE(counters.insert(Sealed().header.counter).second);
}

TEST_F(SealTest, TheSamePieceLooksDifferentEachTime) {
  EXPECT_NE(Sealed().bytes, Sealed().bytes);
}

// A header of the wire whose own checksum the liar has mended.
std::optional<ChunkHeader> Altered(const ChunkHeader& header, std::size_t bit) {
  auto bytes = EncodeChunk(header);
  bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
  const auto sum = Checksum(std::span(bytes).first(kChunkHeaderBytes - 8));
  for (std::size_t i = 0; i < 8; ++i)
    bytes[kChunkHeaderBytes - 8 + i] =
        static_cast<std::byte>((sum >> (8 * i)) & 0xff);
  return DecodeChunk(bytes);
}

TEST_F(SealTest, EveryBitOfAHeaderIsProven) {
  const Piece piece = Sealed();
  std::size_t refused = 0;
  for (std::size_t bit = 0; bit < 8 * (kProvenBytes + 16); ++bit) {
    const auto bad = Altered(piece.header, bit);
    if (!bad) continue;  // It is no header at all.
    const auto verdict = opener_.Admit(*bad, now_).verdict;
    EXPECT_TRUE(verdict == Verdict::kForged || verdict == Verdict::kEpoch ||
                // The flag is not the opener's to judge, but proven.
                !bad->sealed)
        << bit;
    ++refused;
  }
  EXPECT_GT(refused, std::size_t{8} * 90);
  EXPECT_EQ(Opened(opener_, piece), clear_) << "forgeries left a trace";
}

TEST_F(SealTest, AnAlteredPieceDoesNotOpen) {
  for (std::size_t byte = 0; byte < clear_.size(); byte += 7) {
    Piece piece = Sealed();
    piece.bytes[byte] ^= std::byte{0x40};
    EXPECT_EQ(Opened(opener_, piece), std::nullopt) << byte;
  }
  EXPECT_EQ(Opened(opener_, Sealed()), clear_);
}

TEST_F(SealTest, APieceIsAdmittedOnce) {
  const Piece piece = Sealed();
  EXPECT_EQ(Look(piece), Verdict::kGood);
  EXPECT_EQ(Look(piece), Verdict::kReplayed);
}

TEST_F(SealTest, OrderDoesNotMatterWithinTheWindow) {
  Limits limits;
  Sealer sealer(SecretOf(1, true), limits);
  Opener opener(SecretOf(1, false), limits);
  std::vector<Piece> pieces;
  for (std::uint64_t i = 0; i < ReplayWindow::kSpan; ++i)
    pieces.push_back(Sealed(sealer, Noise(i % 40)));
  std::vector<std::size_t> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), std::mt19937(3));
  for (const auto index : order)
    EXPECT_EQ(Opened(opener, pieces[index]), Noise(index % 40));
  for (const auto& piece : pieces)
    EXPECT_EQ(opener.Admit(piece.header, now_).verdict, Verdict::kReplayed);
  Sealed(sealer, {});  // Lost.
  EXPECT_EQ(opener.Admit(Sealed(sealer, {}).header, now_).verdict,
            Verdict::kGood);
  EXPECT_EQ(opener.Admit(pieces[0].header, now_).verdict, Verdict::kStale);
}

TEST_F(SealTest, TheTwoDirectionsHaveKeysOfTheirOwn) {
  const Piece piece = Sealed();
  Opener reflected(SecretOf(1, true), limits_);  // The sender's own.
  EXPECT_EQ(reflected.Admit(piece.header, now_).verdict, Verdict::kForged);
  Sealer back(SecretOf(1, false), limits_);
  const Piece answer = Sealed(back, clear_);
  EXPECT_NE(answer.bytes, piece.bytes);
  EXPECT_NE(answer.header.check, piece.header.check);
  EXPECT_EQ(Opened(reflected, answer), clear_);
}

TEST_F(SealTest, AnotherSessionsPiecesAreForged) {
  Sealer other(SecretOf(2, true), limits_);
  EXPECT_EQ(Look(Sealed(other, clear_)), Verdict::kForged);
  EXPECT_NE(Fingerprint(SecretOf(1, true)), Fingerprint(SecretOf(2, true)));
  EXPECT_EQ(Fingerprint(SecretOf(1, true)), Fingerprint(SecretOf(1, false)));
  EXPECT_NE(Fingerprint(SecretOf(1, true)), SecretOf(1, true).bytes);
}

TEST_F(SealTest, KeysChangeAfterSoManyPieces) {
  for (std::uint32_t i = 0; i < 50; ++i) {
    const Piece piece = Sealed();
    EXPECT_EQ(piece.header.epoch, i / 8);
    EXPECT_EQ(piece.header.counter, i);
    EXPECT_EQ(Opened(opener_, piece), clear_);
  }
}

TEST_F(SealTest, KeysChangeBeforeSoManyBytes) {
  limits_ = {.bytes = 2500,
             .pieces = 100,
             .age = std::chrono::hours(1),
             .overlap = std::chrono::seconds(10)};
  Sealer sealer(SecretOf(1, true), limits_);
  for (std::uint32_t i = 0; i < 10; ++i)
    EXPECT_EQ(Sealed(sealer, clear_).header.epoch, i / 2);
  // A piece of more than that has a key for itself.
  EXPECT_EQ(Sealed(sealer, Noise(3000)).header.epoch, 5U);
  EXPECT_EQ(Sealed(sealer, Noise(1)).header.epoch, 6U);
}

TEST_F(SealTest, KeysChangeWithTime) {
  EXPECT_EQ(Sealed().header.epoch, 0U);
  now_ += std::chrono::minutes(59);
  EXPECT_EQ(Sealed().header.epoch, 0U);
  now_ += std::chrono::minutes(1);
  const Piece piece = Sealed();
  EXPECT_EQ(piece.header.epoch, 1U);
  EXPECT_EQ(Opened(opener_, piece), clear_);
  now_ += std::chrono::hours(24);  // Nothing was sent for a day: one step on.
  EXPECT_EQ(Sealed().header.epoch, 2U);
}

TEST_F(SealTest, PiecesOverlapAtAChangeOfKeys) {
  std::vector<Piece> pieces;
  for (int i = 0; i < 16; ++i) pieces.push_back(Sealed());
  EXPECT_EQ(Look(pieces[15]), Verdict::kGood);  // The new key's first.
  EXPECT_TRUE(opener_.Expire(now_));
  EXPECT_EQ(Opened(opener_, pieces[0]), clear_);
  now_ += limits_.overlap - std::chrono::milliseconds(1);
  EXPECT_EQ(Opened(opener_, pieces[1]), clear_);
  now_ += std::chrono::milliseconds(1);
  EXPECT_EQ(Look(pieces[2]), Verdict::kEpoch);
  EXPECT_FALSE(opener_.Expire(now_));
  EXPECT_EQ(Opened(opener_, pieces[8]), clear_);
}

TEST_F(SealTest, OnlyTheNextEpochIsTaken) {
  std::vector<Piece> pieces;
  for (int i = 0; i < 32; ++i) pieces.push_back(Sealed());
  EXPECT_EQ(Look(pieces[16]), Verdict::kEpoch);  // Epoch 2.
  EXPECT_EQ(Look(pieces[31]), Verdict::kEpoch);  // Epoch 3.
  EXPECT_EQ(Look(pieces[8]), Verdict::kGood);    // Epoch 1.
  EXPECT_EQ(Look(pieces[16]), Verdict::kGood);
  EXPECT_EQ(Look(pieces[0]), Verdict::kEpoch);  // Two behind.
}

TEST_F(SealTest, AForgedEpochChangesNothing) {
  Piece forged = Sealed();
  forged.header.epoch = 1;
  EXPECT_EQ(Look(forged), Verdict::kForged);
  EXPECT_FALSE(opener_.Expire(now_));
  EXPECT_EQ(Look(Sealed()), Verdict::kGood);
}

}  // namespace
}  // namespace hearsay::transport::seal
