// An image as the matrix whose columns are what lies under the kernel of a
// convolution at each of its places, and back.
//
// Shapes: image (C, H, W); columns (C kh kw, P Q). Threads: one at a time.
// Source: Chellapilla, Puri, Simard, "High performance convolutional neural
// networks for document processing", 2006 (unfolding).
#pragma once

#include <cstddef>
#include <vector>

#include "model/spec.h"

namespace hearsay::model::cpu {

class Unfolder {
 public:
  // The row of an unfolded matrix may be written so far beyond its end; what
  // follows it is written later. The last needs this much memory behind it.
  static constexpr std::size_t kSlack = 8;

  Unfolder(const Conv2d& conv, const Shape& in, const Shape& out);

  // What lies outside of the image is 0. columns: kSlack longer than it is.
  void Unfold(const float* image, float* columns);
  // image = the sum of what the columns hold for each of its values.
  void Fold(const float* columns, float* image);

 private:
  const Extent kernel_, stride_, padding_, dilation_;
  const int C_, H_, W_, P_, Q_;
  // The image with its padding, columns that are a stride apart side by side:
  // (C, H + padding, stride, length_), so that what lies under one cell of the
  // kernel at a row of places is one piece.
  const int rows_, length_;
  std::vector<float> apart_;
};

}  // namespace hearsay::model::cpu
