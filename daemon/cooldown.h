// Peers set aside for a while, and for twice as long each time they come back
// no better: the arithmetic of quarantine and of bypassing.
//
// Pure bookkeeping over a clock that is passed in. A peer is set aside by
// `strikes` within `window`; when it is let in again it is on probation, where
// one strike is enough. Good behaviour for as long as the last time aside
// halves the next one; silence earns nothing, so that a peer cannot sit it out.
//
// Threads: one.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>

namespace hearsay::daemon {

struct CooldownTerms {
  std::size_t strikes = 3;
  std::chrono::milliseconds window{60000};
  std::chrono::milliseconds first{5000};
  std::chrono::milliseconds longest{600000};
  // Strikes count only in a row: a single success wipes them out.
  bool in_a_row = false;
};

class Cooldown {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Of a peer that is aside now.
  struct Aside {
    std::string reason;  // of the last strike
    std::uint64_t times = 0;
    Time since;
    Time until;
  };

  explicit Cooldown(const CooldownTerms& terms) : terms_(terms) {}

  // True if this is the strike that sets the peer aside.
  bool Strike(const std::string& peer, const std::string& reason, Time now);
  void Praise(const std::string& peer, Time now);
  // Of a new process of that name nothing is known yet.
  void Forget(const std::string& peer) { records_.erase(peer); }

  std::optional<Aside> Find(const std::string& peer, Time now) const;
  std::size_t size() const { return records_.size(); }  // peers remembered
  // How often it has been set aside.
  std::uint64_t times(const std::string& peer) const;

 private:
  struct Record {
    std::deque<Time> strikes;  // within the window, at most terms_.strikes
    int level = 0;             // 0: no probation
    std::chrono::milliseconds last{0};  // how long it was aside
    Time good_since;                    // since when it has earned
    Aside aside;
  };

  void MakeRoom(Time now);

  const CooldownTerms terms_;
  std::map<std::string, Record> records_;
};

}  // namespace hearsay::daemon
