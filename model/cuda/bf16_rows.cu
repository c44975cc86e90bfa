// The passes of bf16.h in which a warp takes an example: the last layer, the
// clip, and what rounds rows.
#include "model/cuda/bf16.h"
#include "model/cuda/instructions.cuh"
#include "model/cuda/launch.cuh"
#include "model/cuda/loss.cuh"

namespace hearsay::model::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kRowsOfBlock = kThreads / kWarp;

__device__ inline int OwnRow() {
  return static_cast<int>(blockIdx.x) * kRowsOfBlock +
         static_cast<int>(threadIdx.x) / kWarp;
}

__device__ inline void Unpack(uint4 piece, float (&values)[kPiece]) {
  const auto* const pairs = reinterpret_cast<const __nv_bfloat162*>(&piece);
#pragma unroll
  for (int i = 0; i < kPiece / 2; ++i) {
    const float2 pair = __bfloat1622float2(pairs[i]);
    values[2 * i] = pair.x;
    values[2 * i + 1] = pair.y;
  }
}
__device__ inline uint4 Pack(const float (&values)[kPiece]) {
  uint4 piece;
  auto* const pairs = reinterpret_cast<__nv_bfloat162*>(&piece);
#pragma unroll
  for (int i = 0; i < kPiece / 2; ++i)
    pairs[i] = __floats2bfloat162_rn(values[2 * i], values[2 * i + 1]);
  return piece;
}
__device__ inline uint4& PieceAt(Bf16* at) {
  return *reinterpret_cast<uint4*>(at);
}
__device__ inline const uint4& PieceAt(const Bf16* at) {
  return *reinterpret_cast<const uint4*>(at);
}
__device__ inline double Squared(const float (&values)[kPiece]) {
  double sum = 0;
#pragma unroll
  for (const float value : values) sum += static_cast<double>(value) * value;
  return sum;
}

// Outputs of the last layer that are worked on at once: loads and sums that do
// not wait for each other.
constexpr int kAtOnce = 8;

// Piece `p` of the weights of the outputs from `first` on.
__device__ inline void LoadWeights(const Bf16Layer& layer, int first, int p,
                                   uint4 (&pieces)[kAtOnce]) {
#pragma unroll
  for (int k = 0; k < kAtOnce; ++k) {
    pieces[k] = uint4{};
    if (first + k < layer.units)
      pieces[k] = __ldg(&PieceAt(static_cast<const Bf16*>(
          layer.rounded + At(first + k, Padded(layer.inputs), p * kPiece))));
  }
}

// z (O) of one row, in shared memory; gives this lane's part of its inputs'
// squared length.
__device__ double ProjectRow(const Bf16Layer& layer, const Bf16* in,
                             const float* bias, float* z) {
  double squared = 0;
  for (int first = 0; first < layer.units; first += kAtOnce) {
    float sums[kAtOnce] = {};
    for (int p = Lane(); p < Padded(layer.inputs) / kPiece; p += kWarp) {
      uint4 pieces[kAtOnce];
      LoadWeights(layer, first, p, pieces);
      float x[kPiece];
      Unpack(PieceAt(in + p * kPiece), x);
      if (first == 0) squared += Squared(x);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        float w[kPiece];
        Unpack(pieces[k], w);
#pragma unroll
        for (int i = 0; i < kPiece; ++i) sums[k] += x[i] * w[i];
      }
    }
    float own = 0;
#pragma unroll
    for (int k = 0; k < kAtOnce; ++k) {
      const float sum = WarpSum(sums[k]);
      if (Lane() == k) own = sum;
    }
    const int o = first + Lane();
    if (Lane() < kAtOnce && o < layer.units) z[o] = own + bias[o];
  }
  return squared;
}

// The gradient below from that of the outputs; gives this lane's part of its
// squared length.
__device__ double ProjectRowBack(const Bf16Layer& layer, const Bf16Layer& below,
                                 int row, int grad_stride, const float* grad) {
  const int width = Padded(layer.inputs);
  double squared = 0;
  for (int p = Lane(); p < width / kPiece; p += kWarp) {
    const std::size_t at = At(row, width, p * kPiece);
    float sum[kPiece] = {}, out[kPiece], z[kPiece] = {};
    Unpack(PieceAt(below.out + at), out);
    if (below.z != nullptr) Unpack(PieceAt(below.z + at), z);
    for (int first = 0; first < layer.units; first += kAtOnce) {
      uint4 pieces[kAtOnce];
      LoadWeights(layer, first, p, pieces);
#pragma unroll
      for (int k = 0; k < kAtOnce; ++k) {
        const float g = first + k < layer.units ? grad[first + k] : 0;
        float w[kPiece];
        Unpack(pieces[k], w);
#pragma unroll
        for (int i = 0; i < kPiece; ++i) sum[i] += g * w[i];
      }
    }
#pragma unroll
    for (int i = 0; i < kPiece; ++i)
      sum[i] = p * kPiece + i < layer.inputs
                   ? sum[i] * Derivative(below.activation, z[i], out[i])
                   : 0;
    const uint4 rounded = Pack(sum);
    PieceAt(below.grad + At(row, grad_stride, p * kPiece)) = rounded;
    Unpack(rounded, sum);
    squared += Squared(sum);
  }
  return squared;
}

// The gradient of z from that of the outputs, rounded, into both places; gives
// its squared length.
__device__ double RoundLast(const Bf16Layer& layer, int row, int grad_stride,
                            const float* z, const float* out, float* grad) {
  double squared = 0;
  for (int o = Lane(); o < Padded(layer.units); o += kWarp) {
    const bool real = o < layer.units;
    const Bf16 rounded =
        real ? Bf16(grad[o] * Derivative(layer.activation, z[o], out[o]))
             : Bf16(0.0F);
    layer.grad[At(row, grad_stride, o)] = rounded;
    const float value = __bfloat162float(rounded);
    if (real) grad[o] = value;
    squared += static_cast<double>(value) * value;
  }
  return WarpSum(squared);
}

// Shared: z, outputs and gradients of each warp's row.
__global__ void LastLayerKernel(const __grid_constant__ Bf16Network network,
                                const StepHead* head,
                                const std::uint32_t* rows) {
  auto* const values = DynamicShared<float>();
  LetNextBegin();
  AwaitPrevious();
  const int row = OwnRow();
  if (row >= head->count) return;  // A whole warp.
  const Bf16Layer& layer = network.layers[network.count - 1];
  const Bf16Layer* const below =
      network.count > 1 ? &network.layers[network.count - 2] : nullptr;
  const std::size_t number = rows[row];
  const double first_squared = network.shard_squares[number];
  const int O = layer.units;
  float* const z = values + threadIdx.x / kWarp * 3 * O;
  float* const out = z + O;
  float* const grad = out + O;
  const Bf16* const in =
      layer.in + (below == nullptr ? number : static_cast<std::size_t>(row)) *
                     static_cast<std::size_t>(Padded(layer.inputs));
  const double in_squared =
      WarpSum(ProjectRow(layer, in, network.weights + layer.bias, z));
  __syncwarp();
  for (int o = Lane(); o < O; o += kWarp)
    out[o] = Activate(layer.activation, z[o]);
  __syncwarp();
  const RowLoss loss =
      LossOfRow(network.loss, O, out,
                network.shard_labels + number * network.label_width, grad);
  __syncwarp();
  const double grad_squared =
      RoundLast(layer, row, network.grad_stride, z, out, grad);
  __syncwarp();
  double below_squared = 0;
  if (below != nullptr)
    below_squared =
        WarpSum(ProjectRowBack(layer, *below, row, network.grad_stride, grad));
  if (Lane() != 0) return;
  network.losses[row] = loss.loss;
  layer.in_squares[row] = in_squared;
  network.layers[0].in_squares[row] = first_squared;
  layer.grad_squares[row] = grad_squared;
  if (below != nullptr) below->grad_squares[row] = below_squared;
}

__device__ void ZeroRow(Bf16* row, int width) {
  for (int p = Lane(); p < width / kPiece; p += kWarp)
    PieceAt(row + p * kPiece) = uint4{};
}

__device__ uint4 Scaled(uint4 piece, float factor) {
  float values[kPiece];
  Unpack(piece, values);
#pragma unroll
  for (float& value : values) value *= factor;
  return Pack(values);
}

// Of norms, a lane a layer.
__global__ void ClipBf16Kernel(const __grid_constant__ Bf16Network network,
                               const StepHead* head, std::uint32_t* rows,
                               StepTotals* totals) {
  LetNextBegin();
  AwaitPrevious();
  const int row = OwnRow();
  if (row >= network.max_batch) return;
  // Fetched before it is known whether they change: most rows do.
  constexpr int kHeld = 4;
  Bf16* const grads = network.grads + At(row, network.grad_stride, 0);
  const int pieces = network.grad_stride / kPiece;
  uint4 held[kHeld] = {};
#pragma unroll
  for (int i = 0; i < kHeld; ++i)
    if (Lane() + i * kWarp < pieces)
      held[i] = PieceAt(grads + (Lane() + i * kWarp) * kPiece);
  double squared = 0;
  if (Lane() < network.count) {
    const Bf16Layer& layer = network.layers[Lane()];
    const double a = layer.in_squares[row], g = layer.grad_squares[row];
    const bool usable = a <= kLongestSquared && g <= kLongestSquared;
    squared = usable ? g * (a + 1) : INFINITY;
    // The tiles of the next step add to it, of rows without an example too.
    layer.in_squares[row] = 0;
    layer.grad_squares[row] = 0;
  }
  if (row >= head->count) return;
  squared = WarpSum(squared);
  const float loss = network.losses[row];
  const double norm = loss - loss == 0 ? sqrt(squared) : INFINITY;
  const double clip_norm = head->clip_norm;
  const double limit = clip_norm * network.margin;
  const bool rejected = !(norm < INFINITY);
  if (Lane() == 0) {
    if (rejected)
      atomicAdd(&totals->rejected, 1U);
    else
      atomicAdd(&totals->loss_sum, static_cast<double>(loss));
    if (!rejected && norm > clip_norm) atomicAdd(&totals->clipped, 1U);
  }
  if (rejected) {
    // 0 times infinity would not be 0.
    ZeroRow(grads, network.grad_stride);
    for (int l = 0; l + 1 < network.count; ++l) {
      const int width = Padded(network.layers[l].units);
      ZeroRow(network.layers[l].out + At(row, width, 0), width);
    }
    if (Lane() == 0) rows[row] = network.zero_row;
    return;
  }
  if (norm <= limit) return;
  const auto factor = static_cast<float>(limit / norm);
#pragma unroll
  for (int i = 0; i < kHeld; ++i)
    if (Lane() + i * kWarp < pieces)
      PieceAt(grads + (Lane() + i * kWarp) * kPiece) = Scaled(held[i], factor);
  for (int p = Lane() + kHeld * kWarp; p < pieces; p += kWarp)
    PieceAt(grads + p * kPiece) = Scaled(PieceAt(grads + p * kPiece), factor);
}

__global__ void RoundKernel(const float* from, std::size_t rows, int width,
                            Bf16* to, double* squares) {
  const std::size_t row =
      static_cast<std::size_t>(blockIdx.x) * kRowsOfBlock + threadIdx.x / kWarp;
  if (row >= rows) return;
  double squared = 0;
  const int padded = Padded(width);
  for (int i = Lane(); i < padded; i += kWarp) {
    const Bf16 rounded = i < width ? Bf16(from[row * width + i]) : Bf16(0.0F);
    to[row * padded + i] = rounded;
    const double value = __bfloat162float(rounded);
    squared += value * value;
  }
  squared = WarpSum(squared);
  if (squares != nullptr && Lane() == 0) squares[row] = squared;
}

dim3 WarpBlocks(std::size_t rows) {
  return dim3(static_cast<unsigned>((rows + kRowsOfBlock - 1) / kRowsOfBlock));
}

std::size_t SharedOfLastLayer(int outputs) {
  return 3 * sizeof(float) * kRowsOfBlock * static_cast<std::size_t>(outputs);
}

}  // namespace

void PrepareLastLayer(int outputs) {
  AllowShared(LastLayerKernel, SharedOfLastLayer(outputs));
}

void Round(cudaStream_t stream, const float* from, std::size_t rows, int width,
           Bf16* to, double* squares) {
  if (rows == 0) return;
  Launch(stream, false, WarpBlocks(rows), dim3(kThreads), 0, RoundKernel, from,
         rows, width, to, squares);
}

void RoundWeights(cudaStream_t stream, const Bf16Network& network) {
  for (int l = 0; l < network.count; ++l) {
    const Bf16Layer& layer = network.layers[l];
    Round(stream, network.weights + layer.weight,
          static_cast<std::size_t>(layer.units), layer.inputs, layer.rounded,
          nullptr);
  }
}

void LastLayer(cudaStream_t stream, const Bf16Network& network,
               const StepHead* head, const std::uint32_t* rows) {
  Launch(stream, network.count > 1,
         WarpBlocks(static_cast<std::size_t>(network.max_batch)),
         dim3(kThreads), SharedOfLastLayer(network.outputs), LastLayerKernel,
         network, head, rows);
}

void ClipBf16Rows(cudaStream_t stream, const Bf16Network& network,
                  const StepHead* head, std::uint32_t* rows,
                  StepTotals* totals) {
  Launch(stream, false, WarpBlocks(static_cast<std::size_t>(network.max_batch)),
         dim3(kThreads), 0, ClipBf16Kernel, network, head, rows, totals);
}

}  // namespace hearsay::model::cuda
