#include "ops/compare/interrupts.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <ctime>

namespace hearsay::ops {

Interrupts::Interrupts() {
  sigemptyset(&caught_);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP})
    sigaddset(&caught_, signal);
  pthread_sigmask(SIG_BLOCK, &caught_, &before_);
}

Interrupts::~Interrupts() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

void Interrupts::SleepUntil(std::chrono::steady_clock::time_point when) {
  using std::chrono::nanoseconds;
  constexpr long kSecond = 1'000'000'000;
  for (;;) {
    const auto left = std::max<nanoseconds::rep>(
        0, nanoseconds(when - std::chrono::steady_clock::now()).count());
    const timespec patience{.tv_sec = left / kSecond,
                            .tv_nsec = left % kSecond};
    const int signal = sigtimedwait(&caught_, nullptr, &patience);
    if (signal > 0) throw Interrupted(signal);
    if (errno == EAGAIN) return;
  }
}

void EndBy(int signal) {
  std::signal(signal, SIG_DFL);
  sigset_t one;
  sigemptyset(&one);
  sigaddset(&one, signal);
  pthread_sigmask(SIG_UNBLOCK, &one, nullptr);
  raise(signal);
  _exit(128 + signal);
}

}  // namespace hearsay::ops
