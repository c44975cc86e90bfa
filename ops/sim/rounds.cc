// Nodes in step. See world.h.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "ops/sim/world.h"

namespace hearsay::sim {

namespace {

// The mean, and how far the nodes are from it.
Sample Measure(const std::vector<double>& live, std::size_t n,
               std::size_t width, const Task& task) {
  constexpr std::size_t kHead = 64;
  Sample sample;
  std::vector<double> mean(width);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < width; ++k)
      mean[k] += live[i * width + k] / static_cast<double>(n);
  double squares = 0, norm = 0;
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < width; ++k)
      squares += std::pow(live[i * width + k] - mean[k], 2);
  for (const double value : mean) norm += value * value;
  const auto nodes = static_cast<double>(n);
  sample.variance = squares / nodes / static_cast<double>(width);
  sample.consensus =
      std::sqrt(squares / nodes) / std::max(std::sqrt(norm), 1e-300);
  const auto optimum = task.optimum();
  for (std::size_t k = 0; k < optimum.size(); ++k)
    sample.error += std::pow(mean[k] - optimum[k], 2);
  sample.error = std::sqrt(sample.error / static_cast<double>(width));
  mean.resize(std::min(width, kHead));
  sample.mean = std::move(mean);
  return sample;
}

}  // namespace

Result RunRounds(const Settings& settings) {
  const auto began = std::chrono::steady_clock::now();
  const auto n = settings.nodes;
  const auto rule = mixing::MakeRule(settings.mixing.rule);
  const auto& habits = rule->habits();
  if (settings.mixing.acid || habits.has_notes || habits.keeps_newest ||
      habits.ask_carries == mixing::Carries::kChange ||
      habits.meets != mixing::Habits::Meets::kNever)
    throw std::invalid_argument(
        "rounds are for rules without state that ask: one_way, pairwise, "
        "without momentum");
  const auto task = MakeTask(settings);
  const auto width = task->dimension();
  const auto topology = mixing::MakeTopology(
      settings.mixing.topology, {.count = n, .seed = settings.seed});
  std::vector<double> live(n * width), before, update(width);
  std::vector<Chance> chances;
  for (std::size_t i = 0; i < n; ++i) {
    chances.emplace_back(settings.seed, i + 1);
    task->Start({live.data() + i * width, width});
  }
  // Random starts, so that without steps there is something to mix.
  if (settings.task.learning_rate == 0)
    for (double& value : live) value = chances[0].Normal();
  const bool asks = habits.asks != mixing::Habits::Asks::kNever;
  const auto ask = static_cast<double>(rule->OnAnswer(0).gain);
  const auto answer =
      static_cast<double>(rule->OnRequest(0, {}).correction.gain);
  Result result;
  result.nodes.resize(n);
  const auto every = std::max<std::uint64_t>(
      settings.sample_every > 0
          ? static_cast<std::uint64_t>(std::llround(settings.sample_every /
                                                    settings.compute.step_time))
          : settings.steps / 1000,
      1);
  for (std::uint64_t t = 0; t < settings.steps; ++t) {
    if (settings.task.learning_rate > 0 || settings.task.noise > 0)
      for (std::size_t i = 0; i < n; ++i) {
        const std::span<double> own(live.data() + i * width, width);
        task->Step(i, own, chances[i], update);
        for (std::size_t k = 0; k < width; ++k) own[k] += update[k];
      }
    // What the steps have made of it, before they are mixed: mixing.md 5.
    if ((t + 1) % every == 0) {
      result.samples.push_back(Measure(live, n, width, *task));
      result.samples.back().time =
          static_cast<double>(t + 1) * settings.compute.step_time;
      result.samples.back().steps = static_cast<double>(t + 1);
    }
    before = live;
    for (std::size_t i = 0; asks && i < n; ++i) {
      const auto peer = topology->Peer(i, t);
      if (!peer) continue;
      ++result.exchanges;
      for (std::size_t k = 0; k < width; ++k) {
        const double difference =
            before[*peer * width + k] - before[i * width + k];
        live[i * width + k] += ask * difference;
        live[*peer * width + k] -= answer * difference;
      }
    }
    const auto k = settings.resync.every_steps;
    if (k > 0 && (t + 1) % k == 0) {
      const auto mean = Measure(live, n, width, *task).mean;
      for (std::size_t i = 0; i < n; ++i)
        std::copy(mean.begin(), mean.end(),
                  live.begin() + static_cast<std::ptrdiff_t>(i * width));
      ++result.resyncs;
    }
    result.events += n;
  }
  for (auto& node : result.nodes) node.steps = settings.steps;
  result.virtual_seconds =
      static_cast<double>(settings.steps) * settings.compute.step_time;
  result.wall_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - began)
          .count();
  return result;
}

}  // namespace hearsay::sim
