// How long a suspect has to refute.
//
// Long while only one member suspects it, since that one may itself be the slow
// one; shorter with every further member that independently says the same.
//
// Source: Dadgar, Phillips, Currey. "Lifeguard" (2017, arXiv:1707.00788),
// section IV.B, Local Health Aware Suspicion; constants of
// hashicorp/memberlist's suspicion.go.
#pragma once

#include <cstddef>
#include <set>
#include <string>

#include "transport/swim/settings.h"

namespace hearsay::transport::swim {

class Suspicion {
 public:
  // `members`: of the cluster now, this node included.
  Suspicion(const Settings& settings, std::size_t members,
            const std::string& accuser, Clock::time_point now);

  // True if this accuser is new and its word still shortens the wait.
  bool Confirm(const std::string& accuser);
  // No more doubt (its port is closed): the shortest wait.
  void Convince() { convinced_ = true; }
  // This process did not run for so long.
  void Postpone(Clock::duration by) { start_ += by; }
  // Then it is failed.
  Clock::time_point deadline() const;

 private:
  Clock::duration min_;
  Clock::duration max_;
  std::size_t needed_;  // confirmations for the shortest wait
  std::set<std::string> accusers_;
  Clock::time_point start_;
  bool convinced_ = false;
};

}  // namespace hearsay::transport::swim
