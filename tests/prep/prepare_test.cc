#include "model/prep/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>

#include "model/shard.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::model::prep {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using tests::TemporaryFolder;

constexpr const char* kSchema = R"(
name = "people"
keep = "age >= 16"
[csv]
missing = ["", "?"]
[label]
name = "works"
classes = [{ name = "no", when = "job in {0}" }, { name = "yes", when = "job = 1" }]
[[column]]
name = "age"
kind = "binned"
min = 15
max = 30
width = 5
[[column]]
name = "sex"
kind = "categorical"
categories = [{ name = "female", values = ["F", "f"] }, "M"]
[[column]]
name = "hours"
kind = "numeric"
min = 0
max = 80
fill = 20
indicator = true
[[column]]
name = "town"
kind = "categorical"
categories = ["Oslo"]
other = true
missing = "category"
)";

constexpr const char* kHeader = "age,sex,hours,town,job\n";

class PrepareTest : public testing::Test {
 protected:
  PrepareTest() {
    options_.schema = ParseSchema(kSchema, "s.toml");
    options_.out = folder_ / "out";
  }

  fs::path File(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }

  // `count` good rows; hours tell them apart.
  fs::path Rows(const std::string& name, int count, int first = 0) {
    std::string text = kHeader;
    for (int i = first; i < first + count; ++i)
      text += "20,F," + std::to_string(i * 0.01) + ",Oslo," +
              std::to_string(i % 2) + "\n";
    return File(name, text);
  }

  std::string Error() {
    try {
      Prepare(options_);
    } catch (const std::exception& error) {
      return error.what();
    }
    return "no error";
  }

  std::string ErrorOfRow(const std::string& row) {
    options_.inputs = {
        File("bad.csv", kHeader + std::string("20,F,1,Oslo,1\n") + row + "\n")};
    const std::string error = Error();
    EXPECT_FALSE(fs::exists(options_.out / "part-0.safetensors"));
    return error;
  }

  // All rows as the network sees them.
  static std::vector<float> Features(const Shard& shard) {
    std::vector<std::uint32_t> rows(shard.rows());
    std::iota(rows.begin(), rows.end(), 0U);
    std::vector<float> features(rows.size() *
                                static_cast<std::size_t>(shard.features()));
    std::vector<float> labels(rows.size());
    shard.Gather(rows, features, labels);
    return features;
  }

  int FilesOut() {
    return static_cast<int>(
        std::distance(fs::directory_iterator(options_.out), {}));
  }

  TemporaryFolder folder_;
  PrepareOptions options_;
};

TEST_F(PrepareTest, EncodesEachKindOfColumnByHand) {
  options_.inputs = {File("a.csv", std::string(kHeader) +
                                       "16,F,0,Oslo,0\n"
                                       "24,f,80,Rome,1\n"
                                       "25,M,20,,1\n"
                                       "99,M,1000,?,0\n"   // clamped twice
                                       "15,M,20,Oslo,0\n"  // not kept
                                       "20,M,?,Oslo,1\n"
                                       "20.5,M,60,Oslo,1\n")};
  options_.partition = ParsePartition("by:file");
  const PrepareReport report = Prepare(options_);
  EXPECT_EQ(report.read, 7U);
  EXPECT_EQ(report.left_out, 1U);
  EXPECT_EQ(report.bad, 0U);
  ASSERT_EQ(report.parts.size(), 1U);
  EXPECT_THAT(report.parts[0].class_counts, ElementsAre(2, 4));
  EXPECT_EQ(report.parts[0].source, "a.csv");
  const Shard shard = Shard::Open(report.parts[0].file);
  EXPECT_EQ(shard.name(), "people");
  EXPECT_EQ(shard.source(), "a.csv");
  EXPECT_EQ(shard.public_size(), 6);
  EXPECT_EQ(shard.schema_fingerprint(), report.fingerprint);
  EXPECT_EQ(shard.features(), report.features);
  // 15-19 20-24 25-29 | female M | hours missing | Oslo other missing
  EXPECT_THAT(Features(shard), ElementsAre(1, 0, 0, 1, 0, -1, -1, 1, 0, 0,    //
                                           0, 1, 0, 1, 0, 1, -1, 0, 1, 0,     //
                                           0, 0, 1, 0, 1, -0.5, -1, 0, 0, 1,  //
                                           0, 0, 1, 0, 1, 1, -1, 0, 0, 1,     //
                                           0, 1, 0, 0, 1, -0.5, 1, 1, 0, 0,   //
                                           0, 1, 0, 0, 1, 0.5, -1, 1, 0, 0));
}

TEST_F(PrepareTest, FindsColumnsByNameWhateverTheirOrder) {
  options_.inputs = {
      File("a.csv", std::string(kHeader) + "16,F,0,Oslo,0\n"),
      File("b.csv", "job,extra,town,hours,sex,age\n0,x,Oslo,0,F,16\n")};
  options_.partition = ParsePartition("by:file");
  const PrepareReport report = Prepare(options_);
  const Shard a = Shard::Open(report.parts[0].file);
  const Shard b = Shard::Open(report.parts[1].file);
  EXPECT_EQ(Features(a), Features(b));
  EXPECT_EQ(a.content_hash(), b.content_hash());
}

TEST_F(PrepareTest, ScalesARegressionLabelByItsPublicBounds) {
  options_.schema = ParseSchema(
      "name = \"r\"\n[label]\nname = \"pay\"\ncolumn = \"pay\"\nmin = 10\n"
      "max = 30\n[[column]]\nname = \"x\"\nkind = \"numeric\"\nmin = 0\n"
      "max = 1\n",
      "s.toml");
  options_.inputs = {File("a.csv", "x,pay\n0,10\n1,25\n0.5,99\n")};
  options_.partition = ParsePartition("by:file");
  const Shard shard = Shard::Open(Prepare(options_).parts[0].file);
  EXPECT_EQ(shard.classes(), 0);
  std::vector<float> features(3);
  std::vector<float> labels(3);
  shard.Gather(std::vector<std::uint32_t>{0, 1, 2}, features, labels);
  EXPECT_THAT(labels, ElementsAre(-1, 0.5, 1));
  EXPECT_THAT(features, ElementsAre(-1, 1, 0));
  options_.inputs = {File("b.csv", "x,pay\n0,\n")};
  options_.replace = true;
  EXPECT_THAT(Error(), HasSubstr("b.csv:2: column pay: the label is missing"));
}

TEST_F(PrepareTest, NamesPlaceValueAndWhatIsAllowed) {
  const std::string place = (folder_ / "bad.csv").string() + ":3: ";
  const auto expect = [&](const std::string& row, const std::string& what) {
    EXPECT_EQ(ErrorOfRow(row), place + what) << row;
  };
  expect("20,F,1,Oslo", "4 fields, the header has 5");
  expect("20,F,1,Oslo,1,1", "6 fields, the header has 5");
  expect("20,X,1,Oslo,1",
         "column sex: \"X\" is none of the categories F, f, M");
  expect("20,,1,Oslo,1",
         "column sex: the value is missing (\"\"); the schema may give missing "
         "values a place by missing = \"category\"");
  expect("20,F,NaN,Oslo,1", "column hours: \"NaN\" is not a finite number");
  expect("20,F,inf,Oslo,1", "column hours: \"inf\" is not a finite number");
  expect("20,F,1e999,Oslo,1", "column hours: \"1e999\" is not a finite number");
  expect("20,F,1;5,Oslo,1", "column hours: \"1;5\" is not a finite number");
  expect("old,F,1,Oslo,1",
         "column age: \"old\" is not a number, but \"age >= 16\" needs one");
  expect("?,F,1,Oslo,1",
         "column age is missing here, but \"age >= 16\" needs it");
  expect("20,F,1,Oslo,2", "no class of the label works holds for job = \"2\"");
  expect("20,F,1,Oslo,",
         "column job is missing here, but \"job in {0}\" needs it");
}

TEST_F(PrepareTest, CountsBadRowsInsteadIfAsked) {
  options_.inputs = {File("a.csv", std::string(kHeader) +
                                       "20,F,1,Oslo,1\n20,X,1,Oslo,1\n20\n"
                                       "20,F,nan,Oslo,1\n20,F,1,Oslo,7\n"
                                       "20,M,1,Oslo,0\n")};
  options_.skip_bad = true;
  const PrepareReport report = Prepare(options_);
  EXPECT_EQ(report.bad, 4U);
  EXPECT_EQ(report.parts[0].rows, 2U);
  ASSERT_EQ(report.first_bad.size(), 3U);
  EXPECT_THAT(report.first_bad[1], HasSubstr("a.csv:4: 1 fields"));
  // A bad row left no half of itself behind.
  EXPECT_EQ(Shard::Open(report.parts[0].file).rows(), 2U);
}

TEST_F(PrepareTest, RefusesFilesWithoutTheColumnsOrRows) {
  options_.inputs = {File("a.csv", "age,sex,town\n20,F,Oslo\n")};
  EXPECT_EQ(Error(), (folder_ / "a.csv").string() +
                         ": the schema needs the columns hours, job, but the "
                         "file has age, sex, town");
  options_.inputs = {File("b.csv", kHeader)};
  EXPECT_THAT(Error(), HasSubstr("b.csv: has no rows below its header"));
  options_.inputs = {File("c.csv", "")};
  EXPECT_THAT(Error(), HasSubstr("c.csv: is empty"));
  options_.inputs = {File("d.csv", std::string(kHeader) + "3,F,1,Oslo,1\n")};
  EXPECT_THAT(Error(), HasSubstr("no row of the input is left"));
  options_.inputs = {Rows("e.csv", 5), File("f.csv", "age\n1\n")};
  EXPECT_THAT(Error(), HasSubstr("f.csv: the schema needs the columns"));
  EXPECT_EQ(FilesOut(), 0);
}

TEST_F(PrepareTest, DealsEveryRowToExactlyOneShard) {
  options_.inputs = {Rows("a.csv", 300), Rows("b.csv", 200, 300)};
  options_.shards = 4;
  options_.eval_fraction = 0.1;
  const PrepareReport report = Prepare(options_);
  ASSERT_EQ(report.parts.size(), 4U);
  ASSERT_TRUE(report.eval);
  EXPECT_EQ(report.eval->rows, 50U);
  std::vector<PartReport> all = report.parts;
  all.push_back(*report.eval);
  std::multiset<float> hours;
  for (const PartReport& part : all) {
    const Shard shard = Shard::Open(part.file);
    const auto features = Features(shard);
    for (std::size_t row = 0; row < shard.rows(); ++row)
      hours.insert(features[row * 10 + 5]);
    EXPECT_EQ(part.bytes, fs::file_size(part.file));
  }
  EXPECT_EQ(hours.size(), 500U);
  EXPECT_EQ(std::set<float>(hours.begin(), hours.end()).size(), 500U);
}

TEST_F(PrepareTest, TakesEvaluationFromFilesOfTheirOwn) {
  options_.inputs = {Rows("a.csv", 30)};
  options_.eval_inputs = {Rows("e.csv", 20, 50)};
  const PrepareReport report = Prepare(options_);
  EXPECT_EQ(report.eval->rows, 20U);
  EXPECT_EQ(report.parts[0].rows, 30U);
  EXPECT_EQ(Shard::Open(options_.out / "eval.safetensors").source(), "e.csv");
}

TEST_F(PrepareTest, GroupsByAColumnThatIsNoInput) {
  options_.inputs = {File("a.csv",
                          "age,sex,hours,town,job,state\n"
                          "20,F,1,Oslo,1,WY\n20,F,1,Oslo,0,ND\n"
                          "20,F,2,Oslo,1,WY\n")};
  options_.partition = ParsePartition("by:state");
  const PrepareReport report = Prepare(options_);
  ASSERT_EQ(report.parts.size(), 2U);
  EXPECT_EQ(report.parts[0].source, "state = WY");
  EXPECT_EQ(report.parts[0].rows, 2U);
  EXPECT_EQ(report.parts[1].rows, 1U);
  options_.partition = ParsePartition("by:county");
  options_.replace = true;
  EXPECT_THAT(Error(), HasSubstr("has no column county; it has age"));
}

TEST_F(PrepareTest, TheSameSeedMakesTheSameFiles) {
  options_.inputs = {Rows("a.csv", 100)};
  options_.shards = 2;
  const auto hash = [&](std::uint64_t seed) {
    options_.seed = seed;
    options_.replace = true;
    return Shard::Open(Prepare(options_).parts[0].file).content_hash();
  };
  const std::string first = hash(1);
  EXPECT_EQ(hash(1), first);
  EXPECT_NE(hash(2), first);
}

TEST_F(PrepareTest, RefusesOptionsThatContradictEachOther) {
  options_.inputs = {};
  EXPECT_THAT(Error(), HasSubstr("no input file"));
  options_.inputs = {Rows("a.csv", 10)};
  options_.eval_fraction = 1;
  EXPECT_THAT(Error(), HasSubstr("below 1"));
  options_.eval_fraction = 0.5;
  options_.eval_inputs = {Rows("e.csv", 10)};
  EXPECT_THAT(Error(), HasSubstr("exclude each other"));
  options_.eval_fraction = 0;
  options_.shards = -1;
  EXPECT_THAT(Error(), HasSubstr("--shards"));
  options_.shards = 11;
  EXPECT_THAT(Error(), HasSubstr("only 10 training rows"));
}

// A record in two shards would cost its owner twice the privacy.
TEST_F(PrepareTest, RefusesTheSameFileTwice) {
  const auto file = Rows("a.csv", 10);
  options_.inputs = {file, folder_.path() / "." / "a.csv"};
  EXPECT_THAT(Error(), HasSubstr("given twice"));
  options_.inputs = {file};
  options_.eval_inputs = {file};
  EXPECT_THAT(Error(), HasSubstr("given twice"));
}

TEST_F(PrepareTest, NeverMixesWithTheShardsOfAnEarlierRun) {
  options_.inputs = {Rows("a.csv", 100)};
  options_.shards = 5;
  Prepare(options_);
  options_.shards = 2;
  EXPECT_THAT(Error(), HasSubstr("already holds part-"));
  EXPECT_EQ(FilesOut(), 5);
  options_.replace = true;
  Prepare(options_);
  EXPECT_EQ(FilesOut(), 2);
  // A mistake in the input costs nothing that was there.
  options_.inputs = {File("bad.csv", "x\n1\n")};
  EXPECT_NE(Error(), "no error");
  EXPECT_EQ(FilesOut(), 2);
}

TEST_F(PrepareTest, ReportsAFolderThatCannotBeWritten) {
  options_.inputs = {Rows("a.csv", 10)};
  options_.out = File("file", "x") / "out";
  EXPECT_THAT(Error(), HasSubstr("cannot create this folder"));
  options_.out = folder_ / "locked";
  fs::create_directory(options_.out);
  fs::permissions(options_.out, static_cast<fs::perms>(0555));
  // Root may write everywhere, so it becomes nobody for a moment.
  fs::permissions(folder_.path(), fs::perms::all);
  const bool root = geteuid() == 0;
  ASSERT_EQ(seteuid(root ? 65534 : geteuid()), 0);
  const std::string error = Error();
  ASSERT_EQ(seteuid(root ? 0 : geteuid()), 0);
  EXPECT_THAT(error, HasSubstr("part-0.safetensors: cannot create a file here: "
                               "Permission denied"));
}

TEST_F(PrepareTest, LeavesNothingBehindWhenTheDiskFillsUp) {
  options_.inputs = {Rows("a.csv", 10), Rows("b.csv", 20'000, 10)};
  options_.partition = ParsePartition("by:file");
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto handler = signal(SIGXFSZ, SIG_IGN);
  const rlimit low{65'536, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &low);
  const std::string error = Error();
  setrlimit(RLIMIT_FSIZE, &old);
  signal(SIGXFSZ, handler);
  EXPECT_THAT(error, HasSubstr("part-1.safetensors: cannot write"));
  EXPECT_EQ(FilesOut(), 0);
}

TEST_F(PrepareTest, PublishesARoundSizeOrTheOneItIsGiven) {
  EXPECT_EQ(RoundPublicSize(7), 7);
  EXPECT_EQ(RoundPublicSize(99), 99);
  EXPECT_EQ(RoundPublicSize(104), 100);
  EXPECT_EQ(RoundPublicSize(105), 110);
  EXPECT_EQ(RoundPublicSize(12'737), 13'000);
  EXPECT_EQ(RoundPublicSize(99'500), 100'000);
  options_.inputs = {Rows("a.csv", 123)};
  EXPECT_EQ(Prepare(options_).parts[0].public_size, 120);
  options_.replace = true;
  options_.schema.public_size = 130;
  EXPECT_EQ(Prepare(options_).parts[0].public_size, 130);
  options_.public_size = 150;
  EXPECT_EQ(Prepare(options_).parts[0].public_size, 150);
}

TEST_F(PrepareTest, TellsItsProgress) {
  options_.inputs = {Rows("a.csv", 40'000), Rows("b.csv", 40'000, 40'000)};
  std::vector<Progress> seen;
  options_.progress = [&](const Progress& progress) {
    seen.push_back(progress);
  };
  Prepare(options_);
  ASSERT_EQ(seen.size(), 2U);
  EXPECT_EQ(seen[1].file, folder_ / "b.csv");
  EXPECT_GT(seen[1].bytes_read, seen[0].bytes_read);
  EXPECT_LE(seen[1].bytes_read, seen[1].bytes_total);
  EXPECT_EQ(seen[1].bytes_total, fs::file_size(options_.inputs[0]) +
                                     fs::file_size(options_.inputs[1]));
}

}  // namespace
}  // namespace hearsay::model::prep
