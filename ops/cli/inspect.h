// Says what a file of Hearsay is: a shard, a checkpoint or weights, any other
// safetensors file, or a ledger. Verifies it on the way.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace hearsay::ops {

// As JSON: "kind" is "shard", "checkpoint", "weights", "safetensors" or
// "ledger". A folder stands for the ledger in it.
// Throws: model::FileError, dp::LedgerError; Exit(kError) for other files.
nlohmann::ordered_json Inspect(const std::filesystem::path& path);

// The same for people.
std::string InspectionText(const nlohmann::ordered_json& inspection);

}  // namespace hearsay::ops
