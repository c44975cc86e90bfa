#include "ops/sim/world.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <stdexcept>

namespace hearsay::sim {

namespace {

// Of a node's life: a step, a tick, a request and an answer.
constexpr double kEventsAStep = 4;
// Events between two looks at the clock on the wall.
constexpr std::uint64_t kLook = 1 << 20;

double IntervalOf(const Settings& settings) {
  return settings.mixing.interval > 0 ? settings.mixing.interval
                                      : settings.compute.step_time;
}

double DeadlineOf(const Settings& settings) {
  if (settings.network.deadline > 0) return settings.network.deadline;
  return 10 * settings.network.latency + 2 * IntervalOf(settings);
}

}  // namespace

World::World(const Settings& settings, Progress progress)
    : settings_(settings),
      progress_(std::move(progress)),
      task_(MakeTask(settings)),
      width_(task_->dimension()),
      interval_(IntervalOf(settings)),
      deadline_(DeadlineOf(settings)),
      message_bytes_(settings.network.message_bytes > 0
                         ? settings.network.message_bytes
                         : 4 * static_cast<double>(width_)),
      calendar_(settings.nodes * 3 + 16,
                kEventsAStep * static_cast<double>(settings.nodes) /
                    std::min(settings.compute.step_time, interval_)),
      nodes_(settings.nodes),
      running_(settings.nodes),
      live_(settings.nodes * width_),
      start_(live_.size()),
      update_(width_),
      mean_(width_),
      slow_(static_cast<float>(settings.resync.slow_momentum)) {
  if (settings.nodes == 0) throw std::invalid_argument("there are no nodes");
  if (settings.compute.step_time <= 0)
    throw std::invalid_argument("a step takes some time");
  const auto every = std::max<std::uint64_t>(settings.resync.every_steps, 1);
  double rates = 0;
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    auto& node = nodes_[i];
    node.rule = mixing::MakeRule(
        settings.mixing.rule,
        {.seat = i == 0 ? mixing::Seat::kServer : mixing::Seat::kWorker,
         .meet_every = every,
         .momentum = settings.mixing.acid ? mixing::Momentum::kAcid
                                          : mixing::Momentum::kOff});
    node.chance = Chance(settings.seed, i + 1);
    const double slower =
        i < settings.compute.slower.size() ? settings.compute.slower[i] : 1;
    node.step_time = settings.compute.step_time * slower;
    rates += 1 / node.step_time;
    task_->Start(Of(live_, i));
  }
  habits_ = nodes_.back().rule->habits();
  if (settings.mixing.objective_nodes)
    for (auto& node : nodes_)
      node.scale = rates / static_cast<double>(nodes_.size()) * node.step_time;
  if (habits_.keeps_newest) newest_.resize(live_.size());
  if (habits_.ask_carries == mixing::Carries::kChange) base_ = live_;
  if (habits_.has_twin) twin_ = live_;
  if (habits_.meets != mixing::Habits::Meets::kNever ||
      settings.resync.every_steps > 0)
    gathered_.resize(live_.size());
  members_.resize(nodes_.size());
  std::iota(members_.begin(), members_.end(), 0U);
  Reckon();
}

void World::Reckon() {
  const mixing::Pace pace{
      .members = members_.size(),
      .delay = settings_.mixing.acid_scaled
                   ? 2 * settings_.network.latency / interval_
                   : 0};
  for (std::uint32_t place = 0; place < members_.size(); ++place) {
    auto& node = nodes_[members_[place]];
    node.place = place;
    node.rule->OnPace(pace);
  }
  mixing::Membership membership{.count = members_.size(),
                                .seed = settings_.seed,
                                .both_ways = habits_.every_other};
  if (settings_.mixing.topology == mixing::TopologyKind::kFile) {
    std::vector<std::string> names;
    for (const auto member : members_) names.push_back(std::to_string(member));
    membership.peers = mixing::Resolve(settings_.mixing.adjacency, names);
  }
  topology_ =
      mixing::MakeTopology(settings_.mixing.topology, std::move(membership));
}

double World::StepTime(Node& node) {
  using Spread = Settings::Compute::Spread;
  const double width = settings_.compute.width;
  switch (settings_.compute.spread) {
    case Spread::kConstant:
      return node.step_time;
    case Spread::kUniform:
      return node.step_time * node.chance.Uniform(1 - width, 1 + width);
    case Spread::kExponential:
      return node.step_time * node.chance.Exponential();
    case Spread::kLogNormal:
      return node.step_time * node.chance.LogNormal(width);
  }
  return node.step_time;
}

void World::BeginStep(std::uint32_t i) {
  Blend(i);
  const auto live = Of(live_, i);
  std::copy(live.begin(), live.end(), Of(start_, i).begin());
  calendar_.Put(now_ + StepTime(nodes_[i]), kStep, i);
}

void World::OnStep(std::uint32_t i) {
  auto& node = nodes_[i];
  if (!node.alive || node.done) return;
  if (now_ < node.thaws) return calendar_.Put(node.thaws, kStep, i);
  task_->Step(i, Of(start_, i), node.chance, update_);
  if (habits_.meets == mixing::Habits::Meets::kGradients) {
    std::copy(update_.begin(), update_.end(), Of(gathered_, i).begin());
    return Arrive(i);
  }
  Blend(i);
  if (settings_.mixing.trigger == Settings::Mixing::Trigger::kBeforeStep)
    UseNewest(i);
  const auto live = Of(live_, i);
  for (std::size_t k = 0; k < width_; ++k) live[k] += node.scale * update_[k];
  if (habits_.has_twin) {
    const auto twin = Of(twin_, i);
    for (std::size_t k = 0; k < width_; ++k) twin[k] += node.scale * update_[k];
  }
  ++node.steps;
  AfterStep(i);
}

void World::AfterStep(std::uint32_t i) {
  using Trigger = Settings::Mixing::Trigger;
  auto& node = nodes_[i];
  if (habits_.keeps_newest && settings_.mixing.trigger != Trigger::kClock) {
    if (settings_.mixing.trigger == Trigger::kAfterStep) UseNewest(i);
    Ask(i);
  }
  const auto k = settings_.resync.every_steps;
  const bool due = k > 0 && node.steps % k == 0;
  using Mode = Settings::Resync::Mode;
  if (due && settings_.resync.mode != Mode::kBlocking &&
      habits_.meets == mixing::Habits::Meets::kNever && i == members_.front())
    BeginAverage();
  if (node.rule->habits().asks == mixing::Habits::Asks::kAfterStep &&
      habits_.MayAsk(node.place, members_.size())) {
    node.waits = true;
    if (Ask(i)) return;
    node.waits = false;
  }
  const bool meets = (habits_.meets == mixing::Habits::Meets::kWeights &&
                      node.steps % habits_.meet_every == 0) ||
                     (due && settings_.resync.mode == Mode::kBlocking &&
                      habits_.meets == mixing::Habits::Meets::kNever);
  if (meets) return Arrive(i);
  Continue(i);
}

void World::Continue(std::uint32_t i) {
  auto& node = nodes_[i];
  if (!node.alive || node.done) return;
  if (settings_.steps > 0 && node.steps >= settings_.steps) return End(i, "");
  BeginStep(i);
}

void World::End(std::uint32_t i, const std::string& failure) {
  auto& node = nodes_[i];
  if (node.done) return;
  node.done = true;
  result_.nodes[i].failure = failure;
  --running_;
  if (node.arrived) {
    node.arrived = false;
    --arrived_;
  }
  CheckMeeting();
}

void World::OnIncident(const Settings::Incident& incident) {
  using What = Settings::Incident::What;
  if (incident.what == What::kPart) {
    partings_.push_back({incident.first, incident.last, now_ + incident.lasts});
    return;
  }
  for (auto i = static_cast<std::uint32_t>(incident.first);
       i <= incident.last && i < nodes_.size(); ++i) {
    auto& node = nodes_[i];
    if (!node.alive) continue;
    if (incident.what == What::kFreeze) {
      node.thaws = now_ + incident.lasts;
      continue;
    }
    End(i, "killed");
    node.alive = false;
    calendar_.Put(now_ + settings_.network.detect, kKnown, i);
  }
}

void World::OnKnown(std::uint32_t i) {
  std::erase(members_, i);
  Reckon();
  const bool needs_all = habits_.meets != mixing::Habits::Meets::kNever;
  if (needs_all)
    for (const auto member : members_)
      End(member, "node " + std::to_string(i) + " is gone");
  CheckMeeting();
}

double World::Distance() const {
  double squares = 0, norm = 0, count = 0;
  std::vector<double> mean(width_);
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i].alive) continue;
    ++count;
    for (std::size_t k = 0; k < width_; ++k) mean[k] += live_[i * width_ + k];
  }
  for (double& value : mean) value /= count, norm += value * value;
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    if (nodes_[i].alive)
      for (std::size_t k = 0; k < width_; ++k)
        squares += std::pow(live_[i * width_ + k] - mean[k], 2);
  return std::sqrt(squares / count) / std::max(std::sqrt(norm), 1e-300);
}

void World::Sample() {
  constexpr std::size_t kHead = 64;
  sim::Sample sample;
  sample.time = now_;
  std::fill(mean_.begin(), mean_.end(), 0.0);
  double count = 0;
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i].alive) continue;
    Blend(i);
    ++count;
    sample.steps += static_cast<double>(nodes_[i].steps);
    sample.bytes += nodes_[i].bytes;
    const auto live = Of(live_, i);
    for (std::size_t k = 0; k < width_; ++k) mean_[k] += live[k];
  }
  for (double& value : mean_) value /= count;
  sample.steps /= count;
  sample.bytes /= count;
  double squares = 0, norm = 0;
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    if (!nodes_[i].alive) continue;
    const auto live = Of(live_, i);
    for (std::size_t k = 0; k < width_; ++k)
      squares += (live[k] - mean_[k]) * (live[k] - mean_[k]);
  }
  for (const double value : mean_) norm += value * value;
  const auto width = static_cast<double>(width_);
  sample.variance = squares / count / width;
  sample.consensus =
      std::sqrt(squares / count) / std::max(std::sqrt(norm), 1e-300);
  const auto optimum = task_->optimum();
  for (std::size_t k = 0; k < optimum.size(); ++k)
    sample.error += (mean_[k] - optimum[k]) * (mean_[k] - optimum[k]);
  sample.error = std::sqrt(sample.error / width);
  sample.mean.assign(
      mean_.begin(),
      mean_.begin() + static_cast<std::ptrdiff_t>(std::min(width_, kHead)));
  if (task_->scores()) {
    const auto score = task_->Evaluate(mean_);
    sample.loss = score.loss;
    sample.accuracy = score.accuracy;
    sample.worst_accuracy = 1;
    for (const auto member :
         {members_.front(), members_[members_.size() / 2], members_.back()})
      if (nodes_[member].alive)
        sample.worst_accuracy = std::min(
            sample.worst_accuracy, task_->Evaluate(Of(live_, member)).accuracy);
  }
  if (settings_.each_node)
    for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
      sample.node_steps.push_back(nodes_[i].steps);
      sample.node_alive.push_back(nodes_[i].alive);
      sample.node_accuracy.push_back(
          task_->scores() ? task_->Evaluate(Of(live_, i)).accuracy : 0);
    }
  result_.samples.push_back(std::move(sample));
}

bool World::Over() const {
  if (settings_.until > 0 && now_ >= settings_.until) return true;
  if (!settings_.until_healthy) return running_ == 0;
  for (const auto& node : nodes_)
    if (!node.done && node.step_time <= settings_.compute.step_time)
      return false;
  return true;
}

void World::Handle(const Event& event) {
  switch (event.kind) {
    case kStep:
      return OnStep(event.subject);
    case kTick:
      return OnTick(event.subject);
    case kRequest:
      return OnRequest(event.subject);
    case kAnswer:
      return OnAnswer(event.subject);
    case kLate:
      return OnLate(event.subject);
    case kMet:
      return OnMet();
    case kAveraged:
      return OnAveraged();
    case kIncident:
      return OnIncident(settings_.incidents[event.subject]);
    case kKnown:
      return OnKnown(event.subject);
    case kSample:
      return Sample();
  }
}

Result World::Run() {
  const auto began = std::chrono::steady_clock::now();
  result_.nodes.resize(nodes_.size());
  const double about =
      settings_.until > 0
          ? settings_.until
          : settings_.compute.step_time * static_cast<double>(settings_.steps);
  const double every =
      settings_.sample_every > 0 ? settings_.sample_every : about / 100;
  for (std::uint32_t i = 0; i < nodes_.size(); ++i) {
    BeginStep(i);
    const bool ticks =
        habits_.asks == mixing::Habits::Asks::kOnClock &&
        settings_.mixing.trigger == Settings::Mixing::Trigger::kClock;
    if (ticks) calendar_.Put(nodes_[i].chance.Uniform(0, interval_), kTick, i);
  }
  for (std::uint32_t k = 0; k < settings_.incidents.size(); ++k)
    calendar_.Put(settings_.incidents[k].at, kIncident, k);
  Sample();
  double next_sample = every;
  while (!calendar_.empty() && !Over()) {
    const Event event = calendar_.Take();
    while (event.at >= next_sample) {
      now_ = next_sample;
      Sample();
      next_sample += every;
      if (Over()) break;
    }
    now_ = event.at;
    Handle(event);
    if (++result_.events % kLook == 0 && progress_) progress_(now_, result_);
  }
  if (settings_.until <= 0 || now_ < settings_.until) Sample();
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    result_.nodes[i].steps = nodes_[i].steps;
    result_.nodes[i].alive = nodes_[i].alive;
    result_.nodes[i].bytes = nodes_[i].bytes;
  }
  result_.virtual_seconds = now_;
  result_.wall_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began)
          .count();
  return std::move(result_);
}

Result Simulate(const Settings& settings, World::Progress progress) {
  if (settings.rounds) return RunRounds(settings);
  return World(settings, std::move(progress)).Run();
}

}  // namespace hearsay::sim
