// The [model] section of the configuration: layers, or the name of a preset.
#pragma once

#include <filesystem>
#include <string>

#include "daemon/config.h"
#include "daemon/config_reader.h"
#include "model/shard.h"

namespace hearsay::daemon {

enum class Layers { kRequired, kOptional };

// Throws: ConfigError.
void ReadModel(ConfigReader& reader, Config::Model& model, Layers layers);

// The keys of the section that say the same as `model`, every field written.
std::string ModelKeys(const Config::Model& model);

// A shard, opened so that its rows are what the model takes.
model::Shard OpenFor(const Config::Model& model,
                     const std::filesystem::path& path);

// What the configuration and a shard that OpenFor opened make together.
// Throws: std::invalid_argument.
model::ModelSpec SpecOf(const Config::Model& model, const model::Shard& shard);

// The same of so many features, not validated.
model::ModelSpec SpecOf(const Config::Model& model, int features);

}  // namespace hearsay::daemon
