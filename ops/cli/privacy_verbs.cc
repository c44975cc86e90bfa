#include "ops/cli/verbs.h"

namespace hearsay::ops {

void AddPrivacyVerbs(CLI::App& /*app*/) {}

}  // namespace hearsay::ops
