// What a ledger's lines say, and which files are believed: those of the format,
// of the version before, and what is behind the last whole line.
#include "dp/ledger_format.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "dp/ledger.h"
#include "dp/ledger_text.h"
#include "tests/dp/ledger_files.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::dp {
namespace {

using tests::TemporaryFolder;

constexpr Releases kBlock{0.01, 1.1, 64};

// Written by hand and hashed with Python's hashlib: the format is a promise.
TEST(LedgerFormatTest, ReadsTheFormatAsDocumented) {
  const std::string text =
      "hearsay-ledger 2 id=00112233445566778899aabbccddeeff data_set=sha2"
      "56:77%2001 hash=42827bb97ac2469a08e50680ef7dc374bfb3f9effd0d6aece9"
      "56a3f2cefb974e\n"
      "1 reserve q=0x1.47ae147ae147bp-7 sigma=0x1.199999999999ap+0 steps="
      "64 run=caf%c3%a9@1700000000 nonce=0123456789abcdef0123456789abcdef"
      " prev=42827bb97ac2469a08e50680ef7dc374bfb3f9effd0d6aece956a3f2cefb"
      "974e hash=7f6f75ae57c3442587469ff673d3818ca3063bc83beccd3caf8b65c4"
      "2b60c9fb\n"
      "2 reserve q=0x1.47ae147ae147bp-7 sigma=0x1.199999999999ap+0 steps="
      "64 run=caf%c3%a9@1700000000 nonce=fedcba9876543210fedcba9876543210"
      " prev=7f6f75ae57c3442587469ff673d3818ca3063bc83beccd3caf8b65c42b60"
      "c9fb hash=4e840e97c9e1ef4bc80d73d7f796e0dd882c65f0956918c77e029cf1"
      "301dbc1b\n"
      "3 settle q=0x1.47ae147ae147bp-7 sigma=0x1.199999999999ap+0 steps=8"
      "0 run=caf%c3%a9@1700000000 nonce=00000000000000000000000000000000 "
      "prev=4e840e97c9e1ef4bc80d73d7f796e0dd882c65f0956918c77e029cf1301db"
      "c1b hash=b77816dc61f889ef2fd345a56e9374488dfa6055ea6511c23889a9dcd"
      "d921ad4\n"
      "4 torn q=0x1p+0 sigma=0x1.4p+3 steps=5 noise=exact run=b nonce=fff"
      "fffffffffffffffffffffffffffff prev=b77816dc61f889ef2fd345a56e93744"
      "88dfa6055ea6511c23889a9dcdd921ad4 hash=2c38c5bf71646d00e6835c7550b"
      "2d39844dc06379a2f04b9c6bac11da0ae9097\n";
  TemporaryFolder folder;
  Write(folder / "ledger", text);
  const LedgerContents contents = ReadLedger(folder / "ledger");
  EXPECT_EQ(contents.data_set, "sha256:77 01");
  ASSERT_EQ(contents.records.size(), 4U);
  EXPECT_EQ(contents.records[1].kind, LedgerRecord::Kind::kReserve);
  EXPECT_EQ(contents.records[2].kind, LedgerRecord::Kind::kSettle);
  EXPECT_EQ(contents.records[2].releases.steps, 80U);
  EXPECT_EQ(contents.records[3].kind, LedgerRecord::Kind::kTorn);
  EXPECT_EQ(contents.records[3].noise, LedgerNoise::kExact);
  EXPECT_EQ(contents.records[1].nonce, "fedcba9876543210fedcba9876543210");
  EXPECT_EQ(contents.records[0].run, "caf\u00e9@1700000000");
  EXPECT_EQ(contents.charged_steps, 53U);
  ASSERT_EQ(contents.charged.size(), 2U);
  EXPECT_EQ(contents.charged[0].steps, 48U);
  EXPECT_EQ(contents.charged[1].noise_multiplier, 10);

  // And writes it: another reservation leaves what was there as it is.
  Ledger ledger(folder.path(), "sha256:77 01", "c");
  ledger.Reserve(kBlock);
  EXPECT_TRUE(Text(folder / "ledger")
                  .starts_with(text + "5 reserve q=0x1.47ae147ae147bp-7 "
                                      "sigma=0x1.199999999999ap+0 steps=64 "
                                      "run=c nonce="));
}

// As version 1 was, in which records had no nonces.
TEST(LedgerFormatTest, ReadsAndContinuesALedgerOfTheVersionBefore) {
  const std::string text =
      "hearsay-ledger 1 id=00112233445566778899aabbccddeeff data_set=sha2"
      "56:77%2001 hash=89a15ec6bc8a263f499de749d77dcc605a5a9e91cdbd4b7b1d"
      "594172377795ad\n"
      "1 reserve q=0x1.47ae147ae147bp-7 sigma=0x1.199999999999ap+0 steps="
      "64 run=caf%c3%a9@1700000000 prev=89a15ec6bc8a263f499de749d77dcc605"
      "a5a9e91cdbd4b7b1d594172377795ad hash=b667066e2379a78a44ae4ac063456"
      "c4f2d33b6bc5e5ef3a659f3cc4418f16c0f\n"
      "2 settle q=0x1.47ae147ae147bp-7 sigma=0x1.199999999999ap+0 steps=2"
      "0 run=caf%c3%a9@1700000000 prev=b667066e2379a78a44ae4ac063456c4f2d"
      "33b6bc5e5ef3a659f3cc4418f16c0f hash=23503214c844c210cc4f6d4e322475"
      "be2fb2a221329b2a1343c0dd845001ee3c\n"
      "3 reserve q=0x1p+0 sigma=0x1.4p+3 steps=5 run=b prev=23503214c844c"
      "210cc4f6d4e322475be2fb2a221329b2a1343c0dd845001ee3c hash=703fe8010"
      "1ac44b7ad10562e95197d69754b006caba793c27f1498e9a74d9e29\n";
  TemporaryFolder folder;
  Write(folder / "ledger", text);
  const LedgerContents contents = ReadLedger(folder / "ledger");
  EXPECT_EQ(contents.data_set, "sha256:77 01");
  ASSERT_EQ(contents.records.size(), 3U);
  EXPECT_EQ(contents.records[0].kind, LedgerRecord::Kind::kReserve);
  EXPECT_EQ(contents.records[1].kind, LedgerRecord::Kind::kSettle);
  EXPECT_EQ(contents.records[1].releases.steps, 20U);
  EXPECT_EQ(contents.records[0].run, "caf\u00e9@1700000000");
  EXPECT_EQ(contents.records[0].releases.sample_rate, 0.01);
  EXPECT_EQ(contents.records[0].releases.noise_multiplier, 1.1);
  EXPECT_EQ(contents.charged_steps, 49U);
  ASSERT_EQ(contents.charged.size(), 2U);
  EXPECT_EQ(contents.charged[0].steps, 44U);
  EXPECT_EQ(contents.charged[1].noise_multiplier, 10);

  // And writes it: another reservation leaves what was there as it is.
  Ledger ledger(folder.path(), "sha256:77 01", "c");
  ledger.Reserve(kBlock);
  EXPECT_TRUE(Text(folder / "ledger")
                  .starts_with(text + "4 reserve q=0x1.47ae147ae147bp-7 "
                                      "sigma=0x1.199999999999ap+0 steps=64 "
                                      "run=c nonce="));
  ledger.Settle(4);
  const LedgerContents after = ReadLedger(folder / "ledger");
  EXPECT_EQ(after.charged_steps, 49U + 60);
  ASSERT_EQ(after.records.size(), 5U);
  EXPECT_EQ(after.records[2].nonce, "");
  EXPECT_EQ(after.records[3].nonce.size(), 32U);
  EXPECT_EQ(after.records[4].nonce.size(), 32U);
  // What was in it is still told from what was not.
  EXPECT_TRUE(ledger.Contains({3, contents.position.hash}));
}

// Without it a chain that was put back could be told from none.
TEST(LedgerFormatTest, RefusesARecordWithoutItsNonce) {
  using Kind = LedgerRecord::Kind;
  const std::string header = FormatHeader(kNonce, "d");
  const std::string hash = header.substr(header.size() - 65, 64);
  const auto complaint = [&](const std::string& nonce) {
    LedgerRecord record{1,  Kind::kReserve,         kBlock, "r",
                        "", LedgerNoise::kGaussian, nonce};
    const std::string text = header + FormatRecord(hash, record);
    return Complaint([&] { ParseLedger(text, "l"); });
  };
  EXPECT_EQ(complaint(kNonce), "");
  for (const char* bad : {"", "00", "00112233445566778899aabbccddeefg",
                          "00112233445566778899aabbccddeeff0"})
    EXPECT_NE(complaint(bad).find("is not a record"), std::string::npos) << bad;
}

TEST(LedgerFormatTest, KeepsParametersToTheLastBit) {
  TemporaryFolder folder;
  const double rates[] = {0,  5e-324, 0x1p-64, 1 / 3.0, std::nextafter(1, 0),
                          1.0};
  const double noises[] = {0, 5e-324, 0.1, 1e300,
                           std::numeric_limits<double>::max()};
  {
    Ledger ledger(folder.path(), "d", "r");
    for (const double q : rates) ledger.Reserve({q, 1, 1});
    for (const double sigma : noises) ledger.Reserve({1, sigma, 1});
  }
  const auto records = ReadLedger(folder / "ledger").records;
  for (std::size_t i = 0; i < std::size(rates); ++i)
    EXPECT_EQ(records[i].releases.sample_rate, rates[i]);
  for (std::size_t i = 0; i < std::size(noises); ++i)
    EXPECT_EQ(records[std::size(rates) + i].releases.noise_multiplier,
              noises[i]);
}

TEST(LedgerFormatTest, KeepsAnyTextInALine) {
  TemporaryFolder folder;
  const std::string odd =
      std::string("a b\n\t%20=\\\"\x01\xff caf\u00e9", 18) + '\0';
  {
    Ledger ledger(folder.path(), odd, odd);
    ledger.Reserve(kBlock);
  }
  const LedgerContents contents = ReadLedger(folder / "ledger");
  EXPECT_EQ(contents.data_set, odd);
  EXPECT_EQ(contents.records.at(0).run, odd);
}

TEST(LedgerFormatTest, RefusesWhatIsNoLedger) {
  TemporaryFolder folder;
  const auto file = folder / "ledger";
  const auto complaint = [&] {
    const std::string writing =
        Complaint([&] { Ledger(folder.path(), "d", "r"); });
    EXPECT_EQ(Complaint([&] { ReadLedger(file); }), writing);
    EXPECT_TRUE(writing.starts_with(file.string() + ": ")) << writing;
    EXPECT_EQ(writing.find('\n'), std::string::npos) << writing;
    return writing;
  };
  for (const char* text :
       {"", "x", "\n", "hello\nworld\n", "hearsay-ledger 1"}) {
    Write(file, text);
    EXPECT_NE(complaint(), "") << text;
  }
  std::filesystem::remove(file);
  EXPECT_NE(Complaint([&] { ReadLedger(file); }), "");
  ASSERT_EQ(mkfifo(file.c_str(), 0600), 0);
  EXPECT_NE(complaint().find("not a regular file"), std::string::npos);
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  EXPECT_NE(Complaint([&] { Ledger(folder.path(), "d", "r"); }), "");
  Write(folder / "plain", "");
  EXPECT_NE(Complaint([&] { Ledger(folder / "plain", "d", "r"); }), "");
}

// Lines with a good hash that no ledger of ours would write.
TEST(LedgerFormatTest, RefusesRecordsThatDoNotBelong) {
  TemporaryFolder folder;
  std::string good;
  std::string last;
  {
    Ledger ledger(folder.path(), "d", "r");
    ledger.Reserve(kBlock);
    last = ledger.position().hash;
    good = Text(folder / "ledger");
  }
  using Kind = LedgerRecord::Kind;
  const auto complaint = [&](LedgerRecord record, const std::string& previous) {
    record.nonce = kNonce;
    Write(folder / "ledger", good + FormatRecord(previous, record));
    return Complaint([&] { Ledger(folder.path(), "d", "r"); });
  };
  EXPECT_EQ(complaint({2, Kind::kSettle, kBlock, "r", ""}, last), "");
  const std::vector<std::pair<LedgerRecord, const char*>> bad = {
      {{3, Kind::kReserve, kBlock, "r", ""}, "has number 3 instead of 2"},
      {{1, Kind::kReserve, kBlock, "r", ""}, "has number 1 instead of 2"},
      {{2, Kind::kSettle, {0.01, 1.1, 65}, "r", ""}, "more than was reserved"},
      {{2, Kind::kSettle, {0.02, 1.1, 64}, "r", ""}, "more than was reserved"},
      {{2, Kind::kSettle, {0.01, 1.2, 64}, "r", ""}, "more than was reserved"},
      {{2, Kind::kSettle, kBlock, "s", ""}, "not reserved right before"},
      {{2, Kind::kReserve, {2, 1.1, 64}, "r", ""}, "is not a record"},
      {{2, Kind::kReserve, {0.01, -1, 64}, "r", ""}, "is not a record"},
      {{2, Kind::kReserve, {0.01, 1.1, 0}, "r", ""}, "is not a record"},
      {{2, Kind::kReserve, {0.01, 1.1, ~std::uint64_t{0}}, "r", ""},
       "is not a record"}};
  for (const auto& [record, why] : bad) {
    const std::string found = complaint(record, last);
    EXPECT_NE(found.find(why), std::string::npos) << why << ": " << found;
    EXPECT_NE(found.find("line 3"), std::string::npos) << found;
  }
  EXPECT_NE(
      complaint({2, Kind::kReserve, kBlock, "r", ""}, std::string(64, '0')),
      "");
  // A word too many, under a good hash.
  LedgerRecord record{2,  Kind::kReserve,         kBlock, "r",
                      "", LedgerNoise::kGaussian, kNonce};
  std::string longer = FormatRecord(last, record);
  longer = Sealed(longer.substr(0, longer.find(kHashKey)) + " more=1");
  Write(folder / "ledger", good + longer + longer);
  EXPECT_NE(Complaint([&] {
              Ledger(folder.path(), "d", "r");
            }).find("is not a record"),
            std::string::npos);
  // Gives back exact noise that was not reserved.
  EXPECT_NE(
      complaint({2, Kind::kSettle, kBlock, "r", "", LedgerNoise::kExact}, last)
          .find("more than was reserved"),
      std::string::npos);
  // Twice in a row.
  LedgerRecord first{2,  Kind::kSettle,          {0.01, 1.1, 40}, "r",
                     "", LedgerNoise::kGaussian, kNonce};
  good += FormatRecord(last, first);
  EXPECT_NE(complaint({3, Kind::kSettle, {0.01, 1.1, 40}, "r", ""}, first.hash),
            "");
}

// Lines behind the first reservation, of which the last is not whole.
class LedgerTailTest : public ::testing::Test {
 protected:
  using Kind = LedgerRecord::Kind;

  LedgerTailTest() {
    Ledger ledger(folder_.path(), "d", "r");
    ledger.Reserve(kBlock);
    hash_ = ledger.position().hash;
    text_ = Text(file());
  }
  std::filesystem::path file() const { return folder_ / "ledger"; }
  std::string Next(Kind kind, const Releases& releases,
                   LedgerNoise noise = LedgerNoise::kGaussian) {
    LedgerRecord record{sequence_++, kind, releases, "r", "", noise, kNonce};
    std::string line = FormatRecord(hash_, record);
    hash_ = record.hash;
    return line;
  }
  LedgerContents Read(const std::string& more) {
    Write(file(), text_ + more);
    return ReadLedger(file());
  }

  TemporaryFolder folder_;
  std::string text_;
  std::string hash_;
  std::uint64_t sequence_ = 2;
};

TEST_F(LedgerTailTest, WhatIsGivenBackWithoutANewlineIsNotBelieved) {
  std::string line = Next(Kind::kSettle, {0.01, 1.1, 40});
  line.pop_back();
  const auto contents = Read(line);
  EXPECT_TRUE(contents.torn);
  EXPECT_EQ(contents.charged_steps, 2 * kBlock.steps);
}

TEST_F(LedgerTailTest, ATornReservationOfExactNoiseIsExact) {
  const std::string line = Next(Kind::kReserve, kBlock, LedgerNoise::kExact);
  const auto contents = Read(line.substr(0, line.find(" run=") + 1));
  EXPECT_TRUE(contents.torn);
  EXPECT_TRUE(contents.exact);
  EXPECT_FALSE(Read("").exact);
}

TEST_F(LedgerTailTest, ANewlineThatIsLostBetweenTwoRecordsIsRefused) {
  std::string one = Next(Kind::kReserve, kBlock);
  one.pop_back();
  const std::string two = Next(Kind::kReserve, kBlock);
  EXPECT_NE(Complaint([&] { Read(one + two); }).find("a newline was lost"),
            std::string::npos);
}

TEST_F(LedgerTailTest, OnlyTwoAlikeReservationsAreSettledTogether) {
  const std::string other = Next(Kind::kReserve, {0.01, 2.0, 64});
  const std::string settle = Next(Kind::kSettle, {0.01, 2.0, 65});
  EXPECT_NE(
      Complaint([&] { Read(other + settle); }).find("more than was reserved"),
      std::string::npos);
}

// What was given back says nothing of how much a torn line had reserved.
TEST_F(LedgerTailTest, ATornLineCountsAsTheLargestReservation) {
  std::string lines = Next(Kind::kReserve, kBlock);
  lines += Next(Kind::kSettle, {0.01, 1.1, 100});
  EXPECT_EQ(Read(lines).charged_steps, 2 * kBlock.steps - 100);
  EXPECT_EQ(Read(lines + "4 res").charged_steps, 3 * kBlock.steps - 100);
}

TEST(LedgerFormatTest, RefusesALaterVersion) {
  TemporaryFolder folder;
  { Ledger ledger(folder.path(), "d", "r"); }
  // printf 'hearsay-ledger 3 new=1' | sha256sum
  Write(folder / "ledger",
        "hearsay-ledger 3 new=1 "
        "hash="
        "57778b9584e3586b8d018cf9697ce36f71f17317623872ea3f0561c40f0333fa\n");
  const auto complaint = Complaint([&] { Ledger(folder.path(), "d", "r"); });
  EXPECT_NE(complaint.find("version 3"), std::string::npos) << complaint;
}

}  // namespace
}  // namespace hearsay::dp
