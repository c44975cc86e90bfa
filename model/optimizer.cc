#include "model/optimizer.h"

#include <fmt/core.h>

#include <cassert>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "model/arena.h"

namespace hearsay::model {

namespace {

// What all kinds have in common: the count of steps, and the rate of each.
class Counted : public Optimizer {
 public:
  Counted(const OptimizerSpec& spec, std::size_t parameters)
      : spec_(spec), parameters_(parameters) {}

  std::uint64_t steps() const final { return steps_; }
  void set_steps(std::uint64_t steps) final { steps_ = steps; }

 protected:
  // Of the step that now begins.
  double Rate() const {
    return spec_.learning_rate * RateFactor(spec_.schedule, steps_);
  }
  void Require(std::span<const float> weights, std::span<const float> gradient,
               std::span<float> update) const {
    assert(weights.size() == parameters_ && gradient.size() == parameters_ &&
           update.size() == parameters_);
  }

  const OptimizerSpec spec_;
  const std::size_t parameters_;
  std::uint64_t steps_ = 0;
};

class Sgd final : public Counted {
 public:
  // Without momentum there is no velocity, so nothing to save or to stream.
  Sgd(const OptimizerSpec& spec, std::size_t parameters)
      : Counted(spec, parameters),
        velocity_(spec.momentum > 0 ? parameters : 0) {}

  void Update(std::span<const float> weights, std::span<const float> gradient,
              std::span<float> update) override {
    Require(weights, gradient, update);
    const auto rate = static_cast<float>(Rate());
    ++steps_;
    const float* const g = gradient.data();
    float* const out = update.data();
    if (velocity_.size() == 0) {
#pragma omp simd
      for (std::size_t i = 0; i < parameters_; ++i) out[i] = -rate * g[i];
      return;
    }
    const auto momentum = static_cast<float>(spec_.momentum);
    // Nesterov looks one step of momentum ahead of the velocity.
    const float fresh = spec_.nesterov ? 1 : 0;
    const float carried = spec_.nesterov ? momentum : 1;
    float* const v = velocity_.span().data();
#pragma omp simd
    for (std::size_t i = 0; i < parameters_; ++i) {
      v[i] = momentum * v[i] + g[i];
      out[i] = -rate * (fresh * g[i] + carried * v[i]);
    }
  }

  std::vector<OptimizerState> State() override {
    if (velocity_.size() == 0) return {};
    return {{"optimizer.velocity", velocity_.span()}};
  }

 private:
  Arena velocity_;
};

class Adam final : public Counted {
 public:
  Adam(const OptimizerSpec& spec, std::size_t parameters)
      : Counted(spec, parameters), first_(parameters), second_(parameters) {}

  void Update(std::span<const float> weights, std::span<const float> gradient,
              std::span<float> update) override {
    Require(weights, gradient, update);
    const double now = Rate();
    ++steps_;
    // From the step count, not from running products: a restored optimiser
    // then continues with the same bits.
    const auto t = static_cast<double>(steps_);
    const double first_left = 1 - std::pow(spec_.beta1, t);
    const double second_left = 1 - std::pow(spec_.beta2, t);
    const auto rate = static_cast<float>(now / first_left);
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
    for (std::size_t i = 0; i < parameters_; ++i) {
      m[i] = beta1 * m[i] + rest1 * g[i];
      v[i] = beta2 * v[i] + rest2 * g[i] * g[i];
      out[i] = -rate * m[i] / (std::sqrt(v[i] * second_scale) + epsilon);
    }
    if (spec_.kind != OptimizerSpec::Kind::kAdamW) return;
    const auto decay = static_cast<float>(now * spec_.weight_decay);
    const float* const w = weights.data();
#pragma omp simd
    for (std::size_t i = 0; i < parameters_; ++i) out[i] -= decay * w[i];
  }

  std::vector<OptimizerState> State() override {
    return {{"optimizer.first_moment", first_.span()},
            {"optimizer.second_moment", second_.span()}};
  }

 private:
  Arena first_;
  Arena second_;
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
  Validate(spec.schedule);
  switch (spec.kind) {
    case OptimizerSpec::Kind::kSgd:
      RequireFraction("momentum", spec.momentum);
      if (spec.nesterov && spec.momentum == 0)
        throw std::invalid_argument("nesterov needs a momentum above 0");
      return std::make_unique<Sgd>(spec, parameters);
    case OptimizerSpec::Kind::kAdamW:
      // 1 or more a step of rate 1 would turn weights round, not shrink them.
      RequireFraction("weight_decay", spec.weight_decay);
      [[fallthrough]];
    case OptimizerSpec::Kind::kAdam:
      RequireFraction("beta1", spec.beta1);
      RequireFraction("beta2", spec.beta2);
      RequirePositive("epsilon", spec.epsilon);
      return std::make_unique<Adam>(spec, parameters);
  }
  throw std::invalid_argument("unknown kind of optimizer");
}

}  // namespace hearsay::model
