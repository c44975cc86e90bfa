// A ledger without its node: verified, added up, projected.
#include "ops/cli/ledger_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <string>

#include "dp/accountant.h"
#include "dp/ledger.h"
#include "dp/rdp_filter.h"
#include "ops/plan/ledger_plan.h"
#include "tests/ops/program.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::ops {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using tests::Hearsay;

class LedgerReportTest : public testing::Test {
 protected:
  // Two runs; the second gave a part back.
  void Spend(double second_noise = 1.0) {
    {
      dp::Ledger ledger(folder_ / "ledger", "data", "a@1");
      for (int i = 0; i < 3; ++i) ledger.Reserve({0.02, 1.0, 64});
    }
    dp::Ledger ledger(folder_ / "ledger", "data", "a@2");
    ledger.Reserve({0.02, second_noise, 100});
    ledger.Settle(30);
  }
  std::string path() const { return folder_ / "ledger"; }

  tests::TemporaryFolder folder_;
};

TEST_F(LedgerReportTest, AddsUpWhatTheAccountantsAreToldByHand) {
  Spend();
  const auto run =
      Hearsay({"privacy", "--ledger", path(), "--delta", "1e-6", "-o", "json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto report = run.json();
  EXPECT_EQ(report["schema"], 1);
  EXPECT_EQ(report["verified"], true);
  EXPECT_EQ(report["torn"], false);
  EXPECT_EQ(report["records"], 5);
  EXPECT_EQ(report["steps_charged"], 3 * 64 + 70);
  EXPECT_EQ(report["runs"][0]["steps"], 3 * 64);
  EXPECT_EQ(report["runs"][1]["run"], "a@2");
  EXPECT_EQ(report["runs"][1]["steps"], 70);
  const auto epsilon = [&](const char* accountant) {
    return Hearsay({"epsilon", "--q", "0.02", "--sigma", "1", "--steps", "262",
                    "--delta", "1e-6", "--accountant", accountant, "-o",
                    "json"})
        .json()["epsilon"]
        .get<double>();
  };
  EXPECT_NEAR(report["epsilon_rdp"], epsilon("rdp"), 1e-12);
  EXPECT_NEAR(report["epsilon_pld"], epsilon("pld"), 1e-12);
}

TEST_F(LedgerReportTest, OfSeveralMechanismsIsByRdpAlone) {
  Spend(2.0);
  const auto report = LedgerReport(path(), 1e-5);
  EXPECT_TRUE(report["epsilon_pld"].is_null());
  dp::RdpAccountant accountant;
  accountant.Add({0.02, 1.0, 192});
  accountant.Add({0.02, 2.0, 70});
  EXPECT_NEAR(report["epsilon_rdp"], accountant.Epsilon(1e-5).epsilon, 1e-12);
  EXPECT_EQ(report["charged"].size(), 2U);
  const auto text = Hearsay({"privacy", "--ledger", path()}).out;
  EXPECT_THAT(text, AllOf(HasSubstr("5 records"), HasSubstr("by rdp"),
                          HasSubstr("a@2"), HasSubstr("192")));
  EXPECT_THAT(text, testing::Not(HasSubstr("by pld")));
}

TEST_F(LedgerReportTest, WhatDoesNotVerifyIsSaidAndExitsOne) {
  Spend();
  const auto file = folder_ / "ledger" / "ledger";
  auto bytes = tests::ReadText(file);
  bytes[bytes.size() / 2] ^= 1;
  std::ofstream(file, std::ios::binary) << bytes;
  const auto altered = Hearsay({"privacy", "--ledger", path()});
  EXPECT_EQ(altered.code, 1);
  EXPECT_THAT(altered.err, AllOf(HasSubstr("ledger"), HasSubstr("line"),
                                 HasSubstr("restored")));
  EXPECT_EQ(altered.out, "");
  const auto none = Hearsay({"privacy", "--ledger", folder_ / "nowhere"});
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.err, HasSubstr("no such file"));
  EXPECT_EQ(Hearsay({"privacy", "--ledger", path(), "--delta", "2"}).code, 2);
  EXPECT_EQ(Hearsay({"privacy", "--delta", "1e-5"}).code, 2);
}

TEST_F(LedgerReportTest, ATornEndIsChargedAndSaid) {
  Spend();
  std::ofstream(folder_ / "ledger" / "ledger", std::ios::app) << "6 reserve q=";
  const auto report = LedgerReport(path(), 1e-5);
  EXPECT_EQ(report["torn"], true);
  EXPECT_EQ(report["steps_charged"], 3 * 64 + 70 + 100);
  EXPECT_THAT(LedgerReportText(report), HasSubstr("torn"));
}

// One more step than fits would be too many.
TEST_F(LedgerReportTest, APlanPaysAfterWhatWasPaid) {
  Spend();
  const auto ledger = dp::ReadLedger(folder_ / "ledger" / "ledger");
  for (const auto accountant : {dp::Accountant::kRdp, dp::Accountant::kPld}) {
    const auto plan =
        PlanAfter(ledger, {0.02, 1.0, 10000}, accountant, 1e-5, 4);
    const auto epsilon = [&](std::uint64_t steps) {
      const dp::Releases all{0.02, 1.0, 262 + steps};
      return dp::EpsilonOf(accountant, {&all, 1}, 1e-5);
    };
    EXPECT_EQ(plan.accountant, accountant);
    EXPECT_EQ(plan.steps_charged, 262U);
    EXPECT_NEAR(plan.epsilon_spent, epsilon(0), 1e-9);
    EXPECT_LE(epsilon(plan.steps_that_fit), 4);
    EXPECT_GT(epsilon(plan.steps_that_fit + 1), 4);
    EXPECT_NEAR(plan.epsilon_after, epsilon(plan.steps_that_fit), 1e-9);
  }
  // Without a target all do.
  EXPECT_EQ(PlanAfter(ledger, {0.02, 1.0, 500}, dp::Accountant::kRdp, 1e-5,
                      std::nullopt)
                .steps_that_fit,
            500U);
}

TEST_F(LedgerReportTest, APlanOfOtherNoiseIsByRdpAndItsFilter) {
  Spend();
  const auto ledger = dp::ReadLedger(folder_ / "ledger" / "ledger");
  const auto plan =
      PlanAfter(ledger, {0.02, 0.9, 10000}, dp::Accountant::kPld, 1e-5, 3);
  EXPECT_EQ(plan.accountant, dp::Accountant::kRdp);
  dp::RdpFilter filter({0.02, 1.0, 64}, 1e-5, 3);
  filter.Count({0.02, 1.0, 262});
  EXPECT_LE(plan.steps_that_fit, filter.StepsThatPass({0.02, 0.9, 10000}));
  EXPECT_LE(plan.epsilon_after, 3);
  EXPECT_GT(plan.steps_that_fit, 0U);
}

}  // namespace
}  // namespace hearsay::ops
