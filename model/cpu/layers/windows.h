// The windows of a pooling layer over one channel; those that padding cuts are
// smaller. And which of them are swept (max_pool2d.cc).
//
// Shapes: in (H, W), out (P, Q).
#pragma once

#include <algorithm>
#include <cstddef>

#include "model/spec.h"

namespace hearsay::model::cpu {

struct Windows {
  int H, W, P, Q;
  Extent kernel, stride, padding;

  // Calls each(place in out, first row, end of rows, first column, end).
  template <typename Each>
  void Visit(const Each& each) const {
    for (int p = 0; p < P; ++p) {
      const int top = p * stride.height - padding.height;
      for (int q = 0; q < Q; ++q) {
        const int left = q * stride.width - padding.width;
        each(p * Q + q, std::max(top, 0), std::min(top + kernel.height, H),
             std::max(left, 0), std::min(left + kernel.width, W));
      }
    }
  }
};

template <typename Pool>
Windows WindowsOf(const Pool& pool, const Shape& in, const Shape& out) {
  return {in[1], in[2], out[1], out[2], pool.kernel, pool.stride, pool.padding};
}

constexpr std::size_t kMostSwept = 16;  // values of a window
constexpr std::size_t kSweepLanes = 8;  // values at a time

inline bool CanSweep(const MaxPool2d& pool) {
  return pool.padding == Extent{0, 0} &&
         pool.kernel.height * pool.kernel.width <= int{kMostSwept};
}
inline bool CanSweepChannelsLast(const MaxPool2d& pool, const Shape& in) {
  return CanSweep(pool) && in[0] % int{kSweepLanes} == 0;
}

}  // namespace hearsay::model::cpu
