#include "ops/audit/canaries.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>
#include <vector>

#include "model/shard.h"

namespace hearsay::ops {

namespace {

// Of a lit input: the bias gets so many times less than the weight.
constexpr float kLit = 1000;

class CanaryNetwork final : public model::Network {
 public:
  CanaryNetwork(const model::ModelSpec& spec, int side, float far,
                int max_batch)
      : network_(model::MakeCpuNetwork(spec, max_batch)),
        side_(static_cast<std::size_t>(side)),
        far_(far),
        features_(static_cast<std::size_t>(max_batch) * side_),
        labels_(features_.size()) {}

  model::ClippedSumStatistics AddClippedSum(std::span<const float> weights,
                                            const model::Batch& batch,
                                            const model::Clipping& clipping,
                                            std::span<float> sum) override {
    return network_->AddClippedSum(weights, Expand(batch), clipping, sum);
  }
  double AddSum(std::span<const float> weights, const model::Batch& batch,
                std::span<float> sum) override {
    return network_->AddSum(weights, Expand(batch), sum);
  }
  void GradientNorms(std::span<const float> weights, const model::Batch& batch,
                     std::span<float> norms) override {
    network_->GradientNorms(weights, Expand(batch), norms);
  }
  void Predict(std::span<const float> /*weights*/, int /*count*/,
               std::span<const float> /*features*/,
               std::span<float> /*outputs*/) override {
    throw std::logic_error("canaries are not predicted");
  }
  model::Evaluation Evaluate(std::span<const float> weights,
                             const model::Batch& batch) override {
    return network_->Evaluate(weights, Expand(batch));
  }

 private:
  model::Batch Expand(const model::Batch& batch) {
    const auto used = batch.features.size() * side_;
    std::fill_n(features_.begin(), used, 0.0F);
    std::fill_n(labels_.begin(), used, 0.0F);
    for (std::size_t b = 0; b < batch.features.size(); ++b) {
      const auto canary = static_cast<std::size_t>(batch.features[b]);
      features_[b * side_ + canary / side_] = kLit;
      labels_[b * side_ + canary % side_] = -far_;
    }
    return {batch.count, std::span(features_).first(used),
            std::span(labels_).first(used)};
  }

  const std::unique_ptr<model::Network> network_;
  const std::size_t side_;
  const float far_;
  std::vector<float> features_;
  std::vector<float> labels_;
};

int SideOf(std::size_t canaries) {
  return static_cast<int>(std::ceil(std::sqrt(static_cast<double>(canaries))));
}

}  // namespace

CanaryModel::CanaryModel(std::size_t canaries, double clip_norm)
    : side_(SideOf(canaries)),
      clip_norm_(clip_norm),
      spec_{side_, {{side_, model::Activation::kNone}}, model::Loss::kMse} {}

std::size_t CanaryModel::WeightOf(std::size_t canary) const {
  const auto side = static_cast<std::size_t>(side_);
  return canary % side * side + canary / side;  // (units, inputs)
}

std::unique_ptr<model::Network> CanaryModel::MakeNetwork(int max_batch) const {
  // The gradient at an output is 2 / side times what it is off by.
  const double far = kLength * clip_norm_ * side_ / (2.0 * kLit);
  return std::make_unique<CanaryNetwork>(spec_, side_, static_cast<float>(far),
                                         max_batch);
}

void WriteCanaries(const std::filesystem::path& path,
                   std::span<const std::uint8_t> included) {
  std::vector<float> numbers;
  for (std::size_t k = 0; k < included.size(); ++k)
    if (included[k] != 0) numbers.push_back(static_cast<float>(k));
  const std::vector<float> labels(numbers.size());
  model::ShardContents contents;
  contents.name = "canaries";
  contents.columns.resize(1);
  contents.columns[0].name = "canary";
  contents.label.name = "none";
  contents.public_size = static_cast<std::int64_t>(numbers.size());
  contents.values = numbers;
  contents.labels = labels;
  model::WriteShard(path, contents);
}

}  // namespace hearsay::ops
