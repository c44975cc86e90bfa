#include "dp/ledger.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "tests/dp/ledger_files.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::dp {
namespace {

using tests::TemporaryFolder;

constexpr Releases kBlock{0.01, 1.1, 64};

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

}  // namespace
}  // namespace hearsay::dp
