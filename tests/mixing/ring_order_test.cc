#include "daemon/mixing/ring_order.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <random>

namespace hearsay::mixing {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

EdgeCosts Costs(std::size_t n, const std::function<double(int, int)>& cost) {
  EdgeCosts costs(n, std::vector<double>(n));
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < i; ++j)
      costs[i][j] = costs[j][i] =
          cost(static_cast<int>(j), static_cast<int>(i));
  return costs;
}

double Best(const EdgeCosts& costs) {
  std::vector<std::size_t> order(costs.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  double best = RingCost(costs, order);
  while (std::next_permutation(order.begin() + 1, order.end()))
    best = std::min(best, RingCost(costs, order));
  return best;
}

TEST(RingOrderTest, SitesStandTogether) {
  // Even members at one site, odd ones at another.
  const auto costs =
      Costs(8, [](int i, int j) { return i % 2 == j % 2 ? 1.0 : 40.0; });
  const auto order = OrderRing(costs);
  EXPECT_EQ(order.front(), 0U);
  EXPECT_EQ(RingCost(costs, order), 6 * 1 + 2 * 40);
}

TEST(RingOrderTest, EveryMemberIsInItOnce) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> any(1, 100);
  for (std::size_t n = 0; n < 64; n = n * 2 + 1) {
    auto order = OrderRing(Costs(n, [&](int, int) { return any(random); }));
    std::sort(order.begin(), order.end());
    for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(order[i], i);
    EXPECT_EQ(order.size(), n);
  }
}

// Points of a plane, against all orders there are.
TEST(RingOrderTest, IsNearTheBestOfAllOrders) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> any(0, 1);
  for (int trial = 0; trial < 20; ++trial) {
    std::vector<double> x(7), y(7);
    for (auto& value : x) value = any(random);
    for (auto& value : y) value = any(random);
    const auto costs = Costs(
        7, [&](int i, int j) { return std::hypot(x[i] - x[j], y[i] - y[j]); });
    EXPECT_LE(RingCost(costs, OrderRing(costs)), 1.15 * Best(costs));
  }
}

TEST(RingOrderTest, WhatNobodyTriedIsNeitherNearNorFar) {
  const auto none = Costs(5, [](int, int) { return kUnknown; });
  EXPECT_EQ(OrderRing(none), (std::vector<std::size_t>{0, 1, 2, 3, 4}));
  // Only the way between 0 and 1 is known to be slow: not taken.
  auto costs = Costs(5, [](int, int) { return 1.0; });
  costs[0][1] = costs[1][0] = 100;
  costs[2][4] = costs[4][2] = kUnknown;
  EXPECT_NEAR(RingCost(costs, OrderRing(costs)), 5, 1e-12);
}

}  // namespace
}  // namespace hearsay::mixing
