#include "model/prep/arithmetic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "model/prep/expression.h"

namespace hearsay::model::prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ParseError(const std::string& text) {
  try {
    Arithmetic::Parse(text);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

// Columns a, b and c in the order of their first use.
double Value(const std::string& text, const std::vector<double>& numbers) {
  return Arithmetic::Parse(text).Evaluate(numbers);
}

TEST(ArithmeticTest, IsWhatCppMakesOfTheSameText) {
  for (const double a : {-2.5, 0.0, 3.0})
    for (const double b : {-1.0, 0.25, 7.0})
      for (const double c : {-4.0, 0.5}) {
        const std::vector<double> abc = {a, b, c};
        EXPECT_EQ(Value("a - b - c", abc), a - b - c);
        EXPECT_EQ(Value("a - (b - c)", abc), a - (b - c));
        EXPECT_EQ(Value("a + b * c", abc), a + b * c);
        EXPECT_EQ(Value("a / b / c", abc), a / b / c);
        EXPECT_EQ(Value("(a + b)*c", abc), (a + b) * c);
        EXPECT_EQ(Value("- a * - ( b + 1e1 ) / c", abc), -a * -(b + 10) / c);
        EXPECT_EQ(Value("a * -2 + b / 0.5 - c", abc), a * -2 + b / 0.5 - c);
      }
}

TEST(ArithmeticTest, NamesMayHaveSignsInThem) {
  const Arithmetic derived =
      Arithmetic::Parse("hours-per-week - 'two words' + hours-per-week * '1'");
  EXPECT_THAT(derived.columns(),
              ElementsAre("hours-per-week", "two words", "1"));
  EXPECT_EQ(derived.Evaluate(std::vector<double>{40, 3, 2}), 40 - 3 + 80);
}

TEST(ArithmeticTest, SaysWhereItStopsUnderstanding) {
  EXPECT_THAT(ParseError("a +"),
              HasSubstr("\"a +\": at character 4: expected a column, a number "
                        "or '(', found the end"));
  EXPECT_THAT(ParseError(""), HasSubstr("found the end"));
  EXPECT_THAT(ParseError("a b"), HasSubstr("+ - * / or the end"));
  EXPECT_THAT(ParseError("a -1"), HasSubstr("+ and - stand between blanks"));
  EXPECT_THAT(ParseError("a + + b"), HasSubstr("found +"));
  EXPECT_THAT(ParseError("(a"), HasSubstr("')'"));
  EXPECT_THAT(ParseError("a)"), HasSubstr("found )"));
  EXPECT_THAT(ParseError("a % b"), HasSubstr("found %"));
  EXPECT_THAT(ParseError("a and b"), HasSubstr("found and"));
  EXPECT_THAT(ParseError("a * 'b"), HasSubstr("a closing quote"));
  EXPECT_THAT(ParseError("a > b"), HasSubstr("found >"));
  EXPECT_THAT(ParseError("3 * 4"), HasSubstr("a column before it"));
  EXPECT_THAT(ParseError("a / 0"), HasSubstr("a divisor that is not zero"));
  EXPECT_THAT(ParseError("a / 0.0"), HasSubstr("a divisor that is not zero"));
}

TEST(ArithmeticTest, RefusesToNestOrToGrowWithoutEnd) {
  EXPECT_THAT(ParseError(std::string(100'000, '(')), HasSubstr("fewer"));
  std::string minus;
  for (int i = 0; i < 100'000; ++i) minus += "- ";
  EXPECT_THAT(ParseError(minus + "a"), HasSubstr("fewer"));
  std::string sum = "a";
  for (int i = 0; i < 100'000; ++i) sum += " + a";
  EXPECT_THAT(ParseError(sum), HasSubstr("a shorter text"));
}

TEST(ArithmeticTest, ResultsThatAreNoNumbersAreFaultsOfTheRow) {
  for (const std::vector<double>& row :
       {std::vector<double>{1, 0}, {0, 0}, {1, -0.0}, {1e300, 1e-300}})
    try {
      Value("a / b", row);
      ADD_FAILURE() << row[0] << " / " << row[1];
    } catch (const RowError& error) {
      EXPECT_EQ(error.fault(), RowFault::kNumber);
      EXPECT_THAT(error.what(), HasSubstr("\"a / b\""));
    }
  EXPECT_THROW(Value("a * a", {1e200}), RowError);
  // Infinite on the way to a number is no reason to go on.
  EXPECT_THROW(Value("b / (a * a - a * a)", {1, 1e200}), RowError);
}

}  // namespace
}  // namespace hearsay::model::prep
