#include "ops/sim/task.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "model/initialise.h"
#include "model/network.h"

namespace hearsay::sim {

namespace {

// A step of gradient descent on 1/2 |w - target|^2, and noise.
class Quadratic final : public Task {
 public:
  Quadratic(const Settings& settings, bool own)
      : task_(settings.task),
        own_(own),
        deviation_(std::sqrt(settings.task.noise)),
        optimum_(settings.task.dimension) {
    if (!own) return;
    for (std::size_t i = 0; i < std::min(settings.nodes, task_.dimension); ++i)
      optimum_[i] = 1 / static_cast<double>(settings.nodes);
  }

  std::size_t dimension() const override { return task_.dimension; }
  void Start(std::span<double> weights) const override {
    std::fill(weights.begin(), weights.end(), own_ ? 0.0 : 1.0);
  }
  void Step(std::size_t node, std::span<const double> weights, Chance& chance,
            std::span<double> update) override {
    for (std::size_t i = 0; i < weights.size(); ++i)
      update[i] = -task_.learning_rate * weights[i];
    if (own_ && node < update.size()) update[node] += task_.learning_rate;
    if (deviation_ > 0)
      for (double& value : update) value += deviation_ * chance.Normal();
  }
  std::span<const double> optimum() const override { return optimum_; }

 private:
  const Settings::Task task_;
  const bool own_;
  const double deviation_;
  std::vector<double> optimum_;
};

// Two classes of records of kInputs numbers, told apart by a smooth function of
// them; one hidden layer; Poisson sampling, clipping and noise as a node does
// them (the noise here is no secret).
class Classify final : public Task {
 public:
  static constexpr int kInputs = 9;
  static constexpr std::size_t kHeldOut = 4000;

  explicit Classify(const Settings& settings)
      : task_(settings.task),
        spec_{.inputs = kInputs,
              .layers = {{task_.hidden, model::Activation::kTanh}, {2}}},
        network_(model::MakeCpuNetwork(spec_, static_cast<int>(kHeldOut))),
        weights_(model::ParameterCount(spec_)),
        sum_(weights_.size()) {
    Chance chance(settings.seed, 0xda7a);
    for (std::size_t i = 0; i < settings.nodes; ++i)
      shards_.push_back(Draw(task_.rows, task_.skewed ? i : 0, chance));
    held_out_ = Draw(kHeldOut, 0, chance);
    if (task_.skewed)  // As all of them together see the world.
      for (std::size_t r = 0; r < kHeldOut; ++r)
        Fill(held_out_, r, r % settings.nodes, chance);
  }

  std::size_t dimension() const override { return weights_.size(); }
  void Start(std::span<double> weights) const override {
    std::vector<float> start(weights.size());
    model::Initialise(spec_, {1}, start);
    std::copy(start.begin(), start.end(), weights.begin());
  }

  void Step(std::size_t node, std::span<const double> weights, Chance& chance,
            std::span<double> update) override {
    std::copy(weights.begin(), weights.end(), weights_.begin());
    const Records& shard = shards_[node];
    batch_.features.clear();
    batch_.labels.clear();
    for (std::size_t row = 0; row < task_.rows; ++row)
      if (chance.Uniform() < task_.sample_rate) {
        const auto* first = shard.features.data() + row * kInputs;
        batch_.features.insert(batch_.features.end(), first, first + kInputs);
        batch_.labels.push_back(shard.labels[row]);
      }
    std::fill(sum_.begin(), sum_.end(), 0.0F);
    network_->AddClippedSum(weights_,
                            {static_cast<int>(batch_.labels.size()),
                             batch_.features, batch_.labels},
                            task_.clip_norm, sum_);
    const double scale = -task_.learning_rate /
                         (task_.sample_rate * static_cast<double>(task_.rows));
    const double deviation = task_.noise_multiplier * task_.clip_norm;
    for (std::size_t i = 0; i < update.size(); ++i)
      update[i] =
          scale * (static_cast<double>(sum_[i]) + deviation * chance.Normal());
  }

  std::span<const double> optimum() const override { return {}; }
  bool scores() const override { return true; }
  Score Evaluate(std::span<const double> weights) override {
    std::copy(weights.begin(), weights.end(), weights_.begin());
    const auto seen = network_->Evaluate(
        weights_,
        {static_cast<int>(kHeldOut), held_out_.features, held_out_.labels});
    const auto count = static_cast<double>(seen.count);
    return {seen.loss_sum / count, static_cast<double>(seen.correct) / count};
  }

 private:
  struct Records {
    std::vector<float> features, labels;
  };

  // A node's records lie about a place of its own if they are skewed.
  static void Fill(Records& records, std::size_t row, std::size_t place,
                   Chance& chance) {
    double logit = -0.4;
    for (int i = 0; i < kInputs; ++i) {
      const double centre = place == 0
                                ? 0
                                : 1.5 * std::sin(static_cast<double>(place) *
                                                 static_cast<double>(i + 1));
      const double x = centre + chance.Normal();
      records.features[row * kInputs + static_cast<std::size_t>(i)] =
          static_cast<float>(x);
      logit += (i % 3 == 0 ? 0.9 : -0.6) * x + (i % 4 == 1 ? 0.5 * x * x : 0);
    }
    records.labels[row] =
        chance.Uniform() < 1 / (1 + std::exp(-logit)) ? 1.0F : 0.0F;
  }
  static Records Draw(std::size_t rows, std::size_t place, Chance& chance) {
    Records records;
    records.features.resize(rows * kInputs);
    records.labels.resize(rows);
    for (std::size_t row = 0; row < rows; ++row)
      Fill(records, row, place, chance);
    return records;
  }

  const Settings::Task task_;
  const model::ModelSpec spec_;
  const std::unique_ptr<model::Network> network_;
  std::vector<Records> shards_;
  Records held_out_;
  Records batch_;
  std::vector<float> weights_;
  std::vector<float> sum_;
};

}  // namespace

std::unique_ptr<Task> MakeTask(const Settings& settings) {
  switch (settings.task.kind) {
    case Settings::Task::Kind::kZero:
      return std::make_unique<Quadratic>(settings, false);
    case Settings::Task::Kind::kOwn:
      return std::make_unique<Quadratic>(settings, true);
    case Settings::Task::Kind::kClassify:
      return std::make_unique<Classify>(settings);
  }
  return nullptr;
}

}  // namespace hearsay::sim
