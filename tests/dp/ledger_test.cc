#include "dp/ledger.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "dp/ledger_format.h"
#include "dp/ledger_text.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::dp {
namespace {

using tests::TemporaryFolder;

constexpr Releases kBlock{0.01, 1.1, 64};
constexpr const char* kNonce = "00112233445566778899aabbccddeeff";

std::string Text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void Write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream(file, std::ios::binary) << text;
}

// What LedgerError says, or "" if there is none.
std::string Complaint(const std::function<void()>& act) {
  try {
    act();
  } catch (const LedgerError& error) {
    return error.what();
  }
  return "";
}

// Runs `act` in a forked child; true if it returned true there.
bool InChild(const std::function<bool()>& act) {
  const pid_t child = fork();
  if (child == 0) {
    bool good = false;
    try {
      good = act();
    } catch (...) {
    }
    _exit(good ? 0 : 1);
  }
  int status = 0;
  return waitpid(child, &status, 0) == child && status == 0;
}

TEST(LedgerTest, CountsEveryReservationOverRunsAndMechanisms) {
  TemporaryFolder folder;
  {
    Ledger ledger(folder / "deep/er", "d", "run 1");
    EXPECT_EQ(ledger.charged_steps(), 0U);
    EXPECT_EQ(ledger.Epsilon(1e-5).epsilon, 0);
    ledger.Reserve(kBlock);
    ledger.Reserve(kBlock);
  }
  Ledger ledger(folder / "deep/er", "d", "run 2");
  EXPECT_EQ(ledger.charged_steps(), 128U);
  ledger.Reserve({1, 20, 3});
  EXPECT_EQ(ledger.charged_steps(), 131U);
  RdpAccountant expected;
  expected.Add({0.01, 1.1, 128});
  expected.Add({1, 20, 3});
  EXPECT_NEAR(ledger.Epsilon(1e-5).epsilon, expected.Epsilon(1e-5).epsilon,
              1e-12);

  const LedgerContents contents = ReadLedger(folder / "deep/er/ledger");
  EXPECT_EQ(contents.data_set, "d");
  ASSERT_EQ(contents.records.size(), 3U);
  EXPECT_EQ(contents.records[0].run, "run 1");
  EXPECT_EQ(contents.records[2].run, "run 2");
  EXPECT_EQ(contents.records[2].sequence, 3U);
  EXPECT_EQ(contents.position.hash, ledger.position().hash);
  EXPECT_EQ(contents.charged_steps, 131U);
  ASSERT_EQ(contents.charged.size(), 2U);
  EXPECT_EQ(contents.charged[0].steps, 128U);
  EXPECT_FALSE(contents.torn);
}

// Written by hand and hashed with Python's hashlib: the format is a promise.
TEST(LedgerTest, ReadsTheFormatAsDocumented) {
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
TEST(LedgerTest, ReadsAndContinuesALedgerOfTheVersionBefore) {
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

// Their memories were put back to one moment: the same run writes the same.
TEST(LedgerTest, TwoWaysOnFromOneMomentDiffer) {
  TemporaryFolder folder;
  {
    Ledger ledger(folder / "one", "d", "a@1");
    ledger.Reserve(kBlock);
  }
  std::filesystem::copy(folder / "one", folder / "two");
  Ledger one(folder / "one", "d", "a@1");
  Ledger two(folder / "two", "d", "a@1");
  ASSERT_TRUE(one.Contains(two.position()));
  for (Ledger* ledger : {&one, &two}) {
    ledger->Reserve(kBlock);
    ledger->Settle(3);
  }
  for (const std::uint64_t at : {2U, 3U})
    EXPECT_NE(one.HashAt(at), two.HashAt(at)) << at;
  EXPECT_EQ(one.charged_steps(), two.charged_steps());
}

// Without it a chain that was put back could be told from none.
TEST(LedgerTest, RefusesARecordWithoutItsNonce) {
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

// Of which less is proven: whoever reads the ledger later has to know.
TEST(LedgerTest, SaysWhatWasOfExactNoise) {
  const tests::TemporaryFolder folder;
  {
    Ledger ledger(folder.path(), "d", "a@1");
    ledger.Reserve({0.5, 1, 3});
    EXPECT_FALSE(ledger.exact());
  }
  EXPECT_FALSE(ReadLedger(folder / "ledger").exact);
  {
    Ledger ledger(folder.path(), "d", "a@2");
    ledger.Reserve({0.5, 1, 5}, LedgerNoise::kExact);
    ledger.Settle(2);
    EXPECT_TRUE(ledger.exact());
  }
  const Ledger ledger(folder.path(), "d", "a@3");
  EXPECT_TRUE(ledger.exact());
  EXPECT_EQ(ledger.charged_steps(), 6U);
  const auto contents = ReadLedger(folder / "ledger");
  ASSERT_EQ(contents.records.size(), 3U);
  EXPECT_EQ(contents.records[0].noise, LedgerNoise::kGaussian);
  EXPECT_EQ(contents.records[1].noise, LedgerNoise::kExact);
  EXPECT_EQ(contents.records[2].noise, LedgerNoise::kExact);
}

TEST(LedgerTest, KeepsParametersToTheLastBit) {
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

TEST(LedgerTest, KeepsAnyTextInALine) {
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

TEST(LedgerTest, RefusesTextsAndReservationsOutOfRange) {
  TemporaryFolder folder;
  const std::string longest(1024, '\n');
  EXPECT_THROW(Ledger(folder.path(), "", "r"), std::invalid_argument);
  EXPECT_THROW(Ledger(folder.path(), longest + 'x', "r"),
               std::invalid_argument);
  EXPECT_THROW(Ledger(folder.path(), "d", longest + 'x'),
               std::invalid_argument);
  Ledger ledger(folder.path(), longest, longest);
  const double nan = std::nan("");
  const double inf = std::numeric_limits<double>::infinity();
  for (const Releases& bad : {Releases{-0.1, 1, 1},
                              {1.1, 1, 1},
                              {nan, 1, 1},
                              {0.1, -1, 1},
                              {0.1, nan, 1},
                              {0.1, inf, 1},
                              {0.1, 1, 0},
                              {0.1, 1, kMaxBlock + 1}})
    EXPECT_THROW(ledger.Reserve(bad), std::invalid_argument);
  EXPECT_EQ(ledger.position().sequence, 0U);
  ledger.Reserve({0.1, 1, kMaxBlock});  // Refusals did not close it.
  EXPECT_EQ(ReadLedger(folder / "ledger").charged_steps, kMaxBlock);
}

TEST(LedgerTest, AReservationIsAtMostTwiceAnyBeforeIt) {
  TemporaryFolder folder;
  {
    Ledger ledger(folder.path(), "d", "r");
    EXPECT_EQ(ledger.most_steps(), kMaxBlock);
    ledger.Reserve({0.1, 1, 10});
    EXPECT_EQ(ledger.most_steps(), kMaxBlock);
    ledger.Reserve({0.1, 1, kMaxBlock});
    EXPECT_EQ(ledger.most_steps(), 2 * kMaxBlock);
    EXPECT_THROW(ledger.Reserve({0.1, 1, 2 * kMaxBlock + 1}),
                 std::invalid_argument);
    ledger.Reserve({0.1, 1, 2 * kMaxBlock});
    ledger.Reserve({0.1, 1, 1});
  }
  EXPECT_EQ(Ledger(folder.path(), "d", "s").most_steps(), 4 * kMaxBlock);
}

TEST(LedgerTest, GivesBackTheUnusedRestOnce) {
  TemporaryFolder folder;
  Ledger ledger(folder.path(), "d", "r");
  EXPECT_THROW(ledger.Settle(0), std::invalid_argument);
  ledger.Reserve(kBlock);
  ledger.Reserve(kBlock);
  EXPECT_THROW(ledger.Settle(129), std::invalid_argument);
  ledger.Settle(24);
  EXPECT_EQ(ledger.charged_steps(), 104U);
  EXPECT_NEAR(ledger.Epsilon(1e-5).epsilon,
              RdpEpsilon({0.01, 1.1, 104}, 1e-5).epsilon, 1e-12);
  EXPECT_THROW(ledger.Settle(1), std::invalid_argument);
  ledger.Reserve(kBlock);
  ledger.Settle(0);  // Nothing left over: no record.
  EXPECT_THROW(ledger.Settle(1), std::invalid_argument);
  ledger.Reserve(kBlock);
  ledger.Settle(64);
  EXPECT_EQ(ledger.charged_steps(), 168U);
  const LedgerContents contents = ReadLedger(folder / "ledger");
  EXPECT_EQ(contents.charged_steps, 168U);
  EXPECT_EQ(contents.records.size(), 6U);
}

// The next one may be reserved while the last is still being used.
TEST(LedgerTest, GivesBackTheRestOfTwoReservationsOfOneKind) {
  TemporaryFolder folder;
  Ledger ledger(folder.path(), "d", "r");
  ledger.Reserve(kBlock);
  ledger.Reserve(kBlock);
  ledger.Reserve({kBlock.sample_rate, kBlock.noise_multiplier, 10});
  EXPECT_THROW(ledger.Settle(75), std::invalid_argument) << "of the first";
  ledger.Settle(74);
  EXPECT_EQ(ledger.charged_steps(), 64U);
  ledger.Reserve(kBlock);
  EXPECT_THROW(ledger.Settle(65), std::invalid_argument) << "over a settle";
  ledger.Settle(64);
  // Each differs from the one above it in one thing.
  ledger.Reserve(kBlock);
  for (const auto& [other, noise] :
       {std::pair{Releases{0.02, 1.1, 10}, LedgerNoise::kGaussian},
        {Releases{0.02, 1.2, 10}, LedgerNoise::kGaussian},
        {Releases{0.02, 1.2, 10}, LedgerNoise::kExact}}) {
    ledger.Reserve(other, noise);
    EXPECT_THROW(ledger.Settle(11), std::invalid_argument);
  }
  EXPECT_EQ(ReadLedger(folder / "ledger").charged_steps, 64U + 64 + 30);
}

TEST(LedgerTest, LetsNobodyElseGiveBack) {
  TemporaryFolder folder;
  {
    Ledger ledger(folder.path(), "d", "r");
    ledger.Reserve(kBlock);
    EXPECT_TRUE(InChild([&] {
      try {
        ledger.Settle(10);
      } catch (const std::invalid_argument&) {
        return true;
      }
      return false;
    }));
    EXPECT_TRUE(InChild([&] {
      return Complaint([&] {
               ledger.Reserve(kBlock);
             }).find("another process") != std::string::npos;
    }));
  }
  // Not even the next owner, under the same name.
  Ledger ledger(folder.path(), "d", "r");
  EXPECT_THROW(ledger.Settle(1), std::invalid_argument);
  EXPECT_EQ(ReadLedger(folder / "ledger").charged_steps, 64U);
}

TEST(LedgerTest, RefusesASecondOpenerAndNamesTheFirst) {
  TemporaryFolder folder;
  const auto open = [&] { Ledger(folder.path(), "d", "r"); };
  const std::string own = "process " + std::to_string(getpid());
  {
    Ledger ledger(folder.path(), "d", "r");
    ledger.Reserve(kBlock);
    const std::string complaint = Complaint(open);
    EXPECT_NE(complaint.find("is in use"), std::string::npos) << complaint;
    // Some sandboxes show no locks in /proc.
    if (Text("/proc/locks").find("FLOCK") != std::string::npos) {
      EXPECT_NE(complaint.find(own), std::string::npos) << complaint;
    }
    EXPECT_TRUE(InChild([&] { return !Complaint(open).empty(); }));
    EXPECT_EQ(ReadLedger(folder / "ledger").charged_steps, 64U);
    ledger.Reserve(kBlock);  // Reading did not drop the lock.
    EXPECT_FALSE(Complaint(open).empty());
    Ledger moved = std::move(ledger);
    EXPECT_FALSE(Complaint(open).empty());
  }
  EXPECT_EQ(Complaint(open), "");
}

TEST(LedgerTest, RefusesAnotherDataSet) {
  TemporaryFolder folder;
  { Ledger ledger(folder.path(), "mine", "r"); }
  const auto complaint =
      Complaint([&] { Ledger(folder.path(), "yours", "r"); });
  EXPECT_NE(complaint.find("of data set mine, not of yours"), std::string::npos)
      << complaint;
}

TEST(LedgerTest, KnowsThePositionsOfItsOwnPastOnly) {
  TemporaryFolder folder;
  std::vector<LedgerPosition> past;
  {
    Ledger ledger(folder.path(), "d", "r");
    past.push_back(ledger.position());
    for (int i = 0; i < 3; ++i) {
      ledger.Reserve(kBlock);
      past.push_back(ledger.position());
    }
    ledger.Settle(4);
    past.push_back(ledger.position());
  }
  const std::string early = Text(folder / "ledger");
  Ledger ledger(folder.path(), "d", "r");
  EXPECT_EQ(past.back().sequence, 4U);
  for (const LedgerPosition& position : past)
    EXPECT_TRUE(ledger.Contains(position));
  EXPECT_FALSE(ledger.Contains({5, past[4].hash}));
  EXPECT_FALSE(ledger.Contains({3, past[4].hash}));
  EXPECT_FALSE(ledger.Contains({~std::uint64_t{0}, past[0].hash}));
  EXPECT_FALSE(ledger.Contains({}));
  ledger.Reserve(kBlock);

  // Rolled back to an older copy, or begun anew with the same steps.
  TemporaryFolder other;
  Write(other / "ledger", early);
  EXPECT_FALSE(Ledger(other.path(), "d", "r").Contains(ledger.position()));
  Ledger anew(other / "anew", "d", "r");
  EXPECT_FALSE(anew.Contains(past[0]));
  anew.Reserve(kBlock);
  EXPECT_FALSE(anew.Contains(past[1]));
}

TEST(LedgerTest, FitsAsManyStepsAsTheTargetAllowsAndNotOneMore) {
  TemporaryFolder folder;
  Ledger ledger(folder.path(), "d", "r");
  ledger.Reserve({0.02, 2, 100});
  const Releases wanted{0.02, 1.2, 1'000'000};
  RdpAccountant spent;
  spent.Add({0.02, 2, 100});
  for (const double target : {0.9, 1.0, 3.0}) {
    const std::uint64_t steps = ledger.StepsThatFit(wanted, 1e-5, target);
    ASSERT_GT(steps, 0U);
    EXPECT_LE(spent.EpsilonAfter({0.02, 1.2, steps}, 1e-5).epsilon, target);
    EXPECT_GT(spent.EpsilonAfter({0.02, 1.2, steps + 1}, 1e-5).epsilon, target);
    EXPECT_EQ(ledger.StepsThatFit({0.02, 1.2, steps + 1}, 1e-5, target), steps);
    EXPECT_EQ(ledger.StepsThatFit({0.02, 1.2, steps}, 1e-5, target), steps);
  }
  EXPECT_EQ(ledger.StepsThatFit(wanted, 1e-5, 0.01), 0U) << "already beyond";
  EXPECT_EQ(ledger.StepsThatFit({0.02, 0, 9}, 1e-5, 1e9), 0U) << "no noise";
  EXPECT_EQ(ledger.StepsThatFit({0, 1, 9}, 1e-5, 3), 9U) << "nothing released";
  EXPECT_EQ(ledger.StepsThatFit({0.02, 1.2, 0}, 1e-5, 3), 0U);
  EXPECT_THROW((void)ledger.StepsThatFit(wanted, 1e-5, std::nan("")),
               std::invalid_argument);
  EXPECT_THROW((void)ledger.StepsThatFit(wanted, 0, 3), std::invalid_argument);
}

TEST(LedgerTest, EndsWithinTheBudgetWhenBlocksAreShrunkToFit) {
  TemporaryFolder folder;
  constexpr double kTarget = 1.5;
  Ledger ledger(folder.path(), "d", "r");
  Releases block = kBlock;
  while ((block.steps = ledger.StepsThatFit(kBlock, 1e-5, kTarget)) > 0)
    ledger.Reserve(block);
  EXPECT_LE(ledger.Epsilon(1e-5).epsilon, kTarget);
  block.steps = ledger.charged_steps() + 1;
  EXPECT_GT(RdpEpsilon(block, 1e-5).epsilon, kTarget);
}

TEST(LedgerTest, StopsWhenTheFileIsTakenAwayOrChangedUnderIt) {
  for (const bool remove : {true, false}) {
    TemporaryFolder folder;
    Ledger ledger(folder.path(), "d", "r");
    ledger.Reserve(kBlock);
    if (remove)
      std::filesystem::remove(folder / "ledger");
    else
      std::ofstream(folder / "ledger", std::ios::app) << "x";
    EXPECT_NE(Complaint([&] { ledger.Reserve(kBlock); }), "");
    EXPECT_EQ(ledger.charged_steps(), 64U);
  }
}

TEST(LedgerTest, RefusesWhatIsNoLedger) {
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

TEST(LedgerTest, RefusesAFolderThatIsReadOnly) {
  TemporaryFolder folder;
  { Ledger ledger(folder / "old", "d", "r"); }
  std::filesystem::create_directory(folder / "new");
  for (const char* name : {"old/ledger", "old", "new", ""})
    ASSERT_EQ(chmod((folder / name).c_str(),
                    std::string_view(name) == "old/ledger" ? 0444 : 0555),
              0);
  // Root may write anywhere, so the child becomes somebody else.
  const bool refused = InChild([&] {
    constexpr uid_t kNobody = 65534;
    if (geteuid() == 0 && setuid(kNobody) != 0) return false;
    const auto old = Complaint([&] { Ledger(folder / "old", "d", "r"); });
    const auto made = Complaint([&] { Ledger(folder / "new", "d", "r"); });
    const auto deep = Complaint([&] { Ledger(folder / "new/a", "d", "r"); });
    return old.find("Permission denied") != std::string::npos &&
           made.find("Permission denied") != std::string::npos &&
           deep.find("Permission denied") != std::string::npos &&
           ReadLedger(folder / "old/ledger").data_set == "d";
  });
  EXPECT_TRUE(refused);
  for (const char* name : {"", "old", "new"})
    chmod((folder / name).c_str(), 0755);
}

// The kernel's own short write and error, by a limit on the size of files.
TEST(LedgerTest, StopsCleanlyWhenThereIsNoMoreRoom) {
  TemporaryFolder folder;
  EXPECT_TRUE(InChild([&] {
    Ledger ledger(folder.path(), "d", "r");
    ledger.Reserve(kBlock);
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{1000, RLIM_INFINITY};
    if (setrlimit(RLIMIT_FSIZE, &limit) != 0) return false;
    int good = 1;
    while (Complaint([&] { ledger.Reserve(kBlock); }).empty()) ++good;
    const rlimit none{RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_FSIZE, &none);
    // Room again is not enough: what failed once stays shut.
    return good >= 2 && !Complaint([&] { ledger.Reserve(kBlock); }).empty() &&
           ledger.charged_steps() == 64U * static_cast<unsigned>(good);
  }));
  const LedgerContents contents = ReadLedger(folder / "ledger");
  EXPECT_FALSE(contents.torn) << "the half line was not taken back";
  Ledger ledger(folder.path(), "d", "r");
  ledger.Reserve(kBlock);
  EXPECT_EQ(ledger.charged_steps(), contents.charged_steps + 64);
}

// Lines with a good hash that no ledger of ours would write.
TEST(LedgerTest, RefusesRecordsThatDoNotBelong) {
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

TEST(LedgerTest, RefusesALaterVersion) {
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
