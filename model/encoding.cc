#include "model/encoding.h"

#include <fmt/core.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

namespace hearsay::model {

namespace {

template <typename... Arguments>
[[noreturn]] void RefuseColumn(const Layer& layer, const ShardColumn& column,
                               fmt::format_string<Arguments...> text,
                               Arguments&&... arguments) {
  throw std::invalid_argument(fmt::format(
      "layer 0 ({}): column \"{}\" {}", TypeName(layer), column.name,
      fmt::format(text, std::forward<Arguments>(arguments)...)));
}

int CategoriesOf(const ShardColumn& column) {
  return static_cast<int>(column.categories.size());
}

}  // namespace

Encoding EncodingFor(const std::vector<Layer>& layers) {
  return !layers.empty() && TakesCodes(layers.front()) ? Encoding::kCodes
                                                       : Encoding::kOneHot;
}

std::vector<Layer> FitToColumns(std::vector<Layer> layers,
                                const std::vector<ShardColumn>& columns) {
  if (layers.empty()) return layers;
  auto* table = std::get_if<TableEmbedding>(&layers.front().kind);
  if (table == nullptr || !table->categories.empty()) return layers;
  for (const ShardColumn& column : columns)
    table->categories.push_back(CategoriesOf(column));
  return layers;
}

void CheckColumns(const std::vector<Layer>& layers,
                  const std::vector<ShardColumn>& columns) {
  if (layers.empty()) return;
  const Layer& first = layers.front();
  if (const auto* embedding = std::get_if<Embedding>(&first.kind))
    for (const ShardColumn& column : columns) {
      if (!column.categorical())
        RefuseColumn(first, column,
                     "is a number and no code: all columns must be categorical "
                     "(for a table of both there is table_embedding)");
      if (CategoriesOf(column) > embedding->vocabulary)
        RefuseColumn(first, column, "has {} categories, the vocabulary only {}",
                     CategoriesOf(column), embedding->vocabulary);
    }
  const auto* table = std::get_if<TableEmbedding>(&first.kind);
  if (table == nullptr) return;
  for (std::size_t i = 0;
       i < std::min(columns.size(), table->categories.size()); ++i)
    if (CategoriesOf(columns[i]) != table->categories[i])
      RefuseColumn(first, columns[i], "has {} categories, not {} (a number: 0)",
                   CategoriesOf(columns[i]), table->categories[i]);
}

}  // namespace hearsay::model
