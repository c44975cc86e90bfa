#include "model/cpu/patches.h"

#include <algorithm>

#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

constexpr auto kStep = static_cast<std::size_t>(kColumns);
constexpr std::size_t kBlock = 8;
typedef float Vector __attribute__((vector_size(kBlock * sizeof(float))));

// Of a block that stays in registers.
HEARSAY_ALWAYS_INLINE void TransposeBlock(const float* from,
                                          std::size_t from_row, float* to,
                                          std::size_t to_row) {
  Vector a[kBlock], b[kBlock];
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kBlock; ++i)
    __builtin_memcpy(&a[i], from + i * from_row, sizeof(Vector));
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kBlock; i += 2) {
    b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
    b[i + 1] =
        __builtin_shufflevector(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
  }
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kBlock; i += i % 4 == 1 ? 3 : 1) {
    a[i] = __builtin_shufflevector(b[i], b[i + 2], 0, 1, 8, 9, 4, 5, 12, 13);
    a[i + 2] =
        __builtin_shufflevector(b[i], b[i + 2], 2, 3, 10, 11, 6, 7, 14, 15);
  }
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kBlock / 2; ++i) {
    b[i] = __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
    b[i + 4] =
        __builtin_shufflevector(a[i], a[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
  }
#pragma GCC unroll 8
  for (std::size_t i = 0; i < kBlock; ++i)
    __builtin_memcpy(to + i * to_row, &b[i], sizeof(Vector));
}

void CopyRows(std::size_t rows, std::size_t width, const float* from,
              std::size_t from_row, float* to, std::size_t to_row) {
  for (std::size_t r = 0; r < rows; ++r, from += from_row, to += to_row)
    std::copy_n(from, width, to);
}

}  // namespace

// The last block of a row or column overlaps the one before it.
HEARSAY_VECTORISE
void Transpose(std::size_t rows, std::size_t columns, const float* from,
               std::size_t from_row, float* to, std::size_t to_row) {
  if (rows < kBlock || columns < kBlock) {
    for (std::size_t r = 0; r < rows; ++r)
      for (std::size_t c = 0; c < columns; ++c)
        to[c * to_row + r] = from[r * from_row + c];
    return;
  }
  for (std::size_t r = 0; r < rows; r += kBlock) {
    const std::size_t row = std::min(r, rows - kBlock);
    for (std::size_t c = 0; c < columns; c += kBlock) {
      const std::size_t column = std::min(c, columns - kBlock);
      TransposeBlock(from + row * from_row + column, from_row,
                     to + column * to_row + row, to_row);
    }
  }
}

Patches::Patches(const Conv2d& conv, const Shape& in, const Shape& out)
    : C_(static_cast<std::size_t>(in[0])),
      H_(static_cast<std::size_t>(in[1])),
      W_(static_cast<std::size_t>(in[2])),
      channels_(in[0] / conv.groups),
      padded_(conv.padding != Extent{0, 0}),
      row_((in[2] + 2 * conv.padding.width) * in[0]),
      first_(conv.padding.height * row_ + conv.padding.width * in[0]),
      p_(static_cast<std::size_t>(conv.filters / conv.groups)) {
  const int channels = static_cast<int>(channels_);
  const auto& [height, width] = conv.kernel;
  shape_.filters = Padded(conv.filters / conv.groups);
  shape_.stride = static_cast<std::size_t>(
      (in[1] + 2 * conv.padding.height) * row_ + kColumns);
  for (int y = 0; y < out[1]; ++y)
    for (int x = 0; x < out[2]; ++x)
      shape_.places.push_back(y * conv.stride.height * row_ +
                              x * conv.stride.width * in[0]);
  // All that one row of the kernel covers lies side by side, if nothing is left
  // out between its columns.
  const bool whole = conv.dilation.width == 1 && conv.groups == 1;
  shape_.run = whole ? width * channels : channels;
  for (int i = 0; i < height; ++i)
    for (int j = 0; j < (whole ? 1 : width); ++j)
      shape_.runs.push_back(i * conv.dilation.height * row_ +
                            j * conv.dilation.width * in[0]);
  for (const std::ptrdiff_t run : shape_.runs)
    for (int s = 0; s < shape_.run; ++s) shape_.cells.push_back(run + s);
  for (int cell = 0; cell < height * width; ++cell)
    for (int c = 0; c < channels; ++c)
      theirs_.push_back(static_cast<std::size_t>(c * height * width + cell));
}

// Without padding an image is one matrix (C, H W), else one for each row; the
// same of what lies side by side already.
void Patches::Lay(const float* image, bool channels_last, float* laid) const {
  const std::size_t plane = H_ * W_;
  laid += first_;
  if (channels_last || C_ == 1) {
    const std::size_t rows = padded_ ? H_ : 1, width = plane * C_ / rows;
    return CopyRows(rows, width, image, width, laid,
                    static_cast<std::size_t>(row_));
  }
  if (!padded_) return Transpose(C_, plane, image, plane, laid, C_);
  for (std::size_t h = 0; h < H_; ++h, image += W_, laid += row_)
    Transpose(C_, W_, image, plane, laid, C_);
}

void Patches::Gather(const float* laid, bool channels_last,
                     float* image) const {
  const std::size_t plane = H_ * W_;
  laid += first_;
  if (channels_last || C_ == 1) {
    const std::size_t rows = padded_ ? H_ : 1, width = plane * C_ / rows;
    return CopyRows(rows, width, laid, static_cast<std::size_t>(row_), image,
                    width);
  }
  if (!padded_) return Transpose(plane, C_, laid, C_, image, plane);
  for (std::size_t h = 0; h < H_; ++h, image += W_, laid += row_)
    Transpose(W_, C_, laid, C_, image, plane);
}

void Patches::PackForward(const float* weights, float* packed) const {
  const std::size_t d = theirs_.size();
  for (std::size_t f = 0; f < p_; ++f)
    for (std::size_t i = 0; i < d; ++i)
      packed[(f / kStep * d + i) * kStep + f % kStep] =
          weights[f * d + theirs_[i]];
}

void Patches::PackBackward(const float* weights, float* packed) const {
  const std::size_t d = theirs_.size();
  const auto run = static_cast<std::size_t>(shape_.run);
  const auto P = static_cast<std::size_t>(shape_.filters);
  const auto blocks = (run + kStep - 1) / kStep;
  for (std::size_t i = 0; i < d; ++i) {
    const std::size_t s = i % run;
    float* const column =
        packed + (i / run * blocks + s / kStep) * P * kStep + s % kStep;
    for (std::size_t f = 0; f < p_; ++f)
      column[f * kStep] = weights[f * d + theirs_[i]];
  }
}

void Patches::AddUnpacked(const float* packed, float* weights) const {
  const std::size_t d = theirs_.size();
  const auto P = static_cast<std::size_t>(shape_.filters);
  for (std::size_t f = 0; f < p_; ++f)
    for (std::size_t i = 0; i < d; ++i)
      weights[f * d + theirs_[i]] += packed[i * P + f];
}

void Patches::Unfold(const float* laid, float* rows) const {
  for (const std::ptrdiff_t place : shape_.places)
    for (const std::ptrdiff_t run : shape_.runs)
      rows = std::copy_n(laid + place + run, shape_.run, rows);
}

}  // namespace hearsay::model::cpu
