#include "model/prep/schema.h"

#include <charconv>
#include <cmath>

namespace hearsay::model::prep {

namespace {

std::string Text(double number) {
  char text[32];
  const auto [end, error] = std::to_chars(text, text + sizeof text, number);
  return {text, end};
}

// "15-19" where the bins hold whole numbers, else "[0.5,1)".
std::string BinName(double begin, double end) {
  const bool whole = begin == std::floor(begin) && end == std::floor(end);
  if (!whole) return "[" + Text(begin) + "," + Text(end) + ")";
  return end - begin == 1 ? Text(begin) : Text(begin) + "-" + Text(end - 1);
}

ShardColumn Describe(const InputColumn& column) {
  ShardColumn described;
  described.name = column.name;
  switch (column.kind) {
    case InputColumn::Kind::kCategorical:
      for (const Category& category : column.categories)
        described.categories.push_back(category.name);
      if (column.other) described.categories.emplace_back("other");
      break;
    case InputColumn::Kind::kBinned:
      for (std::size_t i = 0; i + 1 < column.edges.size(); ++i)
        described.categories.push_back(
            BinName(column.edges[i], column.edges[i + 1]));
      break;
    case InputColumn::Kind::kNumeric:
    case InputColumn::Kind::kBoolean:
    case InputColumn::Kind::kText:  // Has a column for each place.
      described.minimum = column.minimum;
      described.maximum = column.maximum;
      break;
  }
  if (column.missing_category) described.categories.emplace_back("missing");
  return described;
}

}  // namespace

std::vector<ShardColumn> ShardColumns(const Schema& schema) {
  std::vector<ShardColumn> columns;
  if (schema.images)
    for (std::size_t i = 0; i < schema.images->bytes(); ++i) {
      ShardColumn pixel;
      pixel.name = std::to_string(i);
      pixel.minimum = 0;
      pixel.maximum = 255;
      columns.push_back(std::move(pixel));
    }
  if (schema.text) columns = TextColumns(*schema.text, "");
  for (const InputColumn& column : schema.columns) {
    if (column.kind == InputColumn::Kind::kText) {
      const auto places = TextColumns(column.text, column.name + " ");
      columns.insert(columns.end(), places.begin(), places.end());
      continue;
    }
    columns.push_back(Describe(column));
    if (!column.missing_indicator) continue;
    ShardColumn indicator;
    indicator.name = column.name + " missing";
    indicator.minimum = 0;
    indicator.maximum = 1;
    columns.push_back(indicator);
  }
  return columns;
}

ShardLabel MakeShardLabel(const Schema& schema) {
  ShardLabel label;
  label.name = schema.label.name;
  label.description = schema.label.description;
  for (const LabelClass& known : schema.label.classes)
    label.classes.push_back(known.name);
  label.minimum = schema.label.minimum;
  label.maximum = schema.label.maximum;
  return label;
}

}  // namespace hearsay::model::prep
