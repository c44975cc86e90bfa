// The exchange loop: on a jittered clock, swap snapshots with the ring
// neighbour and add the correction that the rule says.
//
// Sends happen on the clock or in answer, never on completion of a step: step
// times depend on private batch sizes. Streaming passes over the weights run on
// a worker thread, so that a large correction delays no heartbeat.
//
// Threads: the network thread, which runs `io`; counters too.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "daemon/config.h"
#include "daemon/live_weights.h"
#include "daemon/mixing/rule.h"
#include "transport/transport.h"

namespace hearsay::daemon {

struct ExchangeOptions {
  std::optional<Duration> interval;  // nullopt: auto
  transport::Milliseconds deadline{2000};
};

// Of the exchanges with one peer. Egress: public.
struct ExchangeCounters {
  std::uint64_t ok = 0;           // asked, answered, corrected
  std::uint64_t failed = 0;       // asked, no use: late, lost or unfit
  std::uint64_t answered = 0;     // their requests, corrected and answered
  std::uint64_t one_sided = 0;    // corrected here, but the answer was lost
  std::uint64_t not_finite = 0;   // dropped whole
  double round_trip_seconds = 0;  // smoothed; 0 before the first
};

class ExchangeLoop {
 public:
  // `next_peer` names whom to ask now, or nobody. References must outlive this.
  ExchangeLoop(boost::asio::io_context& io, transport::Transport& transport,
               const mixing::Rule& rule, LiveWeights& weights,
               const ExchangeOptions& options,
               std::function<std::optional<std::string>()> next_peer,
               std::function<std::uint64_t()> version);
  ~ExchangeLoop();

  void Start();
  // Asks no more and answers no more; returns when no pass is running.
  void Stop();

  // Transport's callbacks.
  void OnRequest(const std::string& from, transport::Message request,
                 transport::Respond respond);
  void OnAnswerLost(const std::string& to);

  // What the others say: the median member's step time, and the largest
  // interval that any proposes (for rules that need a common one).
  void SetClusterPace(Duration median_step_time, Duration largest_proposed);
  // The interval this node would choose by itself; the one in force.
  Duration ProposedInterval() const;
  Duration Interval() const;

  const std::map<std::string, ExchangeCounters>& counters() const {
    return counters_;
  }

 private:
  void Arm();
  void Ask(const std::string& peer);
  void Sent(const std::string& peer, transport::Buffer mine);
  void OnAnswer(const std::string& peer, transport::Buffer mine,
                transport::Clock::time_point asked,
                transport::Result<transport::Message> answer);

  boost::asio::io_context& io_;
  transport::Transport& transport_;
  const mixing::Rule& rule_;
  LiveWeights& weights_;
  const ExchangeOptions options_;
  const std::function<std::optional<std::string>()> next_peer_;
  const std::function<std::uint64_t()> version_;

  boost::asio::steady_timer timer_;
  std::mt19937_64 jitter_;  // Of the clock: no secret, no claim.
  bool stopped_ = false;
  bool in_flight_ = false;  // At most one exchange of one's own.
  Duration median_step_time_{0};
  Duration largest_proposed_{0};
  double round_trip_seconds_ = 0;
  std::map<std::string, ExchangeCounters> counters_;
  boost::asio::thread_pool worker_{1};  // Streaming passes; joined first.
};

}  // namespace hearsay::daemon
