#include "model/prep/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace hearsay::model::prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using Row = std::map<std::string, std::optional<std::string>>;

bool Holds(const std::string& text, const Row& row) {
  const Expression expression = Expression::Parse(text);
  std::vector<std::optional<std::string_view>> values;
  for (const std::string& column : expression.columns()) {
    const auto& value = row.at(column);
    values.push_back(value ? std::optional<std::string_view>(*value)
                           : std::nullopt);
  }
  return expression.Evaluate(values);
}

std::string ParseErrorOf(const std::string& text) {
  try {
    Expression::Parse(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

TEST(ExpressionTest, ComparesNumbersAsNumbers) {
  for (int age = -2; age <= 20; ++age) {
    const Row row = {{"AGE", std::to_string(age)}};
    EXPECT_EQ(Holds("AGE < 16", row), age < 16);
    EXPECT_EQ(Holds("AGE <= 16", row), age <= 16);
    EXPECT_EQ(Holds("AGE > 16", row), age > 16);
    EXPECT_EQ(Holds("AGE >= 16", row), age >= 16);
    EXPECT_EQ(Holds("AGE = 16", row), age == 16);
    EXPECT_EQ(Holds("AGE != 16", row), age != 16);
    EXPECT_EQ(Holds("AGE in {-1, 3, 16}", row),
              age == -1 || age == 3 || age == 16);
    EXPECT_EQ(Holds("AGE not in {-1, 3}", row), age != -1 && age != 3);
  }
  EXPECT_TRUE(Holds("x = 1", {{"x", "01"}}));
  EXPECT_TRUE(Holds("x = 1", {{"x", "1.0"}}));
  EXPECT_TRUE(Holds("x in {1e1}", {{"x", "+10"}}));
}

TEST(ExpressionTest, ComparesTextAsText) {
  EXPECT_TRUE(Holds("income = '>50K'", {{"income", ">50K"}}));
  EXPECT_FALSE(Holds("income = '>50K'", {{"income", ">50K."}}));
  EXPECT_TRUE(Holds("state = WY", {{"state", "WY"}}));
  EXPECT_FALSE(Holds("state = WY", {{"state", "wy"}}));
  // In quotes even digits are text.
  EXPECT_FALSE(Holds("zip = '01'", {{"zip", "1"}}));
  EXPECT_TRUE(Holds("'two words' in {a, 'b c'}", {{"two words", "b c"}}));
  EXPECT_TRUE(Holds("hours-per-week = 40", {{"hours-per-week", "40"}}));
}

// The whole truth table of the three connectives, against C++'s.
TEST(ExpressionTest, BindsNotBeforeAndBeforeOr) {
  for (int bits = 0; bits < 8; ++bits) {
    const bool a = bits & 1;
    const bool b = bits & 2;
    const bool c = bits & 4;
    const Row row = {
        {"a", a ? "1" : "0"}, {"b", b ? "1" : "0"}, {"c", c ? "1" : "0"}};
    EXPECT_EQ(Holds("a = 1 or b = 1 and c = 1", row), a || (b && c));
    EXPECT_EQ(Holds("(a = 1 or b = 1) and c = 1", row), (a || b) && c);
    EXPECT_EQ(Holds("not a = 1 and b = 1", row), !a && b);
    EXPECT_EQ(Holds("not (a = 1 and b = 1)", row), !(a && b));
    EXPECT_EQ(Holds("not not a = 1 or not b = 1 or c = 1", row), a || !b || c);
  }
}

TEST(ExpressionTest, RefusesToCompareWhatIsMissing) {
  const Row row = {{"ESR", std::nullopt}};
  for (const char* text : {"ESR = 1", "ESR != 1", "ESR in {1}", "ESR < 2"})
    EXPECT_THROW(Holds(text, row), RowError) << text;
  EXPECT_TRUE(Holds("ESR is missing", row));
  EXPECT_FALSE(Holds("ESR is not missing", row));
  EXPECT_FALSE(Holds("ESR is not missing and ESR = 1", row));
  EXPECT_TRUE(Holds("ESR is missing or ESR = 1", row));
}

TEST(ExpressionTest, RefusesToOrderWhatIsNoNumber) {
  for (const char* value : {"abc", "", "nan", "inf", "1x", "0x10", "1 "})
    EXPECT_THROW(Holds("x < 3", {{"x", value}}), RowError) << value;
}

TEST(ExpressionTest, ListsEachColumnOnce) {
  EXPECT_THAT(Expression::Parse("b = 1 or a = 2 and b in {3}").columns(),
              ElementsAre("b", "a"));
}

TEST(ExpressionTest, SaysWhereItStopsUnderstanding) {
  EXPECT_THAT(ParseErrorOf("AGEP >> 16"),
              HasSubstr("\"AGEP >> 16\": at character 7: expected a value, "
                        "found >"));
  EXPECT_THAT(ParseErrorOf(""), HasSubstr("expected a column, found the end"));
  EXPECT_THAT(ParseErrorOf("a"), HasSubstr("expected one of = !="));
  EXPECT_THAT(ParseErrorOf("a = 1 b = 2"), HasSubstr("'and', 'or' or the end"));
  EXPECT_THAT(ParseErrorOf("(a = 1"), HasSubstr("')'"));
  EXPECT_THAT(ParseErrorOf("a = 1)"), HasSubstr("found )"));
  EXPECT_THAT(ParseErrorOf("a in 1"), HasSubstr("'{'"));
  EXPECT_THAT(ParseErrorOf("a in {}"), HasSubstr("a value, found }"));
  EXPECT_THAT(ParseErrorOf("a in {1 2}"), HasSubstr("'}'"));
  EXPECT_THAT(ParseErrorOf("a not 3"), HasSubstr("found 3"));
  EXPECT_THAT(ParseErrorOf("a is 3"), HasSubstr("'missing'"));
  EXPECT_THAT(ParseErrorOf("a = 'x"), HasSubstr("a closing quote"));
  EXPECT_THAT(ParseErrorOf("a < b"), HasSubstr("a number to compare with"));
  EXPECT_THAT(ParseErrorOf("a < '3'"), HasSubstr("a number to compare with"));
  EXPECT_THAT(ParseErrorOf("a == 1"), HasSubstr("a value, found ="));
  EXPECT_THAT(ParseErrorOf("and = 1"), HasSubstr("a column, found and"));
  EXPECT_THAT(ParseErrorOf("a = 1 and"), HasSubstr("found the end"));
  EXPECT_THAT(ParseErrorOf("a = \xff"), HasSubstr("a value"));
}

TEST(ExpressionTest, RefusesToNestWithoutEnd) {
  EXPECT_THAT(ParseErrorOf(std::string(100'000, '(')), HasSubstr("fewer"));
  std::string nots;
  for (int i = 0; i < 100'000; ++i) nots += "not ";
  EXPECT_THAT(ParseErrorOf(nots), HasSubstr("fewer"));
  // Side by side there may be as many as one likes.
  std::string flat = "(a = 0)";
  for (int i = 1; i < 500; ++i) flat += " or (a = " + std::to_string(i) + ")";
  EXPECT_TRUE(Holds(flat, {{"a", "499"}}));
}

}  // namespace
}  // namespace hearsay::model::prep
