// Ctrl-C and its kin while processes of ours run: they wake a sleep and end it
// as an exception, so that destructors end what was started.
#pragma once

#include <chrono>
#include <csignal>
#include <stdexcept>

namespace hearsay::ops {

class Interrupted : public std::runtime_error {
 public:
  explicit Interrupted(int caught)
      : std::runtime_error("interrupted"), signal(caught) {}
  const int signal;
};

// Blocks SIGINT, SIGTERM and SIGHUP from its making on; a later signal is
// looked at where it is waited for, and nowhere else.
// Threads: the program's first, before there are others.
class Interrupts {
 public:
  Interrupts();
  ~Interrupts();
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;

  // Throws: Interrupted, at once if a signal has come.
  void SleepUntil(std::chrono::steady_clock::time_point when);

 private:
  sigset_t caught_{};
  sigset_t before_{};
};

// Ends this process as `signal` ends one that does not handle it.
[[noreturn]] void EndBy(int signal);

}  // namespace hearsay::ops
