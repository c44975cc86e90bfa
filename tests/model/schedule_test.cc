#include "model/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace hearsay::model {
namespace {

using Course = Schedule::Kind;

TEST(ScheduleTest, ConstantIsOne) {
  for (const std::uint64_t step : {0, 1, 1000000})
    EXPECT_EQ(RateFactor({}, step), 1);
}

TEST(ScheduleTest, WarmUpRisesInEqualPartsAndEndsAtOne) {
  const Schedule schedule{.warmup_steps = 4};
  EXPECT_EQ(RateFactor(schedule, 0), 0.25) << "the first step is not wasted";
  EXPECT_EQ(RateFactor(schedule, 1), 0.5);
  EXPECT_EQ(RateFactor(schedule, 3), 1);
  EXPECT_EQ(RateFactor(schedule, 4), 1);
}

// cos^2 of half the angle is another way to write it.
TEST(ScheduleTest, CosineFallsToItsFloorAndStaysThere) {
  const Schedule schedule{
      .kind = Course::kCosine, .warmup_steps = 10, .steps = 110, .floor = 0.2};
  for (const std::uint64_t step : {10, 35, 60, 109}) {
    const double half =
        std::cos(std::acos(-1.0) / 2 * (static_cast<double>(step) - 10) / 100);
    EXPECT_NEAR(RateFactor(schedule, step), 0.2 + 0.8 * half * half, 1e-12)
        << step;
  }
  EXPECT_NEAR(RateFactor(schedule, 60), 0.6, 1e-12) << "half way";
  EXPECT_DOUBLE_EQ(RateFactor(schedule, 110), 0.2);
  EXPECT_DOUBLE_EQ(RateFactor(schedule, 160), 0.2) << "a longer run";
  EXPECT_LT(RateFactor(schedule, 9), RateFactor(schedule, 10) + 1e-12);
}

TEST(ScheduleTest, StepMultipliesEverySoOften) {
  const Schedule schedule{
      .kind = Course::kStep, .warmup_steps = 2, .every = 5, .factor = 0.5};
  EXPECT_EQ(RateFactor(schedule, 6), 1) << "counted from the warm-up's end";
  EXPECT_EQ(RateFactor(schedule, 7), 0.5);
  EXPECT_EQ(RateFactor(schedule, 11), 0.5);
  EXPECT_EQ(RateFactor(schedule, 12), 0.25);
}

TEST(ScheduleTest, IsNeverNegativeAndNeverAboveOne) {
  for (const Course kind :
       {Course::kConstant, Course::kCosine, Course::kStep}) {
    const Schedule schedule{
        .kind = kind, .warmup_steps = 7, .steps = 50, .every = 3};
    for (std::uint64_t step = 0; step < 100; ++step) {
      EXPECT_GE(RateFactor(schedule, step), 0);
      EXPECT_LE(RateFactor(schedule, step), 1);
    }
  }
}

TEST(ScheduleTest, RefusesWhatMakesNoSenseByName) {
  const auto refused = [](const Schedule& schedule, const char* name) {
    EXPECT_THAT([&] { Validate(schedule); },
                ::testing::ThrowsMessage<std::invalid_argument>(
                    ::testing::HasSubstr(name)));
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double bad : {-0.1, 1.1, nan})
    refused({.kind = Course::kCosine, .steps = 9, .floor = bad}, "rate_floor");
  refused({.kind = Course::kCosine, .warmup_steps = 9, .steps = 9},
          "warmup_steps");
  refused({.kind = Course::kStep, .every = 0}, "decay_every");
  for (const double bad : {0.0, -1.0, 1.5, nan})
    refused({.kind = Course::kStep, .every = 1, .factor = bad}, "decay_factor");
}

}  // namespace
}  // namespace hearsay::model
