// Between a shard's columns and a model whose first layer takes codes: an
// embedding. Other models take one input a category, and know no columns.
#pragma once

#include <vector>

#include "model/layers.h"
#include "model/shard.h"

namespace hearsay::model {

Encoding EncodingFor(const std::vector<Layer>& layers);

// The layers with what only the columns can say: the categories of a table
// embedding that gives none.
std::vector<Layer> FitToColumns(std::vector<Layer> layers,
                                const std::vector<ShardColumn>& columns);

// Throws: std::invalid_argument that names the layer and the column whose rows
// are no codes for it.
void CheckColumns(const std::vector<Layer>& layers,
                  const std::vector<ShardColumn>& columns);

}  // namespace hearsay::model
