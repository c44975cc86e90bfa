// What this process may use of the machine, and what it has used.
#pragma once

namespace hearsay::daemon {

// Cores: those it is bound to, or the quota of its control group where that is
// less (may be a fraction). At least 0.01.
double AvailableCores();

// CPU time since start, in seconds: of the process, and of the calling thread.
double ProcessCpuSeconds();
double ThreadCpuSeconds();

}  // namespace hearsay::daemon
