// Tiles of bf16 matrices: from global into shared memory, from there into
// registers, and their products on tensor cores, summed in float32.
//
// A tile lies in panels of 64 columns, 128 bytes a row, whose 16-byte pieces
// are permuted by the row, so that neither copies nor ldmatrix, plain or
// transposing, meet a bank twice.
#pragma once

#include "model/cuda/inline.cuh"
#include "model/cuda/instructions.cuh"

namespace hearsay::model::cuda {

using Bf16 = __nv_bfloat16;

constexpr int kPanel = 64;  // columns
constexpr int kPanelPieces = kPanel / kPiece;

// A row-major matrix whose rows begin at multiples of 16 bytes.
struct TileSource {
  const Bf16* at = nullptr;
  const std::uint32_t* rows = nullptr;  // whose numbers stand for them; or null
  int stride = 0;                       // a multiple of kPiece
  int row_count = 0;
  int width = 0;  // a multiple of kPiece; columns beyond it read as 0
};

template <int kRows>
__device__ inline unsigned TileOffset(int row, int piece) {
  const int panel = piece / kPanelPieces;
  return static_cast<unsigned>(((panel * kRows + row) * kPanelPieces +
                                ((piece % kPanelPieces) ^ (row & 7))) *
                               16);
}

// A thread's part of copying tiles of kRows x kColumns, one step after the
// other. What the matrix has not is 0.
template <int kRows, int kColumns, int kThreads>
class TileCopy {
 public:
  static constexpr int kPieces = kColumns / kPiece;
  static constexpr int kEach = kRows * kPieces / kThreads;
  static_assert(kRows * kPieces % kThreads == 0);

  // The first tile begins at (row, column).
  __device__ TileCopy(const TileSource& source, int row, int column)
      : source_(source), row_(row), column_(column) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int from = row + RowOf(i);
      const std::size_t number =
          source.rows != nullptr && from < source.row_count ? source.rows[from]
                                                            : from;
      from_[i] = source.at + number * source.stride + column + ColumnOf(i);
    }
  }

  // The tile, and on to that of the next columns.
  __device__ void Across(unsigned shared) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const bool real = row_ + RowOf(i) < source_.row_count &&
                        column_ + ColumnOf(i) < source_.width;
      CopyPiece(shared + Offset(i), real ? from_[i] : source_.at, real);
      from_[i] += kColumns;
    }
    column_ += kColumns;
  }
  // The same, of the next rows.
  __device__ void Down(unsigned shared) {
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int from = row_ + RowOf(i);
      const bool real =
          from < source_.row_count && column_ + ColumnOf(i) < source_.width;
      const Bf16* at = from_[i];
      if (source_.rows != nullptr && real)
        at = source_.at +
             static_cast<std::size_t>(source_.rows[from]) * source_.stride +
             column_ + ColumnOf(i);
      CopyPiece(shared + Offset(i), real ? at : source_.at, real);
      from_[i] += static_cast<std::size_t>(kRows) * source_.stride;
    }
    row_ += kRows;
  }

 private:
  static __device__ int At(int i) {
    return i * kThreads + static_cast<int>(threadIdx.x);
  }
  static __device__ int RowOf(int i) { return At(i) / kPieces; }
  static __device__ int ColumnOf(int i) { return At(i) % kPieces * kPiece; }
  static __device__ unsigned Offset(int i) {
    return TileOffset<kRows>(RowOf(i), At(i) % kPieces);
  }

  const TileSource source_;
  int row_, column_;
  const Bf16* from_[kEach];
};

// What is multiplied: of A (m, k) 16x16, of B (k, n) 16x16 as two halves of 8
// columns. "Along k": rows of the tile are m (or n); "across": they are k.
template <int kRows>
__device__ inline Fragment LoadAAlongK(unsigned tile, int m, int k) {
  const int lane = Lane();
  return LoadFragment(tile +
                      TileOffset<kRows>(m + lane % 16, k / kPiece + lane / 16));
}
template <int kRows>
__device__ inline Fragment LoadAAcrossK(unsigned tile, int m, int k) {
  const int lane = Lane();
  return LoadTransposed(tile + TileOffset<kRows>(k + lane % 8 + lane / 16 * 8,
                                                 m / kPiece + lane / 8 % 2));
}
template <int kRows>
__device__ inline Fragment LoadBAlongK(unsigned tile, int n, int k) {
  const int lane = Lane();
  return LoadFragment(tile + TileOffset<kRows>(n + lane % 8 + lane / 16 * 8,
                                               k / kPiece + lane / 8 % 2));
}
template <int kRows>
__device__ inline Fragment LoadBAcrossK(unsigned tile, int n, int k) {
  const int lane = Lane();
  return LoadTransposed(
      tile + TileOffset<kRows>(k + lane % 16, n / kPiece + lane / 16));
}

// How the two operands of a product lie.
enum class Lie { kAlongK, kAcrossK };

// One kM x kN tile of A B, k in steps of a panel, kStages of them under way.
// Warps share it in pieces of 32 x 32.
template <int kM, int kN, Lie kA, Lie kB>
struct TileProduct {
  static constexpr int kStages = 4;
  static constexpr int kWarpsM = kM / 32, kWarpsN = kN / 32;
  static constexpr int kThreads = kWarpsM * kWarpsN * kWarp;
  static constexpr unsigned kABytes = kM * kPanel * sizeof(Bf16);
  static constexpr unsigned kStageBytes = kABytes + kN * kPanel * sizeof(Bf16);
  static constexpr unsigned kSharedBytes = kStages * kStageBytes;

  // Of this warp: 2 x 4 products of 16 x 8; and, for the first column of warps,
  // the sums of A's rows, in each column.
  struct Sums {
    float values[2][4][4] = {};
    float rows[2][4] = {};
  };

  // Where this warp's piece begins.
  static __device__ int FirstM() {
    return static_cast<int>(threadIdx.x) / kWarp / kWarpsN * 32;
  }
  static __device__ int FirstN() {
    return static_cast<int>(threadIdx.x) / kWarp % kWarpsN * 32;
  }

  template <bool kRowSums>
  static __device__ void Multiply(unsigned stage, Sums& sums) {
    constexpr unsigned kOnes = 0x3f803f80U;
    const int m = FirstM(), n = FirstN();
#pragma unroll
    for (int k = 0; k < kPanel; k += 16) {
      Fragment a[2], b[2];
#pragma unroll
      for (int i = 0; i < 2; ++i)
        a[i] = kA == Lie::kAlongK ? LoadAAlongK<kM>(stage, m + 16 * i, k)
                                  : LoadAAcrossK<kPanel>(stage, m + 16 * i, k);
#pragma unroll
      for (int j = 0; j < 2; ++j)
        b[j] = kB == Lie::kAlongK
                   ? LoadBAlongK<kN>(stage + kABytes, n + 16 * j, k)
                   : LoadBAcrossK<kPanel>(stage + kABytes, n + 16 * j, k);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j)
          MultiplyAdd(sums.values[i][j], a[i], b[j / 2].words[j % 2 * 2],
                      b[j / 2].words[j % 2 * 2 + 1]);
        if constexpr (kRowSums) MultiplyAdd(sums.rows[i], a[i], kOnes, kOnes);
      }
    }
  }

  // All of k. Requires: kSharedBytes at `shared`. Begins and ends with nothing
  // under way.
  template <bool kRowSums = false>
  static __device__ void Run(const TileSource& a, const TileSource& b, int m,
                             int n, int k_count, unsigned shared, Sums& sums) {
    constexpr bool kAAlong = kA == Lie::kAlongK, kBAlong = kB == Lie::kAlongK;
    TileCopy<kAAlong ? kM : kPanel, kAAlong ? kPanel : kM, kThreads> copy_a(
        a, kAAlong ? m : 0, kAAlong ? 0 : m);
    TileCopy<kBAlong ? kN : kPanel, kBAlong ? kPanel : kN, kThreads> copy_b(
        b, kBAlong ? n : 0, kBAlong ? 0 : n);
    const auto copy = [&](unsigned stage) {
      if constexpr (kAAlong)
        copy_a.Across(stage);
      else
        copy_a.Down(stage);
      if constexpr (kBAlong)
        copy_b.Across(stage + kABytes);
      else
        copy_b.Down(stage + kABytes);
    };
    const int steps = (k_count + kPanel - 1) / kPanel;
#pragma unroll
    for (int s = 0; s < kStages - 1; ++s) {
      if (s < steps) copy(shared + s * kStageBytes);
      CommitCopies();
    }
    for (int s = 0; s < steps; ++s) {
      WaitForCopies<kStages - 2>();
      __syncthreads();
      const int next = s + kStages - 1;
      if (next < steps) copy(shared + next % kStages * kStageBytes);
      CommitCopies();
      Multiply<kRowSums>(shared + s % kStages * kStageBytes, sums);
    }
    WaitForCopies<0>();
  }
};

}  // namespace hearsay::model::cuda
