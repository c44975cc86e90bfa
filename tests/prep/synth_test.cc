#include "model/prep/synth.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/prep/prepare.h"
#include "model/shard.h"
#include "tests/support/shared.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::model::prep {
namespace {

using ::testing::HasSubstr;
using tests::TemporaryFolder;

std::string ReadAll(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

SynthReport Make(const std::filesystem::path& out, std::int64_t rows,
                 std::uint64_t seed = 1, int state = 0) {
  return SynthesizePums(
      {.rows = rows, .out = out, .seed = seed, .state = state});
}

// The header comment of synth.h, term by term, at people where it is easy.
TEST(SynthTest, GroundTruthIsTheDocumentedFunction) {
  PumsPerson plain;
  plain.agep = 42;
  plain.sex = 1;
  plain.schl = 19;
  plain.mar = 5;
  plain.mil = 4;
  plain.eng = PumsPerson::kNotAsked;
  plain.dis = plain.dear = plain.deye = plain.drem = plain.dphy = 2;
  plain.hicov = 1;
  const auto eta = [](const PumsPerson& person) {
    const double p = EmployedProbability(person);
    return std::log(p / (1 - p));
  };
  const double base = eta(plain);
  const auto change = [&](auto edit) {
    PumsPerson person = plain;
    edit(person);
    return eta(person) - base;
  };
  EXPECT_NEAR(change([](auto& p) { p.dis = 1; }), -1.0, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.dphy = 1; }), -0.8, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.drem = 1; }), -0.4, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.schl = 15; }), -0.6, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.schl = 16; }), -0.25, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.schl = 21; }), 0.3, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.schl = 24; }), 0.4, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.sex = 2; }), -0.25, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.mar = 1; }), 0, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.sex = 2, p.mar = 1; }), -0.75, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.eng = 4; }), -0.4, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.hicov = 2; }), -0.2, 1e-9);
  EXPECT_NEAR(change([](auto& p) { p.mil = 1; }), -8, 1e-9);
}

TEST(SynthTest, LooksLikeTheSurveyAndIsAsHard) {
  const TemporaryFolder folder;
  const SynthReport report = Make(folder / "p.csv", 50'000);
  EXPECT_EQ(report.rows, 50'000);
  EXPECT_EQ(report.bytes, std::filesystem::file_size(folder / "p.csv"));
  EXPECT_THAT(report.employed_share,
              testing::AllOf(testing::Ge(0.55), testing::Le(0.60)));
  EXPECT_THAT(report.unemployment_rate,
              testing::AllOf(testing::Ge(0.04), testing::Le(0.055)));
  EXPECT_THAT(report.bayes_accuracy,
              testing::AllOf(testing::Ge(0.785), testing::Le(0.80)));
}

// The rule "employed if p > 1/2", applied to the drawn labels, must reach the
// Bayes accuracy, and no calibration bin may be off: the labels do come from
// the documented probabilities.
TEST(SynthTest, LabelsFollowTheGroundTruth) {
  std::mt19937_64 random(7);
  constexpr int kRows = 60'000;
  double bayes = 0;
  double right = 0;
  std::array<double, 10> expected{};
  std::array<double, 10> seen{};
  std::array<double, 10> variance{};
  for (int i = 0; i < kRows; ++i) {
    const PumsPerson person = DrawPerson(0, random);
    const bool employed = DrawEsr(person, random) <= 2;
    const double p = EmployedProbability(person);
    bayes += std::max(p, 1 - p);
    right += employed == (p > 0.5) ? 1 : 0;
    const auto bin = static_cast<std::size_t>(p * 10);
    expected[bin] += p;
    seen[bin] += employed ? 1 : 0;
    variance[bin] += p * (1 - p);
  }
  // sd of right is below sqrt(n) / 2: five of them.
  EXPECT_NEAR(right, bayes, 5 * 0.5 * std::sqrt(kRows));
  for (std::size_t b = 0; b < 10; ++b)
    EXPECT_NEAR(seen[b], expected[b], 5 * std::sqrt(variance[b]) + 1) << b;
}

// Marginals of the columns that are drawn straight from the survey's counts.
TEST(SynthTest, MarginalsAreThoseOfTheSurvey) {
  const auto summary = tests::SharedFile("data/pums2024/summary.json");
  if (!summary) GTEST_SKIP() << tests::kNoShared;
  const auto marginals =
      nlohmann::json::parse(std::ifstream(*summary))["marginals"];
  std::mt19937_64 random(3);
  constexpr int kRows = 50'000;
  std::map<std::string, std::map<std::string, int>> counts;
  for (int i = 0; i < kRows; ++i) {
    const PumsPerson p = DrawPerson(0, random);
    const auto count = [&](const char* column, int value) {
      ++counts[column]
              [value == PumsPerson::kNotAsked ? "" : std::to_string(value)];
    };
    count("AGEP", p.agep), count("SEX", p.sex), count("RAC1P", p.rac1p);
    count("HISP", p.hisp), count("CIT", p.cit), count("SCHL", p.schl);
    count("MAR", p.mar), count("MIL", p.mil), count("LANX", p.lanx);
    count("ENG", p.eng), count("DIS", p.dis), count("DEAR", p.dear);
    count("DEYE", p.deye), count("DREM", p.drem), count("DPHY", p.dphy);
    count("MOVED", p.moved), count("HICOV", p.hicov);
  }
  const double total =
      marginals["SEX"]["1"].get<double>() + marginals["SEX"]["2"].get<double>();
  for (const auto& [column, values] : counts) {
    // Drawn from the counts themselves: sampling error only (5 sd). The others
    // hang on age and on each other, and are only meant to be plausible.
    const bool exact = column == "AGEP" || column == "SEX" ||
                       column == "RAC1P" || column == "HISP";
    double distance = 0;
    for (const auto& [value, truth] : marginals[column].items()) {
      const double share = truth.get<double>() / total;
      const auto found = values.find(value);
      const double drawn = found == values.end() ? 0 : found->second;
      const double error = drawn / kRows - share;
      distance += std::abs(error) / 2;
      if (exact) {
        EXPECT_NEAR(error, 0, 5 * std::sqrt(share / kRows) + 1e-9)
            << column << " " << value;
      }
    }
    EXPECT_LT(distance, 0.08) << column;  // total variation
    for (const auto& [value, count] : values)
      EXPECT_TRUE(marginals[column].contains(value))
          << column << " never is " << value;
  }
}

TEST(SynthTest, SameSeedSameBytesWhateverTheCompression) {
  const TemporaryFolder folder;
  Make(folder / "a.csv", 500, 5);
  Make(folder / "b.csv", 500, 5);
  Make(folder / "c.csv", 500, 6);
  Make(folder / "d.csv.gz", 500, 5);
  const std::string a = ReadAll(folder / "a.csv");
  EXPECT_EQ(a, ReadAll(folder / "b.csv"));
  EXPECT_NE(a, ReadAll(folder / "c.csv"));
  EXPECT_LT(ReadAll(folder / "d.csv.gz").size(), a.size() / 2);
  std::string inflated;
  ByteSource source(folder / "d.csv.gz");
  char block[1000];
  while (const std::size_t count = source.Read(block, sizeof block))
    inflated.append(block, count);
  EXPECT_EQ(a, inflated);
}

TEST(SynthTest, GoesThroughEveryPumsSchema) {
  const TemporaryFolder folder;
  const SynthReport made = Make(folder / "p.csv", 3000);
  for (const char* name : {"pums-employed", "pums-unemployment"}) {
    PrepareOptions options;
    options.schema = LoadSchema(std::filesystem::path(HEARSAY_SOURCE_DIR) /
                                "ops/schemas" / (std::string(name) + ".toml"));
    options.inputs = {folder / "p.csv"};
    options.out = folder / name;
    const PrepareReport report = Prepare(options);
    EXPECT_EQ(report.counts.read, 3000U);
    const double share = static_cast<double>(report.parts[0].class_counts[1]) /
                         static_cast<double>(report.parts[0].rows);
    EXPECT_NEAR(share,
                name == std::string("pums-employed") ? made.employed_share
                                                     : made.unemployment_rate,
                1e-12);
  }
}

TEST(SynthTest, StatesDifferInAgeAndSchoolingButNotInTheTruth) {
  const auto means = [](int state) {
    std::mt19937_64 random(1);
    double age = 0;
    double degree = 0;
    constexpr int kRows = 5000;
    for (int i = 0; i < kRows; ++i) {
      const PumsPerson person = DrawPerson(state, random);
      age += person.agep / double{kRows};
      degree += (person.schl >= 20 ? 1 : 0) / double{kRows};
    }
    return std::pair(age, degree);
  };
  // cos(2.4) = -.74: older; cos(4.8) = .09; sin(1.7) = .99: more degrees;
  // sin(5.1) = -.93 (state 3): fewer.
  EXPECT_GT(means(1).first, means(0).first + 3);
  EXPECT_LT(means(5).first, means(0).first - 3);  // cos(12) = .84
  EXPECT_GT(means(1).second, means(0).second + 0.05);
  EXPECT_LT(means(3).second, means(0).second - 0.05);
}

TEST(SynthTest, ReportsAFullDiskAndAMissingFolder) {
  const TemporaryFolder folder;
  for (const char* bad : {"/dev/full", "/nonexistent/p.csv"}) {
    try {
      Make(bad, 5000);
      ADD_FAILURE() << bad;
    } catch (const FileError& error) {
      EXPECT_THAT(error.what(), HasSubstr(std::string(bad) + ": cannot "));
      EXPECT_THAT(error.what(), testing::AnyOf(HasSubstr("No space left"),
                                               HasSubstr("No such file")));
    }
  }
  EXPECT_TRUE(std::filesystem::exists("/dev/full"));
}

}  // namespace
}  // namespace hearsay::model::prep
