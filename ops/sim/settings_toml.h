// Reads what is to be simulated: one TOML file, whose [mixing] and [resync] say
// the same as hearsayd.toml's.
#pragma once

#include <filesystem>

#include "daemon/config.h"
#include "ops/sim/settings.h"

namespace hearsay::sim {

// "" for `file`: all defaults, changed by `flags` ("sim.nodes" -> "100").
// Throws: daemon::ConfigError, "FILE:LINE: key: what is wrong".
Settings ReadSettings(const std::filesystem::path& file,
                      const daemon::Overrides& flags);

}  // namespace hearsay::sim
