// Records that are files, in a folder that holds one folder for each class, by
// its name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "model/prep/schema.h"

namespace hearsay::model::prep {

struct LabelledFile {
  std::filesystem::path path;
  std::uint8_t label = 0;
};

// By class, then by name: an order that no file system chooses. Hidden files
// are none.
// Throws: FileError (unreadable, an entry that is no class, no files).
std::vector<LabelledFile> FilesByClass(const std::filesystem::path& folder,
                                       const std::vector<LabelClass>& classes);

}  // namespace hearsay::model::prep
