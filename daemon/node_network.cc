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
          .left = member.state == MemberState::kLeft};
}

void Node::UpdateRing() {
  std::vector<Candidate> candidates;
  for (const auto& member : transport_->members())
    candidates.push_back(CandidateOf(member));
  neighbours_.Update(candidates, transport::Clock::now());
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
  situation.mixes = rule_->Asks();
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
