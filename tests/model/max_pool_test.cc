// Which of equal values wins, and that NaN is not lost, by every way that a
// window is looked through.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "model/arena.h"
#include "model/cpu/layers/layer.h"
#include "model/cpu/layers/windows.h"
#include "model/cpu/patches.h"
#include "model/layer_rules.h"
#include "tests/model/random_values.h"

namespace hearsay::model::cpu {
namespace {

void ExpectSame(const Values& got, const Values& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_TRUE(got[i] == expected[i] ||
                (std::isnan(got[i]) && std::isnan(expected[i])))
        << i << ": " << got[i] << ", not " << expected[i];
}
// But for the order of additions.
void ExpectNear(const Values& got, const Values& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], expected[i], 1e-6) << i;
}

// Of a kernel swept both ways, swept forward, searched.
TEST(MaxPoolTest, TheFirstOfEqualsWinsAndNaNIsNotLost) {
  const Shape in = {2, 5, 6};
  for (const MaxPool2d& pool :
       {MaxPool2d{.kernel = {2, 2}, .stride = {1, 1}},
        MaxPool2d{.kernel = {2, 2}, .stride = {2, 2}},
        MaxPool2d{.kernel = {2, 2}, .stride = {2, 2}, .padding = {0, 1}}}) {
    const Shape out = OutputShape({pool}, in);
    Masks masks;
    const auto layer = MakeMaxPool2d(pool, in, out, {0, masks});
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

// A layer with room for two images, after one pass.
struct Passed {
  Passed(const MaxPool2d& pool, const Shape& in, bool takes_last,
         bool gives_last, const Values& image, const Values& grad_out)
      : out_size(2 * ValuesOf(OutputShape({pool}, in))), grad(image.size(), 9) {
    layer = MakeMaxPool2d(pool, in, OutputShape({pool}, in),
                          {0, masks, takes_last, gives_last});
    Cutter count(nullptr);
    layer->Cut(count, 2);
    arena = Arena(count.used());
    Cutter cutter(arena.span().data());
    layer->Cut(cutter, 2);
    layer->Forward(nullptr, 2, image.data());
    out.assign(layer->out(), layer->out() + out_size);
    std::copy(grad_out.begin(), grad_out.end(), layer->grad());
    layer->Backward(nullptr, 2, image.data(), grad.data());
  }
  Masks masks;
  std::unique_ptr<Layer> layer;
  Arena arena;
  const std::size_t out_size;
  Values out, grad;
};

// Two images of (C, places), or of (places, C), the other way round.
Values Turned(std::size_t C, bool is_last, const Values& images) {
  const std::size_t size = images.size() / 2, places = size / C;
  const auto [rows, columns] =
      is_last ? std::pair(places, C) : std::pair(C, places);
  Values turned(images.size());
  for (const std::size_t at : {std::size_t{0}, size})
    Transpose(rows, columns, images.data() + at, columns, turned.data() + at,
              rows);
  return turned;
}

// The same bits in every order, ties and NaN included.
TEST(MaxPoolTest, ChannelsLastIsTheSame) {
  const Shape in = {16, 7, 6};
  Values image = Random(2 * ValuesOf(in), 3);
  for (float& value : image) value = std::round(2 * value);  // many ties
  image[100] = std::numeric_limits<float>::quiet_NaN();
  for (const MaxPool2d& pool :
       {MaxPool2d{.kernel = {2, 2}, .stride = {1, 1}},
        MaxPool2d{.kernel = {2, 2}, .stride = {2, 2}},
        MaxPool2d{.kernel = {3, 2}, .stride = {2, 1}},
        MaxPool2d{.kernel = {1, 3}, .stride = {1, 3}}}) {
    ASSERT_TRUE(CanSweepChannelsLast(pool, in));
    const Shape out = OutputShape({pool}, in);
    const Values grad = Random(2 * ValuesOf(out), 4);
    const Passed first(pool, in, false, false, image, grad);
    const Passed last(pool, in, true, true, Turned(16, false, image),
                      Turned(16, false, grad));
    const Passed turning(pool, in, true, false, Turned(16, false, image), grad);
    ExpectSame(Turned(16, true, last.out), first.out);
    ExpectSame(turning.out, first.out);
    ExpectNear(Turned(16, true, last.grad), first.grad);
    ExpectSame(turning.grad, last.grad);
  }
}

}  // namespace
}  // namespace hearsay::model::cpu
