// The tiny language in which a schema says which rows to keep and what a label
// means, such as
//
//   AGEP >= 16 and ESR in {1, 2}      income = '>50K' or not (age < 18)
//   hours-per-week is not missing
//
// Grammar (keywords are lower case, blanks are free):
//   expression = conjunction { "or" conjunction }
//   conjunction = term { "and" term }
//   term       = "not" term | "(" expression ")" | test
//   test       = column ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
//              | column [ "not" ] "in" "{" value { "," value } "}"
//              | column "is" [ "not" ] "missing"
//   column, value = word | 'quoted text' ; a word is letters, digits and _ - .
//   +
//
// A value that is an unquoted number compares with numbers (so 1 equals 01 and
// 1.0); any other compares as text. "<" and its like need numbers on both
// sides. Comparing a missing value is an error of the row, not false: a label
// that nobody recorded must not silently become a class. "and" and "or" stop
// as soon as they know, so "ESR is not missing and ESR < 4" is safe.
#pragma once

#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace hearsay::model::prep {

// What can be wrong with a row; what a report counts by.
enum class RowFault {
  kFields,
  kQuotes,
  kMissing,
  kCategory,
  kNumber,
  kLabel,
  kFile
};
inline constexpr std::size_t kRowFaults = 7;

// A row that cannot be used, and why; the reader adds file and line.
class RowError : public std::runtime_error {
 public:
  RowError(RowFault fault, const std::string& what)
      : std::runtime_error(what), fault_(fault) {}
  RowFault fault() const { return fault_; }

 private:
  RowFault fault_;
};

class Expression {
 public:
  // Throws: std::invalid_argument that quotes the text, the place in it and
  // what was expected.
  static Expression Parse(std::string_view text);

  // Columns that it reads, each once, in the order of their first use.
  const std::vector<std::string>& columns() const { return columns_; }
  const std::string& text() const { return text_; }

  // values[i] is the row's field of columns()[i]; nothing if it is missing.
  // Throws: RowError.
  bool Evaluate(std::span<const std::optional<std::string_view>> values) const;

 private:
  friend class ExpressionParser;

  enum class Kind { kAnd, kOr, kNot, kEqual, kLess, kLessOrEqual, kMissing };

  struct Literal {
    std::string text;
    std::optional<double> number;  // Unquoted numbers only.
  };

  // And, or, not: children `left` and `right`. Tests: a column and its values
  // (kEqual: any of them; others: one).
  struct Node {
    Kind kind;
    std::size_t left = 0;
    std::size_t right = 0;
    std::size_t column = 0;
    std::vector<Literal> values = {};
  };

  bool Evaluate(std::size_t node,
                std::span<const std::optional<std::string_view>> values) const;
  bool Test(const Node& node, std::optional<std::string_view> value) const;

  std::string text_;
  std::vector<std::string> columns_;
  std::vector<Node> nodes_;
  std::size_t root_ = 0;
};

// The whole text as a finite decimal number, a sign before it; nothing
// otherwise.
std::optional<double> ParseNumber(std::string_view text);

}  // namespace hearsay::model::prep
