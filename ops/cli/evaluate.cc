#include "ops/cli/evaluate.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <memory>
#include <numeric>
#include <span>
#include <utility>

#include "model/encoding.h"
#include "model/network.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {

namespace {

constexpr std::size_t kRowsOfAPass = 1024;

// One network and one set of buffers for all models: their specs are the same.
class Evaluator {
 public:
  Evaluator(const model::ModelSpec& spec, const model::Shard& shard)
      : shard_(shard),
        classifies_(spec.loss != model::Loss::kMse),
        network_(model::MakeCpuNetwork(spec, kRowsOfAPass)),
        features_(kRowsOfAPass * static_cast<std::size_t>(spec.inputs)),
        labels_(kRowsOfAPass) {}

  Score Evaluate(std::span<const float> weights) {
    model::Evaluation total;
    for (std::size_t first = 0; first < shard_.rows(); first += kRowsOfAPass) {
      const std::size_t rows = std::min(kRowsOfAPass, shard_.rows() - first);
      const model::Evaluation part =
          network_->Evaluate(weights, Gather(first, rows));
      total.loss_sum += part.loss_sum;
      total.correct += part.correct;
      total.count += part.count;
    }
    const auto count = static_cast<double>(total.count);
    Score score{.accuracy = {}, .mean_loss = total.loss_sum / count};
    if (classifies_)
      score.accuracy = static_cast<double>(total.correct) / count;
    return score;
  }

 private:
  model::Batch Gather(std::size_t first, std::size_t rows) {
    std::vector<std::uint32_t> indices(rows);
    std::iota(indices.begin(), indices.end(),
              static_cast<std::uint32_t>(first));
    const std::span<float> features = std::span(features_).first(
        rows * static_cast<std::size_t>(shard_.features()));
    const std::span<float> labels = std::span(labels_).first(rows);
    shard_.Gather(indices, features, labels);
    return {.count = static_cast<int>(rows),
            .features = features,
            .labels = labels};
  }

  const model::Shard& shard_;
  const bool classifies_;
  std::unique_ptr<model::Network> network_;
  std::vector<float> features_;
  std::vector<float> labels_;
};

// What the shard's labels ask of a model's last layer, in words.
std::string LabelsOf(const model::Shard& shard) {
  return shard.classes() == 0 ? "numbers"
                              : fmt::format("{} classes", shard.classes());
}

bool LabelsFit(const model::ModelSpec& spec, const model::Shard& shard) {
  switch (spec.loss) {
    case model::Loss::kSoftmaxCrossEntropy:
      return model::Outputs(spec) == shard.classes();
    case model::Loss::kBinaryCrossEntropy:
      return shard.classes() == 2;
    case model::Loss::kMse:
      return shard.classes() == 0 && model::Outputs(spec) == 1;
  }
  return false;
}

}  // namespace

void RequireFit(const std::string& file, const model::ModelSpec& spec,
                const std::string& data, const model::Shard& shard) {
  if (spec.inputs != shard.features())
    throw Exit(kError,
               fmt::format("{} has {} inputs, but the rows of {} have {} "
                           "features: it was trained on data of another schema",
                           file, spec.inputs, data, shard.features()));
  try {
    model::CheckColumns(spec.layers, shard.columns());
  } catch (const std::invalid_argument& error) {
    throw Exit(kError,
               fmt::format("{} does not fit {}: {}", file, data, error.what()));
  }
  if (!LabelsFit(spec, shard))
    throw Exit(kError,
               fmt::format("{} has {} output(s) with {} loss, but the labels "
                           "of {} are {}",
                           file, model::Outputs(spec), model::Word(spec.loss),
                           data, LabelsOf(shard)));
}

namespace {

std::optional<std::int64_t> StepOf(const model::Metadata& metadata) {
  const auto found = metadata.find(model::kStepKey);
  if (found == metadata.end()) return std::nullopt;
  const std::string& text = found->second;
  std::int64_t step = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), step);
  if (error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return step;
}

// A running mean in double: a thousand checkpoints need no more memory than
// two.
class MeanWeights {
 public:
  void Add(std::span<const float> weights) {
    sums_.resize(weights.size());
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i] += weights[i];
    ++count_;
  }
  std::vector<float> Mean() const {
    std::vector<float> mean(sums_.size());
    for (std::size_t i = 0; i < sums_.size(); ++i)
      mean[i] = static_cast<float>(sums_[i] / count_);
    return mean;
  }

 private:
  std::vector<double> sums_;
  double count_ = 0;
};

}  // namespace

void AddWhich(CLI::App* verb, std::string& word) {
  verb->add_option("--weights", word,
                   "live | ema: the weights themselves, or their moving "
                   "average, which checkpoints of a run with train.ema have")
      ->check(CLI::IsMember({"live", "ema"}))
      ->capture_default_str();
}

model::Which WhichOf(const std::string& word) {
  return word == "ema" ? model::Which::kEma : model::Which::kLive;
}

EvaluationReport Evaluate(const std::vector<std::string>& models,
                          const std::string& data, model::Which which) {
  model::Shard shard = model::Shard::Open(data);
  EvaluationReport report{.model = {},
                          .data = data,
                          .data_name = shard.name(),
                          .rows = static_cast<std::int64_t>(shard.rows()),
                          .models = {},
                          .average = {}};
  std::unique_ptr<Evaluator> evaluator;
  MeanWeights mean;
  for (const std::string& file : models) {
    const model::WeightsFile weights = model::ReadWeights(file, which);
    const std::string canonical = model::Canonical(weights.spec);
    if (evaluator == nullptr) {
      shard = model::Shard::Open(data, model::EncodingFor(weights.spec.layers));
      RequireFit(file, weights.spec, data, shard);
      evaluator = std::make_unique<Evaluator>(weights.spec, shard);
      report.model = canonical;
    } else if (canonical != report.model) {
      throw Exit(kError, fmt::format("these are different models: {} is '{}', "
                                     "{} is '{}'",
                                     models[0], report.model, file, canonical));
    }
    mean.Add(weights.weights.span());
    report.models.push_back(
        {.file = file,
         .kind = weights.metadata.at(model::kKindKey),
         .step = StepOf(weights.metadata),
         .score = evaluator->Evaluate(weights.weights.span())});
  }
  if (models.size() > 1) report.average = evaluator->Evaluate(mean.Mean());
  return report;
}

}  // namespace hearsay::ops
