// Says what a model is that a configuration names: a preset, or the [model]
// section of a file, layer by layer, as the configuration that says it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace hearsay::ops {

// `name`: a preset's, or a configuration file's. "parameters" and the shapes
// are null where only the data can say how wide the input is.
// Throws: daemon::ConfigError, Exit(kUsage).
nlohmann::ordered_json InspectModel(const std::string& name);

// The configuration, with shapes and sizes as comments.
std::string ModelInspectionText(const nlohmann::ordered_json& inspection);

}  // namespace hearsay::ops
