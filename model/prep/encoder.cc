#include "model/prep/encoder.h"

#include <algorithm>
#include <utility>

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

double Number(const std::string& column, std::string_view field) {
  if (const auto number = ParseNumber(field)) return *number;
  throw RowError("column " + column + ": " + Quoted(field) +
                 " is not a finite number");
}

float Scaled(double number, double minimum, double maximum) {
  const double clamped = std::clamp(number, minimum, maximum);
  return static_cast<float>(2 * ((clamped - minimum) / (maximum - minimum)) -
                            1);
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
  std::vector<std::string> missing;
  for (const InputColumn& column : schema.columns) {
    Bound bound{&column, Locate(column.from).value_or(0), {}};
    if (!Locate(column.from)) missing.push_back(column.from);
    for (std::size_t i = 0; i < column.categories.size(); ++i)
      for (const std::string& value : column.categories[i].values)
        bound.codes[value] = static_cast<std::uint8_t>(i);
    columns_.push_back(std::move(bound));
  }
  keep_ = Bind(schema.keep, missing);
  for (const LabelClass& entry : schema.label.classes)
    classes_.push_back(Bind(entry.when, missing));
  if (schema.label.classes.empty()) {
    label_field_ = Locate(schema.label.column).value_or(0);
    if (!Locate(schema.label.column)) missing.push_back(schema.label.column);
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
  Condition condition{&*expression, {}, {}};
  for (const std::string& column : expression->columns()) {
    if (!Locate(column)) missing.push_back(column);
    condition.fields.push_back(Locate(column).value_or(0));
  }
  condition.values.resize(condition.fields.size());
  return condition;
}

bool Encoder::IsMissing(std::string_view field) const {
  const auto& words = schema_.csv.missing;
  return std::find(words.begin(), words.end(), field) != words.end();
}

bool Encoder::Holds(Condition& condition,
                    std::span<const std::string_view> fields) {
  for (std::size_t i = 0; i < condition.fields.size(); ++i) {
    const std::string_view field = fields[condition.fields[i]];
    condition.values[i] =
        IsMissing(field) ? std::nullopt : std::optional(field);
  }
  return condition.expression->Evaluate(condition.values);
}

bool Encoder::Append(std::span<const std::string_view> fields,
                     EncodedRows& rows) {
  if (fields.size() != header_.size())
    throw RowError(std::to_string(fields.size()) + " fields, the " +
                   (schema_.csv.header ? "header" : "schema") + " has " +
                   std::to_string(header_.size()));
  if (keep_ && !Holds(*keep_, fields)) return false;
  codes_.clear();
  values_.clear();
  for (const Bound& bound : columns_) Encode(bound, fields[bound.field]);
  const float label = Label(fields);
  rows.codes.insert(rows.codes.end(), codes_.begin(), codes_.end());
  rows.values.insert(rows.values.end(), values_.begin(), values_.end());
  rows.labels.push_back(label);
  return true;
}

void Encoder::Encode(const Bound& bound, std::string_view field) {
  const InputColumn& column = *bound.column;
  // A value that the schema lists is never missing, whatever csv.missing says.
  const bool missing = IsMissing(field) && !bound.codes.contains(field);
  const bool has_place = column.missing_category || column.fill.has_value();
  if (missing && !has_place)
    throw RowError("column " + column.from + ": the value is missing (" +
                   Quoted(field) +
                   "); the schema may give missing values a place by " +
                   (column.kind == InputColumn::Kind::kNumeric
                        ? "fill = NUMBER"
                        : "missing = \"category\""));
  switch (column.kind) {
    case InputColumn::Kind::kCategorical:
      codes_.push_back(missing ? static_cast<std::uint8_t>(
                                     column.categories.size() + column.other)
                               : CategoryCode(bound, field));
      break;
    case InputColumn::Kind::kBinned:
      codes_.push_back(missing
                           ? static_cast<std::uint8_t>(column.edges.size() - 1)
                           : BinCode(column, field));
      break;
    case InputColumn::Kind::kNumeric:
      values_.push_back(
          Scaled(missing ? *column.fill : Number(column.from, field),
                 column.minimum, column.maximum));
      if (column.missing_indicator) values_.push_back(missing ? 1.0F : -1.0F);
      break;
  }
}

std::uint8_t Encoder::CategoryCode(const Bound& bound,
                                   std::string_view field) const {
  const auto found = bound.codes.find(field);
  if (found != bound.codes.end()) return found->second;
  if (bound.column->other)
    return static_cast<std::uint8_t>(bound.column->categories.size());
  throw RowError("column " + bound.column->from + ": " + Quoted(field) +
                 " is none of the categories " + AllowedValues(*bound.column));
}

std::uint8_t Encoder::BinCode(const InputColumn& column,
                              std::string_view field) const {
  const double number = Number(column.from, field);
  // The first inner edge beyond the number ends its bin; the end bins are open.
  const auto inner_begin = column.edges.begin() + 1;
  const auto inner_end = column.edges.end() - 1;
  return static_cast<std::uint8_t>(
      std::upper_bound(inner_begin, inner_end, number) - inner_begin);
}

float Encoder::Label(std::span<const std::string_view> fields) {
  if (classes_.empty()) {
    const std::string_view field = fields[label_field_];
    if (IsMissing(field))
      throw RowError("column " + schema_.label.column +
                     ": the label is missing");
    return Scaled(Number(schema_.label.column, field), schema_.label.minimum,
                  schema_.label.maximum);
  }
  for (std::size_t i = 0; i < classes_.size(); ++i)
    if (!classes_[i] || Holds(*classes_[i], fields))
      return static_cast<float>(i);
  std::string seen;
  for (const auto& condition : classes_)
    for (std::size_t i = 0; i < condition->fields.size(); ++i) {
      const std::string pair = condition->expression->columns()[i] + " = " +
                               Quoted(condition->values[i].value_or("missing"));
      if (seen.find(pair) == std::string::npos)
        seen += (seen.empty() ? "" : ", ") + pair;
    }
  throw RowError("no class of the label " + schema_.label.name + " holds for " +
                 seen);
}

}  // namespace hearsay::model::prep
