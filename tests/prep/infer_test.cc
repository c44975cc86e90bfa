// What is drafted from a file's first rows, and that nobody can use it unread.
#include "model/prep/infer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <fstream>
#include <regex>

#include "model/prep/prepare.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::model::prep {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class InferTest : public testing::Test {
 protected:
  std::string Infer(const std::string& text, const std::string& label = "") {
    std::ofstream(folder_ / "f.csv", std::ios::binary) << text;
    return InferSchema({.file = folder_ / "f.csv", .label = label});
  }
  std::string Error(const std::string& text, const std::string& label = "") {
    try {
      Infer(text, label);
    } catch (const FileError& error) {
      return error.what();
    }
    return "no error";
  }
  static std::string ErrorOf(const std::string& schema) {
    try {
      ParseSchema(schema, "s.toml");
    } catch (const FileError& error) {
      return error.what();
    }
    return "no error";
  }
  // As an owner would who has looked everything up.
  static std::string Declared(const std::string& schema) {
    return std::regex_replace(schema, std::regex("\npublic = false[^\n]*"), "");
  }

  tests::TemporaryFolder folder_;
};

std::string Mixed() {
  std::string text = "id;age;wage;sex;rich;note;y\n";
  for (int i = 0; i < 400; ++i)
    text += "person " + std::to_string(i) + ";" + std::to_string(17 + i % 80) +
            ";" + std::to_string(i * 1.5 + 0.25) + ";" +
            (i % 9 == 0   ? "NA"
             : i % 2 == 0 ? "F"
                          : "M") +
            ";" + std::to_string(i % 2) + ";;" + (i % 3 == 0 ? "a b" : "c") +
            "\n";
  return text;
}

TEST_F(InferTest, FindsTheTypesOfColumns) {
  const std::string schema = Infer(Mixed());
  EXPECT_THAT(
      schema,
      AllOf(HasSubstr("separator = \";\""),
            HasSubstr("Left out: column \"id\" is text"),
            HasSubstr("Left out: column \"note\" has no values"),
            // Rounded outwards: 17 to 96.
            HasSubstr("name = \"age\"\nkind = \"integer\"\npublic = false"),
            HasSubstr("min = 10\nmax = 100\n"),
            HasSubstr("name = \"wage\"\nkind = \"numeric\"\npublic = false"),
            HasSubstr("categories = [\"F\", \"M\"]\nmissing = \"category\""),
            HasSubstr("name = \"rich\"\nkind = \"boolean\""),
            HasSubstr("{ name = \"a b\", when = \"y = 'a b'\" }")));
}

TEST_F(InferTest, IsRefusedUntilItsOwnerDeclaresItPublic) {
  const std::string schema = Infer(Mixed());
  EXPECT_THAT(ErrorOf(schema), HasSubstr("inferred from private rows"));
  // Every mark counts, not the first alone.
  const std::regex mark("\npublic = false[^\n]*");
  const auto marks = std::distance(
      std::sregex_iterator(schema.begin(), schema.end(), mark), {});
  EXPECT_EQ(marks, 4);  // age, wage, sex, y
  std::string rest = schema;
  for (std::ptrdiff_t i = 0; i < marks; ++i) {
    EXPECT_THAT(ErrorOf(rest), HasSubstr("inferred from private rows")) << i;
    rest = std::regex_replace(rest, mark, "",
                              std::regex_constants::format_first_only);
  }
  EXPECT_EQ(ErrorOf(rest), "no error");
}

TEST_F(InferTest, ReadsItsOwnFileOnceDeclared) {
  PrepareOptions options;
  options.schema = ParseSchema(Declared(Infer(Mixed())), "s.toml");
  options.inputs = {folder_ / "f.csv"};
  options.out = folder_ / "out";
  options.strict = true;
  const PrepareReport report = Prepare(options);
  EXPECT_EQ(report.parts[0].rows, 400U);
  EXPECT_THAT(report.classes, testing::ElementsAre("a b", "c"));
  EXPECT_EQ(report.features, 1 + 1 + 3 + 1);
}

TEST_F(InferTest, NamesPrivateStatisticsAsTheOtherWayAndTheyAreTaken) {
  std::string schema = Infer(Mixed());
  EXPECT_THAT(schema,
              AllOf(HasSubstr("statistics = \"private\" in that column"),
                    HasSubstr("noise_multiplier = 50"),
                    HasSubstr("prep --ledger FOLDER")));
  schema = Declared(schema) + "[statistics]\nnoise_multiplier = 50\n";
  const std::string name = "name = \"wage\"\n";
  schema.insert(schema.find(name) + name.size(), "statistics = \"private\"\n");
  const Schema parsed = ParseSchema(schema, "s.toml");
  EXPECT_EQ(parsed.statistics_noise, 50);
  EXPECT_EQ(std::count_if(parsed.columns.begin(), parsed.columns.end(),
                          [](const InputColumn& column) {
                            return column.wants_statistics();
                          }),
            1);
}

TEST_F(InferTest, NamesColumnsThatHaveNoNames) {
  const std::string schema = Infer("1,2.5,x\n2,3.5,y\n3,?,x\n");
  EXPECT_THAT(schema, AllOf(HasSubstr("header = false"),
                            HasSubstr("columns = [\"column1\", \"column2\", "
                                      "\"column3\"]")));
  EXPECT_EQ(ErrorOf(Declared(schema)), "no error");
}

// A packed file, larger than what the separator is guessed from.
TEST_F(InferTest, ReadsAPackedFile) {
  std::string text = "a;b\n";
  for (int i = 0; i < 30'000; ++i)
    text += std::to_string(i) + ";" + std::to_string(i % 2) + "\n";
  const fs::path path = folder_ / "f.csv.gz";
  gzFile file = gzopen(path.c_str(), "wb");
  gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
  gzclose(file);
  EXPECT_THAT(InferSchema({.file = path}),
              AllOf(HasSubstr("30000 rows"), HasSubstr("separator = \";\"")));
}

TEST_F(InferTest, ALabelOfManyNumbersIsARegression) {
  std::string text = "pay,x\n";
  for (int i = 0; i < 50; ++i)
    text += std::to_string(1000 + i * 37) + "," + std::to_string(i % 4) + "\n";
  const std::string schema = Infer(text, "pay");
  EXPECT_THAT(schema, HasSubstr("column = \"pay\""));
  EXPECT_EQ(ErrorOf(Declared(schema)), "no error");
}

TEST_F(InferTest, SaysWhyItCannot) {
  EXPECT_THAT(Error(""), HasSubstr("is empty"));
  EXPECT_THAT(Error("a\n1\n"), HasSubstr("one column only"));
  EXPECT_THAT(Error("a,b\n"), HasSubstr("no rows that fit"));
  EXPECT_THAT(Error("a,b\n1\n2\n"), HasSubstr("no rows that fit"));
  EXPECT_THAT(Error("a,b\n1,2\n", "c"), HasSubstr("has no column c"));
  EXPECT_THAT(Error("a,b\n1,x\n2,x\n"), HasSubstr("too few different values"));
}

}  // namespace
}  // namespace hearsay::model::prep
