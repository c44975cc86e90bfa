#include "ops/cli/verbs.h"

namespace hearsay::ops {

void AddClusterVerbs(CLI::App& /*app*/) {}

}  // namespace hearsay::ops
