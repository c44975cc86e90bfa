#include "ops/cli/verbs.h"

namespace hearsay::ops {

void AddNodeVerbs(CLI::App& /*app*/) {}

}  // namespace hearsay::ops
