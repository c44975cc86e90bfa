// Reads text files into a row store, in blocks: a file, plain, gzip or zstd, is
// a row, and the folder that it lies in names its class.
#pragma once

#include "model/prep/load.h"

namespace hearsay::model::prep {

// Requires: options.schema.text; options.files are folders. Throws: FileError.
void LoadTexts(const LoadOptions& options, Gathering& gathering);

}  // namespace hearsay::model::prep
