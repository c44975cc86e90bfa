// Activations of ours against the C library's in double.
#include "model/cpu/activations.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace hearsay::model::cpu {
namespace {

// Every so many floats from the least to the greatest, of both signs.
std::vector<float> FloatsOfAllSizes() {
  std::vector<float> all;
  constexpr std::uint32_t kEvery = 4099;
  for (std::uint32_t bits = 0; bits < 0x7f800000U; bits += kEvery) {
    all.push_back(std::bit_cast<float>(bits));
    all.push_back(-all.back());
  }
  return all;
}

TEST(ActivationsTest, TanhIsWithinAFewUnitsInTheLastPlace) {
  const auto z = FloatsOfAllSizes();
  std::vector<float> out(z.size());
  Activate(Activation::kTanh, z.size(), z.data(), out.data());
  double worst = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double exact = std::tanh(double{z[i]});
    const auto size = static_cast<float>(std::abs(exact));
    const double unit =
        double{size} -
        double{std::nextafter(size, -std::numeric_limits<float>::max())};
    worst = std::max(worst, std::abs(out[i] - exact) / unit);
    ASSERT_LE(std::abs(out[i]), 1) << z[i];
    ASSERT_EQ(std::signbit(out[i]), std::signbit(z[i])) << z[i];
  }
  EXPECT_LE(worst, 7);
  RecordProperty("worst_units", std::to_string(worst));
}

TEST(ActivationsTest, TanhOfWhatIsNoNumberIsNone) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> z = {std::numeric_limits<float>::quiet_NaN(),
                                kInfinity, -kInfinity, 0.0F};
  std::vector<float> out(z.size());
  Activate(Activation::kTanh, z.size(), z.data(), out.data());
  EXPECT_TRUE(std::isnan(out[0]));
  EXPECT_EQ(out[1], 1);
  EXPECT_EQ(out[2], -1);
  EXPECT_EQ(out[3], 0);
}

}  // namespace
}  // namespace hearsay::model::cpu
