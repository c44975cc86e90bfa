// The trainer loop: gradient at its own copy of the weights, update, add.
//
// It never waits for a peer, for network code or for a disk that is not the
// privacy ledger; the only object it shares with the exchange is LiveWeights.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "daemon/company.h"
#include "daemon/ema.h"
#include "daemon/gradient_source.h"
#include "daemon/live_weights.h"
#include "model/arena.h"
#include "model/optimizer.h"

namespace hearsay::daemon {

// A node's training, in the words of the status.
enum class TrainingState {
  kWaiting,  // not begun ("joining")
  kTraining,
  kPaused,
  kDraining,   // asked to train no more
  kExhausted,  // the budget allows no further step
  kFinished,   // all steps done
  kFailed,     // cannot be accounted for, or another error: see error()
};

struct TrainerOptions {
  std::uint64_t steps = 0;       // in all, resumed ones included
  std::uint64_t first_step = 0;  // already done
  std::chrono::microseconds min_step_time{0};
  double throttle = 1.0;
  std::uint64_t checkpoint_every = 500;
};

// The word of the status.
const char* Word(TrainingState state);

// A step boundary, for a checkpoint.
struct TrainerSnapshot {
  std::uint64_t step = 0;
  std::vector<float> weights;
  std::vector<float> twin = {};  // momentum's (live_weights.h); empty: none
  struct State {
    std::string name;
    std::vector<float> values;
  };
  std::vector<State> optimizer = {};
  std::vector<float> ema = {};  // empty: none
  std::uint64_t ema_steps = 0;
};

class Trainer {
 public:
  // References must outlive this, and `company`, if any: with it the trainer
  // does not train alone; and `ema`, if any. `on_boundary` is called on the
  // trainer's thread every `checkpoint_every` steps and when training ends;
  // `on_state` whenever the state changes. Neither may block.
  Trainer(const TrainerOptions& options, GradientSource& source,
          model::Optimizer& optimizer, LiveWeights& weights,
          std::function<void(TrainerSnapshot)> on_boundary,
          std::function<void(TrainingState)> on_state,
          Company* company = nullptr, Ema* ema = nullptr);
  ~Trainer();

  void Begin();  // Starts the thread. Once.
  void Pause();
  void Resume();
  void Drain();  // Ends training for good; the weights go on mixing.
  // Ends the thread at the next step boundary, then gives unused budget back.
  void Stop();
  // Calls on_boundary at the next step boundary; at once, on the caller's
  // thread, if no step is being taken.
  void RequestBoundary();

  // Each update is scaled by this before it is added; 1 at first. Threads: any.
  void SetStepScale(double scale) { step_scale_ = scale; }
  double step_scale() const { return step_scale_; }

  // Threads: any.
  std::uint64_t step() const { return step_.load(); }
  TrainingState state() const { return state_.load(); }
  // Why state() is kFailed.
  std::string error() const;

 private:
  void Run();
  void Train();
  bool Proceed();
  // False if training ended meanwhile.
  bool TakeStep();
  std::chrono::steady_clock::duration Paced(
      std::chrono::steady_clock::duration took) const;
  void WaitUntil(std::chrono::steady_clock::time_point when);
  bool DrainAsked() const;
  void SetState(TrainingState state);
  TrainerSnapshot Boundary();

  // Constant after construction.
  const TrainerOptions options_;
  const std::function<void(TrainerSnapshot)> on_boundary_;
  const std::function<void(TrainingState)> on_state_;
  LiveWeights& weights_;

  // The trainer's thread.
  GradientSource& source_;
  model::Optimizer& optimizer_;
  Company* const company_;
  Ema* const ema_;
  model::Arena copy_;
  model::Arena gradient_;
  model::Arena update_;

  std::atomic<std::uint64_t> step_;
  std::atomic<double> step_scale_ = 1;
  std::atomic<TrainingState> state_ = TrainingState::kWaiting;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;             // Guarded by mutex_.
  bool pause_ = false;            // Guarded by mutex_.
  bool drain_ = false;            // Guarded by mutex_.
  bool boundary_wanted_ = false;  // Guarded by mutex_.
  bool running_ = false;  // Guarded by mutex_. The thread may take steps.
  std::string error_;     // Guarded by mutex_.

  std::thread thread_;  // Last: uses all of the above.
};

}  // namespace hearsay::daemon
