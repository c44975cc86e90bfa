// Numbers that a schema derives from columns, such as
//
//   hours * weeks / 52        (income - rent) / 'household size'
//
// Grammar (blanks are free, but + and - stand between blanks, as words may have
// them in them: hours-per-week is a column):
//   sum     = product { ( "+" | "-" ) product }
//   product = factor { ( "*" | "/" ) factor }
//   factor  = "-" factor | "(" sum ")" | number | column
//   column  = word | 'quoted text'   (words as in expression.h)
//
// What leaves the bounds that the schema declares is clamped, as any number.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hearsay::model::prep {

class Arithmetic {
 public:
  // Throws: std::invalid_argument as Expression::Parse; also for a text without
  // columns, or one that divides by the number zero.
  static Arithmetic Parse(std::string_view text);

  // Columns that it reads, each once, in the order of their first use.
  const std::vector<std::string>& columns() const { return columns_; }
  const std::string& text() const { return text_; }

  // numbers[i] is of columns()[i], and finite.
  // Throws: RowError: division by zero, a result beyond what a double holds.
  double Evaluate(std::span<const double> numbers) const;

 private:
  friend class ArithmeticParser;

  enum class Kind { kNumber, kColumn, kAdd, kSubtract, kMultiply, kDivide };

  // Of two operands: nodes before it.
  struct Node {
    Kind kind;
    std::size_t left = 0;  // kColumn: the column.
    std::size_t right = 0;
    double number = 0;
  };

  double Evaluate(std::size_t node, std::span<const double> numbers) const;

  std::string text_;
  std::vector<std::string> columns_;
  std::vector<Node> nodes_;
  std::size_t root_ = 0;
};

}  // namespace hearsay::model::prep
