#include "ops/plan/mixing_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>
#include <numeric>

namespace hearsay::ops {

namespace {

using mixing::TopologyKind;

constexpr double kEnough = 1e-3;
constexpr std::uint64_t kMostRounds = 10'000'000;
// A variance above this is worth doing something about.
constexpr double kMostVariance = 2;
constexpr std::uint64_t kMostResync = 4096;

std::unique_ptr<mixing::Topology> Make(TopologyKind kind, std::size_t nodes) {
  return mixing::MakeTopology(kind, {.count = nodes, .seed = 1});
}

void Round(const mixing::Topology& topology, std::uint64_t round,
           std::vector<double>& w, std::vector<double>& before) {
  before = w;
  for (std::size_t i = 0; i < w.size(); ++i)
    if (const auto peer = topology.Peer(i, round))
      w[i] = (before[i] + before[*peer]) / 2;
}

double Length(std::vector<double>& w) {
  const double mean =
      std::accumulate(w.begin(), w.end(), 0.0) / static_cast<double>(w.size());
  double sum = 0;
  for (double& value : w) value -= mean, sum += value * value;
  return std::sqrt(sum);
}

double RingRate(std::size_t nodes) {
  return nodes < 2 ? 0
                   : std::cos(std::numbers::pi / static_cast<double>(nodes));
}

// Sum over the ring's modes of their share of the noise: j is the mode.
template <typename Share>
double OverModes(std::size_t nodes, Share share) {
  double sum = 0;
  const auto n = static_cast<double>(nodes);
  for (std::size_t j = 1; j < nodes; ++j)
    sum += share(
        std::pow(std::cos(std::numbers::pi * static_cast<double>(j) / n), 2));
  return sum / n;
}

// Any topology: how a node's noise of t rounds ago is spread by now, squared.
// A few nodes stand for all.
double MeasuredVariance(TopologyKind kind, std::size_t nodes,
                        std::uint64_t every) {
  constexpr std::size_t kSources = 8;
  constexpr std::uint64_t kLongest = 100'000;
  const auto topology = Make(kind, nodes);
  const auto rounds = every > 0 ? every : kLongest;
  double variance = 0;
  std::vector<double> before;
  const auto sources = std::min(kSources, nodes);
  for (std::size_t s = 0; s < sources; ++s) {
    std::vector<double> w(nodes);
    w[s * nodes / sources] = 1;
    for (std::uint64_t t = 0; t < rounds; ++t) {
      const double left = Length(w);
      // Noise of t rounds ago: in each interval there are every - t such steps.
      const double times = every > 0 ? static_cast<double>(every - t) /
                                           static_cast<double>(every)
                                     : 1;
      variance += times * left * left;
      if (left < 1e-9) break;
      Round(*topology, s + t, w, before);
    }
  }
  return variance / static_cast<double>(sources);
}

}  // namespace

Mixing MixingOf(TopologyKind kind, std::size_t nodes) {
  Mixing mixing;
  if (nodes < 2) return {.rate = 0, .to_1e3 = 0};
  if (kind == TopologyKind::kRing) {
    mixing.rate = RingRate(nodes);
    mixing.to_1e3 = mixing.rate < kEnough
                        ? 1
                        : static_cast<std::uint64_t>(std::llround(std::ceil(
                              std::log(kEnough) / std::log(mixing.rate))));
    return mixing;
  }
  if (kind == TopologyKind::kExponential && std::has_single_bit(nodes))
    return {.rate = 0,
            .to_1e3 = static_cast<std::uint64_t>(std::bit_width(nodes) - 1)};
  const auto topology = Make(kind, nodes);
  std::vector<double> w(nodes), before;
  for (std::size_t i = 0; i < nodes; ++i)
    w[i] = std::cos(2 * std::numbers::pi * static_cast<double>(i) /
                    static_cast<double>(nodes)) +
           (i % 3 == 0 ? 0.3 : 0) + (i == 1 ? 0.2 : 0);
  const double start = Length(w);
  std::uint64_t t = 0;
  double left = start;
  while (left > kEnough * start && t < kMostRounds) {
    Round(*topology, t++, w, before);
    left = Length(w);
  }
  mixing.rate = std::pow(left / start, 1 / static_cast<double>(t));
  if (t < kMostRounds) mixing.to_1e3 = t;
  return mixing;
}

double ConsensusVariance(TopologyKind kind, std::size_t nodes,
                         std::uint64_t every) {
  if (nodes < 2) return 0;
  if (kind != TopologyKind::kRing) return MeasuredVariance(kind, nodes, every);
  if (every == 0)
    return OverModes(nodes, [](double square) { return 1 / (1 - square); });
  // The mean over t = 1..H of sum_{s<t} square^s.
  const auto h = static_cast<double>(every);
  return OverModes(nodes, [h](double square) {
    if (square == 0) return 1.0;
    const double all = 1 / (1 - square);
    return all - all * square * (1 - std::pow(square, h)) / (1 - square) / h;
  });
}

std::optional<std::uint64_t> ResyncWithin(TopologyKind kind, std::size_t nodes,
                                          double most) {
  std::optional<std::uint64_t> best;
  for (std::uint64_t every = 1; every <= kMostResync; every *= 2)
    if (ConsensusVariance(kind, nodes, every) <= most) best = every;
  return best;
}

std::vector<double> EffectiveWeights(const std::vector<double>& rates,
                                     bool objective_nodes) {
  std::vector<double> weights(rates.size(), 1);
  if (objective_nodes) return weights;
  const double mean = std::accumulate(rates.begin(), rates.end(), 0.0) /
                      static_cast<double>(rates.size());
  for (std::size_t i = 0; i < rates.size(); ++i) weights[i] = rates[i] / mean;
  return weights;
}

WireTimes WireTimesOf(std::size_t nodes, double bytes, const Link& link) {
  const double array = bytes / link.bandwidth;
  const auto n = static_cast<double>(nodes);
  const double both = 2 * (n - 1) / n * array;
  return {.exchange = 2 * link.latency + array,
          .ring = 2 * (n - 1) * link.latency + both,
          .halving_doubling = 2 * std::ceil(std::log2(n)) * link.latency + both,
          .server = 2 * (link.latency + n * array)};
}

std::vector<std::string> Advice(TopologyKind kind, std::size_t nodes,
                                std::uint64_t resync_every,
                                const std::vector<double>& rates) {
  std::vector<std::string> advice;
  const double variance = ConsensusVariance(kind, nodes, resync_every);
  if (variance <= kMostVariance) {
    advice.push_back(fmt::format(
        "{} nodes by {}: they stay together (variance {:.2f} of a step's "
        "noise); nothing to add",
        nodes, mixing::Word(kind), variance));
  } else {
    std::string what = fmt::format(
        "{} nodes by {} drift apart: variance {:.1f} of a step's noise.", nodes,
        mixing::Word(kind), variance);
    const double other = ConsensusVariance(TopologyKind::kExponential, nodes);
    if (kind != TopologyKind::kExponential && other < variance)
      what += fmt::format(" topology = \"exponential\" has {:.1f}.", other);
    if (const auto every = ResyncWithin(kind, nodes, kMostVariance))
      what += fmt::format(" [resync] every_steps = {} keeps it at {:.2f}.",
                          *every, ConsensusVariance(kind, nodes, *every));
    advice.push_back(what);
  }
  if (nodes >= 64)
    advice.emplace_back(
        "compare with halving-doubling: against a ring all-reduce anything "
        "looks good at 64 nodes and more");
  const auto [slowest, fastest] =
      std::minmax_element(rates.begin(), rates.end());
  if (slowest != rates.end() && *fastest > 1.5 * *slowest)
    advice.push_back(fmt::format(
        "rates differ {:.1f} times: all_reduce and local_sgd would run at the "
        "slowest node's; gossip does not wait. objective = \"nodes\" makes "
        "each node count once",
        *fastest / *slowest));
  return advice;
}

}  // namespace hearsay::ops
