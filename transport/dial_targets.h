// The addresses this node dials, and when: pure bookkeeping over a clock and a
// generator that are passed in.
//
// Configured addresses are kept for ever; those learned from others until the
// member behind them leaves or turns up elsewhere. Retries are spread by
// jitter, so that a cluster that starts at once does not dial at once.
#pragma once

#include <chrono>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace hearsay::transport {

class DialTargets {
 public:
  using Clock = std::chrono::steady_clock;

  struct Target {
    bool configured = false;
    bool dialling = false;
    bool refused = false;
    std::string node;         // that answered there last, or is said to
    std::string last_error;   // "" if none
    Clock::time_point next;   // do not dial before
    Clock::time_point since;  // of `last_error`
    std::chrono::milliseconds wait{0};
  };

  DialTargets(std::chrono::milliseconds retry_min,
              std::chrono::milliseconds retry_max, std::uint64_t seed);

  // Dialled at once. One that was learned makes room; false, and ignored, if
  // there is none.
  bool AddConfigured(const std::string& address);
  // Ignored when the table is full: a peer cannot make it grow without bound.
  void AddLearned(const std::string& address, const std::string& node);

  // Addresses to dial now. The caller leaves out what is connected.
  std::vector<std::string> Due(Clock::time_point now) const;
  void OnDialling(const std::string& address);
  // A handshake told who is there.
  void OnIdentified(const std::string& address, const std::string& node);
  // Ignored if not a target, such as the "" of a session that was accepted.
  void OnConnected(const std::string& address);
  void OnFailed(const std::string& address, const std::string& error,
                Clock::time_point now);
  // Worth trying again only in case its configuration changes.
  void OnRefused(const std::string& address, const std::string& error,
                 Clock::time_point now);
  // The connection to `node` was lost: dial its addresses soon.
  void OnLost(const std::string& node, Clock::time_point now);
  // It said goodbye: only its configured addresses are kept, without haste.
  void OnLeft(const std::string& node, Clock::time_point now);
  // `node` is now at `address`: what was learned of other places is forgotten.
  void OnMoved(const std::string& node, const std::string& address);
  // This node itself answers there.
  void Forget(const std::string& address);

  const std::map<std::string, Target>& all() const { return targets_; }

 private:
  std::chrono::milliseconds Jittered(std::chrono::milliseconds wait);

  const std::chrono::milliseconds retry_min_;
  const std::chrono::milliseconds retry_max_;
  std::minstd_rand random_;  // Spreads retries; no secret depends on it.
  std::map<std::string, Target> targets_;
};

}  // namespace hearsay::transport
