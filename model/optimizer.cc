#include "model/optimizer.h"

#include <fmt/core.h>

#include <cassert>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "model/arena.h"

namespace hearsay::model {

namespace {

class Sgd final : public Optimizer {
 public:
  // Without momentum there is no velocity, so nothing to save or to stream.
  Sgd(const OptimizerSpec& spec, std::size_t parameters)
      : rate_(static_cast<float>(spec.learning_rate)),
        momentum_(static_cast<float>(spec.momentum)),
        parameters_(parameters),
        velocity_(spec.momentum > 0 ? parameters : 0) {}

  void Update(std::span<const float> gradient,
              std::span<float> update) override {
    assert(gradient.size() == parameters_ && update.size() == parameters_);
    ++steps_;
    const float* const g = gradient.data();
    float* const out = update.data();
    if (velocity_.size() == 0) {
#pragma omp simd
      for (std::size_t i = 0; i < parameters_; ++i) out[i] = -rate_ * g[i];
      return;
    }
    float* const v = velocity_.span().data();
#pragma omp simd
    for (std::size_t i = 0; i < parameters_; ++i) {
      v[i] = momentum_ * v[i] + g[i];
      out[i] = -rate_ * v[i];
    }
  }

  std::vector<OptimizerState> State() override {
    if (velocity_.size() == 0) return {};
    return {{"optimizer.velocity", velocity_.span()}};
  }
  std::uint64_t steps() const override { return steps_; }
  void set_steps(std::uint64_t steps) override { steps_ = steps; }

 private:
  const float rate_;
  const float momentum_;
  const std::size_t parameters_;
  Arena velocity_;
  std::uint64_t steps_ = 0;
};

class Adam final : public Optimizer {
 public:
  Adam(const OptimizerSpec& spec, std::size_t parameters)
      : spec_(spec), first_(parameters), second_(parameters) {}

  void Update(std::span<const float> gradient,
              std::span<float> update) override {
    assert(gradient.size() == first_.size() && update.size() == first_.size());
    ++steps_;
    // From the step count, not from running products: a restored optimiser
    // then continues with the same bits.
    const auto t = static_cast<double>(steps_);
    const double first_left = 1 - std::pow(spec_.beta1, t);
    const double second_left = 1 - std::pow(spec_.beta2, t);
    const auto rate = static_cast<float>(spec_.learning_rate / first_left);
    const auto second_scale = static_cast<float>(1 / second_left);
    const auto epsilon = static_cast<float>(spec_.epsilon);
    const auto beta1 = static_cast<float>(spec_.beta1);
    const auto beta2 = static_cast<float>(spec_.beta2);
    const auto rest1 = static_cast<float>(1 - spec_.beta1);
    const auto rest2 = static_cast<float>(1 - spec_.beta2);
    const float* const g = gradient.data();
    float* const m = first_.span().data();
    float* const v = second_.span().data();
    float* const out = update.data();
#pragma omp simd
    for (std::size_t i = 0; i < first_.size(); ++i) {
      m[i] = beta1 * m[i] + rest1 * g[i];
      v[i] = beta2 * v[i] + rest2 * g[i] * g[i];
      out[i] = -rate * m[i] / (std::sqrt(v[i] * second_scale) + epsilon);
    }
  }

  std::vector<OptimizerState> State() override {
    return {{"optimizer.first_moment", first_.span()},
            {"optimizer.second_moment", second_.span()}};
  }
  std::uint64_t steps() const override { return steps_; }
  void set_steps(std::uint64_t steps) override { steps_ = steps; }

 private:
  const OptimizerSpec spec_;
  Arena first_;
  Arena second_;
  std::uint64_t steps_ = 0;
};

// Written so that NaN fails; as float32, because that is what is used.
void RequireFraction(const char* name, double value) {
  if (!(value >= 0 && static_cast<float>(value) < 1))
    throw std::invalid_argument(
        fmt::format("{} must be at least 0 and below 1, not {}", name, value));
}

void RequirePositive(const char* name, double value) {
  if (!(value > 0 && static_cast<float>(value) > 0 &&
        std::isfinite(static_cast<float>(value))))
    throw std::invalid_argument(fmt::format(
        "{} must be a positive, finite float32, not {}", name, value));
}

}  // namespace

std::unique_ptr<Optimizer> MakeOptimizer(const OptimizerSpec& spec,
                                         std::size_t parameters) {
  RequirePositive("learning_rate", spec.learning_rate);
  switch (spec.kind) {
    case OptimizerSpec::Kind::kSgd:
      RequireFraction("momentum", spec.momentum);
      return std::make_unique<Sgd>(spec, parameters);
    case OptimizerSpec::Kind::kAdam:
      RequireFraction("beta1", spec.beta1);
      RequireFraction("beta2", spec.beta2);
      RequirePositive("epsilon", spec.epsilon);
      return std::make_unique<Adam>(spec, parameters);
  }
  throw std::invalid_argument("unknown kind of optimizer");
}

}  // namespace hearsay::model
