#include "model/prep/schema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace hearsay::model::prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kLabel =
    "[label]\nname = \"l\"\n"
    "classes = [{name = \"a\", when = \"x = 1\"}, {name = \"b\"}]\n";

// `body` follows four lines of a good schema: its own first line is line 5.
std::string ErrorOf(const std::string& body) {
  try {
    ParseSchema(std::string("name = \"s\"\n") + kLabel + body, "s.toml");
  } catch (const FileError& error) {
    return error.what();
  }
  return "no error";
}

std::string Column(const std::string& rest) {
  return "[[column]]\nname = \"x\"\n" + rest;
}

TEST(SchemaTest, DescribesTheColumnsOfItsShards) {
  const Schema schema = ParseSchema(
      std::string("name = \"s\"\nkeep = \"x > 2\"\n") + kLabel +
          Column("kind = \"categorical\"\nother = true\nmissing = \"category\""
                 "\ncategories = [1, \"b\", [\"c\", \"C\"], "
                 "{name = \"four\", values = [4, \"IV\"]}]\n") +
          "[[column]]\nname = \"age\"\nfrom = \"AGEP\"\nkind = \"binned\"\n"
          "min = 15\nmax = 27\nwidth = 5\n"
          "[[column]]\nname = \"gain\"\nkind = \"binned\"\n"
          "edges = [0, 0.5, 10]\nmissing = \"category\"\n"
          "[[column]]\nname = \"hours\"\nkind = \"numeric\"\nmin = 1\n"
          "max = 99\nfill = 40\nindicator = true\n",
      "s.toml");
  const auto columns = ShardColumns(schema);
  ASSERT_EQ(columns.size(), 5U);
  EXPECT_THAT(columns[0].categories,
              ElementsAre("1", "b", "c", "four", "other", "missing"));
  EXPECT_THAT(columns[1].categories, ElementsAre("15-19", "20-24", "25-26"));
  EXPECT_THAT(columns[2].categories,
              ElementsAre("[0,0.5)", "[0.5,10)", "missing"));
  EXPECT_EQ(columns[3].maximum, 99);
  EXPECT_EQ(columns[4].name, "hours missing");
  EXPECT_THAT(MakeShardLabel(schema).classes, ElementsAre("a", "b"));
  EXPECT_EQ(schema.columns[1].from, "AGEP");
  EXPECT_EQ(schema.keep->text(), "x > 2");
}

TEST(SchemaTest, ReadsARegressionLabel) {
  const Schema schema = ParseSchema(
      "name = \"s\"\npublic_size = 500\n[label]\nname = \"pay\"\n"
      "column = \"WAGP\"\nmin = 0\nmax = 1e5\n" +
          Column("kind = \"numeric\"\nmin = 0\nmax = 1\n"),
      "s.toml");
  EXPECT_TRUE(schema.label.classes.empty());
  EXPECT_EQ(schema.label.maximum, 1e5);
  EXPECT_EQ(schema.public_size, 500);
}

TEST(SchemaTest, NamesFileLineAndNearestKeyOfAnUnknownOne) {
  EXPECT_EQ(ErrorOf(Column("kind = \"numeric\"\nmin = 0\nmaxx = 1\n")),
            "s.toml:9: column x: unknown key \"maxx\"; the nearest known key "
            "is \"max\"");
  EXPECT_THAT(ErrorOf("[csv]\nheadr = true\n"),
              HasSubstr("s.toml:6: csv: unknown key \"headr\"; the nearest "
                        "known key is \"header\""));
  EXPECT_THAT(ErrorOf("[colunm]\n"),
              HasSubstr("nearest known key is \"column\""));
  // A key of another kind of column is as wrong as a misspelt one.
  EXPECT_THAT(ErrorOf(Column("kind = \"categorical\"\ncategories = [1]\n"
                             "width = 5\n")),
              HasSubstr("unknown key \"width\""));
}

struct Bad {
  const char* what;
  std::string body;
};
void PrintTo(const Bad& bad, std::ostream* out) { *out << bad.what; }

class BadSchemaTest : public testing::TestWithParam<Bad> {};

TEST_P(BadSchemaTest, IsRefusedWithFileLineAndReason) {
  const std::string error = ErrorOf(GetParam().body);
  EXPECT_THAT(error, testing::MatchesRegex("s\\.toml:[0-9]+: .*"));
  EXPECT_THAT(error, HasSubstr(GetParam().what));
}

std::string Many(int count) {
  std::string list;
  for (int i = 0; i < count; ++i) list += std::to_string(i) + ", ";
  return Column("kind = \"categorical\"\ncategories = [" + list + "]\n");
}

INSTANTIATE_TEST_SUITE_P(
    Columns, BadSchemaTest,
    testing::Values(
        Bad{"at least one [[column]]", ""},
        Bad{"at least one [[column]]", "column = 3\n"},
        Bad{"needs the key \"kind\"", Column("")},
        Bad{"needs the key \"name\"", "[[column]]\nkind = \"numeric\"\n"},
        Bad{"must be \"categorical\", \"binned\", \"numeric\", "
            "\"integer\", \"boolean\" or \"text\", not \"num\"",
            Column("kind = \"num\"\n")},
        Bad{"kind: must be text", Column("kind = 3\n")},
        Bad{"needs the key \"categories\"", Column("kind = \"categorical\"\n")},
        Bad{"needs at least one",
            Column("kind = \"categorical\"\ncategories = []\n")},
        Bad{"\"1\" is there twice",
            Column("kind = \"categorical\"\ncategories = [1, 2, \"1\"]\n")},
        Bad{"the value \"2\" is there twice",
            Column("kind = \"categorical\"\ncategories = [[1, 2], [3, 2]]\n")},
        Bad{"needs text in quotes or whole numbers",
            Column("kind = \"categorical\"\ncategories = [1.5]\n")},
        Bad{"at most 255 fit", Many(256)},
        Bad{"names of the buckets",
            Column("kind = \"categorical\"\nother = true\n"
                   "categories = [\"other\"]\n")},
        Bad{"must be \"error\", \"category\" or \"drop\"",
            Column("kind = \"categorical\"\ncategories = [1]\n"
                   "missing = \"skip\"\n")},
        Bad{"is for categorical and binned columns",
            Column("kind = \"integer\"\nmin = 0\nmax = 1\n"
                   "missing = \"category\"\n")},
        Bad{"fill: stands instead of missing",
            Column("kind = \"integer\"\nmin = 0\nmax = 1\nfill = 0\n"
                   "missing = \"drop\"\n")},
        Bad{"fill: \"3\" is a value of no category",
            Column("kind = \"categorical\"\ncategories = [1]\nfill = 3\n")},
        Bad{"inferred from private rows",
            Column("kind = \"numeric\"\npublic = false\nmin = 0\nmax = 1\n")},
        Bad{"needs both true = [...] and false",
            Column("kind = \"boolean\"\ntrue = [1]\n")},
        Bad{"\"1\" is also true",
            Column("kind = \"boolean\"\ntrue = [1]\nfalse = [0, 1]\n")},
        Bad{"fill: must be true or false",
            Column("kind = \"boolean\"\nfill = 1\n")},
        Bad{"unknown key \"from\"",
            Column("kind = \"boolean\"\nwhen = \"a = 1\"\nfrom = \"b\"\n")},
        Bad{"when: \"a =\": at character 4",
            Column("kind = \"boolean\"\nwhen = \"a =\"\n")},
        Bad{"must be below max",
            Column("kind = \"numeric\"\nmin = 1\nmax = 1\n")},
        Bad{"must be a finite number",
            Column("kind = \"numeric\"\nmin = nan\nmax = 1\n")},
        Bad{"must be a finite number",
            Column("kind = \"numeric\"\nmin = \"0\"\nmax = 1\n")},
        Bad{"is too far from max",
            Column("kind = \"numeric\"\nmin = -1e308\nmax = 1e308\n")},
        Bad{"must lie between min and max",
            Column("kind = \"numeric\"\nmin = 0\nmax = 1\nfill = 2\n")},
        Bad{"needs fill",
            Column("kind = \"numeric\"\nmin = 0\nmax = 1\nindicator = true\n")},
        Bad{"must be positive",
            Column("kind = \"binned\"\nmin = 0\nmax = 1\nwidth = 0\n")},
        Bad{"too many bins",
            Column("kind = \"binned\"\nmin = 0\nmax = 1\nwidth = 1e-9\n")},
        Bad{"at most 255 fit",
            Column("kind = \"binned\"\nmin = 0\nmax = 1\nwidth = 0.001\n")},
        Bad{"must be increasing",
            Column("kind = \"binned\"\nedges = [0, 2, 2]\n")},
        Bad{"needs two or more", Column("kind = \"binned\"\nedges = [0]\n")},
        Bad{"stands instead",
            Column("kind = \"binned\"\nmin = 0\nedges = [0, 1]\n")},
        Bad{"two columns are called \"x\"",
            Many(2) + Column("kind = \"numeric\"\nmin = 0\nmax = 1\n")}));

INSTANTIATE_TEST_SUITE_P(
    Csv, BadSchemaTest,
    testing::Values(
        Bad{"must be one character", "[csv]\nseparator = \"::\"\n" + Many(2)},
        Bad{"must be true or false", "[csv]\ntrim = 1\n" + Many(2)},
        Bad{"needs columns", "[csv]\nheader = false\n" + Many(2)},
        Bad{"only for files without a header",
            "[csv]\ncolumns = [\"a\"]\n" + Many(2)},
        Bad{"is there twice",
            "[csv]\nheader = false\ncolumns = [\"a\", \"a\"]\n" + Many(2)},
        Bad{"must be an array", "[csv]\nmissing = \"\"\n" + Many(2)}));

std::string ErrorOfLabel(const std::string& label) {
  try {
    ParseSchema("name = \"s\"\n" + label + Many(2), "s.toml");
  } catch (const FileError& error) {
    return error.what();
  }
  return "no error";
}

TEST(SchemaTest, RefusesALabelThatSaysTooLittleOrTooMuch) {
  EXPECT_THAT(ErrorOfLabel(""), HasSubstr("needs a [label]"));
  EXPECT_THAT(ErrorOfLabel("[label]\nname = \"l\"\n"),
              HasSubstr("either classes"));
  EXPECT_THAT(
      ErrorOfLabel("[label]\nname = \"l\"\ncolumn = \"x\"\nclasses = []\n"),
      HasSubstr("either classes"));
  const std::string begin = "[label]\nname = \"l\"\nclasses = ";
  EXPECT_THAT(ErrorOfLabel(begin + "[{name = \"a\"}]\n"),
              HasSubstr("needs two or more"));
  EXPECT_THAT(ErrorOfLabel(begin + "[{name = \"a\"}, {name = \"b\"}]\n"),
              HasSubstr("must be the last"));
  EXPECT_THAT(ErrorOfLabel(begin + "[{name = \"a\", when = \"x = 1\"}, "
                                   "{name = \"a\"}]\n"),
              HasSubstr("\"a\" is there twice"));
  EXPECT_THAT(ErrorOfLabel(begin + "[{name = \"a\", when = \"x = \"}, "
                                   "{name = \"b\"}]\n"),
              HasSubstr("s.toml:4: label: classes: when: \"x = \": at "
                        "character 5: expected a value, found the end"));
  EXPECT_THAT(ErrorOfLabel(begin + "[{name = \"a\", when = \"x = 1\"}, "
                                   "{name = \"b\"}]\nmin = 0\n"),
              HasSubstr("belong to column"));
}

TEST(SchemaTest, PassesOnTheLineOfATomlError) {
  EXPECT_THAT(ErrorOf("[csv\n"), HasSubstr("s.toml:5: "));
  EXPECT_THAT(ErrorOf(Column("kind = \"numeric\"\nkind = \"binned\"\n")),
              HasSubstr("s.toml:8: "));
}

TEST(SchemaTest, EverySchemaThatWeShipIsGood) {
  const std::filesystem::path folder =
      std::filesystem::path(HEARSAY_SOURCE_DIR) / "ops/schemas";
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const Schema schema = LoadSchema(entry.path());
    EXPECT_EQ(schema.name, entry.path().stem().string());
    ++count;
    if (schema.images) continue;  // Of which a byte says the class.
    EXPECT_EQ(schema.label.classes.size(), 2U);
    // No class takes "all other rows": a damaged label must be noticed.
    for (const LabelClass& label : schema.label.classes)
      EXPECT_TRUE(label.when.has_value());
  }
  EXPECT_EQ(count, 6);
}

TEST(SchemaTest, RefusesAFileThatIsMissing) {
  EXPECT_THROW(LoadSchema("/nonexistent/s.toml"), FileError);
}

TEST(SchemaTest, SaysWhatIsWrongWithDerivedNumbers) {
  const std::string bounds = "kind = \"numeric\"\nmin = 0\nmax = 1\n";
  EXPECT_EQ(ErrorOf(Column(bounds + "value = \"x / y\"\n")), "no error");
  EXPECT_THAT(
      ErrorOf(Column(bounds + "value = \"x / 0\"\n")),
      HasSubstr("s.toml:10: column x: value: \"x / 0\": at character 5: "
                "expected a divisor that is not zero"));
  EXPECT_THAT(ErrorOf(Column(bounds + "from = \"y\"\nvalue = \"x\"\n")),
              HasSubstr("s.toml:11: column x: value: stands instead of from"));
  EXPECT_THAT(ErrorOf(Column("kind = \"numeric\"\nvalue = \"x\"\nmax = 1\n")),
              HasSubstr("needs the key \"min\""));
  EXPECT_THAT(ErrorOf(Column("kind = \"categorical\"\nvalue = \"x\"\n"
                             "categories = [1]\n")),
              HasSubstr("unknown key \"value\""));
}

TEST(SchemaTest, SaysWhatIsWrongWithText) {
  const std::string text = "kind = \"text\"\n";
  EXPECT_EQ(ErrorOf(Column(text + "length = 8\n")), "no error");
  EXPECT_THAT(ErrorOf(Column(text)), HasSubstr("needs the key \"length\""));
  for (const char* length : {"0", "2049", "1.5", "\"8\""})
    EXPECT_THAT(ErrorOf(Column(text + "length = " + length + "\n")),
                HasSubstr("s.toml:8: column x: length: must be"));
  EXPECT_THAT(ErrorOf(Column(text + "length = 8\npadding = \"left\"\n")),
              HasSubstr("padding: must be \"start\" or \"end\""));
  EXPECT_THAT(ErrorOf(Column(text + "length = 8\nmissing = \"category\"\n")),
              HasSubstr("missing: \"category\" is for"));
  // Names of places are names of columns.
  EXPECT_THAT(ErrorOf(Column(text + "length = 8\n") +
                      "[[column]]\nname = \"x 7\"\nkind = \"boolean\"\n"),
              HasSubstr("two columns are called \"x 7\""));
}

TEST(SchemaTest, TextFilesHaveNoColumns) {
  const std::string head =
      "name = \"s\"\n[label]\nname = \"l\"\nclasses = [\"a\", \"b\"]\n";
  const std::string text = "[text]\nlength = 3\npadding = \"start\"\n";
  const Schema schema = ParseSchema(head + text, "s.toml");
  EXPECT_EQ(ShardColumns(schema).size(), 3U);
  EXPECT_EQ(schema.text->padding, TextFormat::End::kStart);
  const auto error = [&](const std::string& more) {
    try {
      ParseSchema(head + more, "s.toml");
    } catch (const FileError& failed) {
      return std::string(failed.what());
    }
    return std::string("no error");
  };
  EXPECT_THAT(error(text + "[csv]\n"), HasSubstr("does not go with [text]"));
  EXPECT_THAT(error("[images]\nheight = 1\nwidth = 1\nchannels = 1\n" + text),
              HasSubstr("text: does not go with [images]"));
  EXPECT_THAT(error("[text]\nlength = 3\nwidth = 1\n"),
              HasSubstr("text: unknown key \"width\""));
}

}  // namespace
}  // namespace hearsay::model::prep
