#include "model/cpu/conv_kernels.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

// One source for all: V is a vector of floats, a tile holds kRows rows of
// kColumns sums. Every loop over a tile is unrolled: otherwise g++ keeps the
// sums in memory. kRows x kVectors sums must suffice to hide the latency of a
// multiply-add (8 or more) and fit the registers.
typedef float Vector8 __attribute__((vector_size(32)));
typedef float Vector16 __attribute__((vector_size(64)));

#define HEARSAY_UNROLL _Pragma("GCC unroll 16")

template <typename V, int kRows>
struct Tile {
  static constexpr int kLanes = sizeof(V) / sizeof(float);
  static constexpr int kVectors = kColumns / kLanes;

  V sums[kRows][kVectors];

  HEARSAY_ALWAYS_INLINE static void Load(const float* from, V (&to)[kVectors]) {
    HEARSAY_UNROLL for (int n = 0; n < kVectors; ++n)
        std::memcpy(&to[n], from + n * kLanes, sizeof(V));
  }
  HEARSAY_ALWAYS_INLINE void Begin(const float* row) {
    V values[kVectors];
    Load(row, values);
    HEARSAY_UNROLL for (int m = 0; m < kRows; ++m)
        HEARSAY_UNROLL for (int n = 0; n < kVectors; ++n) sums[m][n] =
            values[n];
  }
  HEARSAY_ALWAYS_INLINE void Clear() {
    HEARSAY_UNROLL for (int m = 0; m < kRows; ++m)
        HEARSAY_UNROLL for (int n = 0; n < kVectors; ++n) sums[m][n] = V{};
  }
  HEARSAY_ALWAYS_INLINE void Add(int m, float value,
                                 const V (&columns)[kVectors]) {
    HEARSAY_UNROLL for (int n = 0; n < kVectors; ++n) sums[m][n] +=
        value * columns[n];
  }
  HEARSAY_ALWAYS_INLINE void CutBelowZero() {
    HEARSAY_UNROLL for (int m = 0; m < kRows; ++m)
        HEARSAY_UNROLL for (int n = 0; n < kVectors; ++n) sums[m][n] =
            sums[m][n] < 0 ? V{} : sums[m][n];
  }
  HEARSAY_ALWAYS_INLINE void Store(int m, float* to) const {
    HEARSAY_UNROLL for (int n = 0; n < kVectors; ++n)
        std::memcpy(to + n * kLanes, &sums[m][n], sizeof(V));
  }
  HEARSAY_ALWAYS_INLINE void AddTo(int m, float* to) const {
    V values[kVectors];
    Load(to, values);
    HEARSAY_UNROLL for (int n = 0; n < kVectors; ++n) {
      values[n] += sums[m][n];
      std::memcpy(to + n * kLanes, &values[n], sizeof(V));
    }
  }
};

// The places of all images, one after the other, a tile's worth at a time. Rows
// beyond the last are the last once more.
template <int kRows>
struct Cursor {
  const ConvShape& shape;
  int rows;     // of all images
  int row = 0;  // the first of this tile
  int b = 0, t = 0;
  std::array<std::ptrdiff_t, kRows> at = {};  // in the images
  int valid = 0;

  HEARSAY_ALWAYS_INLINE bool Next() {
    row += valid;
    if (row >= rows) return false;
    valid = std::min(kRows, rows - row);
    for (int m = 0; m < kRows; ++m) {
      at[static_cast<std::size_t>(m)] =
          static_cast<std::ptrdiff_t>(shape.stride) * b +
          shape.places[static_cast<std::size_t>(t)];
      if (row + m + 1 >= rows) continue;
      if (++t == shape.T()) t = 0, ++b;
    }
    return true;
  }
  std::size_t Row(int m) const {
    return static_cast<std::size_t>(std::min(row + m, rows - 1));
  }
};

template <typename V, int kRows>
HEARSAY_ALWAYS_INLINE void ForwardTiles(const ConvShape& shape, int B,
                                        const float* images,
                                        const float* weights, const float* bias,
                                        float* rows) {
  using T = Tile<V, kRows>;
  const auto P = static_cast<std::size_t>(shape.filters);
  for (std::size_t first = 0; first < P; first += kColumns) {
    Cursor<kRows> cursor{shape, B * shape.T()};
    while (cursor.Next()) {
      const float* under[kRows];
      HEARSAY_UNROLL for (int m = 0; m < kRows; ++m) under[m] =
          images + cursor.at[static_cast<std::size_t>(m)];
      const float* weight =
          weights + first * static_cast<std::size_t>(shape.d());
      T tile;
      tile.Begin(bias + first);
      for (const std::ptrdiff_t run : shape.runs)
        for (std::ptrdiff_t s = run; s < run + shape.run; ++s) {
          V columns[T::kVectors];
          T::Load(weight, columns);
          weight += kColumns;
          HEARSAY_UNROLL for (int m = 0; m < kRows; ++m)
              tile.Add(m, under[m][s], columns);
        }
      HEARSAY_UNROLL for (int m = 0; m < kRows; ++m)
          tile.Store(m, rows + cursor.Row(m) * P + first);
    }
  }
}

template <typename V, int kRows>
HEARSAY_ALWAYS_INLINE void BackwardTiles(const ConvShape& shape, int B,
                                         const float* rows,
                                         const float* weights, float* images) {
  using T = Tile<V, kRows>;
  const auto P = static_cast<std::size_t>(shape.filters);
  for (const std::ptrdiff_t run : shape.runs)
    for (int s = 0; s < shape.run; s += kColumns) {
      Cursor<kRows> cursor{shape, B * shape.T()};
      while (cursor.Next()) {
        const float* grad[kRows];
        HEARSAY_UNROLL for (int m = 0; m < kRows; ++m) grad[m] =
            rows + cursor.Row(m) * P;
        const float* weight = weights;
        T tile;
        tile.Clear();
        for (std::size_t f = 0; f < P; ++f) {
          V columns[T::kVectors];
          T::Load(weight, columns);
          weight += kColumns;
          HEARSAY_UNROLL for (int m = 0; m < kRows; ++m)
              tile.Add(m, grad[m][f], columns);
        }
        // One after the other: places cover each other's values.
        HEARSAY_UNROLL for (int m = 0; m < kRows; ++m) if (m < cursor.valid)
            tile.AddTo(
                m, images + cursor.at[static_cast<std::size_t>(m)] + run + s);
      }
      weights += P * kColumns;
    }
}

template <typename V, int kRows>
HEARSAY_ALWAYS_INLINE void GradientTiles(const ConvShape& shape, int B,
                                         const float* images, const float* rows,
                                         float* result) {
  using T = Tile<V, kRows>;
  const auto P = static_cast<std::size_t>(shape.filters);
  const int d = shape.d();
  for (std::size_t first = 0; first < P; first += kColumns)
    for (int cell = 0; cell < d; cell += kRows) {
      std::size_t cells[kRows];
      std::ptrdiff_t offset[kRows];
      HEARSAY_UNROLL for (int m = 0; m < kRows; ++m) {
        cells[m] = static_cast<std::size_t>(std::min(cell + m, d - 1));
        offset[m] = shape.cells[cells[m]];
      }
      T tile;
      tile.Clear();
      const float* image = images;
      const float* grad = rows + first;
      for (int b = 0; b < B; ++b, image += shape.stride)
        for (const std::ptrdiff_t place : shape.places) {
          V columns[T::kVectors];
          T::Load(grad, columns);
          grad += P;
          const float* const at = image + place;
          HEARSAY_UNROLL for (int m = 0; m < kRows; ++m)
              tile.Add(m, at[offset[m]], columns);
        }
      HEARSAY_UNROLL for (int m = 0; m < kRows; ++m)
          tile.Store(m, result + cells[m] * P + first);
    }
}

template <typename V, int kRows>
HEARSAY_ALWAYS_INLINE void DenseTiles(int B, int d, int P, const float* in,
                                      const float* weights, const float* bias,
                                      bool relu, float* rows) {
  using T = Tile<V, kRows>;
  const auto width = static_cast<std::size_t>(d);
  const auto out_width = static_cast<std::size_t>(P);
  for (std::size_t first = 0; first < out_width; first += kColumns)
    for (int row = 0; row < B; row += kRows) {
      // Rows beyond the last are the last once more.
      std::size_t row_of[kRows];
      const float* from[kRows];
      HEARSAY_UNROLL for (int m = 0; m < kRows; ++m) {
        row_of[m] = static_cast<std::size_t>(std::min(row + m, B - 1));
        from[m] = in + row_of[m] * width;
      }
      const float* weight = weights + first * width;
      T tile;
      tile.Begin(bias + first);
      for (std::size_t k = 0; k < width; ++k) {
        V columns[T::kVectors];
        T::Load(weight, columns);
        weight += kColumns;
        HEARSAY_UNROLL for (int m = 0; m < kRows; ++m)
            tile.Add(m, from[m][k], columns);
      }
      if (relu) tile.CutBelowZero();
      HEARSAY_UNROLL for (int m = 0; m < kRows; ++m)
          tile.Store(m, rows + row_of[m] * out_width + first);
    }
}

#define HEARSAY_KERNELS(NAME, TARGET, V, ROWS)                                 \
  TARGET void NAME##Forward(const ConvShape& shape, int B, const float* i,     \
                            const float* w, const float* bias, float* rows) {  \
    ForwardTiles<V, ROWS>(shape, B, i, w, bias, rows);                         \
  }                                                                            \
  TARGET void NAME##Backward(const ConvShape& shape, int B, const float* rows, \
                             const float* w, float* i) {                       \
    BackwardTiles<V, ROWS>(shape, B, rows, w, i);                              \
  }                                                                            \
  TARGET void NAME##Gradient(const ConvShape& shape, int B, const float* i,    \
                             const float* rows, float* result) {               \
    GradientTiles<V, ROWS>(shape, B, i, rows, result);                         \
  }                                                                            \
  TARGET void NAME##Dense(int B, int d, int P, const float* in,                \
                          const float* w, const float* bias, bool relu,        \
                          float* rows) {                                       \
    DenseTiles<V, ROWS>(B, d, P, in, w, bias, relu, rows);                     \
  }                                                                            \
  constexpr ConvKernels k##NAME = {#NAME, NAME##Forward, NAME##Backward,       \
                                   NAME##Gradient, NAME##Dense};

// The compiler makes of wide vectors what the processor has: this is the code
// of the widest, so that every machine tests it.
HEARSAY_KERNELS(Plain, , Vector16, 8)
#if defined(__x86_64__)
HEARSAY_KERNELS(Avx2, __attribute__((target("arch=x86-64-v3"))), Vector8, 6)
HEARSAY_KERNELS(Avx512, __attribute__((target("arch=x86-64-v4"))), Vector16, 8)
#endif

}  // namespace

std::vector<ConvKernels> AllKernels() {
  std::vector<ConvKernels> all = {kPlain};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    all.push_back(kAvx2);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq"))
    all.push_back(kAvx512);
#endif
  return all;
}

const ConvKernels& KernelsOfThisProcessor() {
  static const ConvKernels best = AllKernels().back();
  return best;
}

}  // namespace hearsay::model::cpu
