#include "model/prep/encoder.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/prep/quick_number.h"

namespace hearsay::model::prep {

namespace {

std::string Quoted(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  std::string quoted = "\"" + std::string(text.substr(0, kLongest));
  if (text.size() > kLongest) quoted += "...";
  return quoted + "\"";
}

// "1, 2, 3, ... (24 in all)".
std::string AllowedValues(const InputColumn& column) {
  constexpr int kMost = 12;
  std::string list;
  int count = 0;
  for (const Category& category : column.categories)
    for (const std::string& value : category.values) {
      if (++count > kMost) continue;
      list += (list.empty() ? "" : ", ") + value;
    }
  if (count > kMost) list += ", ... (" + std::to_string(count) + " in all)";
  return list;
}

std::string Join(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names)
    list += (list.empty() ? "" : ", ") + name;
  return list;
}

[[noreturn]] void FailNumber(const std::string& column, std::string_view field,
                             const char* what) {
  throw RowError(RowFault::kNumber,
                 "column " + column + ": " + Quoted(field) + " is not " + what);
}

double Number(const std::string& column, std::string_view field) {
  if (const auto number = ParseNumber(field)) return *number;
  FailNumber(column, field, "a finite number");
}

// The first inner edge beyond the number ends its bin; the end bins are open.
std::int32_t Bin(const InputColumn& column, double number) {
  const auto inner = column.edges.begin() + 1;
  return static_cast<std::int32_t>(
      std::upper_bound(inner, column.edges.end() - 1, number) - inner);
}

// Where the column begins among a row's codes, or among its values.
std::size_t TakePlace(const InputColumn& column, std::size_t& code,
                      std::size_t& value) {
  if (column.categorical()) return code++;
  if (column.kind == InputColumn::Kind::kText)
    return std::exchange(code, code + column.text.length);
  return std::exchange(value, value + 1 + (column.missing_indicator ? 1 : 0));
}

}  // namespace

EncodedRows MakeRows(const Schema& schema) {
  EncodedRows rows;
  for (const ShardColumn& column : ShardColumns(schema))
    ++(column.categorical() ? rows.code_columns : rows.value_columns);
  return rows;
}

Encoder::Encoder(const Schema& schema, const std::vector<std::string>& header,
                 const std::filesystem::path& path)
    : schema_(schema), header_(header), path_(path) {
  for (const std::string& token : schema.csv.missing)
    numbers_stand_for_missing_ |= ParseNumber(token).has_value();
  std::vector<std::string> missing;
  std::size_t code = 0;
  std::size_t value = 0;
  for (const InputColumn& column : schema.columns) {
    Bound bound{&column,
                0,
                TakePlace(column, code, value),
                {},
                Bind(column.when, missing),
                Bind(column.value, missing),
                {}};
    if (!column.when && !column.value) {
      bound.field = Locate(column.from).value_or(0);
      if (!Locate(column.from)) missing.push_back(column.from);
    }
    for (std::size_t i = 0; i < column.categories.size(); ++i)
      for (const std::string& text : column.categories[i].values)
        bound.codes[text] = static_cast<std::uint8_t>(i);
    columns_.push_back(std::move(bound));
  }
  keep_ = Bind(schema.keep, missing);
  for (const LabelClass& entry : schema.label.classes)
    classes_.push_back(Bind(entry.when, missing));
  if (schema.label.classes.empty()) {
    label_field_ = Locate(schema.label.column).value_or(0);
    if (!Locate(schema.label.column)) missing.push_back(schema.label.column);
  } else {
    const auto& first = classes_.front();
    if (first && first->fields.size() == 1) label_field_ = first->fields[0];
    for (const auto& entry : classes_)
      if (entry && entry->fields != first->fields) label_field_.reset();
  }
  if (missing.empty()) return;
  std::sort(missing.begin(), missing.end());
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  throw FileError(path_.string() + ": the schema needs the column" +
                  (missing.size() > 1 ? "s " : " ") + Join(missing) +
                  ", but the file has " + Join(header_));
}

std::optional<std::size_t> Encoder::Locate(const std::string& column) const {
  const auto found = std::find(header_.begin(), header_.end(), column);
  if (found == header_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - header_.begin());
}

std::size_t Encoder::Find(const std::string& column) const {
  if (const auto found = Locate(column)) return *found;
  throw FileError(path_.string() + ": has no column " + column + "; it has " +
                  Join(header_));
}

std::optional<Encoder::Condition> Encoder::Bind(
    const std::optional<Expression>& expression,
    std::vector<std::string>& missing) const {
  if (!expression) return std::nullopt;
  Condition condition{
      &*expression, LocateAll(expression->columns(), missing), {}, {}};
  condition.values.resize(condition.fields.size());
  return condition;
}

std::optional<Encoder::Derived> Encoder::Bind(
    const std::optional<Arithmetic>& arithmetic,
    std::vector<std::string>& missing) const {
  if (!arithmetic) return std::nullopt;
  Derived derived{&*arithmetic, LocateAll(arithmetic->columns(), missing), {}};
  derived.numbers.resize(derived.fields.size());
  return derived;
}

std::vector<std::size_t> Encoder::LocateAll(
    const std::vector<std::string>& columns,
    std::vector<std::string>& missing) const {
  std::vector<std::size_t> fields;
  for (const std::string& column : columns) {
    if (!Locate(column)) missing.push_back(column);
    fields.push_back(Locate(column).value_or(0));
  }
  return fields;
}

bool Encoder::IsMissing(std::string_view field) const {
  return std::find(schema_.csv.missing.begin(), schema_.csv.missing.end(),
                   field) != schema_.csv.missing.end();
}

bool Encoder::Holds(Condition& condition,
                    std::span<const std::string_view> fields) {
  if (condition.fields.size() != 1) return Evaluate(condition, fields);
  const std::string_view field = fields[condition.fields[0]];
  std::int32_t holds = condition.memo.Find(field);
  if (holds == Memo::kUnknown) {
    holds = Evaluate(condition, fields) ? 1 : 0;
    condition.memo.Put(field, holds);
  }
  return holds == 1;
}

bool Encoder::Evaluate(Condition& condition,
                       std::span<const std::string_view> fields) {
  for (std::size_t i = 0; i < condition.fields.size(); ++i) {
    const std::string_view field = fields[condition.fields[i]];
    condition.values[i].reset();
    if (!IsMissing(field)) condition.values[i] = field;
  }
  return condition.expression->Evaluate(condition.values);
}

Encoder::Outcome Encoder::Append(std::span<const std::string_view> fields,
                                 EncodedRows& rows) {
  if (fields.size() != header_.size()) throw WrongWidth(fields.size());
  const std::string_view record;
  const Verdict& verdict =
      Append(CsvRecords{fields.size(), fields, {&record, 1}}, rows).front();
  if (verdict.error) throw RowError(*verdict.error);
  return verdict.outcome;
}

RowError Encoder::WrongWidth(std::size_t fields) const {
  return {RowFault::kFields, std::to_string(fields) + " fields, the " +
                                 (schema_.csv.header ? "header" : "schema") +
                                 " has " + std::to_string(header_.size())};
}

std::int32_t Encoder::Code(Bound& bound, std::string_view field) {
  std::int32_t code = bound.memo.Find(field);
  if (code == Memo::kUnknown) {
    code = MakeCode(bound, field);
    bound.memo.Put(field, code);
  }
  return code;
}

std::int32_t Encoder::MissingCode(const Bound& bound,
                                  std::string_view field) const {
  const InputColumn& column = *bound.column;
  if (column.drop_missing) return kDrop;
  if (column.kind == InputColumn::Kind::kBinned && column.fill)
    return Bin(column, *column.fill);
  if (column.fill_value) {
    const auto found = bound.codes.find(*column.fill_value);
    return found != bound.codes.end()
               ? found->second
               : static_cast<std::int32_t>(column.categories.size());
  }
  if (column.missing_category)
    return static_cast<std::int32_t>(column.kind == InputColumn::Kind::kBinned
                                         ? column.edges.size() - 1
                                         : column.categories.size() +
                                               column.other);
  const char* const place = column.categorical() ? "missing = \"category\""
                            : column.kind == InputColumn::Kind::kText
                                ? "fill = \"TEXT\""
                                : "fill = NUMBER";
  throw RowError(RowFault::kMissing,
                 "column " + column.from + ": the value is missing (" +
                     Quoted(field) +
                     "); the schema may give missing values a place by " +
                     place + ", or drop such rows by missing = \"drop\"");
}

Encoder::Outcome Encoder::WithoutValue(const Bound& bound,
                                       std::string_view field) const {
  MissingCode(bound, field);
  return Outcome::kDropped;
}

std::int32_t Encoder::MakeCode(const Bound& bound,
                               std::string_view field) const {
  const InputColumn& column = *bound.column;
  // A value that the schema lists is never missing, whatever csv.missing says.
  const auto found = bound.codes.find(field);
  if (found != bound.codes.end()) return found->second;
  if (IsMissing(field)) return MissingCode(bound, field);
  if (column.kind == InputColumn::Kind::kBinned)
    return Bin(column, Number(column.from, field));
  if (column.other) return static_cast<std::int32_t>(column.categories.size());
  throw RowError(RowFault::kCategory,
                 "column " + column.from + ": " + Quoted(field) +
                     " is none of the categories " + AllowedValues(column));
}

std::int32_t Encoder::DerivedCode(
    Bound& bound, std::span<const std::string_view> fields) const {
  const auto number = Derive(*bound.derived, fields);
  return number ? Bin(*bound.column, *number)
                : MissingCode(bound, bound.column->value->text());
}

// Inside its caller always: most of a table may be short numbers.
[[gnu::always_inline]] inline std::optional<double> Encoder::ReadNumber(
    const std::string& column, std::string_view field) const {
  double number = 0;
  if (!numbers_stand_for_missing_ && QuickNumber(field, number)) return number;
  return ReadAnyNumber(column, field);
}

[[gnu::noinline]] std::optional<double> Encoder::ReadAnyNumber(
    const std::string& column, std::string_view field) const {
  if (numbers_stand_for_missing_ && IsMissing(field)) return std::nullopt;
  if (const auto number = ParseNumber(field)) return number;
  if (!IsMissing(field)) FailNumber(column, field, "a finite number");
  return std::nullopt;
}

std::optional<double> Encoder::Derive(
    Derived& derived, std::span<const std::string_view> fields) const {
  for (std::size_t i = 0; i < derived.fields.size(); ++i) {
    const auto number =
        ReadNumber(derived.arithmetic->columns()[i], fields[derived.fields[i]]);
    if (!number) return std::nullopt;
    derived.numbers[i] = *number;
  }
  return derived.arithmetic->Evaluate(derived.numbers);
}

Encoder::Outcome Encoder::AppendText(const Bound& bound, std::string_view field,
                                     std::uint8_t* codes) const {
  const InputColumn& column = *bound.column;
  if (IsMissing(field)) {
    if (!column.fill_value) return WithoutValue(bound, field);
    field = *column.fill_value;
  }
  EncodeText(field, column.text, {codes, column.text.length});
  return Outcome::kTaken;
}

Encoder::Outcome Encoder::AppendValue(Bound& bound,
                                      std::span<const std::string_view> fields,
                                      float* values) {
  const InputColumn& column = *bound.column;
  if (bound.when) {
    values[0] = Holds(*bound.when, fields) ? 1.0F : -1.0F;
    return Outcome::kTaken;
  }
  const std::string_view field = bound.derived
                                     ? std::string_view(column.value->text())
                                     : fields[bound.field];
  bool missing = false;
  if (column.kind == InputColumn::Kind::kBoolean) {
    missing = IsMissing(field) && !bound.codes.contains(field);
    if (!missing) values[0] = Code(bound, field) == 1 ? 1.0F : -1.0F;
  } else {
    const std::optional<double> number = bound.derived
                                             ? Derive(*bound.derived, fields)
                                             : ReadNumber(column.from, field);
    missing = !number;
    if (number && column.whole && *number != std::floor(*number))
      FailNumber(column.from, field, "a whole number");
    if (number)
      values[0] = ScaledNumber(*number, column.minimum, column.maximum);
  }
  if (missing && !column.fill) return WithoutValue(bound, field);
  if (missing)
    values[0] = ScaledNumber(*column.fill, column.minimum, column.maximum);
  if (column.missing_indicator) values[1] = missing ? 1.0F : -1.0F;
  return Outcome::kTaken;
}

float Encoder::Label(std::span<const std::string_view> fields) {
  if (classes_.empty() || !label_field_) return MakeLabel(fields);
  const std::string_view field = fields[*label_field_];
  const std::int32_t known = label_memo_.Find(field);
  if (known != Memo::kUnknown) return static_cast<float>(known);
  const float label = MakeLabel(fields);
  label_memo_.Put(field, static_cast<std::int32_t>(label));
  return label;
}

float Encoder::MakeLabel(std::span<const std::string_view> fields) {
  if (classes_.empty()) {
    const std::string_view field = fields[*label_field_];
    if (IsMissing(field))
      throw RowError(RowFault::kMissing, "column " + schema_.label.column +
                                             ": the label is missing");
    return ScaledNumber(Number(schema_.label.column, field),
                        schema_.label.minimum, schema_.label.maximum);
  }
  for (std::size_t i = 0; i < classes_.size(); ++i)
    if (!classes_[i] || Holds(*classes_[i], fields))
      return static_cast<float>(i);
  std::string seen;
  for (const auto& condition : classes_)
    for (std::size_t i = 0; i < condition->fields.size(); ++i) {
      const std::string_view field = fields[condition->fields[i]];
      const std::string pair =
          condition->expression->columns()[i] + " = " +
          Quoted(IsMissing(field) ? std::string_view("missing") : field);
      if (seen.find(pair) == std::string::npos)
        seen += (seen.empty() ? "" : ", ") + pair;
    }
  throw RowError(
      RowFault::kLabel,
      "no class of the label " + schema_.label.name + " holds for " + seen);
}

}  // namespace hearsay::model::prep
