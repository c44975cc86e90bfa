// One node: owns its parts, wires them, and lives from Start to Stop.
//
//   run (what is trained) -- live weights --+-- trainer (own thread)
//                                           +-- exchange -- transport
//                                           +-- evaluator (own thread)
//   reports, member list -> view -> admin API
//
// node.cc: how it lives; node_network.cc: whom it meets, and how it joins;
// node_ledger.cc: what members remember of each other's ledgers; node_view.cc:
// what it says of itself.
//
// Threads: everything here runs on the thread that runs `io`, except where a
// callback of the trainer or the checkpoint writer says so (it posts).
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "daemon/admin_server.h"
#include "daemon/balancer.h"
#include "daemon/checkpoint.h"
#include "daemon/cluster_view.h"
#include "daemon/config.h"
#include "daemon/edges.h"
#include "daemon/events.h"
#include "daemon/exchange_loop.h"
#include "daemon/join_plan.h"
#include "daemon/joiner.h"
#include "daemon/ledger_watch.h"
#include "daemon/meetings.h"
#include "daemon/mixing/rule.h"
#include "daemon/neighbours.h"
#include "daemon/profile.h"
#include "daemon/rate_meter.h"
#include "daemon/resync.h"
#include "daemon/ring_chart.h"
#include "daemon/run.h"
#include "daemon/trainer.h"
#include "transport/transport.h"

namespace hearsay::daemon {

// This node may not be here: the cluster has another of its name.
class RefusedError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Node {
 public:
  // Opens and binds everything. Throws what PrepareRun throws, and
  // std::system_error (addresses), CheckpointError (the state folder).
  Node(boost::asio::io_context& io, const Config& config);
  ~Node();

  void Start();
  // Ends in order: training, exchanges, final checkpoint, leave; then stops
  // `io`. Idempotent.
  void Stop();
  void Drain();
  // Takes over what a running node may change: log.level, a lower
  // privacy.target_epsilon, the files of [tls]. Reports anything else as an
  // event.
  void Reload(const Config& config);

  // An operator's word: see Transport.
  bool Join(const std::string& address);
  transport::ForceLeaveOutcome ForceLeave(const std::string& name);

  // Why the node stopped by itself, if it did not stop in order.
  const std::optional<std::string>& refusal() const { return refusal_; }
  // The same, because members remember more of its ledger than it holds.
  const std::optional<std::string>& rolled_back() const { return rolled_back_; }

  // For the admin API.
  ClusterView View() const;
  NodeReport SelfReport() const;
  std::vector<Edge> Edges() const;
  Events& events() { return events_; }
  const Config& config() const { return config_; }
  const Profile& profile() const { return profile_; }
  const Run& run() const { return run_; }
  Trainer& trainer() { return *trainer_; }
  const ExchangeLoop& exchange() const { return *exchange_; }
  Resync& resync() { return *resync_; }
  const Resync& resync() const { return *resync_; }
  const transport::Transport& transport() const { return *transport_; }
  // Time the trainer waited for anything but compute.
  double stalled_seconds() const;
  std::string state() const;
  bool joining() const;
  // Seconds since the last whole checkpoint was written; nothing before.
  std::optional<std::chrono::system_clock::time_point> last_checkpoint() const {
    return last_checkpoint_;
  }
  const Neighbours& neighbours() const { return neighbours_; }
  void WriteCheckpoint();
  // Safetensors of the live weights.
  std::string EncodeWeights() const;

 private:
  transport::Options TransportOptions() const;
  void ReloadTls(const Config& config);
  transport::Callbacks TransportCallbacks();
  void BindAdmin();
  void WriteAdminFile() const;
  void JudgeDrops();
  void MakeLedgerWatch();
  // False if this node stops because of it.
  bool HearOfLedgers(const std::string& member, const NodeReport& report);
  void SaveMarks();
  void OnMember(const transport::Member& member);
  void OnReport(const transport::Member& member);
  void OnTrainingState(TrainingState state);
  void OnBoundary(TrainerSnapshot snapshot);  // trainer's thread
  void OnCheckpoint(const std::string& path, const std::string& error);
  Candidate CandidateOf(const transport::Member& member) const;
  void UpdateRing();
  void OrderRing();
  JoinSituation Situation() const;
  Joiner::Hooks JoinHooks();
  void MakeMeetings();
  void MakeBalancer();
  Resync::Hooks ResyncHooks();
  std::optional<std::string> UnfitNorm(double norm) const;
  void BeginWhenSettled();
  void Begin();
  void Tick();
  void PublishReport(const mixing::Sketch& sketch);
  void PaceExchanges();
  void TellOf(const transport::Member& member);
  std::vector<std::string> ReachableMembers() const;
  std::vector<std::string> MixingMembers() const;
  std::vector<std::string> RoundMembers() const;
  std::vector<LinkReport> Links() const;
  std::vector<std::string> Troubles() const;
  TrainerSnapshot LiveSnapshot() const;

  boost::asio::io_context& io_;
  Config config_;
  const Profile profile_;
  Events events_;
  Run run_;
  const std::unique_ptr<mixing::Rule> rule_;
  // Null with tls.mode = "off".
  const std::shared_ptr<transport::tls::Credentials> credentials_;

  std::unique_ptr<AdminServer> admin_;
  std::unique_ptr<CheckpointWriter> checkpoints_;
  std::unique_ptr<transport::Transport> transport_;
  Neighbours neighbours_;
  RingChart chart_;  // where the ring is in the order of bandwidth
  std::vector<std::string> ring_order_;  // if this node decides of it
  std::unique_ptr<ExchangeLoop> exchange_;
  std::unique_ptr<Joiner> joiner_;
  std::unique_ptr<Resync> resync_;
  std::unique_ptr<Meetings> meetings_;  // null: the trainer waits for nobody
  std::unique_ptr<Balancer> balancer_;  // null: without load balance
  std::unique_ptr<Trainer> trainer_;

  boost::asio::steady_timer tick_;
  boost::asio::steady_timer listen_;  // for members that are ahead
  boost::asio::steady_timer expect_;
  RateMeter rate_;
  // What each member said last, and whether its process had trained before this
  // node met it.
  struct Heard {
    NodeReport report;
    bool ahead = false;
  };
  std::map<std::string, Heard> heard_;
  // What the owner has been told of each member.
  struct Told {
    transport::MemberState state = transport::MemberState::kFailed;
    transport::EdgeState edge = transport::EdgeState::kNone;
    std::uint64_t incarnation = 0;
  };
  std::map<std::string, Told> told_;
  // What had been dropped of each member's pieces at the last look.
  std::map<std::string, transport::LinkCounters> judged_;
  std::unique_ptr<LedgerWatch> ledger_watch_;
  std::chrono::steady_clock::time_point marks_saved_;
  std::optional<std::string> rolled_back_;
  std::optional<mixing::Sketch> sketch_;
  std::optional<std::chrono::system_clock::time_point> last_checkpoint_;
  std::string checkpoint_error_;
  std::optional<std::string> refusal_;
  bool listened_ = false;
  bool expect_over_ = false;
  bool begun_ = false;
  bool stopping_ = false;
  bool sketching_ = false;
  const std::chrono::steady_clock::time_point born_;
  boost::asio::thread_pool sketcher_{1};
};

// What every start of a daemon does before anything else: makes the state
// folder usable or says why it is not. Throws: CheckpointError.
void PrepareStateFolder(const Config& config);

}  // namespace hearsay::daemon
