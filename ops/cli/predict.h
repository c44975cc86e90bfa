// What a model says of each row of a shard, as CSV.
#pragma once

#include <cstdio>
#include <string>

#include "model/weights_file.h"

namespace hearsay::ops {

// For classes: row, the label's class, the predicted one, and the probability
// of each. For numbers: row, label, prediction, both in the units of the data.
// Throws: model::FileError; Exit(kError) for a model that does not fit the data
// and for what cannot be written.
void Predict(const std::string& model, model::Which which,
             const std::string& data, std::FILE* out);

}  // namespace hearsay::ops
