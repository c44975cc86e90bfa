#include "model/cuda/device.h"
#include "model/cuda/exact.h"
#include "model/cuda/exact_noise.h"
#include "model/cuda/inline.cuh"
#include "model/cuda/launch.cuh"

namespace hearsay::model::cuda {

namespace {

// A block of kTile x kStripes threads: kTile columns, and each thread every
// kStripes-th of kTile rows.
constexpr int kTile = 32;
constexpr int kStripes = 8;
constexpr int kEach = kTile / kStripes;
static_assert(kTile == kWarp);

constexpr int kThreads = kTile * kStripes;
constexpr int kWarps = kThreads / kWarp;
constexpr int kNoiseThreads = 64;
constexpr int kRowsASlice = 128;

unsigned Tiles(int size, int each = kTile) {
  return static_cast<unsigned>((size + each - 1) / each);
}

enum class Weights { kAsTheyAre, kTransposed };

// out (B, N) = in (B, K) times weights, (N, K) or, transposed, (K, N): every
// element by adding from the first to the last of K.
template <Weights weights_are>
__global__ void ProductKernel(int B, int K, int N, const float* in,
                              const float* weights, float* out) {
  __shared__ float rows[kTile][kTile + 1];
  __shared__ float columns[kTile][kTile + 1];  // [k][n]
  const int x = static_cast<int>(threadIdx.x);
  const int y = static_cast<int>(threadIdx.y);
  const int first_b = static_cast<int>(blockIdx.y) * kTile;
  const int first_n = static_cast<int>(blockIdx.x) * kTile;
  float sums[kEach] = {};
  for (int first_k = 0; first_k < K; first_k += kTile) {
    for (int r = y; r < kTile; r += kStripes) {
      const int b = first_b + r;
      const int k = first_k + x;
      rows[r][x] = b < B && k < K ? in[static_cast<std::size_t>(b) * K + k] : 0;
      if constexpr (weights_are == Weights::kAsTheyAre) {
        const int n = first_n + r;
        columns[x][r] =
            n < N && k < K ? weights[static_cast<std::size_t>(n) * K + k] : 0;
      } else {
        const int n = first_n + x;
        columns[r][x] =
            first_k + r < K && n < N
                ? weights[static_cast<std::size_t>(first_k + r) * N + n]
                : 0;
      }
    }
    __syncthreads();
#pragma unroll 8
    for (int k = 0; k < kTile; ++k)
#pragma unroll
      for (int j = 0; j < kEach; ++j)
        sums[j] = fmaf(rows[y + j * kStripes][k], columns[k][x], sums[j]);
    __syncthreads();
  }
  for (int j = 0; j < kEach; ++j) {
    const int b = first_b + y + j * kStripes;
    if (b < B && first_n + x < N)
      out[static_cast<std::size_t>(b) * N + first_n + x] = sums[j];
  }
}

// The input that column i of a layer's gradient belongs to; the bias is the
// weight of one more, which is always 1.
__device__ inline float InputOf(const ExactLayer& layer, std::size_t row,
                                int i) {
  return i < layer.inputs ? layer.in[row * layer.inputs + i] : 1.0F;
}

// One element of an example's gradient, rounded once, as the CPU has it.
__device__ inline double Element(float grad, float in) {
  return static_cast<double>(__fmul_rn(grad, in));
}

// The same in grid steps, towards zero: the only place where they are formed,
// so that what is checked is what is added.
__device__ inline std::int32_t Steps(float grad, float in, double factor) {
  return __double2int_rz(__dmul_rn(Element(grad, in), factor));
}

// each(grad, in) for this thread's elements of a row's gradient: a warp an
// output. Which elements these are depends on the layers alone.
template <typename Each>
__device__ void ForElementsOfRow(const ExactLayers& layers, std::size_t row,
                                 const Each& each) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int l = 0; l < layers.count; ++l) {
    const ExactLayer& layer = layers.layers[l];
    for (int o = warp; o < layer.units; o += kWarps) {
      const float grad = layer.grad[row * layer.units + o];
      for (int i = lane; i <= layer.inputs; i += kWarp)
        each(grad, InputOf(layer, row, i));
    }
  }
}

// Every thread gets it, added up in the same order always.
template <typename T>
__device__ T BlockSum(T value) {
  __shared__ T parts[kWarps];
  value = WarpSum(value);
  if (threadIdx.x % kWarp == 0) parts[threadIdx.x / kWarp] = value;
  __syncthreads();
  T sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += parts[w];
  return sum;
}

// One block a row; as dp::GridSum::Add.
__global__ void FactorKernel(ExactLayers layers, ExactClip clip,
                             const float* losses, double* factors,
                             StepTotals* totals) {
  const auto row = static_cast<std::size_t>(blockIdx.x);
  double squares = 0;
  ForElementsOfRow(layers, row, [&](float grad, float in) {
    const double value = Element(grad, in);
    squares += value * value;
  });
  squares = BlockSum(squares);
  const double norm = sqrt(squares);
  const auto reach = static_cast<double>(clip.reach);
  const double factor = norm > clip.clip_norm * clip.margin
                            ? reach * clip.margin / norm
                            : reach / clip.clip_norm;
  const float loss = losses[row];
  bool rejected = !isfinite(squares) || !isfinite(loss);
  if (!rejected) {  // The whole block alike.
    long long length = 0;
    ForElementsOfRow(layers, row, [&](float grad, float in) {
      const long long steps = Steps(grad, in, factor);
      length += steps * steps;
    });
    rejected = BlockSum(length) > clip.reach * clip.reach;  // It never is.
  }
  if (threadIdx.x != 0) return;
  factors[row] = rejected ? 0 : factor;
  if (rejected) {
    atomicAdd(&totals->rejected, 1U);
    return;
  }
  atomicAdd(&totals->loss_sum, static_cast<double>(loss));
  if (norm > clip.clip_norm) atomicAdd(&totals->clipped, 1U);
}

// Each block: a tile of one layer's gradient, of a slice of the rows.
__global__ void StepsKernel(ExactLayer layer, int B, const double* factors,
                            std::int64_t* sum) {
  __shared__ float ins[kTile][kTile];
  __shared__ float grads[kTile][kTile];
  __shared__ double factor_of[kTile];
  const int x = static_cast<int>(threadIdx.x);
  const int y = static_cast<int>(threadIdx.y);
  const int i = static_cast<int>(blockIdx.x) * kTile + x;
  const int first_o = static_cast<int>(blockIdx.y) * kTile;
  const int begin = static_cast<int>(blockIdx.z) * kRowsASlice;
  const int end = min(B, begin + kRowsASlice);
  std::int64_t sums[kEach] = {};
  for (int first = begin; first < end; first += kTile) {
    for (int r = y; r < kTile; r += kStripes) {
      const bool there = first + r < end;
      const auto row = static_cast<std::size_t>(first + r);
      const int o = first_o + x;
      ins[r][x] = there && i <= layer.inputs ? InputOf(layer, row, i) : 0;
      grads[r][x] =
          there && o < layer.units ? layer.grad[row * layer.units + o] : 0;
    }
    if (y == 0) factor_of[x] = first + x < end ? factors[first + x] : 0;
    __syncthreads();
    for (int r = 0; r < kTile; ++r) {
      const double factor = factor_of[r];
      if (factor == 0) continue;  // The whole block; the row may hold NaN.
#pragma unroll
      for (int j = 0; j < kEach; ++j)
        sums[j] += Steps(grads[r][y + j * kStripes], ins[r][x], factor);
    }
    __syncthreads();
  }
  if (i > layer.inputs) return;
  for (int j = 0; j < kEach; ++j) {
    const int o = first_o + y + j * kStripes;
    if (o >= layer.units || sums[j] == 0) continue;
    const std::size_t at =
        i < layer.inputs
            ? layer.weight + static_cast<std::size_t>(o) * layer.inputs + i
            : layer.bias + o;
    // Two's complement: the same bits, signed or not.
    atomicAdd(reinterpret_cast<unsigned long long*>(sum + at),
              static_cast<unsigned long long>(sums[j]));
  }
}

__global__ void ExactNoiseKernel(const StepHead* head, ExactUpdate update,
                                 std::size_t P, const std::int64_t* sum,
                                 float* gradient, float* weights) {
  const std::size_t i =
      static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= P) return;
  const std::int64_t noised =
      sum[i] + DiscreteGaussianOf(head->key, i, update.log_sigma);
  const double scaled = static_cast<double>(noised) * update.step;
  gradient[i] = static_cast<float>(scaled);
  if (update.learning_rate != 0)
    weights[i] = static_cast<float>(static_cast<double>(weights[i]) -
                                    update.learning_rate * scaled);
}

}  // namespace

void ProjectRows(cudaStream_t stream, int B, int I, int O, const float* in,
                 const float* weight, float* out) {
  Launch(stream, false, dim3(Tiles(O), Tiles(B)), dim3(kTile, kStripes), 0,
         ProductKernel<Weights::kAsTheyAre>, B, I, O, in, weight, out);
}

void ProjectRowsBack(cudaStream_t stream, int B, int I, int O,
                     const float* grad_out, const float* weight,
                     float* grad_in) {
  Launch(stream, false, dim3(Tiles(I), Tiles(B)), dim3(kTile, kStripes), 0,
         ProductKernel<Weights::kTransposed>, B, O, I, grad_out, weight,
         grad_in);
}

void FactorsOfRows(cudaStream_t stream, const ExactLayers& layers, int B,
                   const ExactClip& clip, const float* losses, double* factors,
                   StepTotals* totals) {
  Launch(stream, false, dim3(static_cast<unsigned>(B)), dim3(kThreads), 0,
         FactorKernel, layers, clip, losses, factors, totals);
}

void AddSteps(cudaStream_t stream, const ExactLayers& layers, int B,
              const double* factors, std::int64_t* sum) {
  for (int l = 0; l < layers.count; ++l) {
    const ExactLayer& layer = layers.layers[l];
    const dim3 grid(Tiles(layer.inputs + 1), Tiles(layer.units),
                    Tiles(B, kRowsASlice));
    Launch(stream, false, grid, dim3(kTile, kStripes), 0, StepsKernel, layer, B,
           factors, sum);
  }
}

void AddExactNoise(cudaStream_t stream, const StepHead* head,
                   const ExactUpdate& update, std::size_t P,
                   const std::int64_t* sum, float* gradient, float* weights) {
  const auto blocks =
      static_cast<unsigned>((P + kNoiseThreads - 1) / kNoiseThreads);
  Launch(stream, false, dim3(blocks), dim3(kNoiseThreads), 0, ExactNoiseKernel,
         head, update, P, sum, gradient, weights);
}

}  // namespace hearsay::model::cuda
