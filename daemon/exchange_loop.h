// The exchange loop: on a jittered clock, swap snapshots with the ring
// neighbour and add the correction that the rule says.
//
// Sends happen on the clock or in answer, never on completion of a step: step
// times depend on private batch sizes. Streaming passes over the weights run on
// a worker thread, so that a large correction delays no heartbeat.
//
// A request that carries nothing asks for a snapshot: the answering node adds
// nothing. That is how a late joiner fetches the current weights, and how
// one_way asks. An answer that carries nothing declines (this node has no
// trained weights yet, or is giving them to somebody else), unless its version
// says that it acknowledges. An array is used whole or, if it is not fit
// (mixing/vet.h), not at all. What is done to arrays is in exchange_passes.h;
// the foils whose trainers wait come here by Meet.
//
// Where a message becomes a difference while it arrives, a request is answered
// while it arrives, too: the snapshot that it will be held against is taken
// when it begins, and flows back meanwhile, but for its last piece, which waits
// until the request is whole and was fit (ops/decisions/0018).
//
// Threads: the network thread, which runs `io`; counters too. The rule is the
// worker's, but for its habits.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "daemon/arrivals.h"
#include "daemon/config.h"
#include "daemon/exchange_pace.h"
#include "daemon/exchange_passes.h"
#include "daemon/exchange_record.h"
#include "daemon/live_weights.h"
#include "daemon/mixing/rule.h"
#include "daemon/mixing/vet.h"
#include "daemon/neighbours.h"
#include "transport/transport.h"

namespace hearsay::daemon {

struct ExchangeOptions {
  std::optional<Duration> interval;  // nullopt: auto
  // For an array that takes no time on the wire.
  transport::Milliseconds deadline{2000};
  std::uint64_t max_staleness = 0;  // mixing.max_staleness, steps; 0 = none
  std::string server = {};          // whom to ask; "" = by the topology
  PassOptions passes = {};
};

class ExchangeLoop {
 public:
  // References must outlive this. `version` is this node's step.
  ExchangeLoop(boost::asio::io_context& io, transport::Transport& transport,
               mixing::Rule& rule, LiveWeights& weights, Neighbours& neighbours,
               const ExchangeOptions& options,
               std::function<std::uint64_t()> version);
  ~ExchangeLoop();

  // From now on there is something to mix; before, every request is declined.
  void Start();
  // Asks no more and answers no more; returns when no pass is running.
  void Stop();

  // An exchange now, for a trainer that waits for it. `done` comes once, with
  // what went wrong or with "": all that can be said if a peer does not answer
  // is when the deadline has passed. At most one at a time.
  void Meet(std::function<void(std::string error)> done);
  // Among those that mix, by name.
  struct Place {
    std::size_t place = 0;
    std::size_t members = 1;
  };
  void SetPlace(const Place& place) { place_ = place; }

  // Transport's callbacks.
  transport::OnPiece OnRequestBegin(const std::string& from,
                                    const transport::Message& begun,
                                    transport::Respond ahead);
  void OnRequest(const std::string& from, transport::Message request,
                 transport::Respond respond);
  void OnAnswerLost(const std::string& to);

  // `peer` has shown that it is at `step`.
  void OnStep(const std::string& peer, std::uint64_t step) {
    record_.OnStep(peer, step);
  }
  // A new process has taken the name: its steps begin anew.
  void OnRestart(const std::string& peer);
  // How long to wait for an array from `peer`.
  transport::Milliseconds Deadline(const std::string& peer) const;

  // What the others say: the median member's step time, and the largest
  // interval that any proposes (for rules that need a common one).
  // To be called about once a second: what exchanges cost is measured here.
  void SetClusterPace(Duration median_step_time, Duration largest_proposed);
  // The interval this node would choose by itself; the one in force.
  Duration ProposedInterval() const;
  Duration Interval() const;
  double eta() const { return passes_.eta(); }

  const std::map<std::string, ExchangeCounters>& counters() const {
    return record_.all();
  }

 private:
  // An exchange of this node's own. Touched by the worker while one of its
  // passes runs, else by the network thread.
  struct Own : ExchangePasses::Own {
    std::string name;  // of the peer
    transport::Clock::time_point asked;
  };
  struct Waiting {
    std::string from;
    transport::Message request;
    transport::Respond respond;
  };

  void Arm();
  std::optional<std::string> Peer();
  std::uint64_t IdOf(const std::string& peer);
  // Runs `pass` on the worker.
  template <typename Pass>
  void Work(Pass pass);
  void Ask(const std::string& peer);
  void Send(std::shared_ptr<Own> own);
  transport::OnPiece OnAnswerBegin(const std::shared_ptr<Own>& own,
                                   const transport::Message& begun);
  void OnAnswer(const std::shared_ptr<Own>& own,
                transport::Result<transport::Message> answer);
  void Correct(const std::shared_ptr<Own>& own, transport::Message answer);
  // This node's own exchange is over.
  void Finish(const std::string& error);
  void MeetNow(transport::Clock::time_point until);
  void Answer(const std::string& from, transport::Message request,
              transport::Buffer mine, const std::shared_ptr<Arrival>& arrival,
              transport::Respond respond);
  // Both count it, and tell the neighbours.
  void OnUsed(const std::string& peer, std::uint64_t version);
  void OnFault(const std::string& peer, mixing::Fault fault);

  boost::asio::io_context& io_;
  transport::Transport& transport_;
  const mixing::Habits& habits_;
  const std::size_t weights_bytes_;
  Neighbours& neighbours_;
  const ExchangeOptions options_;
  const std::function<std::uint64_t()> version_;

  boost::asio::steady_timer timer_;
  std::mt19937_64 jitter_;  // Of the clock: no secret, no claim.
  bool started_ = false;
  bool stopped_ = false;
  bool in_flight_ = false;  // At most one exchange of one's own.
  Place place_;
  std::function<void(std::string)> met_;  // the trainer waits
  boost::asio::steady_timer retry_;
  std::deque<Waiting> waiting_;  // requests, where one is taken at a time
  Arrivals arrivals_;
  std::map<std::string, std::uint64_t> ids_;  // for the rule
  std::uint64_t next_id_ = 0;
  std::weak_ptr<transport::Buffer::element_type> given_;  // To a late joiner.
  ExchangePace pace_;
  ExchangeRecord record_;
  ExchangePasses passes_;                   // The worker's.
  std::atomic<double> worked_seconds_ = 0;  // CPU; written by the worker.
  boost::asio::thread_pool worker_{1};      // Streaming passes; joined first.
};

}  // namespace hearsay::daemon
