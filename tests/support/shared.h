// Finds reference values and real data sets that live outside the repository:
// under $HEARSAY_SHARED, else ../shared beside the checkout. Tests that need
// them are skipped, visibly, where they are missing:
//
//   const auto file = SharedFile("oracles/subsampled_gaussian.tsv");
//   if (!file) GTEST_SKIP() << kNoShared;
#pragma once

#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace hearsay::tests {

inline constexpr const char* kNoShared =
    "no such file under $HEARSAY_SHARED (default ../shared)";

inline std::optional<std::filesystem::path> SharedFile(
    const std::string& relative) {
  const char* set = std::getenv("HEARSAY_SHARED");
  const std::filesystem::path root =
      set != nullptr ? std::filesystem::path(set)
                     : std::filesystem::path(HEARSAY_SOURCE_DIR) / "../shared";
  std::filesystem::path path = root / relative;
  if (!std::filesystem::exists(path)) return std::nullopt;
  return path;
}

}  // namespace hearsay::tests
