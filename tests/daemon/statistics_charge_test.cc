// A shard whose rows have been released for before: its ledger begins with
// that, and a ledger without it is not the shard's.
#include "daemon/statistics_charge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "daemon/budget.h"
#include "dp/accountant.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

class StatisticsChargeTest : public testing::Test {
 protected:
  model::Shard Make(const std::vector<model::ShardCharge>& charges) {
    const std::vector<float> rows = {0.5F, -0.5F};
    const std::vector<float> labels = {0, 1};
    model::ShardContents contents;
    contents.name = "s";
    contents.columns.resize(1);
    contents.columns[0].name = "x";
    contents.label.name = "y";
    contents.label.classes = {"no", "yes"};
    contents.public_size = 2;
    contents.values = rows;
    contents.labels = labels;
    contents.charges = charges;
    model::WriteShard(folder_ / "s", contents);
    return model::Shard::Open(folder_ / "s");
  }
  dp::LedgerContents Read() {
    return dp::ReadLedger(folder_ / "ledger" / "ledger");
  }
  dp::Ledger Open(const model::Shard& shard, const std::string& run) {
    return {folder_ / "ledger", shard.content_hash(), run};
  }

  const std::vector<model::ShardCharge> charges_ = {{"5d", 20, 1},
                                                    {"c1", 30, 2}};
  tests::TemporaryFolder folder_;
};

TEST_F(StatisticsChargeTest, IsBookedOnceAndFirst) {
  const auto shard = Make(charges_);
  for (int start = 0; start < 3; ++start) {
    BookCharges(folder_ / "ledger", shard);
    auto ledger = Open(shard, "a@1");
    ledger.Reserve({0.01, 1.0, 16});
  }
  const auto ledger = Read();
  ASSERT_EQ(ledger.records.size(), 5U);
  EXPECT_EQ(ledger.records[0].run, "statistics:5d");
  EXPECT_EQ(ledger.records[0].releases.sample_rate, 1);
  EXPECT_EQ(ledger.records[0].releases.noise_multiplier, 20);
  EXPECT_EQ(ledger.records[1].releases.steps, 2U);
  EXPECT_EQ(ledger.charged_steps, 3U + 48U);
  EXPECT_TRUE(ledger.exact);
  // What plan says before is what is there then.
  const auto planned = ChargedLedger(shard);
  EXPECT_EQ(planned.charged_steps, 3U);
  EXPECT_EQ(planned.charged.size(), 2U);
  EXPECT_TRUE(planned.exact);
}

TEST_F(StatisticsChargeTest, AShardWithoutChargesBeginsNoLedger) {
  BookCharges(folder_ / "ledger", Make({}));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "ledger"));
}

// A start that ended between the two, or within one.
TEST_F(StatisticsChargeTest, AStartCutShortIsMadeGood) {
  const auto shard = Make(charges_);
  {
    auto ledger = Open(shard, "statistics:5d");
    ledger.Reserve({1, 20, 1}, dp::LedgerNoise::kExact);
  }
  BookCharges(folder_ / "ledger", shard);
  EXPECT_EQ(Read().charged_steps, 3U);
  // The last line torn: it counts as it stands, and the charge is booked anew.
  const auto file = folder_ / "ledger" / "ledger";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 40);
  BookCharges(folder_ / "ledger", shard);
  EXPECT_GE(Read().charged_steps, 3U);
  BookCharges(folder_ / "ledger", shard);
  EXPECT_LE(Read().charged_steps, 5U);
}

TEST_F(StatisticsChargeTest, ALedgerThatLacksItIsRefusedOnceItHasSteps) {
  const auto shard = Make(charges_);
  {
    auto ledger = Open(shard, "a@1");  // Only begun.
  }
  EXPECT_NO_THROW(BookCharges(folder_ / "ledger", shard));
  std::filesystem::remove_all(folder_ / "ledger");
  {
    auto ledger = Open(shard, "a@1");
    ledger.Reserve({0.01, 1.0, 16});
  }
  EXPECT_THAT([&] { BookCharges(folder_ / "ledger", shard); },
              ThrowsMessage<dp::LedgerError>(HasSubstr("statistics:5d")));
  // A charge of the same name for less is not that charge.
  std::filesystem::remove_all(folder_ / "ledger");
  {
    auto ledger = Open(shard, "statistics:5d");
    ledger.Reserve({1, 40, 1}, dp::LedgerNoise::kExact);
  }
  {
    auto ledger = Open(shard, "a@1");
    ledger.Reserve({0.01, 1.0, 16});
  }
  EXPECT_THROW(BookCharges(folder_ / "ledger", shard), dp::LedgerError);
}

// What training may spend is what the statistics left, by the rdp accountant;
// that they are of another rate asks for no filter, and a third rate does.
TEST_F(StatisticsChargeTest, TheBudgetCountsIt) {
  const auto shard = Make({{"5d", 20, 1}});
  BookCharges(folder_ / "ledger", shard);
  const BudgetTerms terms{.sample_rate = 0.01,
                          .noise_multiplier = 1.0,
                          .delta = 1e-5,
                          .target_epsilon = 1.5,
                          .accountant = dp::Accountant::kPld};
  Budget budget(Open(shard, "a@1"), terms);
  EXPECT_EQ(budget.status().accountant, dp::Accountant::kRdp);
  const dp::Releases statistics{1, 20, 1};
  EXPECT_DOUBLE_EQ(budget.status().epsilon,
                   dp::EpsilonOf(dp::Accountant::kRdp, {&statistics, 1}, 1e-5));
  std::uint64_t steps = 0;
  while (budget.PayOneStep(100'000)) ++steps;
  EXPECT_EQ(steps, dp::StepsWithin(dp::Accountant::kRdp, {&statistics, 1},
                                   {0.01, 1.0, 100'000}, 1e-5, 1.5));
  EXPECT_LE(budget.status().epsilon, 1.5);
  EXPECT_GT(steps, 0U);
}

}  // namespace
}  // namespace hearsay::daemon
