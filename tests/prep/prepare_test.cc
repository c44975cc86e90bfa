#include "model/prep/prepare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>

#include "model/digest.h"
#include "model/shard.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::model::prep {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
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
    options_.strict = true;
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
  EXPECT_EQ(report.counts.read, 7U);
  EXPECT_EQ(report.counts.left_out, 1U);
  EXPECT_EQ(report.counts.bad(), 0U);
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
         "values a place by missing = \"category\", or drop such rows by "
         "missing = \"drop\"");
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
  options_.strict = false;
  const PrepareReport report = Prepare(options_);
  EXPECT_EQ(report.counts.bad(), 4U);
  EXPECT_EQ(report.parts[0].rows, 2U);
  ASSERT_EQ(report.counts.first_bad.size(), 4U);
  EXPECT_THAT(report.counts.first_bad[1], HasSubstr("a.csv:4: 1 fields"));
  // A bad row left no half of itself behind.
  EXPECT_EQ(Shard::Open(report.parts[0].file).rows(), 2U);
}

TEST_F(PrepareTest, RefusesFilesWithoutTheColumnsOrRows) {
  options_.inputs = {File("a.csv", "age,sex,town\n20,F,Oslo\n")};
  EXPECT_EQ(Error(), (folder_ / "a.csv").string() +
                         ": the schema needs the columns hours, job, but the "
                         "file has age, sex, town");
  options_.inputs = {File("b.csv", kHeader)};
  EXPECT_THAT(Error(), HasSubstr("b.csv: has no rows"));
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
  EXPECT_EQ(FilesOut(), 6);  // partition.json too
  options_.replace = true;
  Prepare(options_);
  EXPECT_EQ(FilesOut(), 3);
  // A mistake in the input costs nothing that was there.
  options_.inputs = {File("bad.csv", "x\n1\n")};
  EXPECT_NE(Error(), "no error");
  EXPECT_EQ(FilesOut(), 3);
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

std::string BytesOf(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Threads, blocks and where rows wait are nobody's business but prep's.
TEST_F(PrepareTest, TheSameBytesForAnyNumberOfThreadsAndAnyMemory) {
  std::string text = kHeader;
  for (int i = 0; i < 3000; ++i)
    text += i % 7 == 0 ? "20,X,1,Oslo,1\n"
            : i % 11 == 0
                ? "20,\"F\"\n"
                : std::to_string(15 + i % 40) + ",\"M\"," + std::to_string(i) +
                      ",\"a\nb\"," + std::to_string(i % 2) + "\n";
  options_.inputs = {File("a.csv", text), Rows("b.csv", 500), Rows("c.csv", 1),
                     Rows("d.csv", 2000, 3000)};
  options_.strict = false;
  options_.eval_fraction = 0.1;
  options_.find_duplicates = true;
  options_.replace = true;
  for (const char* partition :
       {"iid", "dirichlet:1", "quantity:2", "labels:2", "by:town", "by:file"}) {
    SCOPED_TRACE(partition);
    options_.partition = ParsePartition(partition);
    options_.shards = options_.partition.column.empty() ? 3 : 2;
    std::map<std::string, std::string> expected;
    std::optional<PrepareReport> first;
    for (const int threads : {1, 3})
      for (const std::size_t block : {std::size_t{700}, kCsvBlockBytes})
        for (const std::uint64_t memory :
             {std::uint64_t{8000}, std::uint64_t{1} << 30}) {
          options_.threads = threads;
          options_.block_bytes = block;
          options_.memory_bytes = memory;
          const PrepareReport report = Prepare(options_);
          EXPECT_EQ(report.spilled_bytes > 0, memory <= 8000);
          std::map<std::string, std::string> files;
          for (const auto& entry : fs::directory_iterator(options_.out))
            files[entry.path().filename().string()] = BytesOf(entry.path());
          if (!first) {
            first = report;
            expected = files;
            EXPECT_EQ(files.size(), report.parts.size() + 2);
          }
          EXPECT_EQ(files, expected);
          EXPECT_EQ(report.counts.first_bad, first->counts.first_bad);
          EXPECT_EQ(report.counts.faults, first->counts.faults);
          EXPECT_EQ(report.duplicates->records, first->duplicates->records);
          EXPECT_EQ(report.duplicates->across, first->duplicates->across);
        }
    EXPECT_EQ(first->counts.first_bad.size(), 10U);
    EXPECT_GT(first->duplicates->records, 0U);
  }
}

// A hash of every row, in the order of the input, against those of the shards.
TEST_F(PrepareTest, ShardsAreDisjointAndCompleteByTheHashesOfTheirRows) {
  options_.inputs = {Rows("a.csv", 700), Rows("b.csv", 300, 700)};
  options_.replace = true;
  const auto hashes = [&](const std::vector<fs::path>& files) {
    std::multiset<std::string> all;
    for (const fs::path& file : files) {
      const Shard shard = Shard::Open(file);
      for (std::uint32_t row = 0; row < shard.rows(); ++row) {
        std::vector<float> features(static_cast<std::size_t>(shard.features()));
        std::vector<float> label(1);
        shard.Gather({&row, 1}, features, label);
        features.push_back(label[0]);
        Digest digest;
        digest.Add(std::as_bytes(std::span(features)));
        all.insert(digest.Hex());
      }
    }
    return all;
  };
  const auto whole = hashes({Prepare(options_).parts[0].file});
  ASSERT_EQ(std::set<std::string>(whole.begin(), whole.end()).size(), 1000U);
  options_.eval_fraction = 0.2;
  for (const char* partition : {"iid", "dirichlet:0.5", "quantity:1",
                                "labels:2", "by:job", "by:file"}) {
    options_.partition = ParsePartition(partition);
    options_.shards = 2;
    const PrepareReport report = Prepare(options_);
    std::vector<fs::path> files = {report.eval->file};
    for (const PartReport& part : report.parts) files.push_back(part.file);
    EXPECT_EQ(hashes(files), whole) << partition;
  }
}

TEST_F(PrepareTest, WritesWhatItDealtForItsOwnerOnly) {
  options_.inputs = {Rows("a.csv", 100)};
  options_.shards = 2;
  options_.partition = ParsePartition("dirichlet:3");
  options_.eval_fraction = 0.1;
  const PrepareReport report = Prepare(options_);
  const fs::path file = options_.out / "partition.json";
  EXPECT_EQ(fs::status(file).permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
  const auto facts = nlohmann::json::parse(BytesOf(file));
  EXPECT_EQ(facts["partition"], "dirichlet");
  EXPECT_EQ(facts["alpha"], 3);
  ASSERT_EQ(facts["shards"].size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(facts["shards"][i]["rows"], report.parts[i].rows);
    EXPECT_EQ(facts["shards"][i]["class_counts"]["yes"],
              report.parts[i].class_counts[1]);
  }
  EXPECT_EQ(facts["evaluation"]["rows"], 10);
}

TEST_F(PrepareTest, FindsCopiesAndWhereTheyAre) {
  const std::string row = "20,F,1,Oslo,1\n";
  options_.inputs = {File("a.csv", kHeader + row + "20,F,2,Oslo,1\n" + row),
                     File("b.csv", kHeader + row + "20,F,3,Oslo,1")};
  options_.eval_inputs = {
      File("e.csv", std::string(kHeader) + "20,F,2,Oslo,1\r\n")};
  options_.partition = ParsePartition("by:file");
  EXPECT_FALSE(Prepare(options_).duplicates);
  options_.find_duplicates = true;
  options_.replace = true;
  const auto found = Prepare(options_).duplicates;
  ASSERT_TRUE(found);
  EXPECT_EQ(found->records, 3U);
  EXPECT_EQ(found->across, 2U);
}

TEST_F(PrepareTest, TheFirstErrorOfTheInputWinsWhateverTheThreads) {
  std::string bad = kHeader;
  for (int i = 0; i < 2000; ++i)
    bad += i == 1500 ? "20,X,1,Oslo,1\n" : "20,F,1,Oslo,1\n";
  options_.inputs = {Rows("a.csv", 3000), File("b.csv", bad),
                     File("c.csv", "no,such,columns\n1,2,3\n"),
                     File("d.csv", "")};
  options_.threads = 4;
  options_.block_bytes = 1000;
  for (int i = 0; i < 20; ++i)
    EXPECT_THAT(Error(), HasSubstr("b.csv:1502: column sex"));
}

TEST_F(PrepareTest, MissingValuesHaveAPlaceOrCostTheRow) {
  options_.schema = ParseSchema(
      "name = \"m\"\n[csv]\nmissing = [\"\", \"-9\"]\n"
      "[label]\nname = \"y\"\nclasses = [{ name = \"no\", when = \"y = 0\" }, "
      "{ name = \"yes\" }]\n"
      "[[column]]\nname = \"a\"\nkind = \"integer\"\nmin = -10\nmax = 10\n"
      "missing = \"drop\"\n"
      "[[column]]\nname = \"b\"\nkind = \"categorical\"\n"
      "categories = [\"x\", \"z\"]\nfill = \"z\"\n"
      "[[column]]\nname = \"c\"\nkind = \"binned\"\nedges = [0, 1, 2]\n"
      "fill = 1.5\n"
      "[[column]]\nname = \"d\"\nkind = \"boolean\"\nfill = true\n"
      "indicator = true\n"
      "[[column]]\nname = \"old\"\nkind = \"boolean\"\n"
      "when = \"a > 4 or y = 0\"\n",
      "s.toml");
  options_.inputs = {File("a.csv",
                          "a,b,c,d,y\n5,x,0,no,0\n,x,0,no,0\n-9,x,0,no,0\n"
                          "-5,,,,1\n0,z,-9,TRUE,1\n")};
  const PrepareReport report = Prepare(options_);
  EXPECT_EQ(report.counts.dropped, 2U);
  EXPECT_EQ(report.counts.bad(), 0U);
  // a | x z | two bins | d, was it missing | old
  EXPECT_THAT(Features(Shard::Open(report.parts[0].file)),
              ElementsAre(0.5, 1, 0, 1, 0, -1, -1, 1,  //
                          -0.5, 0, 1, 0, 1, 1, 1, -1,  //
                          0, 0, 1, 0, 1, 1, -1, -1));
  options_.replace = true;
  const auto error = [&](const std::string& row) {
    options_.inputs = {File("b.csv", "a,b,c,d,y\n" + row + "\n")};
    return Error();
  };
  EXPECT_THAT(error("1.5,x,0,no,0"),
              HasSubstr("column a: \"1.5\" is not a whole number"));
  EXPECT_THAT(error("1,x,0,maybe,0"),
              HasSubstr("column d: \"maybe\" is none of the categories 0"));
}

TEST_F(PrepareTest, TellsItsProgress) {
  options_.inputs = {Rows("a.csv", 40'000), Rows("b.csv", 40'000, 40'000)};
  std::vector<Progress> seen;
  options_.progress = [&](const Progress& progress) {
    seen.push_back(progress);
  };
  Prepare(options_);
  ASSERT_GE(seen.size(), 2U);
  for (std::size_t i = 1; i < seen.size(); ++i) {
    EXPECT_GT(seen[i].bytes_read, seen[i - 1].bytes_read);
    EXPECT_GT(seen[i].rows_read, seen[i - 1].rows_read);
  }
  EXPECT_EQ(seen.front().file, folder_ / "a.csv");
  EXPECT_EQ(seen.back().file, folder_ / "b.csv");
  EXPECT_EQ(seen.back().rows_read, 80'000U);
  EXPECT_EQ(seen.back().bytes_read, seen.back().bytes_total);
  EXPECT_EQ(seen[1].bytes_total, fs::file_size(options_.inputs[0]) +
                                     fs::file_size(options_.inputs[1]));
}

constexpr const char* kDerived = R"(
name = "derived"
[csv]
missing = ["", "-9"]
[label]
name = "y"
classes = [{ name = "no", when = "y = 0" }, { name = "yes" }]
[[column]]
name = "rate"
kind = "numeric"
value = "(gain - loss) / hours"
min = -2
max = 2
fill = 1
indicator = true
[[column]]
name = "span"
kind = "binned"
value = "gain - loss"
edges = [0, 10, 20]
missing = "category"
[[column]]
name = "pairs"
kind = "integer"
value = "hours / 2"
min = 0
max = 100
missing = "drop"
)";

TEST_F(PrepareTest, DerivesNumbersFromColumns) {
  options_.schema = ParseSchema(kDerived, "s.toml");
  options_.inputs = {File("a.csv",
                          "hours,gain,loss,y\n"
                          "10,12,2,0\n"
                          "4,1,0.5,1\n"
                          "2,100,0,1\n"  // clamped
                          "2,,7,0\n"     // filled
                          "2,8,-9,0\n"   // a number that means missing
                          ",1,1,0\n")};  // dropped
  const PrepareReport report = Prepare(options_);
  EXPECT_EQ(report.counts.dropped, 1U);
  const Shard shard = Shard::Open(report.parts.at(0).file);
  EXPECT_THAT(Features(shard),
              ElementsAre(0.5F, -1, 0, 1, 0, -0.9F,      // 1, 10, 5
                          0.0625F, -1, 1, 0, 0, -0.96F,  // 0.125, 0.5, 2
                          1, -1, 0, 1, 0, -0.98F,        // 50, 100, 1
                          0.5F, 1, 0, 0, 1, -0.98F,      // missing
                          0.5F, 1, 0, 0, 1, -0.98F));
}

TEST_F(PrepareTest, RowsWithoutADerivedNumberAreBad) {
  options_.schema = ParseSchema(kDerived, "s.toml");
  const auto error = [this](const std::string& row) {
    options_.inputs = {
        File("a.csv", "hours,gain,loss,y\n4,1,1,0\n" + row + "\n")};
    return Error();
  };
  EXPECT_THAT(error("0,1,2,0"),
              HasSubstr("a.csv:3: \"(gain - loss) / hours\" divides by zero"));
  EXPECT_THAT(error("1,x,2,0"),
              HasSubstr("a.csv:3: column gain: \"x\" is not a finite number"));
  EXPECT_THAT(error("1e-300,1e300,2,0"), HasSubstr("beyond what a number"));
  EXPECT_THAT(error("3,1,2,0"),
              HasSubstr("column pairs: \"hours / 2\" is not a whole number"));
  EXPECT_THAT(error("2,1,2,0"), "no error");
  options_.replace = true;
  options_.inputs = {File("b.csv", "hours,gain,y\n1,2,0\n")};
  EXPECT_THAT(Error(), HasSubstr("b.csv: the schema needs the column loss"));
}

TEST_F(PrepareTest, ParquetIsNamedAndWhatReadsIt) {
  options_.inputs = {
      File("a.parquet", std::string("PAR1\x15\x00\x15\x08", 8) + "PAR1")};
  EXPECT_THAT(Error(),
              AllOf(HasSubstr("a.parquet: is Parquet, which prep does not "
                              "read: ops/spark/prep.py"),
                    HasSubstr("duckdb -c \"COPY (SELECT * FROM '"),
                    HasSubstr("a.csv'\"")));
  // A column may be called so.
  options_.schema = ParseSchema(
      "name = \"s\"\n[label]\nname = \"y\"\nclasses = [{name = \"n\", when = "
      "\"PAR1 = 0\"}, {name = \"y\"}]\n[[column]]\nname = \"PAR1\"\nkind = "
      "\"boolean\"\n",
      "s.toml");
  options_.inputs = {File("b.csv", "PAR1\n0\n1\n")};
  EXPECT_THAT(Error(), "no error");
}

}  // namespace
}  // namespace hearsay::model::prep
