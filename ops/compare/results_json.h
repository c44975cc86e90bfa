// Results as a JSON document (results.json) and back again.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "ops/compare/results.h"

namespace hearsay::ops {

nlohmann::ordered_json ToJson(const Results& results);
// Throws: std::runtime_error if it is no such document.
Results FromJson(const nlohmann::ordered_json& document);

// What `hearsay compare -o json` prints of a cell: no samples over time.
nlohmann::ordered_json SummaryJson(const CellResult& result,
                                   std::optional<double> target_accuracy);

// Nothing if there is no such file. Throws: Exit(kError) if it is damaged.
std::optional<Results> ReadResults(const std::filesystem::path& file);

}  // namespace hearsay::ops
