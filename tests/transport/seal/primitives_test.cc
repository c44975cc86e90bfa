// What sealing is made of, against what others have published.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <string_view>
#include <vector>

#include "tests/transport/seal/hex.h"
#include "transport/seal/aead.h"
#include "transport/seal/cipher.h"
#include "transport/seal/hkdf.h"
#include "transport/seal/replay_window.h"

namespace hearsay::transport::seal {
namespace {

struct HkdfCase {
  const char *salt, *input, *info, *key, *out;
};

class HkdfTest : public testing::TestWithParam<HkdfCase> {};

TEST_P(HkdfTest, IsThatOfRfc5869) {
  const auto& known = GetParam();
  const Key key = HkdfExtract(Hex(known.salt), Hex(known.input));
  EXPECT_EQ(key, Fixed<32>(known.key));
  const auto info = Hex(known.info);
  std::vector<std::byte> out(Hex(known.out).size());
  HkdfExpand(key, {reinterpret_cast<const char*>(info.data()), info.size()},
             out);
  EXPECT_EQ(out, Hex(known.out));
}

// RFC 5869, appendix A.1, A.2 and A.3.
INSTANTIATE_TEST_SUITE_P(
    Rfc5869, HkdfTest,
    testing::Values(
        HkdfCase{"000102030405060708090a0b0c",
                 "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b",
                 "f0f1f2f3f4f5f6f7f8f9",
                 "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b"
                 "3e5",
                 "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c"
                 "5bf34007208d5b887185865"},
        HkdfCase{
            "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f80"
            "8182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1"
            "a2a3a4a5a6a7a8a9aaabacadaeaf",
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20"
            "2122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f4041"
            "42434445464748494a4b4c4d4e4f",
            "b0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0"
            "d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1"
            "f2f3f4f5f6f7f8f9fafbfcfdfeff",
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59"
            "045a99cac7827271cb41c65e590e09da3275600c2f09b8367793a9aca3db71cc30"
            "c58179ec3e87c14c01d5c1f3434f1d87"},
        HkdfCase{"", "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b", "",
                 "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293cc"
                 "b04",
                 "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738"
                 "d2d9d201395faa4b61a96c8"}));

struct GcmCase {
  const char *key, *nonce, *also, *clear, *sealed, *tag;
};

class AeadTest : public testing::TestWithParam<GcmCase> {};

TEST_P(AeadTest, IsAes256GcmAsSpecified) {
  const auto& known = GetParam();
  const auto nonce = Fixed<12>(known.nonce);
  const auto also = Hex(known.also);
  const auto clear = Hex(known.clear);
  Aead aead(Fixed<32>(known.key));
  std::vector<std::byte> bytes(clear.size());
  for (int again = 0; again < 2; ++again) {  // The context is used again.
    const auto tag = aead.Seal(nonce, also, clear, bytes);
    EXPECT_EQ(bytes, Hex(known.sealed));
    EXPECT_EQ(tag, Fixed<16>(known.tag));
    EXPECT_TRUE(aead.Open(nonce, also, bytes, tag));
    EXPECT_EQ(bytes, clear);
  }
  // In place, too.
  EXPECT_EQ(aead.Seal(nonce, also, bytes, bytes), Fixed<16>(known.tag));
  EXPECT_EQ(bytes, Hex(known.sealed));
}

constexpr const char* kKey =
    "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
constexpr const char* kZeroKey =
    "0000000000000000000000000000000000000000000000000000000000000000";
constexpr const char* kZeroNonce = "000000000000000000000000";

// McGrew and Viega, "The Galois/Counter Mode of Operation" (submitted to NIST),
// test cases 13 to 16.
INSTANTIATE_TEST_SUITE_P(
    Nist, AeadTest,
    testing::Values(
        GcmCase{kZeroKey, kZeroNonce, "", "", "",
                "530f8afbc74536b9a963b4f1c4cb738b"},
        GcmCase{kZeroKey, kZeroNonce, "", "00000000000000000000000000000000",
                "cea7403d4d606b6e074ec5d3baf39d18",
                "d0d1c8a799996bf0265b98b5d48ab919"},
        GcmCase{
            kKey, "cafebabefacedbaddecaf888", "",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
            "b094dac5d93471bdec1a502270e3cc6c"},
        GcmCase{
            kKey, "cafebabefacedbaddecaf888",
            "feedfacedeadbeeffeedfacedeadbeefabaddad2",
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
            "76fc6ece0f4e1768cddf8853bb2d551b"}));

TEST(AeadTest, OpensNothingThatWasAltered) {
  Aead aead(Fixed<32>(kKey));
  const Nonce nonce{};
  const auto also = Hex("0102030405");
  const std::vector<std::byte> clear(100, std::byte{7});
  std::vector<std::byte> sealed(clear.size());
  const auto tag = aead.Seal(nonce, also, clear, sealed);
  for (std::size_t bit = 0; bit < 8 * sealed.size(); ++bit) {
    auto bad = sealed;
    bad[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(aead.Open(nonce, also, bad, tag)) << bit;
  }
  for (std::size_t bit = 0; bit < 8 * tag.size(); ++bit) {
    auto bytes = sealed;
    auto bad = tag;
    bad[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(aead.Open(nonce, also, bytes, bad)) << bit;
  }
  auto bytes = sealed;
  EXPECT_FALSE(aead.Open(nonce, Hex("0102030406"), bytes, tag));
  bytes = sealed;
  EXPECT_TRUE(aead.Open(nonce, also, bytes, tag)) << "a failure is no end";
}

// Libraries of different makers: each is the other's oracle, on lengths around
// every width that they work in. OpenSSL has none for itself, and is there on
// every machine.
void ExpectEqualToOpenSsls(std::unique_ptr<Cipher> (*make)(KeyBytes)) {
  const auto bytes = [](std::size_t least, std::size_t below) {
    const auto count = *rc::gen::inRange(least, below);
    const auto values = *rc::gen::container<std::vector<std::uint8_t>>(
        count, rc::gen::arbitrary<std::uint8_t>());
    std::vector<std::byte> all(values.size());
    std::transform(values.begin(), values.end(), all.begin(),
                   [](std::uint8_t value) { return std::byte{value}; });
    return all;
  };
  const auto key = bytes(32, 33);
  const auto wide = make(KeyBytes(key));
  const auto other = MakeOpenSslCipher(KeyBytes(key));
  Nonce nonce;
  std::ranges::copy(bytes(12, 13), nonce.begin());
  const auto also = bytes(0, 100);
  auto clear = bytes(0, 300);
  const auto more = *rc::gen::element<std::size_t>(0, 4096, 65536 - 100);
  clear.resize(clear.size() + more, std::byte{0x5a});
  std::vector<std::byte> one(clear.size());
  std::vector<std::byte> two(clear.size());
  const auto tag = wide->Seal(nonce, also, clear, one);
  RC_ASSERT(tag == other->Seal(nonce, also, clear, two));
  RC_ASSERT(one == two);
  RC_ASSERT(wide->Open(nonce, also, one, tag));
  RC_ASSERT(one == clear);
  RC_ASSERT(other->Open(nonce, also, two, tag));
  auto bad = tag;
  bad[*rc::gen::inRange<std::size_t>(0, bad.size())] ^= std::byte{1};
  RC_ASSERT(!wide->Open(nonce, also, one, bad));
}

class CipherTest
    : public testing::TestWithParam<std::unique_ptr<Cipher> (*)(KeyBytes)> {};
INSTANTIATE_TEST_SUITE_P(Libraries, CipherTest,
                         testing::Values(&MakeWideCipher, &MakeGcryptCipher),
                         [](const auto& tested) {
                           return tested.param == &MakeWideCipher
                                      ? "MultiBuffer"
                                      : "Gcrypt";
                         });

TEST_P(CipherTest, IsTheSameAsOpenSsls) {
  if (!GetParam()(KeyBytes(std::array<std::byte, Aead::kKeyBytes>{})))
    GTEST_SKIP() << "this processor has no AES instructions so wide";
  EXPECT_TRUE(rc::check([make = GetParam()] { ExpectEqualToOpenSsls(make); }));
}

// The window is a set that forgets.
RC_GTEST_PROP(ReplayWindowTest, IsTheSetOfTheLastCounters, ()) {
  ReplayWindow window;
  std::set<std::uint64_t> seen;
  std::uint64_t end = 0;
  const auto steps = *rc::gen::inRange(1, 400);
  for (int step = 0; step < steps; ++step) {
    const std::uint64_t back =
        *rc::gen::inRange<std::uint64_t>(0, 2 * ReplayWindow::kSpan);
    const std::uint64_t ahead = *rc::gen::element<std::uint64_t>(
        0, 0, 1, 5, 63, 64, 65, ReplayWindow::kSpan - 1, ReplayWindow::kSpan,
        ReplayWindow::kSpan + 1, 100000, 0, 0);
    const std::uint64_t counter = ahead > 0    ? end + ahead - 1
                                  : back < end ? end - 1 - back
                                               : end;
    const auto verdict = window.Look(counter);
    if (counter < end && end - counter > ReplayWindow::kSpan) {
      RC_ASSERT(verdict == ReplayWindow::Verdict::kTooOld);
      continue;
    }
    RC_ASSERT(verdict == (seen.contains(counter)
                              ? ReplayWindow::Verdict::kSeen
                              : ReplayWindow::Verdict::kFresh));
    if (verdict != ReplayWindow::Verdict::kFresh) continue;
    window.Mark(counter);
    seen.insert(counter);
    end = std::max(end, counter + 1);
    RC_ASSERT(window.Look(counter) == ReplayWindow::Verdict::kSeen);
  }
}

TEST(ReplayWindowTest, NeverWrapsAround) {
  ReplayWindow window;
  EXPECT_EQ(window.Look(UINT64_MAX), ReplayWindow::Verdict::kTooOld);
  window.Mark(UINT64_MAX - 1);
  EXPECT_EQ(window.Look(UINT64_MAX), ReplayWindow::Verdict::kTooOld);
  EXPECT_EQ(window.Look(UINT64_MAX - 1), ReplayWindow::Verdict::kSeen);
  EXPECT_EQ(window.Look(0), ReplayWindow::Verdict::kTooOld);
}

}  // namespace
}  // namespace hearsay::transport::seal
