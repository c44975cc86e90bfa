// The folder that prep writes to: all of its files appear, or none.
#pragma once

#include <filesystem>
#include <vector>

#include "model/prep/prepare.h"

namespace hearsay::model::prep {

class OutputFolder {
 public:
  // Makes it. Throws: FileError; also if it holds shards, unless `replace`.
  OutputFolder(const std::filesystem::path& path, bool replace);
  // Removes what was expected, unless Keep() was called.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  // Only once the input was good: a typo must not cost the old shards.
  void RemoveOld(int threads);
  // A file that is about to be there.
  void Expect(const std::filesystem::path& file) { expected_.push_back(file); }
  // partition.json, for its owner's eyes.
  void WriteFacts(const PrepareOptions& options, const PrepareReport& report);
  void Keep() { expected_.clear(); }

 private:
  const std::filesystem::path path_;
  std::vector<std::filesystem::path> expected_;
};

}  // namespace hearsay::model::prep
