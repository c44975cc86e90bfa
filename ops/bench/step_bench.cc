#include "ops/bench/step_bench.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>

#include "daemon/live_weights.h"
#include "daemon/private_sum.h"
#include "model/arena.h"
#include "model/cpu/gemm.h"
#include "model/encoding.h"
#include "model/initialise.h"
#include "model/layer_rules.h"
#include "model/presets.h"
#include "model/shard.h"
#include "ops/bench/allocations.h"
#include "ops/bench/machine.h"

namespace hearsay::ops {

namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 9;  // each kind has its turn in each
constexpr int kCountedSteps = 20;

double Since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// What products reach on one core, out of sizes that suit them: FLOP a second.
class ProductRate {
 public:
  ProductRate() : left_(kSide * kSide), right_(left_), result_(left_) {
    std::mt19937 engine(1);
    std::normal_distribution<float> normal;
    for (float& value : left_) value = normal(engine);
    for (float& value : right_) value = normal(engine);
    model::cpu::UseOneThread();
  }
  double Measure(double seconds) {
    double count = 0;
    const auto begin = Clock::now();
    do {
      model::cpu::Project(kSide, kSide, kSide, left_.data(), right_.data(),
                          result_.data());
      ++count;
    } while (Since(begin) < seconds);
    return count * 2 * kSide * kSide * kSide / Since(begin);
  }

 private:
  static constexpr int kSide = 768;
  std::vector<float> left_, right_, result_;
};

// Rows of noise, in a file that is gone when this is made.
model::Shard MakeUp(const model::ModelSpec& spec, int batch) {
  std::string folder =
      (std::filesystem::temp_directory_path() / "hearsay-bench-XXXXXX")
          .string();
  if (mkdtemp(folder.data()) == nullptr)
    throw std::runtime_error(folder + ": cannot make this folder");
  const std::unique_ptr<const std::string, void (*)(const std::string*)> remove(
      &folder, [](const std::string* path) {
        std::error_code ignored;
        std::filesystem::remove_all(*path, ignored);
      });
  const auto rows = static_cast<std::size_t>(8 * batch);
  const auto width = static_cast<std::size_t>(spec.inputs);
  std::mt19937 engine(2);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> values(rows * width), labels(rows);
  for (float& value : values) value = uniform(engine);
  model::ShardContents contents;
  contents.name = "bench";
  contents.columns.resize(width);
  for (std::size_t i = 0; i < width; ++i)
    contents.columns[i].name = fmt::format("x{}", i);
  contents.label.name = "y";
  if (spec.loss != model::Loss::kMse) {
    const int classes = std::max(model::Outputs(spec), 2);
    for (int c = 0; c < classes; ++c)
      contents.label.classes.push_back(std::to_string(c));
    for (float& label : labels)
      label = static_cast<float>(engine() % static_cast<unsigned>(classes));
  }
  contents.public_size = static_cast<std::int64_t>(rows);
  contents.values = values;
  contents.labels = labels;
  const auto file = std::filesystem::path(folder) / "shard.safetensors";
  model::WriteShard(file, contents);
  return model::Shard::Open(file);  // mapped: outlives its name
}

// One model, its weights and its rows, and the two kinds of step on them.
class Bench {
 public:
  explicit Bench(const StepBenchModel& model)
      : model_(model),
        shard_(model.shard.empty()
                   ? MakeUp(model.spec, model.batch)
                   : model::Shard::Open(model.shard,
                                        model::EncodingFor(model.spec.layers))),
        live_(model::TrainedCount(model.spec, model.frozen.layers)),
        weights_(live_.size()),
        gradient_(weights_.size()),
        update_(weights_.size()),
        rows_(static_cast<std::size_t>(model.batch)),
        features_(static_cast<std::size_t>(model.physical_batch) *
                  static_cast<std::size_t>(model.spec.inputs)),
        labels_(static_cast<std::size_t>(model.physical_batch)),
        workers_(std::make_shared<model::Workers>(model.threads)),
        private_(daemon::MakeHostSum(MakeNetwork(), shard_,
                                     model.physical_batch, workers_)),
        plain_(MakeNetwork()),
        optimizer_(model::MakeOptimizer(model.optimizer, weights_.size())) {
    Restart();
  }

  // So that weights of millions of steps do not run away.
  void Restart() {
    model::Arena all(model::ParameterCount(model_.spec));
    model::Initialise(model_.spec, {1}, all.span());
    const auto parts =
        model::Divide(model_.spec, model_.frozen.layers, all.span());
    live_.Assign(parts.trained);
  }

  void StepPrivately() {
    Begin();
    private_->Compute(
        weights_.span(), rows_,
        {.clip_norm = model_.clip_norm,
         .noise_stddev = model_.noise_multiplier * model_.clip_norm,
         .scale = 1.0 / model_.batch},
        noise_, gradient_.span(), phases_);
    noise_.Ratchet();
    const auto begin = Clock::now();
    Update();
    update_seconds_ += Since(begin);
    ++private_steps_;
  }

  void StepPlainly() {
    Begin();
    daemon::BeginStep(*plain_, noise_);
    std::ranges::fill(gradient_.span(), 0.0F);
    std::span<const std::uint32_t> rows = rows_;
    while (!rows.empty()) {
      const auto slice = rows.first(std::min(rows.size(), labels_.size()));
      rows = rows.subspan(slice.size());
      const auto x = std::span(features_).first(
          slice.size() * static_cast<std::size_t>(model_.spec.inputs));
      const auto y = std::span(labels_).first(slice.size());
      shard_.Gather(slice, x, y);
      plain_->AddSum(weights_.span(), {static_cast<int>(slice.size()), x, y},
                     gradient_.span());
    }
    const float scale = 1.0F / static_cast<float>(model_.batch);
    for (float& value : gradient_.span()) value *= scale;
    Update();
  }

  // Steps for so long; seconds a step.
  double Time(void (Bench::*step)(), double seconds) {
    Restart();
    std::uint64_t steps = 0;
    const auto begin = Clock::now();
    do {
      (this->*step)();
      ++steps;
    } while (Since(begin) < seconds);
    return Since(begin) / static_cast<double>(steps);
  }

  // Of private steps since the last call.
  Json TakePhases() {
    const auto steps = static_cast<double>(private_steps_);
    const Json json = {{"load", phases_.load / steps},
                       {"forward_backward", phases_.forward_backward / steps},
                       {"clip_noise", phases_.clip_noise / steps},
                       {"update", update_seconds_ / steps}};
    phases_ = {};
    update_seconds_ = 0;
    private_steps_ = 0;
    return json;
  }

  std::size_t parameters() const { return weights_.size(); }

 private:
  std::unique_ptr<model::Network> MakeNetwork() const {
    return model::MakeCpuNetwork(model_.spec, model_.physical_batch,
                                 model_.frozen, workers_);
  }

  // The next rows in turn (whoever trains samples them, which is cheap beside),
  // and the weights as they are.
  void Begin() {
    live_.Snapshot(weights_.span());
    for (auto& row : rows_) {
      row = next_;
      next_ = next_ + 1 < shard_.rows() ? next_ + 1 : 0;
    }
  }

  void Update() {
    optimizer_->Update(weights_.span(), gradient_.span(), update_.span());
    live_.Add(update_.span());
  }

  const StepBenchModel& model_;
  const model::Shard shard_;
  daemon::LiveWeights live_;
  model::Arena weights_, gradient_, update_;  // the trainer's own
  std::vector<std::uint32_t> rows_;
  std::vector<float> features_, labels_;  // of plain steps
  std::shared_ptr<model::Workers> workers_;
  std::unique_ptr<daemon::PrivateSum> private_;
  std::unique_ptr<model::Network> plain_;
  std::unique_ptr<model::Optimizer> optimizer_;
  dp::SecureRandom noise_;
  daemon::PhaseSeconds phases_;
  double update_seconds_ = 0;
  std::uint64_t private_steps_ = 0;
  std::uint32_t next_ = 0;
};

Json Allocated(Bench& bench) {
  const auto before = Allocations();
  if (!before) return nullptr;
  for (int i = 0; i < kCountedSteps; ++i) bench.StepPrivately();
  return static_cast<double>(*Allocations() - *before) / kCountedSteps;
}

Json Kind(const std::vector<double>& seconds, int batch) {
  const auto spread = SpreadOf(seconds);
  return {{"seconds", ToJson(spread)},
          {"samples_per_second", batch / spread.median}};
}

Json MeasureModel(const StepBenchModel& model, double seconds,
                  ProductRate& products) {
  Bench bench(model);
  bench.StepPrivately();  // touches what a step touches
  bench.StepPlainly();
  const Json allocations = Allocated(bench);
  bench.TakePhases();
  std::vector<double> private_seconds, plain_seconds, rates;
  const double turn = seconds / kRounds;
  for (int round = 0; round < kRounds; ++round) {
    rates.push_back(products.Measure(turn / 4));
    private_seconds.push_back(bench.Time(&Bench::StepPrivately, turn));
    plain_seconds.push_back(bench.Time(&Bench::StepPlainly, turn));
  }
  const auto count = CountProducts(model.spec, model.frozen);
  const double rate = SpreadOf(rates).median;
  const double floor = count.flops * model.batch / (rate * model.threads);
  const Json private_json = Kind(private_seconds, model.batch);
  const Json plain_json = Kind(plain_seconds, model.batch);
  const double median = private_json["seconds"]["median"];
  Json json = {{"name", model.name},
               {"model", model::Canonical(model.spec)},
               {"parameters", bench.parameters()},
               {"batch", model.batch},
               {"threads", model.threads},
               {"private", private_json},
               {"plain", plain_json},
               {"private_over_plain",
                median / plain_json["seconds"]["median"].get<double>()},
               {"floor",
                {{"flops", count.flops * model.batch},
                 {"flops_per_second", rate},
                 {"seconds", floor},
                 {"left_out", count.left_out}}},
               {"fraction_of_floor", floor / median},
               {"phases", bench.TakePhases()},
               {"allocations", allocations}};
  return json;
}

}  // namespace

std::vector<std::string> StepBenchModelNames() {
  return {"tabular", "mlp", "cnn"};
}

StepBenchModel StepBenchModelOf(const std::string& name) {
  using model::Activation;
  constexpr auto kLoss = model::Loss::kSoftmaxCrossEntropy;
  StepBenchModel bench{.name = name, .spec = {}};
  bench.optimizer.learning_rate = 0.05;
  if (name == "tabular") {
    bench.spec = {
        10, {{64, Activation::kRelu}, {64, Activation::kRelu}, {2}}, kLoss};
  } else if (name == "mlp") {
    bench.spec = {
        784, {{512, Activation::kRelu}, {256, Activation::kRelu}, {10}}, kLoss};
  } else if (name == "cnn") {
    bench.spec = model::Preset("mnist-cnn");
    bench.batch = 512;
    bench.physical_batch = 512;
  } else {
    throw std::invalid_argument(
        fmt::format("no model is called '{}' (there are {})", name,
                    fmt::join(StepBenchModelNames(), ", ")));
  }
  return bench;
}

ProductCount CountProducts(const model::ModelSpec& spec,
                           const model::Frozen& frozen) {
  ProductCount count;
  const auto shapes = model::Shapes(spec);
  bool below = false;  // is anything trained
  for (std::size_t l = 0; l < spec.layers.size(); ++l) {
    const auto& layer = spec.layers[l];
    const auto parameters = model::ParametersOf(layer, shapes[l]);
    if (parameters.empty()) continue;
    // At which the weight is used: it makes shape[0] of the outputs at each.
    const double places = static_cast<double>(model::ValuesOf(shapes[l + 1])) /
                          static_cast<double>(parameters[0].shape[0]);
    if (!std::holds_alternative<model::Conv2d>(layer.kind) &&
        !std::holds_alternative<model::Dense>(layer.kind)) {
      count.left_out.push_back(
          fmt::format("{} ({})", l, model::TypeName(layer)));
      continue;
    }
    const bool trained = !frozen.Has(l);
    const int products = 1 + (trained ? 1 : 0) + (below ? 1 : 0);
    count.flops +=
        2 * static_cast<double>(parameters[0].size()) * places * products;
    below = below || trained;
  }
  return count;
}

Json RunStepBench(const std::vector<StepBenchModel>& models, double seconds,
                  const std::function<void(const std::string&)>& progress) {
  const MachineWatch watch;
  ProductRate products;
  Json list = Json::array();
  for (const auto& model : models) {
    progress(fmt::format("{}, batches of {}", model.name, model.batch));
    list.push_back(MeasureModel(model, seconds, products));
  }
  return {{"schema", 1},
          {"machine", watch.Report()},
          {"blas", model::cpu::BlasFlavour()},
          {"models", list}};
}

}  // namespace hearsay::ops
