// Private steps on a GPU: microseconds each, sampling and noise included, of
// the two dense models of the design (performance.md there): (i) 10-64-64-2 and
// (ii) 784-512-256-10.
//
//   hearsay_cuda_bench [SECONDS [ONE]]   of each measurement, 1 without; ONE:
//   only
//                                        that model, as "ii 1024 bf16"
//
// A line of JSON each. "resident": weights stay on the device, several steps
// may be under way. "round_trip": weights from the host and the gradient back
// with every step, as a daemon's trainer has it that mixes between any two.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <random>
#include <string>
#include <vector>

#include "dp/grid_sum.h"
#include "dp/random.h"
#include "dp/sampler.h"
#include "model/cuda_backend.h"
#include "model/initialise.h"

namespace {

using namespace hearsay;  // NOLINT(google-build-using-namespace)
using Clock = std::chrono::steady_clock;

struct Model {
  const char* name;
  model::ModelSpec spec;
};

enum class Arithmetic { kFloat32, kTf32, kBf16, kExact };
model::Precision PrecisionOf(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kTf32:
      return model::Precision::kTf32;
    case Arithmetic::kBf16:
      return model::Precision::kBf16;
    case Arithmetic::kFloat32:
    case Arithmetic::kExact:
      break;
  }
  return model::Precision::kFloat32;
}
const char* NameOf(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::kExact ? "exact"
                                          : Word(PrecisionOf(arithmetic));
}

struct Task {
  Model model;
  int batch;  // on average
  Arithmetic arithmetic;
};

// Floating-point operations of one example, forward and backward; the first
// layer needs no gradient of its inputs.
double Operations(const model::ModelSpec& spec) {
  double sum = 0;
  int inputs = spec.inputs;
  for (const auto& layer : spec.layers) {
    const int units = layer.dense().units;
    sum += (inputs == spec.inputs ? 4.0 : 6.0) * inputs * units;
    inputs = units;
  }
  return sum;
}

double Seconds(Clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

void Measure(const Task& task, double seconds) {
  constexpr std::size_t kShardRows = 60000;
  const auto& spec = task.model.spec;
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> features(kShardRows *
                              static_cast<std::size_t>(spec.inputs));
  for (float& value : features) value = normal(engine);
  std::vector<float> labels(kShardRows);
  for (float& label : labels)
    label = static_cast<float>(engine() %
                               static_cast<unsigned>(model::Outputs(spec)));
  // Four standard deviations: what is more is cut into two.
  const int room = task.batch + std::max(64, task.batch / 8);
  const bool exact = task.arithmetic == Arithmetic::kExact;
  const auto step = model::MakeCudaStep(
      spec, room, features, labels,
      {.device = 0, .precision = PrecisionOf(task.arithmetic), .exact = exact});
  std::vector<float> weights(model::ParameterCount(spec));
  std::vector<float> gradient(weights.size());
  model::Initialise(spec, {}, weights);
  step->SetWeights(weights);

  dp::PoissonSampler sampler(task.batch / static_cast<double>(kShardRows));
  dp::SecureRandom sampling, noise;
  std::vector<std::uint32_t> rows;
  model::DeviceStepTerms terms{.clip_norm = 1,
                               .noise_stddev = 1,
                               .scale = 1.0 / task.batch,
                               .learning_rate = 0.05};
  if (exact) {
    const auto grid = dp::GridTermsFor(1, 1);
    terms.grid = {.reach = grid.reach,
                  .log_sigma = grid.log_sigma,
                  .margin = dp::kGridMargin};
  }
  std::int64_t examples = 0;
  std::vector<std::vector<std::uint32_t>> ahead(64);
  for (auto& one : ahead) sampler.Sample(kShardRows, sampling, one);
  std::size_t next = 0;
  const auto begin_one = [&](bool draw) {
    if (draw)
      sampler.Sample(kShardRows, sampling, rows);
    else
      rows = ahead[next++ % ahead.size()];
    model::NoiseKey key{};
    noise.Fill(std::as_writable_bytes(std::span(key)));
    step->Begin(rows, key, terms);
    examples += static_cast<std::int64_t>(rows.size());
  };
  for (const std::string mode : {"device", "resident", "round_trip"}) {
    const bool round_trip = mode == "round_trip";
    const bool draw = mode != "device";
    for (int i = 0; i < 20; ++i) begin_one(draw);
    step->GetGradient(gradient);
    examples = 0;
    std::vector<double> micros;
    const auto until = Clock::now() + std::chrono::duration<double>(seconds);
    while (Clock::now() < until || micros.size() < 5) {
      constexpr int kAtOnce = 100;
      const auto start = Clock::now();
      for (int i = 0; i < kAtOnce; ++i) {
        if (round_trip) step->SetWeights(weights);
        begin_one(draw);
        if (round_trip) step->GetGradient(gradient);
      }
      if (!round_trip) step->GetGradient(gradient);
      micros.push_back(1e6 * Seconds(Clock::now() - start) / kAtOnce);
    }
    std::sort(micros.begin(), micros.end());
    const double median = micros[micros.size() / 2];
    const double per_step = static_cast<double>(examples) /
                            static_cast<double>(100 * micros.size());
    std::printf(
        "{\"model\":\"%s\",\"batch\":%d,\"arithmetic\":\"%s\",\"mode\":\"%s\","
        "\"median_us\":%.2f,\"least_us\":%.2f,\"p90_us\":%.2f,"
        "\"samples_per_s\":%.0f,\"tflop_per_s\":%.2f}\n",
        task.model.name, task.batch, NameOf(task.arithmetic), mode.c_str(),
        median, micros.front(), micros[micros.size() * 9 / 10],
        1e6 * per_step / median, Operations(spec) * per_step / median * 1e-6);
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const double seconds = argc > 1 ? std::stod(argv[1]) : 1;
    const auto probe = model::ProbeCuda();
    if (!probe.usable) {
      std::fprintf(stderr, "hearsay_cuda_bench: %s\n", probe.reason.c_str());
      return 77;
    }
    std::fprintf(stderr, "on %s\n", probe.name.c_str());
    using enum model::Activation;
    const auto loss = model::Loss::kSoftmaxCrossEntropy;
    const Model small{"i", {10, {{64, kRelu}, {64, kRelu}, {2}}, loss}};
    const Model wide{"ii", {784, {{512, kRelu}, {256, kRelu}, {10}}, loss}};
    for (const auto& one : {small, wide})
      for (const int batch : {256, 1024})
        for (const auto arithmetic : {Arithmetic::kFloat32, Arithmetic::kTf32,
                                      Arithmetic::kBf16, Arithmetic::kExact}) {
          const std::string title = std::string(one.name) + " " +
                                    std::to_string(batch) + " " +
                                    NameOf(arithmetic);
          if (argc > 2 && title != argv[2]) continue;
          Measure({one, batch, arithmetic}, seconds);
        }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hearsay_cuda_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
