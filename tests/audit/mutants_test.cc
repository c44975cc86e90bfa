// Each fault is found, by a bound or by the check that is named here.
#include <gtest/gtest.h>

#include <string>

#include "ops/audit/audit.h"
#include "ops/cli/verbs.h"
#include "tests/audit/gate.h"
#include "tests/audit/mutants.h"

namespace hearsay::ops {
namespace {

using audit_mutant::Fault;

AuditReport Audit(Fault fault) {
  audit_mutant::Set(fault);
  const auto report = RunAudit(tests::GateTerms());
  audit_mutant::Set(Fault::kNone);
  return report;
}

constexpr const char* kVariance =
    "variance of the noise, over the accounted one";
constexpr const char* kInfluence = "influence of one example, in clip norms";

// As gate.h: the better of two, where the first is not above.
AuditReport AuditForBound(Fault fault) {
  const auto report = Audit(fault);
  return report.gdp > 4.2 ? report : Audit(fault);
}

// What is linked here in place of the product's is sound without a fault.
TEST(MutantTest, WithoutAFaultHolds) {
  audit_mutant::Set(Fault::kNone);
  const auto report = tests::SoundAudit();
  EXPECT_TRUE(report.ChecksHold());
  EXPECT_GE(report.gdp, 1.5);
  EXPECT_LE(report.gdp, 4);
}

TEST(MutantTest, NoiseTimes70PercentIsCaughtByTheBound) {
  const auto report = AuditForBound(Fault::kNoise70Percent);
  EXPECT_GT(report.gdp, 4.2);
  EXPECT_FALSE(report.Check(kVariance).holds());
}

TEST(MutantTest, NoiseTimes50PercentIsCaughtByTheBound) {
  const auto report = AuditForBound(Fault::kNoise50Percent);
  EXPECT_GT(report.gdp, 4.2);
  EXPECT_FALSE(report.Check(kVariance).holds());
}

TEST(MutantTest, NoClipIsCaughtByTheBoundAndTheInfluence) {
  const auto report = AuditForBound(Fault::kNoClip);
  EXPECT_GT(report.gdp, 4.2);
  EXPECT_NEAR(report.Check(kInfluence).value, 10, .01);
  EXPECT_FALSE(report.Check(kInfluence).holds());
}

TEST(MutantTest, NoiseReusedAcrossStepsIsCaughtByTheCorrelation) {
  const auto report = Audit(Fault::kNoiseReusedAcrossSteps);
  EXPECT_GT(report.Check("noise shared by two steps").value, .99);
  EXPECT_FALSE(report.Holds());
}

TEST(MutantTest, OneNoiseForAllNodesIsCaughtByTheCorrelation) {
  const auto report = Audit(Fault::kOneNoiseForAllNodes);
  EXPECT_GT(report.Check("noise shared by two nodes").value, .99);
  EXPECT_FALSE(report.Holds());
}

TEST(MutantTest, NoiseOfTheMeanOnTheSumIsCaughtByTheBound) {
  const auto report = AuditForBound(Fault::kNoiseOfTheMean);
  EXPECT_GT(report.gdp, 4.2);
  EXPECT_FALSE(report.Check(kVariance).holds());
}

TEST(MutantTest, DivisionByTheRealisedBatchIsCaughtByTheInfluence) {
  const auto report = Audit(Fault::kDividedByRealised);
  EXPECT_FALSE(report.Check(kInfluence).holds());
}

TEST(MutantTest, ASamplerThatIgnoresItsRateIsCaughtByTheBoundAndByCounting) {
  const auto report = AuditForBound(Fault::kSamplerIgnoresRate);
  EXPECT_GT(report.gdp, 4.2);
  EXPECT_FALSE(report.Check("rows of a batch, over the rate's").holds());
}

TEST(MutantTest, ShuffledBatchesAreCaughtByTheVarianceOfTheirRows) {
  const auto report = Audit(Fault::kShuffled);
  EXPECT_FALSE(
      report.Check("variance of a batch's rows, over Poisson sampling's")
          .holds());
}

// What a script sees of it.
TEST(MutantTest, TheVerbThatFindsAFaultExitsUnhealthy) {
  audit_mutant::Set(Fault::kNoise50Percent);
  CLI::App app;
  AddAuditVerb(app);
  int code = kOk;
  testing::internal::CaptureStdout();
  try {
    app.parse("audit --seed 1", false);
  } catch (const Exit& exit) {
    code = exit.code;
  }
  const auto out = testing::internal::GetCapturedStdout();
  audit_mutant::Set(Fault::kNone);
  EXPECT_EQ(code, kUnhealthy);
  EXPECT_NE(out.find("THE CLAIM IS FALSE"), std::string::npos) << out;
  EXPECT_NE(out.find("ABOVE THE CLAIM"), std::string::npos) << out;
}

}  // namespace
}  // namespace hearsay::ops
