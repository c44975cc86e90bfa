#include "ops/cli/verbs.h"

namespace hearsay::ops {

void AddModelVerbs(CLI::App& /*app*/) {}

}  // namespace hearsay::ops
