#include "daemon/trainer.h"

#include <algorithm>
#include <exception>
#include <utility>

namespace hearsay::daemon {

using SteadyClock = std::chrono::steady_clock;

const char* Word(TrainingState state) {
  switch (state) {
    case TrainingState::kWaiting:
      return "joining";
    case TrainingState::kTraining:
      return "training";
    case TrainingState::kPaused:
      return "paused";
    case TrainingState::kDraining:
      return "draining";
    case TrainingState::kExhausted:
      return "exhausted";
    case TrainingState::kFinished:
      return "finished";
    case TrainingState::kFailed:
      return "failed";
  }
  return "";
}

Trainer::Trainer(const TrainerOptions& options, GradientSource& source,
                 model::Optimizer& optimizer, LiveWeights& weights,
                 std::function<void(TrainerSnapshot)> on_boundary,
                 std::function<void(TrainingState)> on_state, Company* company,
                 Ema* ema)
    : options_(options),
      on_boundary_(std::move(on_boundary)),
      on_state_(std::move(on_state)),
      weights_(weights),
      source_(source),
      optimizer_(optimizer),
      company_(company),
      ema_(ema),
      copy_(weights.size()),
      gradient_(weights.size()),
      update_(weights.size()),
      step_(options.first_step) {}

Trainer::~Trainer() { Stop(); }

void Trainer::Begin() {
  {
    const std::lock_guard lock(mutex_);
    running_ = true;
  }
  thread_ = std::thread([this] { Run(); });
}

void Trainer::RequestBoundary() {
  {
    const std::lock_guard lock(mutex_);
    if (running_) {
      boundary_wanted_ = true;
      wake_.notify_all();
      return;
    }
  }
  on_boundary_(Boundary());
}

void Trainer::Pause() {
  const std::lock_guard lock(mutex_);
  pause_ = true;
}

void Trainer::Resume() {
  const std::lock_guard lock(mutex_);
  pause_ = false;
  wake_.notify_all();
}

void Trainer::Drain() {
  const std::lock_guard lock(mutex_);
  drain_ = true;
  wake_.notify_all();
}

void Trainer::Stop() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

std::string Trainer::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

bool Trainer::DrainAsked() const {
  const std::lock_guard lock(mutex_);
  return drain_;
}

void Trainer::SetState(TrainingState state) {
  if (state_.exchange(state) != state) on_state_(state);
}

// The thread's outermost function, so the one place where its exceptions end:
// as a state with a reason, never as a dead process or an unaccounted step.
void Trainer::Run() {
  try {
    Train();
    source_.Finish();
    if (step_ >= options_.steps) {
      SetState(TrainingState::kFinished);
    } else if (state_ != TrainingState::kExhausted && DrainAsked()) {
      SetState(TrainingState::kDraining);
    }
    on_boundary_(Boundary());
  } catch (const std::exception& error) {
    {
      const std::lock_guard lock(mutex_);
      error_ = error.what();
    }
    SetState(TrainingState::kFailed);
  }
  const std::lock_guard lock(mutex_);
  running_ = false;
}

// Waits while paused; false when training is to end.
bool Trainer::Proceed() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (std::exchange(boundary_wanted_, false)) {
      lock.unlock();
      on_boundary_(Boundary());
      lock.lock();
    }
    if (stop_ || drain_) return false;
    if (!pause_) return true;
    lock.unlock();
    SetState(TrainingState::kPaused);
    lock.lock();
    wake_.wait(lock, [this] {
      return !pause_ || stop_ || drain_ || boundary_wanted_;
    });
  }
}

void Trainer::Train() {
  auto next = SteadyClock::now();
  while (Proceed() && step_ < options_.steps) {
    SetState(TrainingState::kTraining);
    const auto began = SteadyClock::now();
    if (!TakeStep()) return;
    if (step_ % options_.checkpoint_every == 0) on_boundary_(Boundary());
    if (company_) continue;  // On its clock before it met them.
    // Paced on a clock, without catching up after a stall: a burst would
    // spend budget faster than the neighbours can mix.
    const auto now = SteadyClock::now();
    next = std::max(next + Paced(now - began), SteadyClock::now());
    WaitUntil(next);
  }
}

// What a step takes that took so long to compute.
SteadyClock::duration Trainer::Paced(SteadyClock::duration took) const {
  const auto least =
      std::max<SteadyClock::duration>(took, options_.min_step_time);
  return std::chrono::duration_cast<SteadyClock::duration>(least *
                                                           options_.throttle);
}

bool Trainer::TakeStep() {
  const auto began = SteadyClock::now();
  weights_.Snapshot(copy_.span());
  if (ema_) ema_->Follow(copy_.span());
  const auto outcome =
      source_.Compute(copy_.span(), options_.steps - step_, gradient_.span());
  if (outcome == GradientSource::Outcome::kExhausted) {
    SetState(TrainingState::kExhausted);
    return false;
  }
  if (company_) {
    // How long a gradient takes depends on a private batch; when it is sent
    // should not. Waiting for others is not one's own slowness.
    WaitUntil(began + Paced(SteadyClock::now() - began));
    if (!company_->OnGradient(gradient_.span())) return false;
  }
  optimizer_.Update(copy_.span(), gradient_.span(), update_.span());
  if (const auto scale = static_cast<float>(step_scale_.load()); scale != 1)
    for (float& value : update_.span()) value *= scale;
  weights_.Add(update_.span());
  ++step_;
  return !company_ || company_->OnStep(step_);
}

void Trainer::WaitUntil(SteadyClock::time_point when) {
  if (when <= SteadyClock::now()) return;
  std::unique_lock lock(mutex_);
  wake_.wait_until(lock, when, [this] { return stop_ || drain_; });
}

TrainerSnapshot Trainer::Boundary() {
  TrainerSnapshot snapshot;
  snapshot.step = step_;
  snapshot.weights.resize(weights_.size());
  if (weights_.has_twin()) {
    snapshot.twin.resize(weights_.size());
    weights_.SnapshotBoth(snapshot.weights, snapshot.twin);
  } else {
    weights_.Snapshot(snapshot.weights);
  }
  if (ema_ && ema_->steps() > 0) {
    snapshot.ema.resize(weights_.size());
    snapshot.ema_steps = ema_->steps();
    ema_->Snapshot(snapshot.ema);
  }
  for (const auto& state : optimizer_.State())
    snapshot.optimizer.push_back(
        {state.name, {state.values.begin(), state.values.end()}});
  for (auto& state : source_.Kept())
    snapshot.optimizer.push_back(
        {std::move(state.name), std::move(state.values)});
  return snapshot;
}

}  // namespace hearsay::daemon
