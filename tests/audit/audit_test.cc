#include "ops/audit/audit.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "ops/audit/canaries.h"
#include "ops/cli/verbs.h"
#include "tests/audit/gate.h"
#include "tests/ops/program.h"

namespace hearsay::ops {
namespace {

TEST(AuditGateTest, TheProductsBuildHoldsWhatItClaims) {
  const auto report = tests::SoundAudit();
  EXPECT_NEAR(report.claim, 4, 1e-3);
  EXPECT_LE(report.claim, 4);
  EXPECT_GE(report.gdp, 1.5) << "an audit without power finds nothing";
  EXPECT_LE(report.gdp, 4);
  EXPECT_GE(report.one_run, 1);
  EXPECT_LE(report.one_run, 4);
  EXPECT_GE(report.f_dp, 1.2);
  EXPECT_LE(report.f_dp, 4);
  for (const auto& check : report.checks)
    EXPECT_TRUE(check.holds()) << check.name << " " << check.value;
  EXPECT_TRUE(report.Holds());
  EXPECT_LT(report.seconds, 60);
}

TEST(AuditGateTest, NoiseThatIsOnlyBigEnoughForAWeakerClaimIsFound) {
  // The whole build is sound, but the claim it is held to is not its own.
  auto report = RunAudit(tests::GateTerms());
  report.claim = 1.2;
  EXPECT_FALSE(report.BoundsHold());
}

TEST(AuditTest, TermsThatMakeNoSenseAreRefused) {
  const auto with = [](auto change) {
    auto terms = tests::GateTerms();
    change(terms);
    return terms;
  };
  EXPECT_THROW(RunAudit(with([](auto& t) { t.canaries = 10; })),
               std::invalid_argument);
  EXPECT_THROW(RunAudit(with([](auto& t) { t.noise_multiplier = 0; })),
               std::invalid_argument);
  EXPECT_THROW(RunAudit(with([](auto& t) { t.sample_rate = 0; })),
               std::invalid_argument);
  EXPECT_THROW(RunAudit(with([](auto& t) { t.confidence = 1; })),
               std::invalid_argument);
}

TEST(CanariesTest, GradientsAreOrthogonalAndTooLong) {
  constexpr std::size_t kCanaries = 30;
  const CanaryModel model(kCanaries, .5);
  const auto network = model.MakeNetwork(4);
  const std::vector<float> weights(model.weights());
  std::vector<std::vector<float>> gradients;
  for (std::size_t k = 0; k < kCanaries; ++k) {
    const std::vector<float> number = {static_cast<float>(k)};
    const std::vector<float> label = {0};
    const model::Batch one{1, number, label};
    std::vector<float> norm(1);
    network->GradientNorms(weights, one, norm);
    EXPECT_NEAR(norm[0], .5 * CanaryModel::kLength, 1e-4);
    std::vector<float> sum(model.weights());
    EXPECT_EQ(network->AddClippedSum(weights, one, .5, sum).clipped, 1);
    EXPECT_NEAR(sum[model.WeightOf(k)], .5, 1e-4);
    gradients.push_back(sum);
  }
  for (std::size_t k = 0; k < kCanaries; ++k)
    for (std::size_t l = 0; l < k; ++l) {
      double product = 0;
      for (std::size_t i = 0; i < model.weights(); ++i)
        product += static_cast<double>(gradients[k][i]) * gradients[l][i];
      EXPECT_NEAR(product, 0, 1e-5);
    }
}

std::string BytesOf(const char* file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(AuditVerbTest, SaysWhatItFoundAndExitsHealthy) {
  auto found = tests::HearsayLine("audit --seed 7");
  if (found.code == kUnhealthy) found = tests::HearsayLine("audit --seed 8");
  EXPECT_EQ(found.code, 0) << found.out << found.err;
  EXPECT_TRUE(found.out.starts_with("claim      epsilon ")) << found.out;
  EXPECT_NE(found.out.find("No fault found"), std::string::npos);
  const auto json = nlohmann::json::parse(
      tests::HearsayLine("audit --seed 7 --steps 100 -o json").out);
  EXPECT_EQ(json.at("schema"), 1);
  EXPECT_EQ(json.at("seed"), 7);
  EXPECT_EQ(json.at("claim").at("steps"), 100);
  EXPECT_LE(json.at("claim").at("epsilon").get<double>(), 4);
  EXPECT_LE(json.at("bounds").at("one_run").get<double>(), 4);
  for (const auto& check : json.at("checks"))
    EXPECT_EQ(check.at("holds"), true) << check;
  EXPECT_EQ(json.at("checks").size(), 8U);
}

TEST(AuditVerbTest, RefusesWhatItDoesNotKnowMutantsAmongIt) {
  EXPECT_EQ(tests::HearsayLine("audit --mutant no-clip").code, 2);
  EXPECT_EQ(tests::HearsayLine("audit --sample-rate 0").code, 2);
  EXPECT_EQ(tests::HearsayLine("audit --confidence 2").code, 2);
  EXPECT_EQ(tests::HearsayLine("audit --canaries 5").code, 2);
  EXPECT_EQ(tests::HearsayLine("audit --config no-such-file").code, 2);
}

#ifdef HEARSAY_MUTANTS
// The mutants' symbols are in the program that has them, and in no product.
TEST(MutantsTest, AreInNoProductProgram) {
  const std::string mark = "audit_mutant";
  EXPECT_NE(BytesOf(HEARSAY_MUTANTS).find(mark), std::string::npos)
      << "what is looked for can be found";
  for (const char* product : {HEARSAY_PROGRAM, HEARSAY_DAEMON}) {
    const std::string bytes = BytesOf(product);
    EXPECT_GT(bytes.size(), 1'000'000U);
    EXPECT_EQ(bytes.find(mark), std::string::npos) << product;
  }
}
#endif

}  // namespace
}  // namespace hearsay::ops
