#include "daemon/cpu.h"

#include <sched.h>
#include <time.h>

#include <algorithm>
#include <fstream>
#include <thread>

namespace hearsay::daemon {

namespace {

double Read(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) +
         1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace

double AvailableCores() {
  double cores = std::max(1U, std::thread::hardware_concurrency());
  cpu_set_t bound;
  if (sched_getaffinity(0, sizeof bound, &bound) == 0)
    cores = CPU_COUNT(&bound);
  // Within a container its own group is the root of what it sees. "max" where
  // there is no quota, and then this reads nothing.
  std::ifstream quota("/sys/fs/cgroup/cpu.max");
  double allowed = 0, period = 0;
  if (quota >> allowed >> period && allowed > 0 && period > 0)
    cores = std::min(cores, allowed / period);
  return std::max(cores, 0.01);
}

double ProcessCpuSeconds() { return Read(CLOCK_PROCESS_CPUTIME_ID); }

double ThreadCpuSeconds() { return Read(CLOCK_THREAD_CPUTIME_ID); }

}  // namespace hearsay::daemon
