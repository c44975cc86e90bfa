// Statistics of private rows, from the schema to the node's ledger, as a user
// meets them.
#include "ops/cli/private_statistics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <fstream>
#include <numeric>
#include <random>

#include "dp/accountant.h"
#include "dp/ledger_io.h"
#include "model/shard.h"
#include "tests/ops/node_file.h"
#include "tests/ops/program.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::ops {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using tests::Hearsay;
using tests::Json;
using tests::Outcome;
using tests::ReadText;

class PrivateStatisticsTest : public testing::Test {
 protected:
  PrivateStatisticsTest() {
    std::mt19937_64 random(4);
    std::normal_distribution<double> income(60000, 9000);
    std::ofstream rows(folder_ / "in.csv");
    rows << "income,town,job\n";
    for (int i = 0; i < 20'000; ++i)
      rows << static_cast<long>(income(random)) << ','
           << (i % 3 == 0 ? "Oslo"
               : i < 9    ? "Moss"
                          : "Bergen")
           << ',' << i % 2 << '\n';
    Schema(20);
  }

  void Schema(double noise, const std::string& bounds = "max = 1000000") {
    std::ofstream(folder_ / "s.toml") << R"(
name = "people"
[label]
name = "works"
classes = [{ name = "no", when = "job = 0" }, { name = "yes" }]
[statistics]
noise_multiplier = )" << noise << R"(
[[column]]
name = "income"
kind = "numeric"
min = 0
)" << bounds << R"(
statistics = "private"
[[column]]
name = "town"
kind = "categorical"
categories = ["Oslo", "Bergen", "Moss"]
other = true
statistics = "private"
fold_below = 1000
)";
  }

  Outcome Prep(const std::string& out, std::vector<std::string> more) {
    std::vector<std::string> line = {
        "prep",  "--schema",   folder_ / "s.toml", folder_ / "in.csv",
        "--out", folder_ / out};
    line.insert(line.end(), more.begin(), more.end());
    return Hearsay(line);
  }
  Outcome Charged(const std::string& out) {
    return Prep(out, {"--ledger", folder_ / "spent", "--shards", "2",
                      "--eval-fraction", "0.1"});
  }
  model::Shard Open(const std::string& file) {
    return model::Shard::Open(folder_ / file);
  }
  Json LedgerOf(const std::string& folder) {
    const auto run =
        Hearsay({"privacy", "--ledger", folder_ / folder, "-o", "json"});
    EXPECT_EQ(run.code, 0) << run.err;
    return run.json();
  }

  tests::TemporaryFolder folder_;
};

TEST_F(PrivateStatisticsTest, EncodeTheRowsAndAreChargedToEveryShard) {
  const auto run = Charged("out");
  ASSERT_EQ(run.code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("charged to"));
  const auto ledger = LedgerOf("spent");
  EXPECT_EQ(ledger["steps_charged"], 1);
  EXPECT_EQ(ledger["charged"][0]["sample_rate"], 1);
  EXPECT_EQ(ledger["charged"][0]["noise_multiplier"], 20);
  const dp::Releases one{1, 20, 1};
  EXPECT_DOUBLE_EQ(ledger["epsilon_rdp"],
                   dp::EpsilonOf(dp::Accountant::kRdp, {&one, 1}, 1e-5));
  const auto shard = Open("out/part-0.safetensors");
  ASSERT_EQ(shard.charges().size(), 1U);
  EXPECT_EQ(shard.charges()[0].noise_multiplier, 20);
  EXPECT_EQ(shard.charges()[0].id, ledger["hash"]);
  EXPECT_EQ(Open("out/part-1.safetensors").charges(), shard.charges());
  const auto inspected =
      Hearsay({"inspect", folder_ / "out/part-0.safetensors", "-o", "json"});
  ASSERT_EQ(inspected.code, 0) << inspected.err;
  EXPECT_EQ(inspected.json()["charges"][0]["noise_multiplier"], 20);
  // Declared public.
  EXPECT_TRUE(Open("out/eval.safetensors").charges().empty());
  EXPECT_EQ(Open("out/eval.safetensors").schema_fingerprint(),
            shard.schema_fingerprint());
  // Of 20,000 rows, 20 * 2 = 40 rows of noise: within half a per cent.
  EXPECT_THAT(shard.columns()[1].categories,
              ElementsAre("Oslo", "Bergen", "other"));
  const auto statistics = Json::parse(shard.statistics());
  EXPECT_EQ(statistics,
            Json::parse(ReadText(folder_ / "spent/statistics.json")));
  EXPECT_NEAR(statistics["columns"][0]["mean"], 60000, 10000);
  EXPECT_EQ(statistics["columns"][0]["min"], shard.columns()[0].minimum);
  EXPECT_LT(shard.columns()[0].maximum, 400000);
  // The hash of the input, which who knows all rows but one could try rows
  // against, is in nothing that may be shown.
  EXPECT_THAT(
      ReadText(folder_ / "spent/statistics.json"),
      testing::Not(HasSubstr(
          dp::ReadLedger(folder_ / "spent" / "ledger").data_set.substr(6))));
}

TEST_F(PrivateStatisticsTest, AreReleasedOnceForTheSameRows) {
  ASSERT_EQ(Charged("a").code, 0);
  const auto again = Charged("b");
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("released before"));
  EXPECT_EQ(LedgerOf("spent")["steps_charged"], 1);
  EXPECT_EQ(Open("a/part-0.safetensors").content_hash(),
            Open("b/part-0.safetensors").content_hash());
  // Anything else would be another release.
  Schema(20, "max = 500000");
  const auto other = Charged("c");
  EXPECT_EQ(other.code, 1);
  EXPECT_THAT(other.err, HasSubstr("Rows are released once"));
  Schema(21);
  EXPECT_EQ(Charged("c").code, 1);
  EXPECT_EQ(LedgerOf("spent")["steps_charged"], 1);
  // Nor is the folder for other rows.
  Schema(20);
  std::ofstream(folder_ / "in.csv", std::ios::app) << "1,Oslo,0\n";
  const auto rows = Charged("d");
  EXPECT_EQ(rows.code, 1);
  EXPECT_THAT(rows.err, HasSubstr("a folder of its own"));
}

// Killed between paying and keeping: the file is not there, the charge is.
TEST_F(PrivateStatisticsTest, ACrashInTheMiddleCountsAsSpent) {
  ASSERT_EQ(Charged("a").code, 0);
  std::filesystem::remove(folder_ / "spent/statistics.json");
  const auto again = Charged("b");
  ASSERT_EQ(again.code, 0) << again.err;
  EXPECT_EQ(LedgerOf("spent")["steps_charged"], 2);
  EXPECT_EQ(Open("b/part-0.safetensors").charges().size(), 2U);
  // What was kept without a ledger is refused, not charged to nobody.
  std::filesystem::remove(folder_ / "spent/ledger");
  const auto lost = Charged("c");
  EXPECT_EQ(lost.code, 1);
  EXPECT_THAT(lost.err, HasSubstr("restore the ledger"));
}

TEST_F(PrivateStatisticsTest, OfOthersCostNothingAndMeanTheSame) {
  ASSERT_EQ(Charged("a").code, 0);
  std::ofstream(folder_ / "in.csv")
      << "income,town,job\n5,Oslo,0\n60000,Moss,1\n";
  const auto theirs =
      Prep("b", {"--statistics", folder_ / "spent/statistics.json"});
  ASSERT_EQ(theirs.code, 0) << theirs.err;
  const auto shard = Open("b/part-0.safetensors");
  EXPECT_TRUE(shard.charges().empty());
  EXPECT_EQ(shard.schema_fingerprint(),
            Open("a/part-0.safetensors").schema_fingerprint());
}

TEST_F(PrivateStatisticsTest, WhatIsWrongIsSaid) {
  const auto neither = Prep("a", {});
  EXPECT_EQ(neither.code, 2);
  EXPECT_THAT(neither.err, HasSubstr("--ledger"));
  EXPECT_EQ(Prep("a", {"--ledger", "x", "--statistics", "y"}).code, 2);
  EXPECT_EQ(Prep("a", {"--statistics", folder_ / "none"}).code, 1);
  std::ofstream(folder_ / "bad") << "{\"schema\": 1}";
  const auto bad = Prep("a", {"--statistics", folder_ / "bad"});
  EXPECT_EQ(bad.code, 1);
  EXPECT_THAT(bad.err, HasSubstr("no file of statistics"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a" / "part-0.safetensors"));
}

TEST_F(PrivateStatisticsTest, PlanCountsThemBeforeAnyLedgerIsThere) {
  ASSERT_EQ(Charged("out").code, 0);
  tests::NodeFile{.privacy = "target_epsilon = 1.0\n",
                  .shard = "out/part-0.safetensors"}
      .Write(folder_ / "node.toml");
  const auto run =
      Hearsay({"plan", "--config", folder_ / "node.toml", "-o", "json"});
  ASSERT_EQ(run.code, 0) << run.err;
  const auto plan = run.json()["privacy"]["after_ledger"];
  EXPECT_EQ(plan["steps_charged"], 1);
  EXPECT_EQ(plan["accountant"], "rdp");
  const dp::Releases one{1, 20, 1};
  EXPECT_DOUBLE_EQ(plan["epsilon_spent"],
                   dp::EpsilonOf(dp::Accountant::kRdp, {&one, 1}, 1e-5));
  // The noise is calibrated to what they left.
  EXPECT_EQ(plan["steps_that_fit"], 600);
  EXPECT_LE(plan["epsilon_after"], 1.0);
  EXPECT_GT(plan["epsilon_after"], 0.99);
}

// The noise, in grid steps, is what is charged: a multiple of the reach.
TEST(ReleaseSumsTest, TheNoiseIsAsLargeAsWasPaidFor) {
  const tests::TemporaryFolder folder;
  dp::Ledger ledger(folder / "l", "d", "statistics:x");
  dp::SecureRandom random;
  constexpr double kNoise = 12.5;
  const auto reach = static_cast<double>(SumsReach(kNoise));
  EXPECT_LT(reach, 0x1p30);
  std::vector<std::int64_t> sums(40'000, 1'000'000'007);
  ReleaseSums(ledger, kNoise, random, sums);
  double mean = 0, square = 0;
  for (const std::int64_t sum : sums) {
    const double noise = static_cast<double>(sum - 1'000'000'007) / reach;
    mean += noise / 40'000;
    square += noise * noise / 40'000;
  }
  // Standard errors: sigma / 200, and 0.7 % of the variance; five of each.
  EXPECT_NEAR(mean, 0, 5 * kNoise / 200);
  EXPECT_NEAR(square / (kNoise * kNoise), 1, 5 * 0.00708);
}

class NoRoom final : public dp::LedgerIo {
 public:
  bool full = false;
  int DataSync(int file) override {
    if (!full) return LedgerIo::DataSync(file);
    errno = ENOSPC;
    return -1;
  }
};

// Paid first: what cannot be charged gets no noise, and so cannot be released.
TEST(ReleaseSumsTest, NoNoiseIsDrawnBeforeItIsPaidFor) {
  const tests::TemporaryFolder folder;
  NoRoom disk;
  dp::Ledger ledger(folder / "l", "d", "statistics:x", disk);
  dp::SecureRandom random;
  std::vector<std::int64_t> sums = {1, 2, 3};
  disk.full = true;
  EXPECT_THROW(ReleaseSums(ledger, 10, random, sums), dp::LedgerError);
  EXPECT_THAT(sums, ElementsAre(1, 2, 3));
}

}  // namespace
}  // namespace hearsay::ops
