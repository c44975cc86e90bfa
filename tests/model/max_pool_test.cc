// Which of equal values wins, and that NaN is not lost, by every way that a
// window is looked through.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "model/arena.h"
#include "model/cpu/layers/layer.h"
#include "model/layer_rules.h"

namespace hearsay::model::cpu {
namespace {

using Values = std::vector<float>;

// Of a kernel swept both ways, swept forward, searched.
TEST(MaxPoolTest, TheFirstOfEqualsWinsAndNaNIsNotLost) {
  const Shape in = {2, 5, 6};
  for (const MaxPool2d& pool :
       {MaxPool2d{.kernel = {2, 2}, .stride = {1, 1}},
        MaxPool2d{.kernel = {2, 2}, .stride = {2, 2}},
        MaxPool2d{.kernel = {2, 2}, .stride = {2, 2}, .padding = {0, 1}}}) {
    const Shape out = OutputShape({pool}, in);
    const auto layer = MakeMaxPool2d(pool, in, out);
    Cutter count(nullptr);
    layer->Cut(count, 2);
    Arena arena(count.used());
    Cutter cutter(arena.span().data());
    layer->Cut(cutter, 2);
    Values image(2 * ValuesOf(in), 3);
    image[7] = std::numeric_limits<float>::quiet_NaN();
    layer->Forward(nullptr, 2, image.data());
    std::fill_n(layer->grad(), 2 * ValuesOf(out), 1.0f);
    Values grad(image.size(), 9), expected(image.size());
    layer->Backward(nullptr, 2, image.data(), grad.data());
    int lost = 0;
    for (int plane = 0; plane < 4; ++plane)
      for (int p = 0; p < out[1]; ++p)
        for (int q = 0; q < out[2]; ++q) {
          const int top = p * pool.stride.height;
          const int left = q * pool.stride.width - pool.padding.width;
          int winner = top * in[2] + std::max(left, 0);
          for (int h = top; h < top + 2; ++h)
            for (int w = std::max(left, 0); w < std::min(left + 2, in[2]); ++w)
              if (plane == 0 && h * in[2] + w == 7) winner = 7;
          const auto at =
              static_cast<std::size_t>(plane * in[1] * in[2] + winner);
          expected[at] += 1;
          const auto place =
              static_cast<std::size_t>((plane * out[1] + p) * out[2] + q);
          lost += std::isnan(layer->out()[place]) != (at == 7);
        }
    EXPECT_EQ(grad, expected);
    EXPECT_EQ(lost, 0);
  }
}

}  // namespace
}  // namespace hearsay::model::cpu
