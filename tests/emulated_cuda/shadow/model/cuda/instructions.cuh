// In the place of the module's file of this name: what its instructions do, as
// the PTX ISA's tables have it, and written without a look at tiles.cuh.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>

#include "tests/emulated_cuda/grid.h"

namespace hearsay::model::cuda {

template <typename T>
T* DynamicShared() {
  return reinterpret_cast<T*>(emulated_cuda::SharedBytes());
}

inline unsigned SharedAddress(const void* shared) {
  return emulated_cuda::SharedNumber(shared);
}

inline void CopyPiece(unsigned to, const void* from, bool real) {
  emulated_cuda::BeginCopy(to, from, 16, real);
}
inline void CopyWord(unsigned to, const void* from) {
  emulated_cuda::BeginCopy(to, from, 4, true);
}
inline void CommitCopies() { emulated_cuda::CommitCopyGroup(); }
template <int kLatest>
void WaitForCopies() {
  emulated_cuda::FinishCopyGroups(kLatest);
}

template <int kThreads>
void SyncFirst() {
  emulated_cuda::SyncFirstThreads(kThreads);
}

struct Fragment {
  unsigned words[4];
};

namespace emulated {

struct MatrixLoad {
  unsigned address;
  Fragment got;
};

template <typename T>
T& Of(const emulated_cuda::Lanes& lanes, int lane) {
  return *static_cast<T*>(lanes[static_cast<std::size_t>(lane)]);
}

// The 8x8 matrices are numbered; thread 8 j + r has the address of row r of the
// j-th. Of the j-th, thread T receives in register j the elements (T / 4, 2 (T
// % 4)) and the next in the row, the first in the lower half; transposed, of
// the transposed matrix.
template <bool kTransposed>
void LoadMatrices(const emulated_cuda::Lanes& lanes) {
  for (int j = 0; j < 4; ++j) {
    std::uint16_t matrix[8][8];
    for (int r = 0; r < 8; ++r)
      std::memcpy(
          matrix[r],
          emulated_cuda::SharedAt(Of<MatrixLoad>(lanes, 8 * j + r).address, 16),
          16);
    for (int T = 0; T < emulated_cuda::kWarp; ++T) {
      const int row = T / 4, column = T % 4 * 2;
      const unsigned low =
          kTransposed ? matrix[column][row] : matrix[row][column];
      const unsigned high =
          kTransposed ? matrix[column + 1][row] : matrix[row][column + 1];
      Of<MatrixLoad>(lanes, T).got.words[j] = low | high << 16;
    }
  }
}

struct Product {
  Fragment a;
  unsigned b[2];
  float sum[4];
};

inline float Half(unsigned word, int i) {
  return std::bit_cast<float>(i == 0 ? word << 16 : word & 0xffff0000U);
}

// mma.m16n8k16: with group = T / 4 and t = T % 4,
//   a_i, i = 0..7, two a register: row group if i is 0, 1, 4 or 5, else group +
//     8; column 2 t + i % 2, + 8 from i = 4 on;
//   b_i, i = 0..3: row 2 t + i % 2, + 8 from i = 2 on; column group;
//   c_i, i = 0..3: row group, + 8 from i = 2 on; column 2 t + i % 2.
// Products of bf16 are exact in float32; how the device rounds their sums is
// not laid down. Registers in, registers out: nothing for a sanitizer to see.
[[gnu::no_sanitize("address", "undefined")]] inline void Multiply(const emulated_cuda::Lanes& lanes) {
  float a[16][16], b[16][8];
  for (int T = 0; T < emulated_cuda::kWarp; ++T) {
    const Product& own = Of<Product>(lanes, T);
    const int group = T / 4, t = T % 4;
    for (int i = 0; i < 8; ++i)
      a[group + (i / 2 % 2 == 0 ? 0 : 8)][2 * t + i % 2 + (i >= 4 ? 8 : 0)] =
          Half(own.a.words[i / 2], i % 2);
    for (int i = 0; i < 4; ++i)
      b[2 * t + i % 2 + (i >= 2 ? 8 : 0)][group] = Half(own.b[i / 2], i % 2);
  }
  float product[16][8] = {};
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < 8; ++column)
        product[row][column] += a[row][k] * b[k][column];
  for (int T = 0; T < emulated_cuda::kWarp; ++T) {
    Product& own = Of<Product>(lanes, T);
    for (int i = 0; i < 4; ++i)
      own.sum[i] += product[T / 4 + (i >= 2 ? 8 : 0)][T % 4 * 2 + i % 2];
  }
}

}  // namespace emulated

inline Fragment LoadFragment(unsigned shared) {
  emulated::MatrixLoad load{shared, {}};
  emulated_cuda::InWarp("ldmatrix", &load, &emulated::LoadMatrices<false>);
  return load.got;
}
inline Fragment LoadTransposed(unsigned shared) {
  emulated::MatrixLoad load{shared, {}};
  emulated_cuda::InWarp("ldmatrix.trans", &load, &emulated::LoadMatrices<true>);
  return load.got;
}

inline void MultiplyAdd(float (&sum)[4], const Fragment& a, unsigned b_low,
                        unsigned b_high) {
  emulated::Product product{
      a, {b_low, b_high}, {sum[0], sum[1], sum[2], sum[3]}};
  emulated_cuda::InWarp("mma", &product, &emulated::Multiply);
  for (int i = 0; i < 4; ++i) sum[i] = product.sum[i];
}

}  // namespace hearsay::model::cuda
