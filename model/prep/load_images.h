// Reads images into a row store, in blocks.
#pragma once

#include "model/prep/load.h"

namespace hearsay::model::prep {

// Requires: options.schema.images. Throws: FileError.
void LoadImages(const LoadOptions& options, Gathering& gathering);

}  // namespace hearsay::model::prep
