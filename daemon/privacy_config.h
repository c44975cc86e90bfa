// The [privacy] section of the configuration: what is clipped how, which noise,
// what it may cost, and where that is written down.
#pragma once

#include <string>

#include "daemon/config.h"
#include "daemon/config_reader.h"

namespace hearsay::daemon {

// Into config.privacy; looks at config.node.device and config.test.probe, which
// must have been read. Throws: ConfigError, for a choice that another excludes
// too.
void ReadPrivacy(ConfigReader& reader, Config& config);

// The keys of the section that say the same as `privacy`.
std::string PrivacyKeys(const Config::Privacy& privacy);

}  // namespace hearsay::daemon
