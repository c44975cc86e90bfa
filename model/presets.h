// Models by name, for those who want one that works.
#pragma once

#include <string>
#include <vector>

#include "model/spec.h"

namespace hearsay::model {

std::vector<std::string> PresetNames();

// `outputs`: classes, or 0 for the preset's own number. A preset for tables
// takes any number of inputs and has 0 of them. Throws: std::invalid_argument
// that lists the names.
ModelSpec Preset(const std::string& name, int outputs = 0);

}  // namespace hearsay::model
