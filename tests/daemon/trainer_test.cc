#include "daemon/trainer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <vector>

#include "daemon/probe.h"

namespace hearsay::daemon {
namespace {

using namespace std::chrono_literals;

constexpr double kRate = 0.1;

model::OptimizerSpec Sgd() {
  model::OptimizerSpec spec;
  spec.learning_rate = kRate;
  return spec;
}

// Gives `budget` gradients of ones, then nothing more.
class Counted final : public GradientSource {
 public:
  explicit Counted(std::uint64_t budget) : left_(budget) {}
  Outcome Compute(std::span<const float> /*weights*/, std::uint64_t wanted,
                  std::span<float> gradient) override {
    last_wanted = wanted;
    if (throws) throw std::runtime_error("the disk is full");
    if (left_ == 0) return Outcome::kExhausted;
    --left_;
    std::fill(gradient.begin(), gradient.end(), 1.0F);
    return Outcome::kGradient;
  }
  void Finish() override { finished = true; }

  std::uint64_t last_wanted = 0;
  bool finished = false;
  bool throws = false;

 private:
  std::uint64_t left_;
};

class TrainerTest : public testing::Test {
 protected:
  // Runs to the end, or to a failure.
  void Run(const TrainerOptions& options, GradientSource& source) {
    Make(options, source);
    trainer_->Begin();
    WaitForEnd();
  }

  void Make(const TrainerOptions& options, GradientSource& source) {
    trainer_ = std::make_unique<Trainer>(
        options, source, *optimizer_, live_,
        [this](TrainerSnapshot snapshot) {
          const std::lock_guard lock(mutex_);
          boundaries_.push_back(std::move(snapshot));
        },
        [this](TrainingState state) {
          const std::lock_guard lock(mutex_);
          states_.push_back(state);
        });
  }

  void WaitFor(TrainingState state) {
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (trainer_->state() != state) {
      ASSERT_LT(std::chrono::steady_clock::now(), limit);
      std::this_thread::sleep_for(1ms);
    }
  }

  void WaitForEnd() {
    const auto limit = std::chrono::steady_clock::now() + 10s;
    while (trainer_->state() == TrainingState::kWaiting ||
           trainer_->state() == TrainingState::kTraining) {
      ASSERT_LT(std::chrono::steady_clock::now(), limit);
      std::this_thread::sleep_for(1ms);
    }
    trainer_->Stop();
  }

  float First() {
    std::vector<float> values(live_.size());
    live_.Snapshot(values);
    return values[0];
  }

  LiveWeights live_{4};
  std::unique_ptr<model::Optimizer> optimizer_ =
      model::MakeOptimizer(Sgd(), live_.size());
  std::mutex mutex_;
  std::vector<TrainerSnapshot> boundaries_;
  std::vector<TrainingState> states_;
  std::unique_ptr<Trainer> trainer_;
};

TEST_F(TrainerTest, TakesExactlyTheStepsAskedForAndSaysSo) {
  Counted source(1000);
  Run({.steps = 25, .checkpoint_every = 10}, source);
  EXPECT_EQ(trainer_->step(), 25U);
  EXPECT_EQ(trainer_->state(), TrainingState::kFinished);
  EXPECT_NEAR(First(), -25 * kRate, 1e-4);
  EXPECT_TRUE(source.finished);
  EXPECT_EQ(source.last_wanted, 1U) << "the last step wants itself only";
  ASSERT_EQ(boundaries_.size(), 3U) << "steps 10, 20 and the end";
  EXPECT_EQ(boundaries_[1].step, 20U);
  EXPECT_NEAR(boundaries_[1].weights[0], -20 * kRate, 1e-4);
}

TEST_F(TrainerTest, ABoundaryHasTheTwinIfThereIsOne) {
  Counted source(1000);
  Run({.steps = 1}, source);
  EXPECT_TRUE(boundaries_.back().twin.empty());
  LiveWeights live(2, mixing::Momentum::kAcid);
  live.AssignBoth(std::vector<float>{1, 2}, std::vector<float>{3, 4});
  TrainerSnapshot boundary;
  Trainer trainer(
      {.steps = 1}, source, *optimizer_, live,
      [&](TrainerSnapshot snapshot) { boundary = std::move(snapshot); },
      [](TrainingState) {});
  trainer.RequestBoundary();
  EXPECT_EQ(boundary.weights, (std::vector<float>{1, 2}));
  EXPECT_EQ(boundary.twin, (std::vector<float>{3, 4}));
}

TEST_F(TrainerTest, AResumedRunTakesOnlyTheRest) {
  Counted source(1000);
  Run({.steps = 25, .first_step = 20}, source);
  EXPECT_EQ(trainer_->step(), 25U);
  EXPECT_NEAR(First(), -5 * kRate, 1e-4);
}

TEST_F(TrainerTest, ZeroStepsFinishAtOnce) {
  Counted source(1000);
  Run({.steps = 0}, source);
  EXPECT_EQ(trainer_->state(), TrainingState::kFinished);
  EXPECT_EQ(First(), 0);
}

TEST_F(TrainerTest, AnExhaustedBudgetEndsTrainingWithNothingAdded) {
  Counted source(7);
  Run({.steps = 100}, source);
  EXPECT_EQ(trainer_->state(), TrainingState::kExhausted);
  EXPECT_EQ(trainer_->step(), 7U);
  EXPECT_NEAR(First(), -7 * kRate, 1e-5);
}

TEST_F(TrainerTest, AnErrorIsAStateWithAReasonAndNoStep) {
  Counted source(7);
  source.throws = true;
  Run({.steps = 100}, source);
  EXPECT_EQ(trainer_->state(), TrainingState::kFailed);
  EXPECT_EQ(trainer_->error(), "the disk is full");
  EXPECT_EQ(First(), 0);
}

TEST_F(TrainerTest, ThePaceIsHeldOnAverage) {
  Counted source(1000);
  const auto begin = std::chrono::steady_clock::now();
  Run({.steps = 50, .min_step_time = 2ms}, source);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 96ms);
}

TEST_F(TrainerTest, AThrottledStepTakesSoManyTimesLonger) {
  Counted source(1000);
  const auto begin = std::chrono::steady_clock::now();
  Run({.steps = 10, .min_step_time = 2ms, .throttle = 8}, source);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 140ms);
}

TEST_F(TrainerTest, PausesAndGoesOn) {
  Counted source(1000000);
  Make({.steps = 1000000, .min_step_time = 200us}, source);
  trainer_->Begin();
  WaitFor(TrainingState::kTraining);
  trainer_->Pause();
  WaitFor(TrainingState::kPaused);
  const auto step = trainer_->step();
  std::this_thread::sleep_for(20ms);
  EXPECT_EQ(trainer_->step(), step);
  trainer_->RequestBoundary();  // A paused trainer still makes checkpoints.
  trainer_->Resume();
  WaitFor(TrainingState::kTraining);
  trainer_->Stop();
  EXPECT_GE(boundaries_.size(), 2U);
}

TEST_F(TrainerTest, DrainsForGoodAndGivesTheBudgetBack) {
  Counted source(1000000);
  Make({.steps = 1000000, .min_step_time = 200us}, source);
  trainer_->Begin();
  WaitFor(TrainingState::kTraining);
  trainer_->Drain();
  WaitFor(TrainingState::kDraining);
  trainer_->Stop();
  EXPECT_TRUE(source.finished);
}

TEST_F(TrainerTest, StopsInTheMiddleOfALongPause) {
  Counted source(1000000);
  Make({.steps = 1000000, .min_step_time = 1h}, source);
  trainer_->Begin();
  WaitFor(TrainingState::kTraining);
  const auto begin = std::chrono::steady_clock::now();
  trainer_->Stop();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
}

TEST_F(TrainerTest, ABoundaryIsThereBeforeTrainingBegins) {
  Counted source(1);
  Make({.steps = 1}, source);
  trainer_->RequestBoundary();
  ASSERT_EQ(boundaries_.size(), 1U);
  EXPECT_EQ(boundaries_[0].step, 0U);
}

// Gradient descent on 1/2 |w - target|^2: w_t - target = (1 - rate)^t.
TEST_F(TrainerTest, FollowsGradientDescentOnAQuadratic) {
  std::vector<float> start(live_.size());
  InitialiseProbe(start);
  live_.Assign(start);
  const auto probe = MakeQuadraticProbe(1);
  Run({.steps = 12}, *probe);
  std::vector<float> seen(4);
  live_.Snapshot(seen);
  const double left = std::pow(1 - kRate, 12);
  EXPECT_NEAR(seen[0], 0, 1e-6);
  EXPECT_NEAR(seen[1], 1 - left, 1e-6);
  EXPECT_NEAR(seen[2], left, 1e-6);
}

// The steps of a gradient of ones begin at 0, -r, -2r...: their plain mean is
// that of decay 1, which 0.999999 is for so few.
TEST_F(TrainerTest, TheAverageFollowsWhatStepsBeganFromAndIsInTheBoundary) {
  Counted source(1000);
  Ema ema(0.999999, live_.size());
  trainer_ = std::make_unique<Trainer>(
      TrainerOptions{.steps = 10}, source, *optimizer_, live_,
      [this](TrainerSnapshot snapshot) {
        const std::lock_guard lock(mutex_);
        boundaries_.push_back(std::move(snapshot));
      },
      [](TrainingState) {}, nullptr, &ema);
  trainer_->RequestBoundary();
  trainer_->Begin();
  WaitForEnd();
  ASSERT_EQ(boundaries_.size(), 2U);
  EXPECT_TRUE(boundaries_[0].ema.empty()) << "there is none before a step";
  EXPECT_EQ(boundaries_[1].ema_steps, 10U);
  EXPECT_NEAR(boundaries_[1].ema[0], -4.5 * kRate, 1e-5);
  EXPECT_NEAR(First(), -10 * kRate, 1e-5) << "training knows nothing of it";
}

}  // namespace
}  // namespace hearsay::daemon
