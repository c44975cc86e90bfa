// The [train] section of the configuration: how much is sampled, what a step
// makes of it, how the rate changes, what is averaged over time.
#pragma once

#include <string>

#include "daemon/config.h"
#include "daemon/config_reader.h"

namespace hearsay::daemon {

// Keys of another optimizer or schedule than the configured one are refused: a
// value that would be ignored is a mistake. Throws: ConfigError.
void ReadTrain(ConfigReader& reader, Config::Train& train, bool probe);

// The keys of the section that say the same as `train`.
std::string TrainKeys(const Config::Train& train);

}  // namespace hearsay::daemon
