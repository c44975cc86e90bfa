#include "model/prep/class_folders.h"

#include <algorithm>
#include <string>
#include <utility>

namespace hearsay::model::prep {

namespace {

namespace fs = std::filesystem;

std::vector<fs::path> Sorted(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> entries;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (!entry->path().filename().string().starts_with('.'))
      entries.push_back(entry->path());
  if (error) Fail(folder, "cannot read this folder: " + error.message());
  std::sort(entries.begin(), entries.end());
  return entries;
}

}  // namespace

std::vector<LabelledFile> FilesByClass(const fs::path& folder,
                                       const std::vector<LabelClass>& classes) {
  std::vector<LabelledFile> files;
  const auto entries = Sorted(folder);
  for (std::size_t i = 0; i < classes.size(); ++i)
    for (const fs::path& entry : entries)
      if (entry.filename() == classes[i].name)
        for (fs::path& file : Sorted(entry))
          files.push_back({std::move(file), static_cast<std::uint8_t>(i)});
  for (const fs::path& entry : entries)
    if (std::none_of(classes.begin(), classes.end(), [&](const auto& known) {
          return entry.filename() == known.name;
        }))
      Fail(entry,
           "is no class of the schema; such a folder holds one folder for "
           "each class, by its name");
  if (files.empty()) Fail(folder, "has no files");
  return files;
}

}  // namespace hearsay::model::prep
