#include <cuda_pipeline.h>

#include "model/cuda/device.h"
#include "model/cuda/inline.cuh"
#include "model/cuda/small.h"

namespace hearsay::model::cuda {

namespace {

constexpr int kRows = 8;  // of a block
constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
static_assert(kWarps >= kRows, "one warp a row where rows are for warps");
// Wider layers are better off with tiled products.
constexpr int kWidest = 128;
constexpr int kFloatsOfLosses = kRows;

// A warp a row of weights: no divisions, and all copies under way at once.
__device__ void LoadWeights(const SmallPlan& plan, const float* weights,
                            float* shared) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int l = 0; l < plan.layer_count; ++l) {
    const SmallLayer& layer = plan.layers[l];
    for (int u = warp; u < layer.units; u += kWarps)
      for (int k = lane; k < layer.inputs; k += kWarp)
        __pipeline_memcpy_async(
            shared + layer.shared_weight + u * layer.stride + k,
            weights + layer.weight + u * layer.inputs + k, sizeof(float));
    for (int u = static_cast<int>(threadIdx.x); u < layer.units; u += kThreads)
      __pipeline_memcpy_async(shared + layer.shared_bias + u,
                              weights + layer.bias + u, sizeof(float));
  }
}

__device__ void Forward(const SmallPlan& plan, float* shared) {
  for (int l = 0; l < plan.layer_count; ++l) {
    const SmallLayer& layer = plan.layers[l];
    for (int i = static_cast<int>(threadIdx.x); i < kRows * layer.units;
         i += kThreads) {
      const int u = i % layer.units;
      const float* in = shared + layer.in + i / layer.units * layer.inputs;
      const float* weight = shared + layer.shared_weight + u * layer.stride;
      float z = shared[layer.shared_bias + u];
#pragma unroll 8
      for (int k = 0; k < layer.inputs; ++k) z += in[k] * weight[k];
      shared[layer.z + i] = z;
      shared[layer.out + i] = Activate(layer.activation, z);
    }
    __syncthreads();
  }
}

// One thread a row.
__device__ float LossOfRow(Loss loss, int O, const float* outputs,
                           const float* labels, float* grad) {
  if (loss == Loss::kBinaryCrossEntropy) {
    const float sign = 1 - 2 * labels[0];
    const float s = sign * outputs[0];
    const float e = expf(s < 0 ? s : -s);
    grad[0] = sign * (s < 0 ? e : 1.0F) / (1 + e);
    return (s < 0 ? 0 : s) + logf(1 + e);
  }
  float sum = 0;
  if (loss == Loss::kMse) {
    const float scale = 1.0F / static_cast<float>(O);
    for (int o = 0; o < O; ++o) {
      const float difference = outputs[o] - labels[o];
      grad[o] = 2 * scale * difference;
      sum += scale * difference * difference;
    }
    return sum;
  }
  const int label = static_cast<int>(labels[0]);
  float largest = outputs[0];
  for (int o = 1; o < O; ++o)  // NaN, once there, stays.
    if (!(outputs[o] <= largest)) largest = outputs[o];
  for (int o = 0; o < O; ++o) {
    grad[o] = expf(outputs[o] - largest);
    sum += grad[o];
  }
  for (int o = 0; o < O; ++o) grad[o] = grad[o] / sum - (o == label ? 1 : 0);
  return logf(sum) - (outputs[label] - largest);
}

__device__ void Backward(const SmallPlan& plan, float* shared) {
  for (int l = plan.layer_count - 1; l >= 0; --l) {
    const SmallLayer& layer = plan.layers[l];
    for (int i = static_cast<int>(threadIdx.x); i < kRows * layer.units;
         i += kThreads)
      shared[layer.grad + i] *= Derivative(
          layer.activation, shared[layer.z + i], shared[layer.out + i]);
    __syncthreads();
    if (l == 0) return;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * layer.inputs;
         i += kThreads) {
      const float* grad = shared + layer.grad + i / layer.inputs * layer.units;
      const float* weight = shared + layer.shared_weight + i % layer.inputs;
      float sum = 0;
#pragma unroll 8
      for (int u = 0; u < layer.units; ++u)
        sum += grad[u] * weight[u * layer.stride];
      shared[plan.layers[l - 1].grad + i] = sum;
    }
    __syncthreads();
  }
}

// One warp a row, as ClipKernel: rejected rows become zero, and rows of none.
__device__ void ClipRow(const SmallPlan& plan, const StepHead& head,
                        bool example, int row, float loss, float* shared,
                        StepTotals& seen) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  double squared = loss - loss == 0 ? 0 : INFINITY;
  for (int l = 0; l < plan.layer_count; ++l) {
    const SmallLayer& layer = plan.layers[l];
    double a = 0, g = 0;
    for (int i = lane; i < layer.inputs; i += kWarp) {
      const double value = shared[layer.in + row * layer.inputs + i];
      a += value * value;
    }
    for (int o = lane; o < layer.units; o += kWarp) {
      const double value = shared[layer.grad + row * layer.units + o];
      g += value * value;
    }
    a = WarpSum(a);
    g = WarpSum(g);
    const bool usable = a <= kLongestSquared && g <= kLongestSquared;
    squared += usable ? g * (a + 1) : INFINITY;
  }
  const double norm = sqrt(squared);
  const double limit = head.clip_norm * plan.margin;
  const bool rejected = !(norm < INFINITY);
  if (lane == 0)
    seen = {.loss_sum = example && !rejected ? loss : 0.0,
            .clipped = example && !rejected && norm > head.clip_norm,
            .rejected = example && rejected};
  const bool zero = rejected || !example;
  if (!zero && norm <= limit) return;
  const float factor = zero ? 0 : static_cast<float>(limit / norm);
  for (int l = 0; l < plan.layer_count; ++l) {
    const SmallLayer& layer = plan.layers[l];
    for (int o = lane; o < layer.units; o += kWarp) {
      float& grad = shared[layer.grad + row * layer.units + o];
      grad = zero ? 0 : grad * factor;
    }
    for (int i = lane; zero && i < layer.inputs; i += kWarp)
      shared[layer.in + row * layer.inputs + i] = 0;
  }
}

__device__ void AddGradients(const SmallPlan& plan, const float* shared,
                             float* sum) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int l = 0; l < plan.layer_count; ++l) {
    const SmallLayer& layer = plan.layers[l];
    const float* grad = shared + layer.grad;
    const float* in = shared + layer.in;
    for (int u = warp; u < layer.units; u += kWarps) {
      float own[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) own[r] = grad[r * layer.units + u];
      for (int k = lane; k < layer.inputs; k += kWarp) {
        float part = 0;
#pragma unroll
        for (int r = 0; r < kRows; ++r)
          part += own[r] * in[r * layer.inputs + k];
        atomicAdd(sum + layer.weight + u * layer.inputs + k, part);
      }
    }
    for (int u = static_cast<int>(threadIdx.x); u < layer.units;
         u += kThreads) {
      float part = 0;
      for (int r = 0; r < kRows; ++r) part += grad[r * layer.units + u];
      atomicAdd(sum + layer.bias + u, part);
    }
  }
}

__device__ void AddTotals(const StepTotals (&parts)[kRows],
                          StepTotals& totals) {
  StepTotals sum = parts[0];
  for (int r = 1; r < kRows; ++r) {
    sum.loss_sum += parts[r].loss_sum;
    sum.clipped += parts[r].clipped;
    sum.rejected += parts[r].rejected;
  }
  atomicAdd(&totals.loss_sum, sum.loss_sum);
  if (sum.clipped > 0) atomicAdd(&totals.clipped, sum.clipped);
  if (sum.rejected > 0) atomicAdd(&totals.rejected, sum.rejected);
}

__global__ void SmallKernel(SmallPlan plan, const StepHead* head,
                            const std::uint32_t* rows,
                            const float* shard_features,
                            const float* shard_labels, const float* weights,
                            float* sum, StepTotals* totals) {
  extern __shared__ float shared[];
  const int first = static_cast<int>(blockIdx.x) * kRows;
  const int count = head->count - first;
  if (count <= 0) return;  // The whole block.
  LoadWeights(plan, weights, shared);
  const int in = plan.layers[0].in;
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int row = static_cast<int>(threadIdx.x) / kWarp;
  const std::size_t from = row < min(count, kRows) ? rows[first + row] : 0;
  for (int k = lane; row < kRows && k < plan.inputs; k += kWarp) {
    float* const to = shared + in + row * plan.inputs + k;
    if (row < count)
      __pipeline_memcpy_async(to, shard_features + from * plan.inputs + k,
                              sizeof(float));
    else
      *to = 0;
  }
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();
  Forward(plan, shared);
  const SmallLayer& last = plan.layers[plan.layer_count - 1];
  float* losses = shared + plan.shared_floats - kFloatsOfLosses;
  if (threadIdx.x < kRows) {
    const int r = static_cast<int>(threadIdx.x);
    float* grad = shared + last.grad + r * last.units;
    losses[r] = 0;
    if (r < count)
      losses[r] =
          LossOfRow(plan.loss, plan.outputs, shared + last.out + r * last.units,
                    shard_labels + static_cast<std::size_t>(rows[first + r]) *
                                       plan.label_width,
                    grad);
    else
      for (int o = 0; o < last.units; ++o) grad[o] = 0;
  }
  __syncthreads();
  Backward(plan, shared);
  __shared__ StepTotals parts[kRows];
  if (row < kRows)
    ClipRow(plan, *head, row < count, row, losses[row], shared, parts[row]);
  __syncthreads();
  AddGradients(plan, shared, sum);
  if (threadIdx.x == 0) AddTotals(parts, *totals);
}

}  // namespace

std::optional<SmallPlan> MakeSmallPlan(const Plan& plan, double margin) {
  if (plan.layers.size() > kMostLayers || plan.inputs > kWidest)
    return std::nullopt;
  SmallPlan small{.layer_count = static_cast<int>(plan.layers.size()),
                  .inputs = plan.inputs,
                  .outputs = plan.outputs,
                  .label_width = plan.label_width,
                  .loss = plan.loss,
                  .margin = margin};
  int next = 0;
  const auto take = [&](int floats) {
    const int at = next;
    next += floats;
    return at;
  };
  int in = take(kRows * plan.inputs);
  for (std::size_t l = 0; l < plan.layers.size(); ++l) {
    const LayerPlan& layer = plan.layers[l];
    if (layer.units > kWidest) return std::nullopt;
    SmallLayer& to = small.layers[l];
    to = {.inputs = layer.inputs,
          .units = layer.units,
          .stride = layer.inputs | 1,
          .activation = layer.activation,
          .weight = static_cast<int>(layer.weight),
          .bias = static_cast<int>(layer.bias)};
    to.shared_weight = take(layer.units * to.stride);
    to.shared_bias = take(layer.units);
    to.in = in;
    to.z = take(kRows * layer.units);
    to.out = take(kRows * layer.units);
    to.grad = take(kRows * layer.units);
    in = to.out;
  }
  take(kFloatsOfLosses);
  small.shared_floats = next;
  int most = 0;
  Must(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                              plan.device),
       "ask for its shared memory");
  const int bytes = next * static_cast<int>(sizeof(float));
  if (bytes > most) return std::nullopt;
  Must(cudaFuncSetAttribute(SmallKernel,
                            cudaFuncAttributeMaxDynamicSharedMemorySize, bytes),
       "use its shared memory");
  return small;
}

void AddSmallClippedSum(cudaStream_t stream, const SmallPlan& plan,
                        const StepHead* head, const std::uint32_t* rows, int B,
                        const float* shard_features, const float* shard_labels,
                        const float* weights, float* sum, StepTotals* totals) {
  const auto bytes =
      static_cast<std::size_t>(plan.shared_floats) * sizeof(float);
  SmallKernel<<<(B + kRows - 1) / kRows, kThreads, bytes, stream>>>(
      plan, head, rows, shard_features, shard_labels, weights, sum, totals);
  Must(cudaGetLastError(), "launch a kernel");
}

}  // namespace hearsay::model::cuda
