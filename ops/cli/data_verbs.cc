#include "ops/cli/verbs.h"

namespace hearsay::ops {

void AddDataVerbs(CLI::App& /*app*/) {}

}  // namespace hearsay::ops
