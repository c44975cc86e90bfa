// Reads all of the input files into a row store: each block of a file is taken
// apart and encoded by whichever thread comes next, so that one large file
// keeps all of them busy, and so do many small ones that have to be inflated.
//
// What comes out does not depend on the number of threads.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "model/prep/gather.h"
#include "model/prep/schema.h"

namespace hearsay::model::prep {

struct LoadOptions {
  const Schema& schema;
  // CSV; of images: pairs of files, images and then their labels.
  const std::vector<std::filesystem::path>& files;
  const Partition& partition;
  int threads = 1;
  bool strict = false;  // Fail at the first bad row instead of counting it.
  bool hashes = false;  // Of every record, to find duplicates.
  std::size_t block_bytes = kCsvBlockBytes;  // Of text, taken at once.
  ProgressMeter& progress;
};

// Throws: FileError, of what comes first in the input;
// std::invalid_argument: by:COLUMN with more than 1000 values.
Loaded Load(const LoadOptions& options, RowStore& store);

}  // namespace hearsay::model::prep
