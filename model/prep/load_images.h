// Reads images into a row store, in blocks: pairs of IDX files, or folders that
// hold one folder of PNG files for each class, by its name.
#pragma once

#include <filesystem>
#include <vector>

#include "model/prep/load.h"

namespace hearsay::model::prep {

struct ImageFiles {
  std::filesystem::path images;  // IDX, or a folder of PNG.
  std::filesystem::path labels;  // Empty: a folder.
};

// Throws: std::invalid_argument: images without labels.
std::vector<ImageFiles> PairImages(
    const std::vector<std::filesystem::path>& files);

// Requires: options.schema.images. Throws: FileError.
void LoadImages(const LoadOptions& options, Gathering& gathering);

}  // namespace hearsay::model::prep
