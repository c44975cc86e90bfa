// The [model] section of the configuration: layers, or the name of a preset.
#pragma once

#include <string>

#include "daemon/config.h"
#include "daemon/config_reader.h"

namespace hearsay::daemon {

enum class Layers { kRequired, kOptional };

// Throws: ConfigError.
void ReadModel(ConfigReader& reader, Config::Model& model, Layers layers);

// The keys of the section that say the same as `model`, every field written.
std::string ModelKeys(const Config::Model& model);

// What the configuration and a shard of so many features make together. Not
// validated.
model::ModelSpec SpecOf(const Config::Model& model, int features);

}  // namespace hearsay::daemon
