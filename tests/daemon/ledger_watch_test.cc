// Ledgers that are put back in time, as members notice them: what a mark says,
// who is believed, what is remembered.
#include "daemon/ledger_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "dp/ledger.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using Verdict = MarkMaker::Verdict;

constexpr const char* kData = "sha256:0123";
constexpr const char* kKey = "a secret of 32 bytes, or whatever";

// Real ledgers in folders that are copied back in time.
class LedgerWatchTest : public testing::Test {
 protected:
  dp::Ledger Open(const std::string& folder, const std::string& data = kData,
                  const std::string& run = "a@1") {
    return {folder_ / folder, data, run};
  }

  static MarkMaker Maker(const dp::Ledger& ledger,
                         const std::string& secret = kKey,
                         const std::string& data = kData,
                         const std::string& node = "a") {
    return {{node, ledger.id(), data,
             [&](std::uint64_t at) { return ledger.HashAt(at); }},
            secret};
  }

  LedgerWatch Watch(std::optional<MarkMaker> own = std::nullopt,
                    const std::string& file = "marks.json") {
    return {folder_ / file, std::move(own),
            [this](const std::string& text) { warnings_.push_back(text); }};
  }

  // What `member` would say in its report.
  static NodeReport ReportOf(const LedgerWatch& watch,
                             std::optional<LedgerMark> own = std::nullopt) {
    NodeReport report;
    report.ledger = std::move(own);
    report.marks = watch.Remembered();
    return report;
  }

  void CopyBack(const std::string& from, const std::string& to) {
    std::filesystem::remove_all(folder_ / to);
    std::filesystem::copy(folder_ / from, folder_ / to,
                          std::filesystem::copy_options::recursive);
  }

  tests::TemporaryFolder folder_;
  std::vector<std::string> warnings_;
};

void Spend(dp::Ledger& ledger, int blocks) {
  for (int i = 0; i < blocks; ++i) ledger.Reserve({0.01, 1, 16});
}

TEST_F(LedgerWatchTest, ALedgerAgreesWithEveryMarkOfItsOwnPast) {
  auto ledger = Open("l");
  const auto maker = Maker(ledger);
  for (int i = 0; i < 5; ++i) {
    const auto mark = maker.At(ledger.position());
    EXPECT_TRUE(IsWellFormed(mark));
    Spend(ledger, 1);
    EXPECT_EQ(maker.Compare(mark), Verdict::kAgrees);
  }
}

TEST_F(LedgerWatchTest, OneThatWasPutBackIsRolledBack) {
  LedgerMark newest;
  {
    auto ledger = Open("l");
    Spend(ledger, 3);
    CopyBack("l", "old");
    Spend(ledger, 2);
    newest = Maker(ledger).At(ledger.position());
  }
  CopyBack("old", "l");
  auto ledger = Open("l", kData, "a@2");
  EXPECT_EQ(Maker(ledger).Compare(newest), Verdict::kRolledBack);
  // Nor when it has gone on, past that place, on another way.
  Spend(ledger, 9);
  EXPECT_EQ(Maker(ledger).Compare(newest), Verdict::kRolledBack);
}

TEST_F(LedgerWatchTest, ALedgerBegunAnewForTheSameDataIsAnother) {
  LedgerMark old;
  {
    auto ledger = Open("l");
    Spend(ledger, 3);
    old = Maker(ledger).At(ledger.position());
  }
  std::filesystem::remove_all(folder_ / "l");
  const auto ledger = Open("l");
  EXPECT_EQ(Maker(ledger).Compare(old), Verdict::kOtherLedger);
  // Of other data nothing is known; without a secret they look alike.
  const auto other = Open("m", "sha256:4567");
  EXPECT_EQ(Maker(other, kKey, "sha256:4567").Compare(old), Verdict::kAgrees);
  EXPECT_EQ(Maker(ledger, "").Compare(old), Verdict::kAgrees);
}

TEST_F(LedgerWatchTest, WhatTheNodeDidNotSealIsNotBelieved) {
  auto ledger = Open("l");
  Spend(ledger, 2);
  const auto maker = Maker(ledger);
  const auto good = maker.At(ledger.position());
  const auto foreign = [&](auto change) {
    auto mark = good;
    change(mark);
    return maker.Compare(mark) == Verdict::kForeign;
  };
  EXPECT_TRUE(foreign([](auto& m) { m.sequence = 1000; }));
  EXPECT_TRUE(foreign([](auto& m) { m.hash[3] ^= 1; }));
  EXPECT_TRUE(foreign([](auto& m) { m.ledger[0] ^= 1; }));
  // Another node's seal, or one under another key.
  const auto as_b = Maker(ledger, kKey, kData, "b").At({9, ledger.id()});
  EXPECT_EQ(maker.Compare(as_b), Verdict::kForeign);
  EXPECT_EQ(maker.Compare(Maker(ledger, "other").At({9, ledger.id()})),
            Verdict::kForeign);
  // The same words under the right key are.
  EXPECT_EQ(maker.Compare(maker.At({9, ledger.id()})), Verdict::kRolledBack);
}

// No field is, or is made without a secret of, what could be guessed.
TEST_F(LedgerWatchTest, AMarkTellsNothingOfTheDataToWhoHasNoSecret) {
  auto one = Open("l");
  auto two = Open("m");
  const auto mark = Maker(one).At(one.position());
  const auto again = Maker(two).At(two.position());
  EXPECT_NE(mark.ledger, again.ledger);
  EXPECT_NE(mark.hash, again.hash);
  EXPECT_EQ(mark.data_set, again.data_set);
  EXPECT_NE(mark.data_set, Maker(one, "b's key").At(one.position()).data_set);
  const auto open = Maker(one, "").At(one.position());
  EXPECT_THAT(open.data_set, IsEmpty());
  EXPECT_THAT(open.seal, IsEmpty());
}

TEST_F(LedgerWatchTest, AMemberTellsTheNodeThatComesBack) {
  auto b = Watch();
  {
    auto ledger = Open("l");
    Spend(ledger, 3);
    CopyBack("l", "old");
    b.Hear("a", ReportOf(Watch(), Maker(ledger).At(ledger.position())));
    Spend(ledger, 4);
    b.Hear("a", ReportOf(Watch(), Maker(ledger).At(ledger.position())));
  }
  {
    const auto whole = Open("l");
    auto a = Watch(Maker(whole), "a.json");
    EXPECT_EQ(a.Hear("b", ReportOf(b)), std::nullopt);
  }
  CopyBack("old", "l");
  const auto ledger = Open("l");
  auto a = Watch(Maker(ledger), "a.json");
  // b goes on knowing what it knew when it hears the lower mark.
  b.Hear("a", ReportOf(a, a.Own(ledger.position())));
  const auto trouble = a.Hear("b", ReportOf(b));
  ASSERT_TRUE(trouble);
  EXPECT_THAT(*trouble, HasSubstr("record 7"));
  EXPECT_THAT(*trouble, HasSubstr("b remembers"));
  EXPECT_THAT(*trouble, HasSubstr("restore"));
  EXPECT_THAT(warnings_, IsEmpty());
}

// The memory of a virtual machine was put back, with its disk: nothing starts
// anew, the same run writes on, and catches up with what others remember.
TEST_F(LedgerWatchTest, AMachineThatIsPutBackAliveIsNoticed) {
  LedgerMark newest;
  {
    auto ledger = Open("l");
    Spend(ledger, 3);
    CopyBack("l", "old");
    Spend(ledger, 2);
    newest = Maker(ledger).At(ledger.position());
  }
  auto ledger = Open("old");  // And of the same run.
  Spend(ledger, 2);
  ASSERT_EQ(ledger.position().sequence, newest.sequence);
  const auto caught_up = Maker(ledger).At(ledger.position());
  EXPECT_NE(caught_up.hash, newest.hash);
  EXPECT_EQ(Maker(ledger).Compare(newest), Verdict::kRolledBack);
  // Of two ways at one place the one from before is remembered.
  auto b = Watch();
  b.Hear("a", ReportOf(Watch(std::nullopt, "none"), newest));
  b.Hear("a", ReportOf(Watch(std::nullopt, "none"), caught_up));
  ASSERT_THAT(b.Remembered(), SizeIs(1));
  EXPECT_EQ(b.Remembered()[0].mark, newest);
}

TEST_F(LedgerWatchTest, WhatIsSaidOfAnotherNodeIsNotJudged) {
  const auto ledger = Open("l");
  auto a = Watch(Maker(ledger));
  const auto ahead = Maker(ledger).At({9, ledger.id()});
  NodeReport report;
  report.marks.push_back({"c", ahead});
  EXPECT_EQ(a.Hear("b", report), std::nullopt);
  EXPECT_THAT(warnings_, IsEmpty());
  report.marks.push_back({"a", ahead});
  EXPECT_TRUE(a.Hear("b", report));
}

// Whoever speaks first when they meet again.
TEST_F(LedgerWatchTest, OneThatWentOnUnheardIsToldWhatWasBefore) {
  const LedgerWatch::Clock::time_point start{};
  const auto report_at = [](const dp::Ledger& ledger) {
    NodeReport report;
    report.ledger = Maker(ledger).At(ledger.position());
    return report;
  };
  const auto told = [](const LedgerWatch& watch, auto now) {
    NodeReport report;
    report.marks = watch.Remembered(now);
    return report;
  };
  auto b = Watch();
  {
    auto ledger = Open("l");
    Spend(ledger, 3);
    CopyBack("l", "old");
    Spend(ledger, 2);
    b.Hear("a", report_at(ledger), start);
  }
  auto ledger = Open("old");
  auto a = Watch(Maker(ledger), "a.json");
  Spend(ledger, 9);
  const auto back = start + std::chrono::seconds(10);
  b.Hear("a", report_at(ledger), back);
  Spend(ledger, 1);
  b.Hear("a", report_at(ledger), back + std::chrono::seconds(1));
  const auto trouble =
      a.Hear("b", told(b, back + std::chrono::seconds(30)), back);
  ASSERT_TRUE(trouble);
  EXPECT_THAT(*trouble, HasSubstr("record 5"));
  EXPECT_THAT(b.Remembered(back + std::chrono::seconds(60)), IsEmpty());
  // One that was never silent is told nothing that it says itself.
  auto c = Watch(std::nullopt, "c.json");
  for (int i = 0; i < 5; ++i) {
    Spend(ledger, 1);
    c.Hear("a", report_at(ledger), start + std::chrono::seconds(i));
  }
  EXPECT_THAT(c.Remembered(start + std::chrono::seconds(5)), IsEmpty());
}

// What all hear in every heartbeat does not grow with the number of members.
TEST_F(LedgerWatchTest, WhatAMemberSaysItselfIsToldOnlyToOneThatComesAnew) {
  auto ledger = Open("l");
  Spend(ledger, 3);
  const auto mark = Maker(ledger).At(ledger.position());
  NodeReport says;
  says.ledger = mark;
  auto b = Watch();
  b.Greet("a");
  b.Hear("a", says);
  EXPECT_THAT(b.Remembered(), IsEmpty());
  b.Greet("c");
  EXPECT_THAT(b.Remembered(), IsEmpty());
  // Before its new process has said a word.
  b.Greet("a");
  ASSERT_THAT(b.Remembered(), SizeIs(1));
  EXPECT_EQ(b.Remembered()[0].mark, mark);
  b.Hear("a", says);
  EXPECT_THAT(b.Remembered(), IsEmpty());
}

// Of a process that begins anew: it does not know how long the silence was.
TEST_F(LedgerWatchTest, WhatAFileRemembersIsToldBesideWhatIsHeardFirst) {
  {
    auto ledger = Open("l");
    Spend(ledger, 3);
    CopyBack("l", "old");
    Spend(ledger, 2);
    auto b = Watch();
    b.Hear("a", ReportOf(b, Maker(ledger).At(ledger.position())));
    std::ofstream(b.file()) << b.TakeChanges().value();
  }
  auto ledger = Open("old");
  Spend(ledger, 9);
  auto a = Watch(Maker(ledger), "a.json");
  auto b = Watch();
  b.Hear("a", ReportOf(a, a.Own(ledger.position())));
  EXPECT_TRUE(a.Hear("b", ReportOf(b)));
}

TEST_F(LedgerWatchTest, ALiarStopsNobodyAndIsWarnedOfOnce) {
  auto ledger = Open("l");
  auto a = Watch(Maker(ledger));
  NodeReport lie;
  lie.marks.push_back({"a", Maker(ledger, "c's key").At({1000, ledger.id()})});
  EXPECT_EQ(a.Hear("c", lie), std::nullopt);
  EXPECT_EQ(a.Hear("c", lie), std::nullopt);
  ASSERT_THAT(warnings_, SizeIs(1));
  EXPECT_THAT(warnings_[0], HasSubstr("not believed"));
}

TEST_F(LedgerWatchTest, WhatIsRememberedOutlivesTheProcess) {
  auto ledger = Open("l");
  Spend(ledger, 3);
  const auto mark = Maker(ledger).At(ledger.position());
  {
    auto b = Watch();
    EXPECT_EQ(b.TakeChanges(), std::nullopt);
    b.Hear("a", ReportOf(Watch(std::nullopt, "none"), mark));
    std::ofstream(b.file()) << b.TakeChanges().value();
    EXPECT_EQ(b.TakeChanges(), std::nullopt);
    b.Hear("a", ReportOf(Watch(std::nullopt, "none"), mark));
    EXPECT_EQ(b.TakeChanges(), std::nullopt);
  }
  const auto b = Watch();
  ASSERT_THAT(b.Remembered(), SizeIs(1));
  EXPECT_EQ(b.Remembered()[0].node, "a");
  EXPECT_EQ(b.Remembered()[0].mark, mark);
}

TEST_F(LedgerWatchTest, AFileThatHoldsNoMarksIsWarnedOf) {
  for (const char* bad :
       {"", "{", "[]", R"({"marks": 3})", R"({"marks": [{"node": "a"}]})",
        R"({"marks":[{"node":"a","ledger":"zz","data_set":"","sequence":1,)"
        R"("hash":"","seal":""}]})",
        R"({"marks":[{"node":"a","ledger":"00","data_set":"","sequence":1,)"
        R"("hash":"00","seal":""}]})"}) {
    warnings_.clear();
    std::ofstream(folder_ / "marks.json") << bad;
    const auto watch = Watch();
    EXPECT_THAT(watch.Remembered(), IsEmpty());
    ASSERT_THAT(warnings_, SizeIs(1)) << bad;
    EXPECT_THAT(warnings_[0], HasSubstr("marks.json"));
  }
}

TEST_F(LedgerWatchTest, OfManyMembersTheAbsentAreTold) {
  auto ledger = Open("l");
  const auto mark = Maker(ledger).At(ledger.position());
  NodeReport report;
  report.ledger = mark;
  {
    auto before = Watch();
    before.Hear("zz-absent", report);
    std::ofstream(before.file()) << before.TakeChanges().value();
  }
  auto watch = Watch();
  for (int i = 0; i < 100; ++i) watch.Hear("n" + std::to_string(i), report);
  const auto told = watch.Remembered();
  ASSERT_THAT(told, SizeIs(1));
  EXPECT_EQ(told[0].node, "zz-absent");
  for (int i = 0; i < 100; ++i) watch.Greet("n" + std::to_string(i));
  EXPECT_THAT(watch.Remembered(), SizeIs(kMostMarks)) << "no report holds more";
}

TEST_F(LedgerWatchTest, OneMemberFillsNoMemory) {
  auto watch = Watch();
  for (int i = 0; i < 100; ++i) {
    LedgerMark mark{std::string(kMarkBytes, static_cast<char>(i)), "", 1,
                    std::string(kMarkBytes, 'h'), ""};
    NodeReport report;
    report.ledger = mark;
    watch.Hear("hostile", report);
  }
  watch.Greet("hostile");
  EXPECT_THAT(watch.Remembered(), SizeIs(8));  // Its last ledgers.
}

}  // namespace
}  // namespace hearsay::daemon
