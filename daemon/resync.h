// Full averages among all members, beside gossip: every k steps (Gossip-PGA),
// for the rules whose trainers wait for one, or because somebody asks.
//
// A round belongs to who proposes it: the first of those that train, by name,
// or who was asked. Each member copies its weights S when it hears of the
// round, all sum them (transport/collective), and each *adds* mean - S to
// whatever its weights have become: what was trained meanwhile stays, and
// nobody waits. In a round that blocks a member takes part only when its
// trainer has come to it. A round that fails, because a member is lost or late,
// changes nothing anywhere; the next one is proposed without that member.
// With momentum of mixing the twin begins anew at the weights (live_weights.h),
// wherever slow momentum has taken them.
//
// Slow momentum (mixing/slow_momentum.h): all members have the same, or none,
// for it begins anew with a round that does not follow on the last one or has
// other members.
//
// Threads: the network thread, but for the passes, which a worker makes.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/events.h"
#include "daemon/live_weights.h"
#include "daemon/mixing/slow_momentum.h"
#include "transport/collective/collective.h"
#include "transport/transport.h"

namespace hearsay::daemon {

struct ResyncOptions {
  enum class Mode { kOverlapped, kBlocking, kAdaptive };
  std::uint64_t every_steps = 0;  // 0: none of its own accord
  Mode mode = Mode::kOverlapped;
  // Left to the transport if not given.
  std::optional<transport::collective::Algorithm> algorithm;
  double above = 0.05;       // kAdaptive: the relative consensus distance
  double slow_momentum = 0;  // beta
  double clip = 0;           // how far a round may move the weights; 0 = any
  // Whoever took part in the first meeting has to come to all.
  bool needs_all = false;
  // For a round as a whole, the wait for the slowest included.
  transport::Milliseconds limit{60000};
};

// Egress: public.
struct RoundReport {
  std::string name;
  std::size_t members = 0;
  std::string error;  // "": the weights moved to the mean
  double seconds = 0;
};

// In one order for all; float32 on the wire.
struct OneOfEachMember {
  std::vector<double> values;
  std::size_t self = 0;  // which is this node's
};

class Resync {
 public:
  struct Hooks {
    // Those that take part and can be asked, this node too, sorted by name.
    std::function<std::vector<std::string>()> members;
    // The first of them whose trainer goes on; "" if none does.
    std::function<std::string()> proposer;
    // Has that member's trainer failed?
    std::function<bool(const std::string& peer)> failed =
        [](const std::string&) { return false; };
    // That many are waited for before the first round of a rule that needs all.
    std::size_t expected = 1;
    std::function<std::uint64_t()> step;
    // Of the members' weights; nothing while unknown.
    std::function<std::optional<double>()> distance;
    // Is this node's trainer going to come to its next meeting?
    std::function<bool()> trains;
    std::function<bool(const std::string& peer)> trusts;
    std::function<void(Level, const std::string&)> tell;
  };

  // References must outlive this.
  Resync(boost::asio::io_context& io, transport::Transport& transport,
         std::string self, LiveWeights& weights, const ResyncOptions& options,
         Hooks hooks);
  ~Resync();

  // From now on there is something to average.
  void Start();
  void Stop();
  // This node's trainer has ended: whoever waits for it should not.
  void OnTrainingEnded();

  // The members may be others than before: a trainer that waits for a round
  // may have to propose it itself.
  void OnMembers();

  // A round now, proposed by this node; where rounds block, the next one that
  // its trainer comes to. `done` gets its error, or "".
  using Done = std::function<void(std::string error)>;
  void Propose(Done done);
  // This node's trainer has come to a round that blocks, and waits for `done`.
  void Meet(Done done);
  // The mean of what all members give, in place, for trainers in step.
  // `values` is touched until `done`.
  void MeanOf(std::span<float> values, Done done);

  // One number of each of those that MeanOf was last taken over.
  void OneOfEach(
      double mine,
      std::function<void(OneOfEachMember, const std::string& error)> done);

  std::uint64_t succeeded() const { return succeeded_; }
  std::uint64_t failed() const { return failed_; }
  const std::optional<RoundReport>& last() const { return last_; }
  const ResyncOptions& options() const { return options_; }

 private:
  using Clock = transport::Clock;
  struct Held {
    std::string name;
    std::vector<std::string> members;
    Clock::time_point until;
  };
  struct Round {
    std::string name;
    std::vector<std::string> members;
    transport::Buffer mine;
    Clock::time_point began;
    Done done;
    bool formed = false;  // all take part
  };

  // Of the first meeting, who comes no more, and why; nothing if all do.
  std::optional<std::string> Missing() const;
  void Look();
  bool Leads() const;
  bool WaitsForTrainer() const;
  void ProposeNow(Done done);
  void OnProposed(const std::string& name,
                  const std::vector<std::string>& members);
  static bool GivesWay(const Round& round, const std::string& name,
                       const std::vector<std::string>& members);
  void JoinHeld();
  void Join(const std::string& name, std::vector<std::string> members,
            Done done);
  void Sum(std::shared_ptr<Round> round);
  void Take(std::shared_ptr<Round> round, transport::Buffer sum);
  void End(const std::shared_ptr<Round>& round, const std::string& error);
  // The worker's: the sum becomes where this node goes on from.
  std::string Move(const Round& round, std::span<float> sum);
  void FormGroup(Clock::time_point until, Done done);
  void RunGroup(std::span<float> values, Done done);
  std::span<float> Floats(const transport::Buffer& buffer) const;

  boost::asio::io_context& io_;
  transport::Transport& transport_;
  const std::string self_;
  LiveWeights& weights_;
  const ResyncOptions options_;
  const Hooks hooks_;

  const std::shared_ptr<transport::BufferPool> pool_;
  boost::asio::steady_timer look_;
  boost::asio::steady_timer wait_;
  boost::asio::steady_timer again_;  // of FormGroup
  bool started_ = false;
  bool stopped_ = false;
  std::uint64_t number_ = 0;  // of the rounds that this node proposed
  std::uint64_t next_ = 0;    // step of its next one
  std::shared_ptr<Round> round_;
  std::optional<Held> held_;  // proposed; waits for the trainer, or for round_
  Done met_;                  // the trainer waits
  Done asked_;                // by Propose, and waits for the trainer
  std::vector<std::string> crew_;  // of the first meeting, where all are needed
  std::shared_ptr<transport::collective::Group> group_;  // of MeanOf
  std::uint64_t succeeded_ = 0;
  std::uint64_t failed_ = 0;
  std::optional<RoundReport> last_;

  // The worker's: slow momentum, and the round that it stands at.
  mixing::SlowMomentum slow_;
  std::string slow_name_;
  std::vector<std::string> slow_members_;
  boost::asio::thread_pool worker_{1};  // Joined first.
};

}  // namespace hearsay::daemon
