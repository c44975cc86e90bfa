// Real files against counts that others took: summary.json of the survey's
// extract, and the documentation of UCI Adult.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "model/prep/prepare.h"
#include "model/shard.h"
#include "tests/support/shared.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::model::prep {
namespace {

namespace fs = std::filesystem;
using tests::kNoShared;
using tests::SharedFile;

Schema Shipped(const std::string& name) {
  return LoadSchema(fs::path(HEARSAY_SOURCE_DIR) / "ops/schemas" / name);
}

std::size_t Count(const nlohmann::json& esr,
                  const std::vector<std::string>& codes) {
  std::size_t count = 0;
  for (const std::string& code : codes)
    count += esr.value(code, std::size_t{0});
  return count;
}

class PumsTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto summary = SharedFile("data/pums2024/summary.json");
    if (!summary) GTEST_SKIP() << kNoShared;
    summary_ = nlohmann::json::parse(std::ifstream(*summary));
    for (const char* state : {"02_ak", "10_de", "46_sd", "50_vt", "56_wy"})
      options_.inputs.push_back(
          *SharedFile("data/pums2024/p_" + std::string(state) + ".csv.gz"));
    options_.out = folder_ / "out";
    options_.partition = ParsePartition("by:file");
  }

  const nlohmann::json& Facts(const std::string& file) const {
    for (const auto& state : summary_["states"])
      if (state["file"] == file) return state;
    throw std::runtime_error("no such state: " + file);
  }

  tests::TemporaryFolder folder_;
  nlohmann::json summary_;
  PrepareOptions options_;
};

TEST_F(PumsTest, EmployedCountsAreThoseOfTheSummary) {
  options_.schema = Shipped("pums-employed.toml");
  const PrepareReport report = Prepare(options_);
  EXPECT_EQ(report.features, 112);
  ASSERT_EQ(report.parts.size(), 5U);
  for (const PartReport& part : report.parts) {
    const auto& facts = Facts(part.source);
    EXPECT_EQ(part.rows, facts["rows16"].get<std::size_t>()) << part.source;
    EXPECT_EQ(part.class_counts[1], Count(facts["esr"], {"1", "2"}));
    EXPECT_EQ(part.class_counts[0], Count(facts["esr"], {"3", "4", "5", "6"}));
  }
}

TEST_F(PumsTest, UnemploymentCountsAreThoseOfTheSummary) {
  options_.schema = Shipped("pums-unemployment.toml");
  const PrepareReport report = Prepare(options_);
  for (const PartReport& part : report.parts) {
    const auto& facts = Facts(part.source);
    EXPECT_EQ(part.class_counts[1], Count(facts["esr"], {"3"}));
    EXPECT_EQ(part.class_counts[0], Count(facts["esr"], {"1", "2"}));
  }
}

// The same encoding once more, written down independently: each column's first
// input and the input that a field lights.
std::vector<float> EncodeByHand(const std::vector<std::string>& f) {
  std::vector<float> x(112, 0.0F);
  std::size_t first = 0;
  const auto light = [&](std::size_t width, std::size_t index) {
    x.at(first + index) = 1.0F;
    first += width;
  };
  const auto code = [&](std::size_t column) {
    return static_cast<std::size_t>(std::stoi(f[column]));
  };
  light(17, (code(0) - 15) / 5);                                // AGEP
  light(2, code(1) - 1);                                        // SEX
  light(9, code(2) - 1);                                        // RAC1P
  light(24, code(3) - 1);                                       // HISP
  light(5, code(4) - 1);                                        // CIT
  light(24, code(5) - 1);                                       // SCHL
  light(5, code(6) - 1);                                        // MAR
  light(5, f[7].empty() ? 4 : code(7) - 1);                     // MIL
  light(2, code(8) - 1);                                        // LANX
  light(5, f[9].empty() ? 4 : code(9) - 1);                     // ENG
  for (std::size_t c = 10; c < 15; ++c) light(2, code(c) - 1);  // DIS ...
  light(2, code(15));                                           // MOVED
  light(2, code(16) - 1);                                       // HICOV
  return x;
}

TEST_F(PumsTest, EveryFeatureOfWyomingIsAsEncodedByHand) {
  options_.schema = Shipped("pums-employed.toml");
  options_.inputs = {options_.inputs.back()};
  const Shard shard = Shard::Open(Prepare(options_).parts[0].file);
  gzFile file = gzopen(options_.inputs[0].c_str(), "rb");
  ASSERT_NE(file, nullptr);
  char line[256];
  ASSERT_NE(gzgets(file, line, sizeof line), nullptr);  // The header.
  std::uint32_t row = 0;
  std::vector<float> features(112);
  std::vector<float> label(1);
  for (; gzgets(file, line, sizeof line) != nullptr; ++row) {
    std::vector<std::string> fields(1);
    for (const char* c = line; *c != '\n' && *c != '\0'; ++c)
      *c == ',' ? fields.emplace_back() : fields.back() += *c;
    ASSERT_EQ(fields.size(), 18U);
    ASSERT_LT(row, shard.rows());
    shard.Gather({&row, 1}, features, label);
    ASSERT_EQ(features, EncodeByHand(fields)) << "row " << row;
    ASSERT_EQ(label[0], fields[17] == "1" || fields[17] == "2" ? 1 : 0);
  }
  gzclose(file);
  EXPECT_EQ(row, shard.rows());
}

// Counts from adult.names and every paper that uses the set.
TEST(AdultTest, CountsAreTheDocumentedOnes) {
  const auto train = SharedFile("data/adult/adult.data.gz");
  const auto test = SharedFile("data/adult/adult.test.gz");
  if (!train || !test) GTEST_SKIP() << kNoShared;
  const tests::TemporaryFolder folder;
  PrepareOptions options;
  options.schema = Shipped("adult.toml");
  options.inputs = {*train};
  options.eval_inputs = {*test};
  options.out = folder / "out";
  const PrepareReport report = Prepare(options);
  EXPECT_EQ(report.parts[0].rows, 32'561U);
  EXPECT_EQ(report.parts[0].class_counts[1], 7'841U);
  EXPECT_EQ(report.eval->rows, 16'281U);
  EXPECT_EQ(report.eval->class_counts[1], 3'846U);
}

}  // namespace
}  // namespace hearsay::model::prep
