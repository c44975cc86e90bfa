// What a node says of itself and of the cluster: the report that its heartbeats
// carry and the view that its admin API shows. node.cc is how it lives.
#include <algorithm>
#include <cmath>

#include "daemon/node.h"

namespace hearsay::daemon {

namespace {

// Three significant digits: enough to compare nodes, too few to read a batch
// size out of a step's time.
double Rounded(double value) {
  if (value <= 0 || !std::isfinite(value)) return 0;
  const double unit = std::pow(10.0, std::floor(std::log10(value)) - 2);
  return std::round(value / unit) * unit;
}

}  // namespace

std::string Node::state() const {
  if (stopping_) return "left";
  const auto state = trainer_->state();
  // Its thread is about to take the first step.
  if (begun_ && state == TrainingState::kWaiting)
    return Word(TrainingState::kTraining);
  return Word(state);
}

std::vector<LinkReport> Node::Links() const {
  std::vector<LinkReport> links;
  const double age =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - born_)
          .count();
  const auto members = transport_->members();
  for (const auto& [peer, counters] : exchange_->counters()) {
    const auto bytes = transport_->counters(peer);
    std::string lane;
    for (const auto& member : members)
      if (member.node == peer) lane = member.lane;
    if (counters.ok + counters.failed > 0)
      links.push_back({peer, "out", lane, counters.ok, counters.failed, 0,
                       counters.round_trip_seconds,
                       static_cast<double>(bytes.bytes_out) / age});
    if (counters.answered + counters.one_sided > 0)
      links.push_back({peer, "in", lane, counters.answered, 0,
                       counters.one_sided, 0,
                       static_cast<double>(bytes.bytes_in) / age});
  }
  return links;
}

std::vector<std::string> Node::Troubles() const {
  std::vector<std::string> reasons;
  if (!run_.claim_void.empty()) reasons.push_back(run_.claim_void);
  if (trainer_->state() == TrainingState::kFailed)
    reasons.push_back("training stopped: " + trainer_->error());
  if (!checkpoint_error_.empty()) reasons.push_back(checkpoint_error_);
  return reasons;
}

NodeReport Node::SelfReport() const {
  NodeReport report;
  report.step = trainer_->step();
  report.state = state();
  report.group = config_.node.group;
  report.ring_order = ring_order_;
  report.steps_per_second =
      report.state == "training" ? Rounded(rate_.PerSecond()) : 0;
  report.sketch = sketch_;
  if (run_.evaluator) {
    if (const auto result = run_.evaluator->latest()) {
      report.eval_loss = result->loss;
      report.eval_accuracy = result->accuracy;
    }
  }
  const bool failed = trainer_->state() == TrainingState::kFailed;
  report.privacy_valid = run_.claim_void.empty() && !failed;
  if (run_.budget) {
    const auto budget = run_.budget->status();
    report.epsilon = budget.epsilon;
    report.target_epsilon = budget.terms.target_epsilon;
    report.delta = budget.terms.delta;
    report.accountant = dp::Word(budget.accountant);
    report.ledger = ledger_watch_->Own(budget.position);
    report.noised_loss = run_.private_gradient->noised_loss();
    report.steps_left = budget.steps_left.value_or(
        config_.train.steps - std::min(config_.train.steps, run_.first_step));
  }
  report.proposed_interval =
      std::chrono::duration<double>(exchange_->ProposedInterval()).count();
  report.links = Links();
  report.marks = ledger_watch_->Remembered();
  report.reasons = Troubles();
  if (!report.privacy_valid) {
    report.health = "unhealthy";
  } else if (!report.reasons.empty()) {
    report.health = "degraded";
  }
  return report;
}

std::vector<Edge> Node::Edges() const {
  const auto now = transport::Clock::now();
  std::vector<Edge> edges;
  for (const auto& member : transport_->members()) {
    Edge edge{.member = member,
              .pieces = transport_->counters(member.node),
              .exchanges = {},
              .quarantine = neighbours_.quarantine().Find(member.node, now),
              .quarantines = neighbours_.quarantine().times(member.node),
              .bypass = neighbours_.bypass().Find(member.node, now)};
    const auto found = exchange_->counters().find(member.node);
    if (found != exchange_->counters().end()) edge.exchanges = found->second;
    edges.push_back(std::move(edge));
  }
  return edges;
}

ClusterView Node::View() const {
  using Seconds = std::chrono::duration<double>;
  const auto now = transport::Clock::now();
  ClusterView view;
  view.cluster = config_.cluster.name;
  view.rule = rule_->name();
  view.topology = mixing::Word(config_.mixing.topology.kind);
  view.resync = {config_.resync.every_steps, resync_->succeeded(),
                 resync_->failed(), resync_->last()};
  if (rule_->habits().has_twin) view.momentum_eta = exchange_->eta();
  view.self = config_.node.name;
  KnownNode self;
  self.name = config_.node.name;
  self.address = transport_->address();
  self.since_seconds = Seconds(now - born_).count();
  self.edge_since_seconds = self.since_seconds;
  self.said_by = self.name;
  self.report = SelfReport();
  view.nodes.push_back(std::move(self));
  for (const auto& member : transport_->members()) {
    KnownNode known;
    known.name = member.node;
    known.address = member.address;
    known.member = member.state;
    known.incarnation = member.incarnation;
    known.since_seconds = Seconds(now - member.since).count();
    known.said_by = member.said_by;
    known.edge = member.edge;
    known.edge_since_seconds = Seconds(now - member.edge_since).count();
    known.age_seconds.reset();
    if (member.heard != transport::Clock::time_point())
      known.age_seconds = Seconds(now - member.heard).count();
    if (!member.reachable()) known.error = member.last_error;
    const auto heard = heard_.find(member.node);
    if (heard != heard_.end()) known.report = heard->second.report;
    view.nodes.push_back(std::move(known));
  }
  std::sort(view.nodes.begin(), view.nodes.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  return view;
}

}  // namespace hearsay::daemon
