#include "daemon/mixing/ring_order.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace hearsay::mixing {

namespace {

EdgeCosts Filled(EdgeCosts costs) {
  std::vector<double> known;
  for (const auto& row : costs)
    for (const double cost : row)
      if (!std::isnan(cost)) known.push_back(cost);
  double usual = 1;
  if (!known.empty()) {
    const auto middle =
        known.begin() + static_cast<std::ptrdiff_t>(known.size() / 2);
    std::nth_element(known.begin(), middle, known.end());
    usual = *middle;
  }
  for (auto& row : costs)
    for (double& cost : row)
      if (std::isnan(cost)) cost = usual;
  return costs;
}

double Length(const EdgeCosts& costs, const std::vector<std::size_t>& order) {
  double sum = 0;
  for (std::size_t i = 0; i < order.size(); ++i)
    sum += costs[order[i]][order[(i + 1) % order.size()]];
  return sum;
}

std::vector<std::size_t> NearestNext(const EdgeCosts& costs) {
  std::vector<std::size_t> order = {0};
  std::vector<bool> taken(costs.size());
  taken[0] = true;
  while (order.size() < costs.size()) {
    const auto& from = costs[order.back()];
    std::size_t best = costs.size();
    for (std::size_t i = 0; i < costs.size(); ++i)
      if (!taken[i] && (best == costs.size() || from[i] < from[best])) best = i;
    taken[best] = true;
    order.push_back(best);
  }
  return order;
}

// Turns round what lies between two edges, if that is shorter. False if no turn
// is.
bool Improve(const EdgeCosts& costs, std::vector<std::size_t>& order) {
  const std::size_t n = order.size();
  for (std::size_t i = 0; i + 1 < n; ++i)
    for (std::size_t j = i + 1; j < n; ++j) {
      const auto a = order[i], b = order[i + 1];
      const auto c = order[j], d = order[(j + 1) % n];
      if (costs[a][c] + costs[b][d] < costs[a][b] + costs[c][d] - 1e-12) {
        std::reverse(order.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                     order.begin() + static_cast<std::ptrdiff_t>(j) + 1);
        return true;
      }
    }
  return false;
}

}  // namespace

double RingCost(const EdgeCosts& costs, const std::vector<std::size_t>& order) {
  return Length(Filled(costs), order);
}

std::vector<std::size_t> OrderRing(const EdgeCosts& costs) {
  std::vector<std::size_t> plain(costs.size());
  std::iota(plain.begin(), plain.end(), std::size_t{0});
  if (costs.size() < 4) return plain;  // All rings are the same.
  const auto filled = Filled(costs);
  auto order = NearestNext(filled);
  // Each turn shortens it, if costs are symmetric, and few are needed.
  for (std::size_t turns = 0;
       turns < order.size() * order.size() && Improve(filled, order); ++turns) {
  }
  return Length(filled, order) < Length(filled, plain) ? order : plain;
}

}  // namespace hearsay::mixing
