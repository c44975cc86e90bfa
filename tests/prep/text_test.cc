#include "model/prep/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <cmath>
#include <fstream>
#include <numeric>
#include <random>
#include <string>

#include "model/encoding.h"
#include "model/initialise.h"
#include "model/network.h"
#include "model/prep/prepare.h"
#include "model/presets.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::model::prep {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;
using End = TextFormat::End;

std::vector<int> Codes(const std::string& text, const TextFormat& format) {
  std::vector<std::uint8_t> codes(format.length, 77);
  EncodeText(text, format, codes);
  return {codes.begin(), codes.end()};
}

TEST(TextTest, ABytesCodeIsItsNumber) {
  EXPECT_THAT(Codes("aB\n", {.length = 3}), ElementsAre('a', 'B', '\n'));
  EXPECT_THAT(Codes("\xc3\xa9", {.length = 2}), ElementsAre(0xc3, 0xa9));
  EXPECT_THAT(Codes("\xfe\xff", {.length = 2}), ElementsAre(254, 254));
}

TEST(TextTest, TheShortIsFilledAndTheLongIsCutAtTheEndThatIsAskedFor) {
  EXPECT_THAT(Codes("ab", {.length = 4}), ElementsAre('a', 'b', 0, 0));
  EXPECT_THAT(Codes("ab", {.length = 4, .padding = End::kStart}),
              ElementsAre(0, 0, 'a', 'b'));
  EXPECT_THAT(Codes("abcd", {.length = 2}), ElementsAre('a', 'b'));
  EXPECT_THAT(Codes("abcd", {.length = 2, .cut = End::kStart}),
              ElementsAre('c', 'd'));
  EXPECT_THAT(Codes("", {.length = 2}), ElementsAre(0, 0));
}

constexpr const char* kTextLabel =
    "name = \"t\"\n[label]\nname = \"mood\"\nclasses = ";
const std::string kColumnSchema =
    std::string(kTextLabel) +
    "[{ name = \"bad\", when = \"mood = 0\" }, { name = \"good\", when = "
    "\"mood = 1\" }]\n[[column]]\nname = \"review\"\nkind = \"text\"\n";
const std::string kFolderSchema =
    std::string(kTextLabel) + "[\"bad\", \"good\"]\n[text]\nlength = 4\n";

class TextFilesTest : public testing::Test {
 protected:
  TextFilesTest() {
    options_.out = folder_ / "out";
    options_.strict = true;
  }
  fs::path File(const std::string& name, const std::string& text) {
    fs::create_directories((folder_ / name).parent_path());
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  Shard Prepared() {
    return Shard::Open(Prepare(options_).parts.at(0).file, Encoding::kCodes);
  }
  std::string Error() {
    try {
      Prepare(options_);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "no error";
  }
  static std::vector<float> Row(const Shard& shard, std::uint32_t row) {
    std::vector<float> codes(static_cast<std::size_t>(shard.features()));
    float label = 0;
    shard.Gather({&row, 1}, codes, {&label, 1});
    codes.push_back(label);
    return codes;
  }

  tests::TemporaryFolder folder_;
  PrepareOptions options_;
};

TEST_F(TextFilesTest, AColumnOfTextBecomesAColumnForEachPlace) {
  options_.schema =
      ParseSchema(kColumnSchema + "length = 3\nfill = \"?\"\n", "s.toml");
  options_.inputs = {
      File("a.csv", "review,mood\n\"a,\"\"b\",1\nxy,0\n,1\n\"1\n2\",0\n")};
  const Shard shard = Prepared();
  ASSERT_EQ(shard.columns().size(), 3U);
  EXPECT_EQ(shard.columns()[2].name, "review 2");
  EXPECT_EQ(shard.columns()[0].categories.size(), kMaxCategories);
  EXPECT_EQ(shard.columns()[0].categories[65], "65");
  EXPECT_THAT(Row(shard, 0), ElementsAre('a', ',', '"', 1));
  EXPECT_THAT(Row(shard, 1), ElementsAre('x', 'y', 0, 0));
  EXPECT_THAT(Row(shard, 2), ElementsAre('?', 0, 0, 1));
  EXPECT_THAT(Row(shard, 3), ElementsAre('1', '\n', '2', 0));
}

TEST_F(TextFilesTest, AMissingTextIsAFaultOrDropsTheRow) {
  options_.inputs = {File("a.csv", "review,mood\nab,1\n,0\n")};
  options_.schema = ParseSchema(kColumnSchema + "length = 3\n", "s.toml");
  EXPECT_THAT(Error(), HasSubstr("a.csv:3: column review: the value is missing "
                                 "(\"\"); the schema may give missing values a "
                                 "place by fill = \"TEXT\""));
  options_.schema =
      ParseSchema(kColumnSchema + "length = 3\nmissing = \"drop\"\n", "s.toml");
  EXPECT_EQ(Prepared().rows(), 1U);
}

TEST_F(TextFilesTest, AFolderForEachClassHoldsAFileForEachRow) {
  options_.schema = ParseSchema(kFolderSchema, "s.toml");
  File("in/bad/2", "no");
  File("in/bad/1.txt", "never!");
  File("in/good/1.txt", "yes\n");
  const fs::path packed = File("in/good/2.txt.gz", "");
  gzFile file = gzopen(packed.c_str(), "wb");
  gzputs(file, "packed");
  gzclose(file);
  options_.inputs = {folder_ / "in"};
  const Shard shard = Prepared();
  ASSERT_EQ(shard.rows(), 4U);
  EXPECT_THAT(Row(shard, 0), ElementsAre('n', 'e', 'v', 'e', 0));
  EXPECT_THAT(Row(shard, 1), ElementsAre('n', 'o', 0, 0, 0));
  EXPECT_THAT(Row(shard, 2), ElementsAre('y', 'e', 's', '\n', 1));
  EXPECT_THAT(Row(shard, 3), ElementsAre('p', 'a', 'c', 'k', 1));
}

TEST_F(TextFilesTest, TheEndOfALongFileIsFoundWithoutHoldingAllOfIt) {
  options_.schema = ParseSchema(kFolderSchema + "cut = \"start\"\n", "s.toml");
  File("in/bad/long", std::string(1'000'000, 'x') + "tail");
  File("in/good/short", "a");
  options_.inputs = {folder_ / "in"};
  const Shard shard = Prepared();
  EXPECT_THAT(Row(shard, 0), ElementsAre('t', 'a', 'i', 'l', 0));
}

TEST_F(TextFilesTest, ShardsDoNotDependOnThreads) {
  options_.schema = ParseSchema(kFolderSchema, "s.toml");
  for (int i = 0; i < 3000; ++i)
    File((i % 3 == 0 ? "in/bad/" : "in/good/") + std::to_string(i),
         std::to_string(i));
  options_.inputs = {folder_ / "in"};
  options_.shards = 3;
  options_.find_duplicates = true;
  std::vector<std::string> hashes;
  for (const int threads : {1, 4}) {
    options_.threads = threads;
    options_.out = folder_ / std::to_string(threads);
    const PrepareReport report = Prepare(options_);
    EXPECT_EQ(report.duplicates->records, 0U);
    for (const PartReport& part : report.parts)
      hashes.push_back(Shard::Open(part.file).content_hash());
  }
  EXPECT_THAT(std::vector(hashes.begin(), hashes.begin() + 3),
              ElementsAreArray(hashes.begin() + 3, hashes.end()));
}

TEST_F(TextFilesTest, WhatIsNoSuchFolderIsRefusedByName) {
  options_.schema = ParseSchema(kFolderSchema, "s.toml");
  options_.inputs = {File("a.csv", "x\n")};
  EXPECT_THAT(Error(), HasSubstr("a.csv: is no folder; a schema with [text]"));
  File("in/bad/1", "a");
  File("in/ugly/1", "b");
  options_.inputs = {folder_ / "in"};
  EXPECT_THAT(Error(), HasSubstr("ugly: is no class of the schema"));
  fs::remove_all(folder_ / "in/ugly");
  File("in/good/1.gz", "not packed");
  EXPECT_THAT(Error(), HasSubstr("1.gz: is not gzip data"));
  options_.strict = false;
  const PrepareReport report = Prepare(options_);
  EXPECT_EQ(report.counts.faults[static_cast<std::size_t>(RowFault::kFile)],
            1U);
  options_.partition = ParsePartition("by:x");
  EXPECT_THAT(Error(), HasSubstr("text files have none"));
}

// Two letters say which class it is, somewhere in the noise: only a model that
// looks at all places tells.
TEST_F(TextFilesTest, ATinyTransformerLearnsFromThem) {
  options_.schema = ParseSchema(kColumnSchema + "length = 12\n", "s.toml");
  std::mt19937 random(3);
  std::string csv = "review,mood\n";
  for (int i = 0; i < 256; ++i) {
    std::string text;
    for (unsigned j = 0; j < 4 + random() % 8; ++j)
      text += static_cast<char>('a' + random() % 20);
    text[random() % text.size()] = i % 2 == 0 ? 'y' : 'z';
    csv += text + "," + std::to_string(i % 2) + "\n";
  }
  options_.inputs = {File("a.csv", csv)};
  const Shard shard = Prepared();
  ModelSpec spec = Preset("tiny-transformer", 2);
  ASSERT_EQ(EncodingFor(spec.layers), Encoding::kCodes);
  CheckColumns(spec.layers, shard.columns());
  spec.inputs = shard.features();
  const auto rows = static_cast<int>(shard.rows());
  const auto network = MakeCpuNetwork(spec, rows);
  std::vector<float> weights(ParameterCount(spec));
  Initialise(spec, {1}, weights);
  std::vector<std::uint32_t> all(shard.rows());
  std::iota(all.begin(), all.end(), 0U);
  std::vector<float> features(all.size() *
                              static_cast<std::size_t>(shard.features()));
  std::vector<float> labels(all.size());
  shard.Gather(all, features, labels);
  const Batch batch{rows, features, labels};
  std::vector<float> sum(weights.size());
  for (int step = 0; step < 60; ++step) {
    std::fill(sum.begin(), sum.end(), 0.0F);
    network->AddClippedSum(weights, batch, 1.0, sum);
    for (std::size_t i = 0; i < sum.size(); ++i)
      weights[i] -= 0.5F * sum[i] / static_cast<float>(rows);
  }
  EXPECT_GT(network->Evaluate(weights, batch).correct, rows * 9 / 10);
}

}  // namespace
}  // namespace hearsay::model::prep
