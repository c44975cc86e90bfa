// The products of convolutions, by every set of instructions that this machine
// has, against loops in double; how images are laid out; and that all ways to a
// norm lead to the same.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "model/arena.h"
#include "model/cpu/layers/layer.h"
#include "model/cpu/patches.h"
#include "tests/model/models.h"
#include "tests/model/random_values.h"
#include "tests/model/reference.h"

namespace hearsay::model::cpu {
namespace {

struct ShapeCase {
  std::string name;
  Conv2d conv;
  Shape in;
};

std::vector<ShapeCase> ShapeCases() {
  return {
      {"Mnist",
       {.filters = 16, .kernel = {8, 8}, .stride = {2, 2}},
       {1, 34, 34}},
      {"Deep",
       {.filters = 32, .kernel = {4, 4}, .stride = {2, 2}},
       {16, 13, 13}},
      {"OnePlace", {.filters = 3, .kernel = {3, 4}}, {2, 3, 4}},
      {"OneValue", {.filters = 1, .kernel = {1, 1}}, {1, 1, 1}},
      {"MoreThanABlock", {.filters = 19, .kernel = {3, 2}}, {9, 5, 6}},
      {"Dilated",
       {.filters = 17, .kernel = {2, 3}, .dilation = {2, 2}},
       {5, 7, 9}},
      {"Padded",
       {.filters = 5, .kernel = {3, 3}, .padding = {2, 1}},
       {9, 4, 5}},
      {"Groups",
       {.filters = 40, .kernel = {3, 3}, .stride = {2, 1}, .groups = 2},
       {34, 7, 5}},
  };
}

Shape OutputOf(const ShapeCase& of) { return OutputShape({of.conv}, of.in); }

class ConvKernelsTest : public ::testing::TestWithParam<ShapeCase> {
 protected:
  static constexpr int kB = 3;
  const Patches patches{GetParam().conv, GetParam().in, OutputOf(GetParam())};
  const ConvShape& shape = patches.shape();
  const std::size_t T = static_cast<std::size_t>(shape.T());
  const std::size_t d = static_cast<std::size_t>(shape.d());
  const std::size_t P = static_cast<std::size_t>(shape.filters);
  const Values images = Random(kB * shape.stride, 1);
  const Values rows = Random(kB * T * P, 2);

  double At(std::size_t b, std::size_t t, std::size_t i) const {
    return images[b * shape.stride +
                  static_cast<std::size_t>(shape.places[t] + shape.cells[i])];
  }
};

TEST_P(ConvKernelsTest, ForwardIsTheLoop) {
  const Values weights = Random(d * P, 3), bias = Random(P, 4);
  for (const ConvKernels& kernels : AllKernels()) {
    Values result(kB * T * P + 1, 7);
    kernels.forward(shape, kB, images.data(), weights.data(), bias.data(),
                    result.data());
    for (std::size_t b = 0; b < kB; ++b)
      for (std::size_t t = 0; t < T; ++t)
        for (std::size_t f = 0; f < P; ++f) {
          double expected = bias[f];
          for (std::size_t i = 0; i < d; ++i)
            expected +=
                At(b, t, i) *
                weights[(f / kColumns * d + i) * kColumns + f % kColumns];
          ASSERT_NEAR(result[(b * T + t) * P + f], expected, 1e-4)
              << kernels.name << ' ' << b << ' ' << t << ' ' << f;
        }
    EXPECT_EQ(result.back(), 7) << "beyond the end";
  }
}

TEST_P(ConvKernelsTest, GradientIsTheLoop) {
  for (const ConvKernels& kernels : AllKernels()) {
    Values result(d * P + 1, 7);
    kernels.gradient(shape, kB, images.data(), rows.data(), result.data());
    for (std::size_t i = 0; i < d; ++i)
      for (std::size_t f = 0; f < P; ++f) {
        double expected = 0;
        for (std::size_t b = 0; b < kB; ++b)
          for (std::size_t t = 0; t < T; ++t)
            expected += At(b, t, i) * rows[(b * T + t) * P + f];
        ASSERT_NEAR(result[i * P + f], expected, 2e-4) << kernels.name;
      }
    EXPECT_EQ(result.back(), 7) << "beyond the end";
    Values again(result.size(), 7);
    kernels.gradient(shape, kB, images.data(), rows.data(), again.data());
    EXPECT_EQ(again, result) << "not the same bits";
  }
}

TEST_P(ConvKernelsTest, BackwardIsTheLoop) {
  const Values weights =
      Random(static_cast<std::size_t>(patches.shape().runs.size()) *
                 static_cast<std::size_t>(shape.run) * P,
             5);
  const auto run = static_cast<std::size_t>(shape.run);
  const std::size_t blocks =
      static_cast<std::size_t>(Padded(shape.run)) / kColumns;
  Values packed(static_cast<std::size_t>(shape.d_padded()) * P);
  for (std::size_t i = 0; i < d; ++i)
    for (std::size_t f = 0; f < P; ++f)
      packed[((i / run * blocks + i % run / kColumns) * P + f) * kColumns +
             i % run % kColumns] = weights[i * P + f];
  std::vector<double> expected(images.begin(), images.end());
  for (std::size_t b = 0; b < kB; ++b)
    for (std::size_t t = 0; t < T; ++t)
      for (std::size_t i = 0; i < d; ++i)
        for (std::size_t f = 0; f < P; ++f)
          expected[b * shape.stride + static_cast<std::size_t>(
                                          shape.places[t] + shape.cells[i])] +=
              double{rows[(b * T + t) * P + f]} * weights[i * P + f];
  for (const ConvKernels& kernels : AllKernels()) {
    Values result = images;
    kernels.backward(shape, kB, rows.data(), packed.data(), result.data());
    for (std::size_t i = 0; i < result.size(); ++i)
      ASSERT_NEAR(result[i], expected[i], 3e-4) << kernels.name << ' ' << i;
  }
}

// What is not finite in one image's rows stays in that image.
TEST_P(ConvKernelsTest, ASpoiledImageSpoilsNoOther) {
  Values spoiled = rows;
  std::fill_n(spoiled.begin() + static_cast<std::ptrdiff_t>(T * P), T * P,
              std::numeric_limits<float>::quiet_NaN());
  const Values packed =
      Random(static_cast<std::size_t>(shape.d_padded()) * P, 6);
  for (const ConvKernels& kernels : AllKernels()) {
    Values clean(images.size()), result(images.size());
    kernels.backward(shape, kB, rows.data(), packed.data(), clean.data());
    kernels.backward(shape, kB, spoiled.data(), packed.data(), result.data());
    for (std::size_t i = 0; i < result.size(); ++i) {
      if (i / shape.stride == 1) continue;
      ASSERT_EQ(result[i], clean[i]) << kernels.name << ' ' << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Every, ConvKernelsTest,
                         ::testing::ValuesIn(ShapeCases()),
                         [](const auto& tested) { return tested.param.name; });

TEST(PatchesTest, ALaidOutImageGathersToItself) {
  for (const int channels : {1, 3, 8, 11})
    for (const int padding : {0, 2})
      for (const int width : {1, 7, 8, 21}) {
        const Shape in = {channels, 5, width};
        const Conv2d conv{
            .filters = 2, .kernel = {1, 1}, .padding = {padding, padding}};
        const Patches patches(conv, in, OutputShape({conv}, in));
        const Values image = Random(ValuesOf(in), 8);
        Values laid(patches.size()), back(image.size(), 9);
        patches.Lay(image.data(), false, laid.data());
        patches.Gather(laid.data(), false, back.data());
        EXPECT_EQ(back, image) << channels << ' ' << padding << ' ' << width;
        // The same image channels last is laid out the same.
        const auto plane = static_cast<std::size_t>(5 * width);
        const auto C = static_cast<std::size_t>(channels);
        Values turned(image.size()), same(patches.size());
        Transpose(C, plane, image.data(), plane, turned.data(), C);
        patches.Lay(turned.data(), true, same.data());
        EXPECT_EQ(same, laid);
        patches.Gather(same.data(), true, back.data());
        EXPECT_EQ(back, turned);
      }
}

TEST(PatchesTest, TransposesEverySize) {
  for (std::size_t rows = 1; rows < 20; ++rows)
    for (std::size_t columns = 1; columns < 20; ++columns) {
      const std::size_t from_row = columns + 3, to_row = rows + 2;
      const Values from = Random(rows * from_row, 10);
      Values to(columns * to_row, 11);
      Transpose(rows, columns, from.data(), from_row, to.data(), to_row);
      for (std::size_t c = 0; c < columns; ++c) {
        for (std::size_t r = 0; r < rows; ++r)
          ASSERT_EQ(to[c * to_row + r], from[r * from_row + c]);
        for (std::size_t r = rows; r < to_row; ++r)
          ASSERT_EQ(to[c * to_row + r], 11) << "beyond a row's end";
      }
    }
}

// A layer with room for so many examples, with weights, and with one pass made.
class OneLayer {
 public:
  OneLayer(const ShapeCase& of, int B, int max_batch, const Values& weights,
           const Values& in, const Values& grad)
      : B_(B),
        in_(in),
        layer_(MakeConv2d(of.conv, of.in, OutputOf(of), {0, masks_})),
        sum_(weights.size()) {
    Cutter count(nullptr);
    layer_->Cut(count, max_batch);
    arena_ = Arena(count.used());
    Cutter cutter(arena_.span().data());
    layer_->Cut(cutter, max_batch);
    layer_->Forward(weights.data(), B, in.data());
    std::copy(grad.begin(), grad.end(), layer_->grad());
    layer_->Backward(weights.data(), B, in.data(), nullptr);
  }

  std::vector<double> SquaredNorms() {
    std::vector<double> squared(static_cast<std::size_t>(B_));
    layer_->AddSquaredNorms(B_, in_.data(), squared.data());
    return squared;
  }
  const Values& Sum(const Values& factors) {
    layer_->ZeroRejected(B_, factors.data());
    layer_->AddClippedGradient(B_, in_.data(), factors.data(), sum_.data());
    return sum_;
  }

 private:
  const int B_;
  const Values& in_;
  Masks masks_;
  std::unique_ptr<Layer> layer_;
  Arena arena_;
  Values sum_;
};

// More room than gradients are kept for: ghost norms where 2 T^2 <= d p, else
// each gradient is formed twice.
TEST(ConvNormsTest, AllWaysLeadToTheSame) {
  const ShapeCase ghost = {
      "", {.filters = 24, .kernel = {3, 3}, .groups = 2}, {8, 4, 5}};
  const ShapeCase formed = {"", {.filters = 9, .kernel = {2, 2}}, {3, 9, 8}};
  for (const ShapeCase& of : {ghost, formed}) {
    constexpr int kB = 6;
    std::size_t parameters = 0;
    for (const Parameter& parameter : ParametersOf({of.conv}, of.in))
      parameters += parameter.size();
    const Values weights = Random(parameters, 12);
    const Values in = Random(kB * ValuesOf(of.in), 13);
    Values grad = Random(kB * ValuesOf(OutputOf(of)), 14);
    const Values factors = {0.5f, 1, 0, 0.001f, 2, 0.25f};
    // The rejected one holds what would spoil a product with 0.
    std::fill_n(
        grad.begin() + static_cast<std::ptrdiff_t>(2 * ValuesOf(OutputOf(of))),
        3, std::numeric_limits<float>::infinity());
    OneLayer kept(of, kB, kB, weights, in, grad);
    OneLayer other(of, kB, 24000, weights, in, grad);
    const auto expected = kept.SquaredNorms(), squared = other.SquaredNorms();
    for (std::size_t b = 0; b < kB; ++b) {
      if (b == 2) {
        EXPECT_TRUE(std::isinf(expected[b]) && std::isinf(squared[b]));
        continue;
      }
      // Ghost norms have room for what their sum may lose.
      EXPECT_NEAR(squared[b] / expected[b], 1, 2e-5);
      EXPECT_GE(squared[b] / expected[b], 1 - 1e-7);
    }
    const Values& sum = kept.Sum(factors);
    const Values& same = other.Sum(factors);
    for (std::size_t i = 0; i < sum.size(); ++i)
      ASSERT_NEAR(same[i], sum[i], 1e-5 * (1 + std::abs(sum[i]))) << i;
  }
}

}  // namespace
}  // namespace hearsay::model::cpu
