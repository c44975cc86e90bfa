#include "model/cpu/unfold.h"

#include <algorithm>
#include <cstring>

#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

constexpr int kAtOnce = static_cast<int>(Unfolder::kSlack);

}  // namespace

Unfolder::Unfolder(const Conv2d& conv, const Shape& in, const Shape& out)
    : kernel_(conv.kernel),
      stride_(conv.stride),
      padding_(conv.padding),
      dilation_(conv.dilation),
      C_(in[0]),
      H_(in[1]),
      W_(in[2]),
      P_(out[1]),
      Q_(out[2]),
      rows_(H_ + 2 * padding_.height),
      length_((W_ + 2 * padding_.width) / stride_.width + 1 + kAtOnce),
      apart_(static_cast<std::size_t>(C_) * static_cast<std::size_t>(rows_) *
             static_cast<std::size_t>(stride_.width) *
             static_cast<std::size_t>(length_)) {}

HEARSAY_VECTORISE
void Unfolder::Unfold(const float* image, float* columns) {
  const int step = stride_.width;
  float* const apart = apart_.data();
  for (int c = 0; c < C_; ++c)
    for (int h = 0; h < H_; ++h, image += W_) {
      float* const row =
          apart + (c * rows_ + h + padding_.height) * step * length_;
      for (int phase = 0; phase < step; ++phase) {
        float* const piece = row + phase * length_;
        // The first column of the image in this phase, and where it stands.
        const int first = (phase + step - padding_.width % step) % step;
        const int at = (first + padding_.width) / step;
#pragma omp simd
        for (int x = 0; x < (W_ - first + step - 1) / step; ++x)
          piece[at + x] = image[first + x * step];
      }
    }
  for (int c = 0; c < C_; ++c)
    for (int i = 0; i < kernel_.height; ++i)
      for (int j = 0; j < kernel_.width; ++j) {
        const int column = j * dilation_.width;
        const float* under =
            apart +
            ((c * rows_ + i * dilation_.height) * step + column % step) *
                length_ +
            column / step;
        for (int p = 0; p < P_; ++p, columns += Q_) {
          for (int q = 0; q < Q_; q += kAtOnce)
            std::memcpy(columns + q, under + q, kAtOnce * sizeof(float));
          under += stride_.height * step * length_;
        }
      }
}

HEARSAY_VECTORISE
void Unfolder::Fold(const float* columns, float* image) {
  const int step = stride_.width;
  float* const apart = apart_.data();
  std::fill(apart_.begin(), apart_.end(), 0.0f);
  for (int c = 0; c < C_; ++c)
    for (int i = 0; i < kernel_.height; ++i)
      for (int j = 0; j < kernel_.width; ++j) {
        const int column = j * dilation_.width;
        float* under =
            apart +
            ((c * rows_ + i * dilation_.height) * step + column % step) *
                length_ +
            column / step;
        for (int p = 0; p < P_; ++p, columns += Q_) {
#pragma omp simd
          for (int q = 0; q < Q_; ++q) under[q] += columns[q];
          under += stride_.height * step * length_;
        }
      }
  for (int c = 0; c < C_; ++c)
    for (int h = 0; h < H_; ++h, image += W_) {
      const float* const row =
          apart + (c * rows_ + h + padding_.height) * step * length_;
      for (int phase = 0; phase < step; ++phase) {
        const float* const piece = row + phase * length_;
        const int first = (phase + step - padding_.width % step) % step;
        const int at = (first + padding_.width) / step;
#pragma omp simd
        for (int x = 0; x < (W_ - first + step - 1) / step; ++x)
          image[first + x * step] = piece[at + x];
      }
    }
  std::fill(apart_.begin(), apart_.end(), 0.0f);
}

}  // namespace hearsay::model::cpu
