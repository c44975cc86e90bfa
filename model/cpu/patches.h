// How a convolution sees an image: channels last, with its padding around it,
// so that what its kernel covers at one place is a few runs of values side by
// side (conv_kernels.h).
//
// Shapes: image (C, H, W); laid out (H + padding, W + padding, C), with room
// for kColumns behind it; per place, d = C/G kh kw values of each group, in the
// order (kh, kw, C/G). Weights are told as PyTorch has them, (p, C/G, kh, kw).
// Threads: any.
#pragma once

#include <cstddef>
#include <vector>

#include "model/cpu/conv_kernels.h"
#include "model/spec.h"

namespace hearsay::model::cpu {

class Patches {
 public:
  Patches(const Conv2d& conv, const Shape& in, const Shape& out);

  // Of one group; its first channel is that many values into a laid out image.
  const ConvShape& shape() const { return shape_; }
  std::ptrdiff_t channel(int group) const { return group * channels_; }
  // Values of an image as it is laid out.
  std::size_t size() const { return shape_.stride; }

  // laid: zeroed but for what an earlier image left; the padding stays 0.
  // channels_last: the image is (H, W, C).
  void Lay(const float* image, bool channels_last, float* laid) const;
  // Back again, without the padding.
  void Gather(const float* laid, bool channels_last, float* image) const;

  // One group's weights (p, d), in the order that the passes read them. What is
  // beyond p and d is not written: it must be 0.
  void PackForward(const float* weights, float* packed) const;
  void PackBackward(const float* weights, float* packed) const;
  // weights (p, d) += packed (d, P)
  void AddUnpacked(const float* packed, float* weights) const;
  // rows (T, d): what one group's kernel covers in a laid out image.
  void Unfold(const float* laid, float* rows) const;

 private:
  const std::size_t C_, H_, W_;
  const std::ptrdiff_t channels_;  // of a group
  const bool padded_;
  const std::ptrdiff_t row_;    // values of a row of a laid out image
  const std::ptrdiff_t first_;  // where the image begins in it
  const std::size_t p_;         // filters of a group
  ConvShape shape_;
  std::vector<std::size_t> theirs_;  // (d): where PyTorch has each
};

// to (columns, rows) = from (rows, columns), whose rows begin so far apart.
void Transpose(std::size_t rows, std::size_t columns, const float* from,
               std::size_t from_row, float* to, std::size_t to_row);

}  // namespace hearsay::model::cpu
