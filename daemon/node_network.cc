// Whom a node meets and what it makes of them: the member list, the ring, and
// how it joins those who have trained without it.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "daemon/node.h"

namespace hearsay::daemon {

using transport::EdgeState;
using transport::MemberState;

namespace {

// Between exchanges when nobody trains: there is little left to mix.
constexpr Duration kIdleInterval = std::chrono::milliseconds(100);

// objective = "nodes": no step is scaled by more.
constexpr double kMostScale = 100;

bool Trains(TrainingState state) {
  return state == TrainingState::kTraining || state == TrainingState::kPaused ||
         state == TrainingState::kWaiting;
}

bool Joining(const NodeReport& report) {
  return report.state == Word(TrainingState::kWaiting);
}

}  // namespace

// One line for each thing that has changed.
void Node::TellOf(const transport::Member& member) {
  auto& told = told_[member.node];
  const auto& name = member.node.empty() ? member.address : member.node;
  const auto why =
      member.last_error.empty() ? "" : " (" + member.last_error + ")";
  if (member.state == MemberState::kRefused ||
      std::exchange(told.state, member.state) != member.state) {
    const bool bad = member.state == MemberState::kFailed ||
                     member.state == MemberState::kRefused;
    events_.Add(bad ? Level::kWarning : Level::kInfo, "member",
                fmt::format("{} is {}{}{}", name, Word(member.state),
                            member.said_by.empty() ? "" : ", says ",
                            member.said_by.empty() ? why : member.said_by));
  }
  if (std::exchange(told.edge, member.edge) != member.edge &&
      member.edge != EdgeState::kNone) {
    const bool good = member.edge == EdgeState::kConnected;
    events_.Add(
        good ? Level::kInfo : Level::kWarning, "link",
        fmt::format("the edge to {} is {}{}", name, Word(member.edge), why));
  }
}

void Node::OnMember(const transport::Member& member) {
  TellOf(member);
  auto& incarnation = told_[member.node].incarnation;
  if (member.incarnation != 0 &&
      std::exchange(incarnation, member.incarnation) != member.incarnation) {
    heard_.erase(member.node);
    exchange_->OnRestart(member.node);
    neighbours_.OnRestart(member.node);
  }
  UpdateRing();
  BeginWhenSettled();
}

void Node::JudgeDrops() {
  const auto now = transport::Clock::now();
  for (const auto& member : transport_->members()) {
    if (member.edge == EdgeState::kNone) continue;
    const auto counters = transport_->counters(member.node);
    const auto before = std::exchange(judged_[member.node], counters);
    for (const auto& reason : NewOffences(before, counters))
      neighbours_.OnOffence(member.node, reason, now);
  }
}

bool Node::Join(const std::string& address) {
  const bool added = transport_->Join(address);
  if (added)
    events_.Add(Level::kInfo, "member", "an operator adds the seed " + address);
  return added;
}

transport::ForceLeaveOutcome Node::ForceLeave(const std::string& name) {
  const auto outcome = transport_->ForceLeave(name);
  if (outcome == transport::ForceLeaveOutcome::kDone)
    events_.Add(Level::kInfo, "member",
                "an operator says that " + name + " will not come back");
  return outcome;
}

void Node::OnReport(const transport::Member& member) {
  if (member.report.empty()) return;
  auto report = DecodeReport(member.report);
  if (!report) {
    events_.Add(Level::kWarning, "member",
                fmt::format("dropped a malformed report of {}", member.node));
    return;
  }
  if (!HearOfLedgers(member.node, *report)) return;
  exchange_->OnStep(member.node, report->step);
  const auto [entry, first] = heard_.try_emplace(member.node);
  const bool was_joining = first || Joining(entry->second.report);
  entry->second.report = *std::move(report);
  // Who waited for this node says "joining" until it has met it.
  if (first)
    entry->second.ahead =
        entry->second.report.step > 0 || !Joining(entry->second.report);
  if (was_joining) {
    UpdateRing();
    BeginWhenSettled();
  }
}

std::vector<std::string> Node::ReachableMembers() const {
  std::vector<std::string> names;
  for (const auto& member : transport_->members())
    if (member.reachable()) names.push_back(member.node);
  return names;
}

Candidate Node::CandidateOf(const transport::Member& member) const {
  const auto found = heard_.find(member.node);
  return {.name = member.node,
          .reachable = member.reachable(),
          .mixes = found != heard_.end() && !Joining(found->second.report),
          .left = member.state == MemberState::kLeft,
          .group = found != heard_.end() ? found->second.report.group : ""};
}

void Node::UpdateRing() {
  std::vector<Candidate> candidates;
  for (const auto& member : transport_->members())
    candidates.push_back(CandidateOf(member));
  if (config_.mixing.by_bandwidth) OrderRing();
  neighbours_.Update(candidates, transport::Clock::now());
  const auto members = MixingMembers();
  const auto self =
      std::find(members.begin(), members.end(), config_.node.name);
  exchange_->SetPlace(
      {.place = static_cast<std::size_t>(self - members.begin()),
       .members = members.size()});
  resync_->OnMembers();
}

void Node::OrderRing() {
  const auto members = MixingMembers();
  const auto& first = members.front();
  ring_order_.clear();
  if (first != config_.node.name) {
    neighbours_.SetOrder(heard_[first].report.ring_order);
    return;
  }
  chart_.Note(config_.node.name, Links());
  for (const auto& name : members)
    if (const auto found = heard_.find(name); found != heard_.end())
      chart_.Note(name, found->second.report.links);
  ring_order_ = chart_.Decide(members, std::chrono::steady_clock::now());
  neighbours_.SetOrder(ring_order_);
}

// Where trainers meet, those that have not begun yet count: all start together.
std::vector<std::string> Node::MixingMembers() const {
  std::vector<std::string> names = {config_.node.name};
  const bool all = rule_->habits().meets != mixing::Habits::Meets::kNever ||
                   config_.resync.mode == Config::Resync::Mode::kBlocking;
  for (const auto& member : transport_->members()) {
    const auto candidate = CandidateOf(member);
    if (candidate.reachable && (candidate.mixes || all) &&
        neighbours_.Trusts(member.node, transport::Clock::now()))
      names.push_back(member.node);
  }
  std::sort(names.begin(), names.end());
  return names;
}

// Collectives on a subset, while gossip goes on among all.
std::vector<std::string> Node::RoundMembers() const {
  auto names = MixingMembers();
  if (config_.resync.by_group)
    std::erase_if(names, [this](const std::string& name) {
      const auto found = heard_.find(name);
      return name != config_.node.name &&
             (found == heard_.end() ||
              found->second.report.group != config_.node.group);
    });
  return names;
}

Resync::Hooks Node::ResyncHooks() {
  Resync::Hooks hooks;
  hooks.members = [this] { return RoundMembers(); };
  hooks.proposer = [this]() -> std::string {
    for (const auto& name : RoundMembers()) {
      if (name == config_.node.name && Trains(trainer_->state())) return name;
      const auto found = heard_.find(name);
      if (found != heard_.end() && (found->second.report.state == "training" ||
                                    Joining(found->second.report)))
        return name;
    }
    return "";
  };
  hooks.failed = [this](const std::string& peer) {
    const auto found = heard_.find(peer);
    return found != heard_.end() && found->second.report.state == "failed";
  };
  hooks.expected = static_cast<std::size_t>(config_.cluster.expect);
  hooks.step = [this] { return trainer_->step(); };
  hooks.distance = [this]() -> std::optional<double> {
    const auto summary = Summarise(View());
    if (!summary.consensus) return std::nullopt;
    return summary.consensus->relative_distance;
  };
  hooks.trains = [this] { return Trains(trainer_->state()); };
  hooks.trusts = [this](const auto& peer) {
    return neighbours_.Trusts(peer, transport::Clock::now());
  };
  hooks.tell = [this](Level level, const auto& text) {
    events_.Add(level, "resync", text);
  };
  return hooks;
}

JoinSituation Node::Situation() const {
  JoinSituation situation;
  for (const auto& name : ReachableMembers()) {
    const auto found = heard_.find(name);
    if (found == heard_.end())
      ++situation.silent;
    else
      situation.peers.push_back(
          {found->second.ahead, Joining(found->second.report)});
  }
  situation.configured = config_.cluster.peers.size();
  situation.mixes = rule_->habits().asks != mixing::Habits::Asks::kNever ||
                    rule_->habits().meets != mixing::Habits::Meets::kNever ||
                    config_.resync.every_steps > 0 ||
                    !config_.mixing.server.empty();
  situation.resumed = run_.first_step > 0;
  situation.expect = static_cast<std::size_t>(config_.cluster.expect);
  situation.listened = listened_;
  situation.expect_over = expect_over_;
  return situation;
}

void Node::BeginWhenSettled() {
  if (begun_ || stopping_ || joiner_->started()) return;
  const auto situation = Situation();
  switch (PlanJoin(situation)) {
    case JoinPlan::kWait:
      return;
    case JoinPlan::kFetch:
      return joiner_->Start();
    case JoinPlan::kBegin:
      break;
  }
  const auto here = situation.peers.size() + situation.silent + 1;
  if (!situation.resumed && here < situation.expect)
    events_.Add(Level::kWarning, "training",
                fmt::format("begins with {} of {} expected members, after "
                            "cluster.expect_timeout",
                            here, situation.expect));
  Begin();
}

Joiner::Hooks Node::JoinHooks() {
  Joiner::Hooks hooks;
  hooks.donors = [this] {
    std::vector<std::string> donors;
    const auto now = transport::Clock::now();
    for (const auto& member : transport_->members()) {
      const auto candidate = CandidateOf(member);
      if (candidate.reachable && candidate.mixes &&
          neighbours_.Trusts(member.node, now))
        donors.push_back(member.node);
    }
    return donors;
  };
  hooks.deadline = [this](const auto& donor) {
    return exchange_->Deadline(donor);
  };
  hooks.unfit = [this](double norm) { return UnfitNorm(norm); };
  hooks.on_progress = [this](const auto& text) {
    events_.Add(Level::kInfo, "joining", text);
  };
  hooks.on_offence = [this](const auto& donor, const auto& offence) {
    neighbours_.OnOffence(donor, offence, transport::Clock::now());
  };
  hooks.on_done = [this](bool /*fetched*/) { Begin(); };
  return hooks;
}

std::optional<std::string> Node::UnfitNorm(double norm) const {
  std::vector<double> others;
  for (const auto& [name, heard] : heard_)
    if (heard.report.sketch)
      others.push_back(mixing::Norm(*heard.report.sketch));
  const double own = sketch_ ? mixing::Norm(*sketch_) : 0;
  return InsaneNorm(norm, own, std::move(others));
}

void Node::Begin() {
  if (begun_ || stopping_) return;
  begun_ = true;
  listen_.cancel();
  expect_.cancel();
  exchange_->Start();
  resync_->Start();
  trainer_->Begin();
  transport_->SetReport(EncodeReport(SelfReport()));
}

bool Node::joining() const { return !begun_; }

void Node::PaceExchanges() {
  std::vector<double> step_times;
  double largest =
      std::chrono::duration<double>(exchange_->ProposedInterval()).count();
  const auto add = [&](const std::string& state, double rate) {
    if (state == "training" && rate > 0) step_times.push_back(1 / rate);
  };
  add(state(), rate_.PerSecond());
  for (const auto& name : ReachableMembers()) {
    const auto found = heard_.find(name);
    if (found == heard_.end()) continue;
    const auto& report = found->second.report;
    add(report.state, report.steps_per_second);
    largest = std::max(largest, report.proposed_interval);
  }
  if (config_.mixing.objective_nodes && !step_times.empty() &&
      rate_.PerSecond() > 0) {
    double rates = 0;
    for (const double time : step_times) rates += 1 / time;
    const double mean = rates / static_cast<double>(step_times.size());
    trainer_->SetStepScale(
        std::clamp(mean / rate_.PerSecond(), 1 / kMostScale, kMostScale));
  }
  auto median = kIdleInterval;
  if (!step_times.empty()) {
    const auto middle =
        step_times.begin() + static_cast<std::ptrdiff_t>(step_times.size() / 2);
    std::nth_element(step_times.begin(), middle, step_times.end());
    median = Duration(std::llround(std::min(*middle, 1e3) * 1e6));
  }
  exchange_->SetClusterPace(
      median, Duration(std::llround(std::min(largest, 1e3) * 1e6)));
}

}  // namespace hearsay::daemon
