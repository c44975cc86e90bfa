#include "model/prep/expression.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>

#include "model/prep/tokens.h"

namespace hearsay::model::prep {

namespace {

// Up to 15 digits and a point: then digits and power of ten are both exact
// doubles, so that one division rounds once, as from_chars does.
// Source: Clinger, How to read floating point numbers accurately, 1990.
std::optional<double> ParsePlainNumber(std::string_view text) {
  constexpr std::size_t kExactDigits = 15;
  constexpr double kPowers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  if (text.empty() || text.size() > kExactDigits + 1) return std::nullopt;
  std::int64_t digits = 0;
  std::size_t point = text.size();
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto digit = static_cast<unsigned char>(text[i] - '0');
    if (digit <= 9) {
      digits = digits * 10 + digit;
    } else if (text[i] == '.' && point == text.size() && text.size() > 1) {
      point = i;
    } else {
      return std::nullopt;
    }
  }
  const std::size_t decimals =
      point == text.size() ? 0 : text.size() - point - 1;
  if (text.size() - (point == text.size() ? 0 : 1) > kExactDigits)
    return std::nullopt;
  const double number = static_cast<double>(digits) / kPowers[decimals];
  return negative ? -number : number;
}

}  // namespace

std::optional<double> ParseNumber(std::string_view text) {
  if (const auto plain = ParsePlainNumber(text)) return plain;
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() ||
      !std::isfinite(number))
    return std::nullopt;
  return number;
}

class ExpressionParser {
 public:
  explicit ExpressionParser(std::string_view text) : tokens_(text) {
    result_.text_ = text;
  }

  Expression Parse() {
    result_.root_ = Or();
    if (!tokens_.AtEnd()) tokens_.Fail("'and', 'or' or the end");
    return std::move(result_);
  }

 private:
  using Kind = Expression::Kind;
  using Node = Expression::Node;

  bool Take(std::string_view token) { return tokens_.Take(token); }

  Expression::Literal Value() {
    Expression::Literal value;
    const bool quoted = tokens_.quoted();
    value.text = tokens_.Text("a value");
    if (!quoted) value.number = ParseNumber(value.text);
    return value;
  }

  Expression::Literal Number() {
    const Tokens before = tokens_;
    Expression::Literal value = Value();
    if (!value.number) before.Fail("a number to compare with");
    return value;
  }

  std::size_t Add(Node node) {
    result_.nodes_.push_back(std::move(node));
    return result_.nodes_.size() - 1;
  }

  std::size_t Or() {
    std::size_t left = And();
    while (Take("or")) {
      const std::size_t right = And();
      left = Add({.kind = Kind::kOr, .left = left, .right = right});
    }
    return left;
  }

  std::size_t And() {
    std::size_t left = Term();
    while (Take("and")) {
      const std::size_t right = Term();
      left = Add({.kind = Kind::kAnd, .left = left, .right = right});
    }
    return left;
  }

  std::size_t Term() {
    if (++depth_ > kMaxDepth)
      tokens_.Fail("fewer parentheses inside each other");
    std::size_t node = 0;
    if (Take("not")) {
      node = Not(Term());
    } else if (Take("(")) {
      node = Or();
      tokens_.Expect(")");
    } else {
      node = Test();
    }
    --depth_;
    return node;
  }

  std::size_t Not(std::size_t child) {
    return Add({.kind = Kind::kNot, .left = child});
  }

  std::size_t Column(const std::string& name) {
    auto& columns = result_.columns_;
    const auto found = std::find(columns.begin(), columns.end(), name);
    if (found != columns.end())
      return static_cast<std::size_t>(found - columns.begin());
    columns.push_back(name);
    return columns.size() - 1;
  }

  std::size_t Test() {
    const std::size_t column = Column(tokens_.Text("a column"));
    const auto test = [&](Kind kind, std::vector<Expression::Literal> values) {
      return Add({.kind = kind, .column = column, .values = std::move(values)});
    };
    if (Take("=")) return test(Kind::kEqual, {Value()});
    if (Take("!=")) return Not(test(Kind::kEqual, {Value()}));
    if (Take("<")) return test(Kind::kLess, {Number()});
    if (Take("<=")) return test(Kind::kLessOrEqual, {Number()});
    if (Take(">")) return Not(test(Kind::kLessOrEqual, {Number()}));
    if (Take(">=")) return Not(test(Kind::kLess, {Number()}));
    if (Take("is")) {
      const bool negated = Take("not");
      tokens_.Expect("missing");
      const std::size_t node = test(Kind::kMissing, {});
      return negated ? Not(node) : node;
    }
    const bool negated = Take("not");
    if (!Take("in")) tokens_.Fail("one of = != < <= > >= in is");
    tokens_.Expect("{");
    std::vector<Expression::Literal> values = {Value()};
    while (Take(",")) values.push_back(Value());
    tokens_.Expect("}");
    const std::size_t node = test(Kind::kEqual, std::move(values));
    return negated ? Not(node) : node;
  }

  Tokens tokens_;
  int depth_ = 0;
  Expression result_;
};

Expression Expression::Parse(std::string_view text) {
  return ExpressionParser(text).Parse();
}

bool Expression::Evaluate(
    std::span<const std::optional<std::string_view>> values) const {
  return Evaluate(root_, values);
}

bool Expression::Evaluate(
    std::size_t node,
    std::span<const std::optional<std::string_view>> values) const {
  const Node& here = nodes_[node];
  switch (here.kind) {
    case Kind::kAnd:
      return Evaluate(here.left, values) && Evaluate(here.right, values);
    case Kind::kOr:
      return Evaluate(here.left, values) || Evaluate(here.right, values);
    case Kind::kNot:
      return !Evaluate(here.left, values);
    default:
      return Test(here, values[here.column]);
  }
}

bool Expression::Test(const Node& node,
                      std::optional<std::string_view> value) const {
  if (node.kind == Kind::kMissing) return !value;
  if (!value)
    throw RowError(RowFault::kMissing, "column " + columns_[node.column] +
                                           " is missing here, but \"" + text_ +
                                           "\" needs it");
  const std::optional<double> number = ParseNumber(*value);
  if (node.kind == Kind::kEqual)
    return std::any_of(
        node.values.begin(), node.values.end(), [&](const Literal& literal) {
          return literal.text == *value ||
                 (literal.number && number && *literal.number == *number);
        });
  if (!number)
    throw RowError(RowFault::kNumber, "column " + columns_[node.column] +
                                          ": \"" + std::string(*value) +
                                          "\" is not a number, but \"" + text_ +
                                          "\" needs one");
  const double bound = *node.values.front().number;
  return node.kind == Kind::kLess ? *number < bound : *number <= bound;
}

}  // namespace hearsay::model::prep
