#include "model/prep/arithmetic.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/prep/expression.h"
#include "model/prep/tokens.h"

namespace hearsay::model::prep {

namespace {

// Evaluation is recursive, and a long sum leans to one side.
constexpr std::size_t kMostNodes = 1000;

}  // namespace

class ArithmeticParser {
 public:
  explicit ArithmeticParser(std::string_view text) : tokens_(text) {
    result_.text_ = text;
  }

  Arithmetic Parse() {
    result_.root_ = Sum();
    if (!tokens_.AtEnd())
      tokens_.Fail(
          "+ - * / or the end (+ and - stand between blanks; a column of "
          "other characters in single quotes)");
    if (result_.columns_.empty())
      tokens_.Fail("a column before it, or this were a constant");
    return std::move(result_);
  }

 private:
  using Kind = Arithmetic::Kind;

  std::size_t Add(Arithmetic::Node node) {
    if (result_.nodes_.size() == kMostNodes) tokens_.Fail("a shorter text");
    result_.nodes_.push_back(node);
    return result_.nodes_.size() - 1;
  }

  std::size_t Both(Kind kind, std::size_t left, std::size_t right) {
    return Add({.kind = kind, .left = left, .right = right});
  }

  std::size_t Number(double number) {
    return Add({.kind = Kind::kNumber, .number = number});
  }

  std::size_t Sum() {
    std::size_t left = Product();
    while (true) {
      if (tokens_.Take("+"))
        left = Both(Kind::kAdd, left, Product());
      else if (tokens_.Take("-"))
        left = Both(Kind::kSubtract, left, Product());
      else
        return left;
    }
  }

  std::size_t Product() {
    std::size_t left = Factor();
    while (true) {
      if (tokens_.Take("*")) {
        left = Both(Kind::kMultiply, left, Factor());
      } else if (tokens_.Take("/")) {
        const Tokens before = tokens_;
        const std::size_t right = Factor();
        const auto& divisor = result_.nodes_[right];
        if (divisor.kind == Kind::kNumber && divisor.number == 0)
          before.Fail("a divisor that is not zero");
        left = Both(Kind::kDivide, left, right);
      } else {
        return left;
      }
    }
  }

  std::size_t Factor() {
    if (++depth_ > kMaxDepth)
      tokens_.Fail("fewer parentheses inside each other");
    std::size_t node = 0;
    if (tokens_.Take("-")) {
      node = Both(Kind::kSubtract, Number(0), Factor());
    } else if (tokens_.Take("(")) {
      node = Sum();
      tokens_.Expect(")");
    } else {
      node = Operand();
    }
    --depth_;
    return node;
  }

  std::size_t Operand() {
    if (!tokens_.quoted() && (tokens_.token() == "+" || tokens_.token() == "-"))
      tokens_.Fail("a column, a number or '('");
    const bool quoted = tokens_.quoted();
    const std::string text = tokens_.Text("a column, a number or '('");
    if (!quoted)
      if (const auto number = ParseNumber(text)) return Number(*number);
    auto& columns = result_.columns_;
    const auto found = std::find(columns.begin(), columns.end(), text);
    const auto column = static_cast<std::size_t>(found - columns.begin());
    if (found == columns.end()) columns.push_back(text);
    return Add({.kind = Kind::kColumn, .left = column});
  }

  Tokens tokens_;
  int depth_ = 0;
  Arithmetic result_;
};

Arithmetic Arithmetic::Parse(std::string_view text) {
  return ArithmeticParser(text).Parse();
}

double Arithmetic::Evaluate(std::span<const double> numbers) const {
  const double result = Evaluate(root_, numbers);
  if (!std::isfinite(result))
    throw RowError(RowFault::kNumber,
                   "\"" + text_ + "\" is beyond what a number can be");
  return result;
}

double Arithmetic::Evaluate(std::size_t node,
                            std::span<const double> numbers) const {
  const Node& here = nodes_[node];
  if (here.kind == Kind::kNumber) return here.number;
  if (here.kind == Kind::kColumn) return numbers[here.left];
  const double left = Evaluate(here.left, numbers);
  const double right = Evaluate(here.right, numbers);
  switch (here.kind) {
    case Kind::kAdd:
      return left + right;
    case Kind::kSubtract:
      return left - right;
    case Kind::kMultiply:
      return left * right;
    default:
      if (right == 0)
        throw RowError(RowFault::kNumber, "\"" + text_ + "\" divides by zero");
      return left / right;
  }
}

}  // namespace hearsay::model::prep
