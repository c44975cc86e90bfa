#include <algorithm>

#include "model/cuda/device.h"
#include "model/cuda/inline.cuh"
#include "model/cuda/kernels.h"
#include "model/cuda/launch.cuh"
#include "model/cuda/loss.cuh"
#include "model/cuda/update.cuh"

namespace hearsay::model::cuda {

namespace {

constexpr int kThreads = 256;
// Of a row: so few that the blocks of 2,048 rows are under way at once.
constexpr int kRowThreads = 128;

unsigned Blocks(std::size_t threads, int each = kThreads) {
  return static_cast<unsigned>((threads + static_cast<std::size_t>(each) - 1) /
                               static_cast<std::size_t>(each));
}

template <typename T>  // float, or float4 where rows are multiples of it
__global__ void GatherKernel(const StepHead* head, const std::uint32_t* rows,
                             const T* shard_features, const float* shard_labels,
                             int I, int W, T* features, float* labels) {
  const int b = static_cast<int>(blockIdx.x);
  const bool example = b < head->count;
  const std::size_t row = example ? rows[b] : 0;
  const auto to = static_cast<std::size_t>(b);
  for (int i = static_cast<int>(threadIdx.x); i < I;
       i += static_cast<int>(blockDim.x))
    features[to * I + i] = example ? shard_features[row * I + i] : T{};
  for (int w = static_cast<int>(threadIdx.x); w < W;
       w += static_cast<int>(blockDim.x))
    labels[to * W + w] = example ? shard_labels[row * W + w] : 0;
}

__global__ void ActivateKernel(Activation activation, std::size_t values, int O,
                               const float* bias, float* z, float* out) {
  const std::size_t i =
      static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= values) return;
  float value = z[i];
  if (bias != nullptr) {
    value += bias[i % static_cast<std::size_t>(O)];
    z[i] = value;
  }
  out[i] = Activate(activation, value);
}

// One warp a row.
__global__ void LossKernel(Loss loss, const StepHead* head, int B, int O,
                           int label_width, const float* outputs,
                           const float* labels, float* losses, float* grad,
                           StepTotals* totals) {
  const int b =
      static_cast<int>(blockIdx.x * (blockDim.x / kWarp) + threadIdx.x / kWarp);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  if (b >= B) return;  // A whole warp.
  const std::size_t at = static_cast<std::size_t>(b) * O;
  if (b >= head->count) {
    for (int o = lane; o < O; o += kWarp) grad[at + o] = 0;
    if (lane == 0) losses[b] = 0;
    return;
  }
  const RowLoss row =
      LossOfRow(loss, O, outputs + at,
                labels + static_cast<std::size_t>(b) * label_width, grad + at);
  if (lane != 0) return;
  losses[b] = row.loss;
  if (totals != nullptr && row.correct) atomicAdd(&totals->correct, 1U);
}

__global__ void DerivativeKernel(Activation activation, std::size_t values,
                                 const float* z, const float* out,
                                 float* grad) {
  const std::size_t i =
      static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < values) grad[i] *= Derivative(activation, z[i], out[i]);
}

// This thread's part.
__device__ double SquaredPart(const float* values, int count) {
  double sum = 0;
  const int thread = static_cast<int>(threadIdx.x);
  if (count % 4 == 0) {  // Rows begin at multiples of 16 bytes.
    const auto* fours = reinterpret_cast<const float4*>(values);
    for (int i = thread; i < count / 4; i += kRowThreads) {
      const float4 v = fours[i];
      const double x = v.x, y = v.y, z = v.z, w = v.w;
      sum += x * x + y * y + z * z + w * w;
    }
    return sum;
  }
  for (int i = thread; i < count; i += kRowThreads) {
    const double value = values[i];
    sum += value * value;
  }
  return sum;
}

// Gradients and inputs: 0 times infinity would not be 0.
__device__ void ZeroRow(const LayerViews& views, std::size_t row) {
  for (int l = 0; l < views.count; ++l) {
    const LayerView& layer = views.layers[l];
    for (int o = static_cast<int>(threadIdx.x); o < layer.units;
         o += kRowThreads)
      layer.grad[row * layer.units + o] = 0;
    for (int i = static_cast<int>(threadIdx.x); i < layer.inputs;
         i += kRowThreads)
      layer.in[row * layer.inputs + i] = 0;
  }
}

// One block a row.
__global__ void ClipKernel(LayerViews views, ClipTerms terms) {
  const int b = static_cast<int>(blockIdx.x);
  const auto row = static_cast<std::size_t>(b);
  // What is no example adds nothing, even where weights are not finite.
  if (b >= terms.head->count) return ZeroRow(views, row);
  const LayerView& first = views.layers[0];
  for (int o = static_cast<int>(threadIdx.x); o < first.units;
       o += kRowThreads) {
    const std::size_t at = row * first.units + o;
    first.grad[at] *= Derivative(first.activation, first.z[at], first.out[at]);
  }
  __syncthreads();
  // The parts of all sums first, then one wait for all of them.
  constexpr int kWarps = kRowThreads / kWarp;
  __shared__ double parts[2 * kMostLayers][kWarps];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int l = 0; l < views.count; ++l) {
    const LayerView& layer = views.layers[l];
    const double a =
        WarpSum(SquaredPart(layer.in + row * layer.inputs, layer.inputs));
    const double g =
        WarpSum(SquaredPart(layer.grad + row * layer.units, layer.units));
    if (lane == 0) {
      parts[2 * l][warp] = a;
      parts[2 * l + 1][warp] = g;
    }
  }
  __syncthreads();
  const float loss = terms.losses[b];
  // A loss that is not finite rejects its example, whatever its gradient.
  double squared = loss - loss == 0 ? 0 : INFINITY;
  for (int l = 0; l < views.count; ++l) {
    double a = 0, g = 0;
    for (int w = 0; w < kWarps; ++w) {
      a += parts[2 * l][w];
      g += parts[2 * l + 1][w];
    }
    const bool usable = a <= kLongestSquared && g <= kLongestSquared;
    squared += usable ? g * (a + 1) : INFINITY;
  }
  const double norm = sqrt(squared);
  if (terms.norms != nullptr) {
    if (threadIdx.x == 0) terms.norms[b] = static_cast<float>(norm);
    return;
  }
  const double clip_norm = terms.head->clip_norm;
  const double limit = clip_norm * terms.margin;
  const bool rejected = terms.clip && !(norm < INFINITY);
  if (threadIdx.x == 0 && terms.totals != nullptr) {
    if (rejected)
      atomicAdd(&terms.totals->rejected, 1U);
    else
      atomicAdd(&terms.totals->loss_sum, static_cast<double>(loss));
    if (terms.clip && !rejected && norm > clip_norm)
      atomicAdd(&terms.totals->clipped, 1U);
  }
  if (!terms.clip || (!rejected && norm <= limit)) return;
  if (rejected) return ZeroRow(views, row);
  const auto factor = static_cast<float>(limit / norm);
  for (int l = 0; l < views.count; ++l) {
    const LayerView& layer = views.layers[l];
    for (int o = static_cast<int>(threadIdx.x); o < layer.units;
         o += kRowThreads)
      layer.grad[row * layer.units + o] *= factor;
  }
}

constexpr int kColumns = 32;
constexpr int kColumnThreads = 32;

// Each block: kColumns columns of one layer (blockIdx.y), all rows.
__global__ void SumRowsKernel(LayerViews views, int B, float beta) {
  __shared__ float parts[kColumnThreads][kColumns];
  const LayerView& layer = views.layers[blockIdx.y];
  const int o =
      static_cast<int>(blockIdx.x) * kColumns + static_cast<int>(threadIdx.x);
  float sum = 0;
  if (o < layer.units)
#pragma unroll 8
    for (int b = static_cast<int>(threadIdx.y); b < B; b += kColumnThreads)
      sum += layer.grad[static_cast<std::size_t>(b) * layer.units + o];
  parts[threadIdx.y][threadIdx.x] = sum;
  __syncthreads();
  if (threadIdx.y != 0 || o >= layer.units) return;
  for (int i = 1; i < kColumnThreads; ++i) sum += parts[i][threadIdx.x];
  // What is not initialised may be NaN.
  layer.bias_sum[o] = beta == 0 ? sum : beta * layer.bias_sum[o] + sum;
}

__global__ void NoiseKernel(const StepHead* head, std::size_t P,
                            double* noise) {
  const std::size_t block =
      static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::size_t begin = block * kNormalsPerBlock;
  if (begin >= P) return;
  double normals[kNormalsPerBlock] = {};
  const double stddev = head->noise_stddev;
  if (stddev > 0)
    NormalsOfBlock(head->key, static_cast<std::uint32_t>(block), normals);
#pragma unroll
  for (int i = 0; i < kNormalsPerBlock; ++i)
    if (begin + i < P) noise[begin + i] = stddev * normals[i];
}

// Four elements a thread: the arrays begin at multiples of 16 bytes.
__global__ void UpdateKernel(const StepHead* head, std::size_t P,
                             const double* noise, float* sum, float* gradient,
                             float* weights) {
  const std::size_t at =
      4 * (static_cast<std::size_t>(blockIdx.x) * blockDim.x + threadIdx.x);
  if (at + 4 <= P) {
    auto* const sums = reinterpret_cast<float4*>(sum + at);
    auto* const moved = reinterpret_cast<float4*>(weights + at);
    const auto* const drawn = reinterpret_cast<const double2*>(noise + at);
    const float4 s = *sums;
    const double2 low = drawn[0], high = drawn[1];
    float4 w = *moved;
    *reinterpret_cast<float4*>(gradient + at) = make_float4(
        UpdateOne(*head, s.x, low.x, w.x), UpdateOne(*head, s.y, low.y, w.y),
        UpdateOne(*head, s.z, high.x, w.z), UpdateOne(*head, s.w, high.y, w.w));
    *moved = w;
    *sums = make_float4(0, 0, 0, 0);
    return;
  }
  for (std::size_t i = at; i < P; ++i) {
    gradient[i] = UpdateOne(*head, sum[i], noise[i], weights[i]);
    sum[i] = 0;
  }
}

}  // namespace

void Gather(cudaStream_t stream, const StepHead* head,
            const std::uint32_t* rows, const float* shard_features,
            const float* shard_labels, int B, int I, int W, float* features,
            float* labels) {
  const auto launch = [&]<typename T>(const T* from, T* to, int width) {
    const int threads = std::min(kThreads, (width + kWarp - 1) / kWarp * kWarp);
    Launch(stream, false, dim3(static_cast<unsigned>(B)),
           dim3(static_cast<unsigned>(threads)), 0, GatherKernel<T>, head, rows,
           from, shard_labels, width, W, to, labels);
  };
  if (I % 4 == 0)
    launch(reinterpret_cast<const float4*>(shard_features),
           reinterpret_cast<float4*>(features), I / 4);
  else
    launch(shard_features, features, I);
}

void AddBiasAndActivate(cudaStream_t stream, Activation activation, int B,
                        int O, const float* bias, float* z, float* out) {
  const auto values = static_cast<std::size_t>(B) * static_cast<std::size_t>(O);
  Launch(stream, false, dim3(Blocks(values)), dim3(kThreads), 0, ActivateKernel,
         activation, values, O, bias, z, out);
}

void LossGradients(cudaStream_t stream, Loss loss, const StepHead* head, int B,
                   int O, const float* outputs, const float* labels,
                   float* losses, float* grad, StepTotals* totals) {
  Launch(stream, false,
         dim3(Blocks(static_cast<std::size_t>(B), kThreads / kWarp)),
         dim3(kThreads), 0, LossKernel, loss, head, B, O,
         loss == Loss::kMse ? O : 1, outputs, labels, losses, grad, totals);
}

void MultiplyByDerivative(cudaStream_t stream, Activation activation, int B,
                          int O, const float* z, const float* out,
                          float* grad) {
  if (activation == Activation::kNone) return;
  const auto values = static_cast<std::size_t>(B) * static_cast<std::size_t>(O);
  Launch(stream, false, dim3(Blocks(values)), dim3(kThreads), 0,
         DerivativeKernel, activation, values, z, out, grad);
}

void ClipRows(cudaStream_t stream, const LayerViews& views, int B,
              const ClipTerms& terms) {
  Launch(stream, false, dim3(static_cast<unsigned>(B)), dim3(kRowThreads), 0,
         ClipKernel, views, terms);
}

void SumRows(cudaStream_t stream, const LayerViews& views, int B, float beta) {
  int widest = 1;
  for (int l = 0; l < views.count; ++l)
    widest = std::max(widest, views.layers[l].units);
  const dim3 grid(static_cast<unsigned>((widest + kColumns - 1) / kColumns),
                  static_cast<unsigned>(views.count));
  Launch(stream, false, grid, dim3(kColumns, kColumnThreads), 0, SumRowsKernel,
         views, B, beta);
}

void DrawNoise(cudaStream_t stream, const StepHead* head, std::size_t P,
               double* noise) {
  constexpr int kNoiseThreads = 64;
  const std::size_t blocks = (P + kNormalsPerBlock - 1) / kNormalsPerBlock;
  Launch(stream, false, dim3(Blocks(blocks, kNoiseThreads)),
         dim3(kNoiseThreads), 0, NoiseKernel, head, P, noise);
}

void Update(cudaStream_t stream, const StepHead* head, std::size_t P,
            const double* noise, float* sum, float* gradient, float* weights) {
  Launch(stream, false, dim3(Blocks((P + 3) / 4, kThreads)), dim3(kThreads), 0,
         UpdateKernel, head, P, noise, sum, gradient, weights);
}

}  // namespace hearsay::model::cuda
