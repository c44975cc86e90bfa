#include "dp/random.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "dp/key_stream.h"
#include "tests/dp/chance.h"

namespace hearsay::dp {
namespace {

Key KeyFromHex(const std::string& hex) {
  Key key{};
  for (std::size_t i = 0; i < key.size(); ++i)
    key[i] =
        static_cast<std::byte>(std::stoi(hex.substr(2 * i, 2), nullptr, 16));
  return key;
}

std::string Hex(std::span<const std::byte> bytes) {
  std::string hex;
  for (const std::byte byte : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += kDigits[std::to_integer<int>(byte >> 4)];
    hex += kDigits[std::to_integer<int>(byte & std::byte{15})];
  }
  return hex;
}

using Sample = std::array<std::uint64_t, 8>;

Sample Draw(SecureRandom& random) {
  Sample sample{};
  random.Fill(sample);
  return sample;
}

// What a forked child draws from its copy of `random`.
Sample DrawInChild(SecureRandom& random) {
  std::array<int, 2> ends{};
  EXPECT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    const Sample sample = Draw(random);
    const bool sent = write(ends[1], sample.data(), sizeof sample) ==
                      static_cast<ssize_t>(sizeof sample);
    _exit(sent ? 0 : 1);
  }
  close(ends[1]);
  Sample sample{};
  EXPECT_EQ(read(ends[0], sample.data(), sizeof sample),
            static_cast<ssize_t>(sizeof sample));
  close(ends[0]);
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  return sample;
}

// The pages of this process that the kernel wipes in a forked child.
std::set<std::uintptr_t> PagesWipedOnFork() {
  std::set<std::uintptr_t> pages;
  std::ifstream maps("/proc/self/smaps");
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  for (std::string line; std::getline(maps, line);) {
    unsigned long long from = 0;
    unsigned long long to = 0;
    if (std::sscanf(line.c_str(), "%llx-%llx ", &from, &to) == 2) {
      begin = from;
      end = to;
    }
    const bool wiped =
        line.starts_with("VmFlags:") && line.find(" wf") != std::string::npos;
    const bool dumped = line.find(" dd") == std::string::npos;
    for (auto at = begin; wiped && !dumped && at < end; at += page)
      pages.insert(at);
  }
  return pages;
}

// NIST AESAVS, KeySbox 256: the encryption of a block of zeros.
TEST(KeyStreamTest, AgreesWithTheVectorsOfNist) {
  const std::vector<std::pair<std::string, std::string>> vectors = {
      {"c47b0294dbbbee0fec4757f22ffeee3587ca4730c3d33b691df38bab076bc558",
       "46f2fb342d6f0ab477476fc501242c5f"},
      {"28d46cffa158533194214a91e712fc2b45b518076675affd910edeca5f41ac64",
       "4bf3b0a69aeb6657794f2901b1440ad4"}};
  for (const auto& [key, block] : vectors) {
    KeyStream stream;
    stream.Restart(KeyFromHex(key));
    std::array<std::byte, 16> bytes{};
    bytes.fill(std::byte{0xee});  // Must not be part of the result.
    stream.Fill(bytes);
    EXPECT_EQ(Hex(bytes), block);
  }
}

TEST(KeyStreamTest, IsOneStreamHoweverItIsCut) {
  Key key{};
  KeyStream whole;
  whole.Restart(key);
  std::vector<std::byte> expected(100'000);
  whole.Fill(expected);
  KeyStream cut;
  cut.Restart(key);
  std::vector<std::byte> pieces(expected.size());
  std::size_t at = 0;
  for (std::size_t size = 1; at < pieces.size(); size = size * 3 + 1) {
    const std::size_t count = std::min(size, pieces.size() - at);
    cut.Fill(std::span(pieces).subspan(at, count));
    at += count;
  }
  EXPECT_EQ(pieces, expected);
  cut.Restart(key);
  cut.Fill(pieces);
  EXPECT_EQ(pieces, expected);
}

// Oracle: Python's hmac, RFC 5869 written out and checked with its test A.1.
TEST(KeyStreamTest, DerivesTheNextKeyAsRfc5869) {
  Key key{};
  std::array<std::byte, 32> salt{};
  for (std::size_t i = 0; i < 32; ++i) {
    key[i] = static_cast<std::byte>(i);
    salt[i] = static_cast<std::byte>(100 + i);
  }
  DeriveNextKey(salt, key);
  EXPECT_EQ(Hex(key),
            "d39b25ea23b55bbd8eadc190e48f5659"
            "1b8f93424b45ac73078b8981bebb0133");
}

TEST(SecureRandomTest, GivesEveryObjectAStreamOfItsOwn) {
  std::set<Sample> seen;
  for (int i = 0; i < 100; ++i) {
    SecureRandom random;
    EXPECT_TRUE(seen.insert(Draw(random)).second);
  }
}

TEST(SecureRandomTest, NeverRepeatsAWord) {
  SecureRandom random;
  std::vector<std::uint64_t> words(200'000);
  std::unordered_set<std::uint64_t> seen;
  // 4e5 words of 64 bits collide with probability 5e-9.
  for (int round = 0; round < 2; ++round) {
    random.Fill(words);
    for (const std::uint64_t word : words)
      EXPECT_TRUE(seen.insert(word).second);
    random.Ratchet();
  }
}

// False alarm: below 1e-10.
TEST(SecureRandomTest, UsesEveryByteEquallyOften) {
  SecureRandom random;
  std::vector<std::byte> bytes(1 << 20);
  random.Fill(std::span(bytes));
  std::array<double, 256> counts{};
  for (const std::byte byte : bytes)
    ++counts[std::to_integer<std::size_t>(byte)];
  double chi_square = 0;
  for (const double count : counts)
    chi_square += (count - 4096) * (count - 4096) / 4096;
  EXPECT_LT(chi_square, tests::ChiSquareLimit(255, 1e-10));
}

TEST(SecureRandomTest, TakesANewKeyInAForkedChild) {
  SecureRandom random;
  Draw(random);
  std::set<Sample> seen{DrawInChild(random), DrawInChild(random)};
  seen.insert(Draw(random));
  EXPECT_EQ(seen.size(), 3U);
}

TEST(SecureRandomTest, GoesOnAfterAMove) {
  SecureRandom first;
  const Sample before = Draw(first);
  SecureRandom second = std::move(first);
  const Sample after = Draw(second);
  EXPECT_NE(before, after);
}

TEST(SecureRandomTest, KeepsItsKeyFromDumpsAndChildrenAndReplacesItByRatchet) {
  const auto before = PagesWipedOnFork();
  SecureRandom random;
  std::vector<std::uintptr_t> own;
  for (const auto page : PagesWipedOnFork())
    if (!before.contains(page)) own.push_back(page);
  ASSERT_EQ(own.size(), 1U) << "no page with MADV_WIPEONFORK, MADV_DONTDUMP";
  const auto key_now = [&] {
    Key key;
    std::memcpy(key.data(), reinterpret_cast<const void*>(own[0]), key.size());
    return key;
  };
  const auto expected = [](const Key& key) {
    KeyStream stream;
    stream.Restart(key);
    Sample sample{};
    stream.Fill(std::as_writable_bytes(std::span(sample)));
    return sample;
  };
  const Key first = key_now();
  EXPECT_NE(first, Key{});
  EXPECT_EQ(Draw(random), expected(first));
  random.Ratchet();
  const Key second = key_now();
  EXPECT_NE(second, first);
  EXPECT_EQ(Draw(random), expected(second));
}

// The new key depends on fresh kernel bytes too: two copies of one memory image
// (a virtual machine started twice from a snapshot) go separate ways.
TEST(SecureRandomTest, RatchetsToAKeyThatTheOldOneDoesNotDetermine) {
  const auto before = PagesWipedOnFork();
  SecureRandom random;
  std::vector<std::uintptr_t> own;
  for (const auto page : PagesWipedOnFork())
    if (!before.contains(page)) own.push_back(page);
  ASSERT_EQ(own.size(), 1U);
  auto* const key = reinterpret_cast<std::byte*>(own[0]);
  std::set<Sample> seen;
  for (int copy = 0; copy < 2; ++copy) {
    std::fill_n(key, kKeyBytes, std::byte{7});  // The snapshot.
    random.Ratchet();
    EXPECT_TRUE(seen.insert(Draw(random)).second);
  }
}

}  // namespace
}  // namespace hearsay::dp
