// The products of a convolution, straight from images that lie channels
// last: nothing is unfolded. What the kernel covers at one place is a few runs
// of values that lie side by side, so a tile of the result, held in registers,
// reads its inputs where they are and its weights in the order they are needed
// (Dukhan, "The indirect convolution algorithm", arXiv:1907.02129, whose table
// of pointers is here one of offsets: places + runs).
//
// Shapes: B images, stride apart; T places; d values under the kernel, in runs;
// p filters, padded to P, a multiple of kColumns. Rows are (B T, P): filters of
// a place side by side, 0 in the padding. Threads: any.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace hearsay::model::cpu {

constexpr int kColumns = 16;

// The least multiple of kColumns that holds so many.
constexpr int Padded(int columns) {
  return (columns + kColumns - 1) / kColumns * kColumns;
}

struct ConvShape {
  int filters = 0;                     // P
  std::size_t stride = 0;              // from one image to the next
  std::vector<std::ptrdiff_t> places;  // (T), where each begins in its image
  std::vector<std::ptrdiff_t> runs;    // where each begins from its place
  int run = 0;                         // values of each
  std::vector<std::ptrdiff_t> cells;   // (d), run after run, from their place

  int T() const { return static_cast<int>(places.size()); }
  int d() const { return static_cast<int>(cells.size()); }
  // Runs padded to whole columns, one after the other.
  int d_padded() const { return static_cast<int>(runs.size()) * Padded(run); }
};

struct ConvKernels {
  std::string_view name;

  // rows = bias + what lies under the kernel at each place, times weights
  // (P / kColumns, d, kColumns). bias (P).
  void (*forward)(const ConvShape& shape, int B, const float* images,
                  const float* weights, const float* bias, float* rows);

  // images += rows times weights (d_padded / kColumns, P, kColumns), at the
  // places that the kernel covers. Up to kColumns - 1 values behind the last
  // that a place covers get 0, or what rows that are not finite make of it.
  void (*backward)(const ConvShape& shape, int B, const float* rows,
                   const float* weights, float* images);

  // result (d, P) = the sum over the places of all B images of what lies under
  // the kernel, times the place's row. The same images, rows and B give the
  // same bits.
  void (*gradient)(const ConvShape& shape, int B, const float* images,
                   const float* rows, float* result);

  // What is left of `forward` where there is one place: rows (B, P) = bias + in
  // (B, d) times weights (P / kColumns, d, kColumns), and with `relu` nothing
  // below 0; NaN stays NaN.
  void (*dense)(int B, int d, int P, const float* in, const float* weights,
                const float* bias, bool relu, float* rows);
};

// The best of those below.
const ConvKernels& KernelsOfThisProcessor();
// All that this processor can run; equal within rounding.
std::vector<ConvKernels> AllKernels();

}  // namespace hearsay::model::cpu
