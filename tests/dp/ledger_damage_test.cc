// The ledger against crashes, broken disks and flipped bits. One property
// throughout: what it counts afterwards is at least what was ever released, or
// it is refused.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iterator>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "dp/ledger.h"
#include "dp/ledger_io.h"
#include "tests/dp/ledger_files.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::dp {
namespace {

using tests::TemporaryFolder;

// Unsampled, so that the accountant's part costs no time here.
constexpr Releases kBlock{1, 20, 8};
constexpr Releases kWorse{1, 10, 16};

// Thousands of small files: in memory, where there is such a folder.
class LedgerDamageTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (access("/dev/shm", W_OK | X_OK) == 0) setenv("TMPDIR", "/dev/shm", 0);
  }
};

// Longer than any line here.
constexpr std::size_t kLine = 320;

struct stat StatOf(int file) {
  struct stat status {};
  EXPECT_EQ(fstat(file, &status), 0);
  return status;
}

// A good machine, but without a disk to wait for.
class NoSync : public LedgerIo {
 public:
  int DataSync(int) override { return 0; }
  int Sync(int) override { return 0; }
};

enum class Unsynced { kLost, kKept };

// A machine that loses power in the middle of the n-th call. A write gets `cut`
// bytes far. What was not synced is lost or kept: bytes, and the names of files
// in folders. Nothing is really synced: only the test has to believe it.
class PowerCut : public LedgerIo {
 public:
  struct Happened {};

  PowerCut(std::filesystem::path folder, int calls, std::size_t cut,
           Unsynced unsynced)
      : folder_(std::move(folder)),
        calls_left_(calls),
        cut_(cut),
        unsynced_(unsynced) {}

  ssize_t Write(int file, std::span<const char> bytes) override {
    synced_.try_emplace(StatOf(file).st_ino, StatOf(file).st_size);
    if (LastCall()) {
      cut_a_write_ = true;
      LedgerIo::Write(file, bytes.first(std::min(cut_, bytes.size())));
      Cut();
    }
    return LedgerIo::Write(file, bytes);
  }
  int DataSync(int file) override { return Sync(file); }
  int Sync(int file) override {
    if (LastCall()) Cut();
    const struct stat status = StatOf(file);
    if (S_ISDIR(status.st_mode))
      undo_name_ = nullptr;
    else
      synced_[status.st_ino] = status.st_size;
    return 0;
  }
  int Truncate(int, off_t) override {
    ADD_FAILURE() << "nothing failed, so nothing is to be taken back";
    return -1;
  }
  int Link(const std::filesystem::path& from,
           const std::filesystem::path& to) override {
    if (LastCall()) Cut();
    undo_name_ = [=] { std::filesystem::remove(to); };
    return LedgerIo::Link(from, to);
  }
  int Rename(const std::filesystem::path& from,
             const std::filesystem::path& to) override {
    if (LastCall()) Cut();
    const std::filesystem::path before = to.string() + ".before";
    std::filesystem::remove(before);
    std::filesystem::create_hard_link(to, before);
    undo_name_ = [=] { std::filesystem::rename(before, to); };
    return LedgerIo::Rename(from, to);
  }

  // Power fails between two calls.
  void Lose() {
    if (unsynced_ == Unsynced::kKept) return;
    for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
      struct stat status {};
      ASSERT_EQ(stat(entry.path().c_str(), &status), 0);
      const auto synced = synced_.find(status.st_ino);
      if (synced != synced_.end() && synced->second < status.st_size) {
        ASSERT_EQ(truncate(entry.path().c_str(), synced->second), 0);
      }
    }
    if (undo_name_) undo_name_();
  }
  bool cut_a_write() const { return cut_a_write_; }

 private:
  bool LastCall() { return --calls_left_ == 0; }
  [[noreturn]] void Cut() {
    Lose();
    throw Happened();
  }

  const std::filesystem::path folder_;
  int calls_left_;
  const std::size_t cut_;
  const Unsynced unsynced_;
  std::map<ino_t, off_t> synced_;
  std::function<void()> undo_name_;
  bool cut_a_write_ = false;
};

// Two runs; `released` counts every step whose noise was allowed to be drawn.
void TwoRuns(const std::filesystem::path& folder, LedgerIo& io,
             std::uint64_t& released) {
  {
    Ledger ledger(folder, "d", "r", io);
    ledger.Reserve(kBlock);
    released += 8;
    ledger.Reserve(kWorse);
    released += 16;
  }
  Ledger ledger(folder, "d", "r", io);
  ledger.Reserve(kBlock);
  released += 5;
  ledger.Settle(3);
  ledger.Reserve(kBlock);
  released += 8;
}

// What a good machine finds afterwards. A refusal is right only if nothing was
// released and nothing can be known.
void ExpectAllCounted(const std::filesystem::path& folder,
                      std::uint64_t released) {
  NoSync io;
  try {
    std::uint64_t found = 0;
    {
      Ledger ledger(folder, "d", "r", io);
      found = ledger.charged_steps();
      EXPECT_GE(found, released);
      ledger.Reserve(kBlock);  // And it can go on.
    }
    const LedgerContents contents = ReadLedger(folder / "ledger");
    EXPECT_FALSE(contents.torn);
    EXPECT_EQ(contents.charged_steps, found + 8);
  } catch (const LedgerError& error) {
    EXPECT_EQ(released, 0U) << error.what();
    EXPECT_NE(std::string(error.what()).find("first reservation was torn"),
              std::string::npos)
        << error.what();
  }
}

TEST_F(LedgerDamageTest, NeverUndercountsWhereverThePowerFails) {
  int cuts = 0;
  for (const Unsynced unsynced : {Unsynced::kLost, Unsynced::kKept}) {
    bool finished = false;
    for (int call = 1; !finished; ++call) {
      bool cut_a_write = true;
      for (std::size_t cut = 0; cut < kLine && cut_a_write; ++cut) {
        TemporaryFolder folder;
        PowerCut io(folder.path(), call, cut, unsynced);
        std::uint64_t released = 0;
        try {
          TwoRuns(folder.path(), io, released);
          finished = true;
          io.Lose();
        } catch (const PowerCut::Happened&) {
        }
        cut_a_write = io.cut_a_write();
        SCOPED_TRACE(testing::Message() << "call " << call << " cut " << cut);
        ExpectAllCounted(folder.path(), released);
        if (HasFailure()) return;
        ++cuts;
      }
    }
  }
  EXPECT_GT(cuts, 2000) << "the test cut less than it thinks";
}

// A repair puts another file in the ledger's place: power that fails later must
// not bring the old one back, without what was reserved since.
TEST_F(LedgerDamageTest, WhatIsReservedAfterARepairOutlastsThePower) {
  TemporaryFolder folder;
  {
    Ledger ledger(folder.path(), "d", "r");
    ledger.Reserve(kBlock);
  }
  Write(folder / "ledger", Text(folder / "ledger") + "2 reserve q=0x");
  constexpr int kNever = 1'000'000;
  PowerCut io(folder.path(), kNever, 0, Unsynced::kLost);
  {
    Ledger ledger(folder.path(), "d", "r", io);
    ledger.Reserve(kWorse);
  }
  io.Lose();
  const auto contents = ReadLedger(folder / "ledger");
  EXPECT_FALSE(contents.torn);
  // The first, the torn one, which counts as much, and the last.
  EXPECT_EQ(contents.charged_steps, 2 * kBlock.steps + kWorse.steps);
}

// The repair of a torn tail is itself cut short, everywhere.
TEST_F(LedgerDamageTest, NeverUndercountsWhereverARepairFails) {
  TemporaryFolder original;
  {
    Ledger ledger(original.path(), "d", "r");
    ledger.Reserve(kBlock);
    ledger.Reserve(kWorse);
    ledger.Reserve(kBlock);
  }
  const std::string whole = Text(original / "ledger");
  std::string damaged = whole;
  damaged[whole.size() - 5] = damaged[whole.size() - 5] == '0' ? '1' : '0';
  // With the least that is right. Of the third little can be read, but under it
  // nothing was released.
  const std::vector<std::pair<std::string, std::uint64_t>> tails = {
      {whole.substr(0, whole.size() - 1), 32},
      {whole.substr(0, whole.size() - 40), 32},
      {whole.substr(0, whole.rfind("q=0x")), 24},
      {damaged, 32}};
  for (const auto& [text, least] : tails)
    for (const Unsynced unsynced : {Unsynced::kLost, Unsynced::kKept}) {
      bool finished = false;
      for (int call = 1; !finished; ++call) {
        bool cut_a_write = true;
        for (std::size_t cut = 0; cut < 3 * kLine && cut_a_write; cut += 7) {
          TemporaryFolder folder;
          Write(folder / "ledger", text);
          PowerCut io(folder.path(), call, cut, unsynced);
          try {
            Ledger ledger(folder.path(), "d", "r", io);
            finished = true;
            EXPECT_GE(ledger.charged_steps(), least);
            io.Lose();
          } catch (const PowerCut::Happened&) {
          }
          cut_a_write = io.cut_a_write();
          SCOPED_TRACE(testing::Message() << "call " << call << " cut " << cut);
          ExpectAllCounted(folder.path(), least);
          if (HasFailure()) return;
        }
      }
    }
}

// Calls that fail, and go on failing or not.
class Faulty : public LedgerIo {
 public:
  ssize_t Write(int file, std::span<const char> bytes) override {
    if (interrupts && ++calls_ % 2 == 0) {
      errno = EINTR;
      return -1;
    }
    if (room) {
      const std::size_t fits = std::min(*room, bytes.size());
      *room -= fits;
      if (fits == 0) {
        errno = write_error;
        return -1;
      }
      return LedgerIo::Write(file, bytes.first(fits));
    }
    return LedgerIo::Write(file, bytes.first(std::min(most, bytes.size())));
  }
  int DataSync(int file) override {
    if (sync_error == 0) return LedgerIo::DataSync(file);
    errno = sync_error;
    return -1;
  }
  int Truncate(int file, off_t size) override {
    if (truncates) return LedgerIo::Truncate(file, size);
    errno = EIO;
    return -1;
  }

  bool interrupts = false;
  std::size_t most = 1 << 20;  // Bytes a write takes.
  std::optional<std::size_t> room;
  int write_error = ENOSPC;
  int sync_error = 0;
  bool truncates = true;

 private:
  int calls_ = 0;
};

TEST_F(LedgerDamageTest, GoesOnAfterInterruptedAndShortWrites) {
  TemporaryFolder folder;
  Faulty io;
  io.interrupts = true;
  io.most = 7;
  {
    Ledger ledger(folder.path(), "d", "r", io);
    ledger.Reserve(kBlock);
    ledger.Reserve(kWorse);
  }
  const LedgerContents contents = ReadLedger(folder / "ledger");
  EXPECT_EQ(contents.charged_steps, 24U);
  EXPECT_FALSE(contents.torn);
}

TEST_F(LedgerDamageTest, StopsAtTheFirstFailedWriteAndTakesItBack) {
  for (const int error : {ENOSPC, EROFS, EIO, EDQUOT})
    for (const bool truncates : {true, false})
      for (const std::size_t room : {0, 1, 100, 150}) {
        TemporaryFolder folder;
        Faulty io;
        io.write_error = error;
        io.truncates = truncates;
        {
          Ledger ledger(folder.path(), "d", "r", io);
          ledger.Reserve(kBlock);
          io.room = room;
          try {
            ledger.Reserve(kBlock);
            FAIL() << "reserved without room";
          } catch (const LedgerError& failure) {
            const std::string what = failure.what();
            EXPECT_TRUE(what.starts_with((folder / "ledger").string()));
            EXPECT_NE(what.find(std::generic_category().message(error)),
                      std::string::npos)
                << what;
          }
          io.room.reset();
          EXPECT_THROW(ledger.Reserve(kBlock), LedgerError);
          EXPECT_THROW(ledger.Settle(1), std::exception);
          EXPECT_EQ(ledger.charged_steps(), 8U);
        }
        const LedgerContents contents = ReadLedger(folder / "ledger");
        EXPECT_EQ(contents.torn, !truncates && room > 0);
        EXPECT_EQ(contents.charged_steps, contents.torn ? 16U : 8U);
        ExpectAllCounted(folder.path(), 8);
      }
}

TEST_F(LedgerDamageTest, StopsAtAFailedSyncForGood) {
  TemporaryFolder folder;
  Faulty io;
  {
    Ledger ledger(folder.path(), "d", "r", io);
    ledger.Reserve(kBlock);
    io.sync_error = EIO;
    EXPECT_THROW(ledger.Reserve(kBlock), LedgerError);
    // The kernel may have dropped the page and call the next sync good.
    io.sync_error = 0;
    EXPECT_THROW(ledger.Reserve(kBlock), LedgerError);
    EXPECT_EQ(ledger.charged_steps(), 8U);
  }
  ExpectAllCounted(folder.path(), 8);
}

TEST_F(LedgerDamageTest, LeavesNoLedgerBehindWhenItCannotBeBegun) {
  TemporaryFolder folder;
  Faulty io;
  io.room = 30;
  EXPECT_THROW(Ledger(folder.path(), "d", "r", io), LedgerError);
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  ExpectAllCounted(folder.path(), 0);
}

// Every file that a fault makes of `text`: read, and now and then opened.
void ExpectNeverFewer(const std::filesystem::path& folder,
                      const std::string& text, const LedgerContents& before,
                      bool open) {
  Write(folder / "ledger", text);
  try {
    const LedgerContents after = ReadLedger(folder / "ledger");
    ASSERT_GE(after.charged_steps, before.charged_steps) << text;
    RdpAccountant was;
    RdpAccountant is;
    for (const Releases& releases : before.charged) was.Add(releases);
    for (const Releases& releases : after.charged) is.Add(releases);
    ASSERT_GE(is.Epsilon(1e-5).epsilon, was.Epsilon(1e-5).epsilon) << text;
    if (!open) return;
    {
      NoSync io;
      Ledger ledger(folder, "d", "r", io);
      ASSERT_EQ(ledger.charged_steps(), after.charged_steps);
    }
    const LedgerContents repaired = ReadLedger(folder / "ledger");
    ASSERT_FALSE(repaired.torn);
    ASSERT_EQ(repaired.charged_steps, after.charged_steps);
    ASSERT_EQ(repaired.records.size(), after.records.size());
  } catch (const LedgerError&) {
  }
}

std::string SmallLedger(bool settled) {
  TemporaryFolder folder;
  {
    Ledger ledger(folder.path(), "d", "runJ");  // J is a newline but for a bit.
    ledger.Reserve(kBlock);
    ledger.Reserve(kWorse);
    if (settled) ledger.Settle(3);
  }
  return Text(folder / "ledger");
}

TEST_F(LedgerDamageTest, RefusesOrCountsNoLessAfterAnyFlippedBit) {
  for (const bool settled : {false, true}) {
    const std::string text = SmallLedger(settled);
    TemporaryFolder folder;
    Write(folder / "ledger", text);
    const LedgerContents before = ReadLedger(folder / "ledger");
    for (std::size_t at = 0; at < text.size(); ++at)
      for (int bit = 0; bit < 8; ++bit) {
        std::string flipped = text;
        flipped[at] = static_cast<char>(flipped[at] ^ (1 << bit));
        ExpectNeverFewer(folder.path(), flipped, before, bit == 1);
        if (HasFatalFailure()) return;
      }
  }
}

TEST_F(LedgerDamageTest, RefusesOrCountsNoLessAfterAnyLostOrDoubledByte) {
  const std::string text = SmallLedger(false);
  TemporaryFolder folder;
  Write(folder / "ledger", text);
  const LedgerContents before = ReadLedger(folder / "ledger");
  for (std::size_t at = 0; at < text.size(); ++at) {
    ExpectNeverFewer(folder.path(), std::string(text).erase(at, 1), before,
                     false);
    ExpectNeverFewer(folder.path(), std::string(text).insert(at, 1, text[at]),
                     before, false);
    if (HasFatalFailure()) return;
  }
}

// A flip must not be paid for dearly either where it is plain what was meant.
TEST_F(LedgerDamageTest, ChargesTornTailsAsDocumented) {
  const std::string text = SmallLedger(false);
  const std::size_t last = text.rfind('\n', text.size() - 2) + 1;
  const std::size_t first = text.find('\n') + 1;
  TemporaryFolder folder;
  const auto charged = [&](const std::string& torn) {
    Write(folder / "ledger", torn);
    const LedgerContents contents = ReadLedger(folder / "ledger");
    EXPECT_TRUE(contents.torn);
    EXPECT_EQ(contents.records.back().kind, LedgerRecord::Kind::kTorn);
    const Releases& releases = contents.records.back().releases;
    EXPECT_EQ(contents.position.sequence, contents.records.size() - 1);
    return std::make_pair(releases.steps, releases.noise_multiplier);
  };
  // Whole but for the newline, or with another byte for it.
  const std::pair<std::uint64_t, double> all{16, 10};
  EXPECT_EQ(charged(text.substr(0, text.size() - 1)), all);
  EXPECT_EQ(charged(text.substr(0, text.size() - 1) + '\v'), all);
  // Steps and noise can be read; then only the noise; then nothing.
  EXPECT_EQ(charged(text.substr(0, text.find(" run=", last) + 1)), all);
  EXPECT_EQ(charged(text.substr(0, text.find(" steps=", last) + 1)),
            std::make_pair(std::uint64_t{8}, 10.0));
  EXPECT_EQ(charged(text.substr(0, last + 3)),
            std::make_pair(std::uint64_t{8}, 20.0));
  EXPECT_EQ(charged(text.substr(0, last) + std::string(50, '\0')),
            std::make_pair(std::uint64_t{8}, 20.0));
  // Damaged at rest, with mechanism known from before or not.
  std::string again = text.substr(0, last) + text.substr(first, last - first);
  again[again.size() - 3] = 'x';
  EXPECT_EQ(charged(again), std::make_pair(kMaxBlock, 20.0));
  again = text;
  again[text.size() - 3] = 'x';
  Write(folder / "ledger", again);
  EXPECT_THROW(ReadLedger(folder / "ledger"), LedgerError);
}

// A real process, killed for real: it may release a step (here: write a byte)
// as soon as Reserve has returned.
TEST_F(LedgerDamageTest, CountsEveryStepOfAProcessKilledAtRandom) {
  constexpr int kRounds = 60;
  TemporaryFolder folder;
  std::mt19937 generator(std::random_device{}());
  std::uint64_t released = 0;
  for (int round = 0; round < kRounds; ++round) {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe(ends.data()), 0);
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      close(ends[0]);
      try {
        Ledger ledger(folder.path(), "d", "r");
        for (;;) {
          ledger.Reserve(kBlock);
          for (std::uint64_t step = 0; step < kBlock.steps; ++step)
            if (write(ends[1], "x", 1) != 1) _exit(1);
        }
      } catch (...) {
      }
      _exit(1);
    }
    close(ends[1]);
    // Not before its first step, or a slow machine would test nothing.
    std::array<char, 4096> bytes{};
    std::uint64_t seen = 0;
    const std::uint64_t enough = 1 + generator() % 100;
    ssize_t got = 0;
    while (seen < enough && (got = read(ends[0], bytes.data(), 16)) > 0)
      seen += static_cast<std::uint64_t>(got);
    EXPECT_GE(seen, enough) << "the child gave up";
    kill(child, SIGKILL);
    while ((got = read(ends[0], bytes.data(), bytes.size())) > 0)
      seen += static_cast<std::uint64_t>(got);
    close(ends[0]);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    released += seen;
    ASSERT_GE(ReadLedger(folder / "ledger").charged_steps, released);
  }
  EXPECT_GE(released, static_cast<std::uint64_t>(kRounds));
}

}  // namespace
}  // namespace hearsay::dp
