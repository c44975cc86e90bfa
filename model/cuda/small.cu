#include <algorithm>

#include "model/cuda/device.h"
#include "model/cuda/instructions.cuh"
#include "model/cuda/launch.cuh"
#include "model/cuda/loss.cuh"
#include "model/cuda/small.h"
#include "model/cuda/update.cuh"

namespace hearsay::model::cuda {

namespace {

constexpr int kRows = 8;  // of a block
constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
// Behind those: they draw noise meanwhile.
constexpr int kNoiseThreads = 128;
static_assert(kWarps >= kRows, "one warp a row where rows are for warps");
// Wider layers are better off with tiled products.
constexpr int kWidest = 128;

// Those who draw no noise wait for each other.
__device__ void SyncWorkers() { SyncFirst<kThreads>(); }

// A warp a row of weights: no divisions, and all copies under way at once.
__device__ void LoadWeights(const SmallPlan& plan, const float* weights,
                            float* shared) {
  const int lane = Lane();
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  for (int l = 0; l < plan.layer_count; ++l) {
    const SmallLayer& layer = plan.layers[l];
    for (int u = warp; u < layer.units; u += kWarps)
      for (int k = lane; k < layer.inputs; k += kWarp)
        CopyWord(
            SharedAddress(shared + layer.shared_weight + u * layer.stride + k),
            weights + layer.weight + u * layer.inputs + k);
    for (int u = static_cast<int>(threadIdx.x); u < layer.units; u += kThreads)
      CopyWord(SharedAddress(shared + layer.shared_bias + u),
               weights + layer.bias + u);
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
    SyncWorkers();
  }
}

__device__ void Backward(const SmallPlan& plan, float* shared) {
  for (int l = plan.layer_count - 1; l >= 0; --l) {
    const SmallLayer& layer = plan.layers[l];
    for (int i = static_cast<int>(threadIdx.x); i < kRows * layer.units;
         i += kThreads)
      shared[layer.grad + i] *= Derivative(
          layer.activation, shared[layer.z + i], shared[layer.out + i]);
    SyncWorkers();
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
    SyncWorkers();
  }
}

// One warp a row, as ClipKernel: rejected rows become zero, and rows of none.
__device__ void ClipRow(const SmallPlan& plan, const StepHead& head,
                        bool example, int row, float loss, float* shared,
                        StepTotals& seen) {
  const int lane = Lane();
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
  const double limit = head.clip_norm * kFloat32Margin;
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
  const int lane = Lane();
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

// This block's share of the noise: a thread a pair of normals.
__device__ void DrawShare(const StepHead& head, int parameters, double* noise) {
  constexpr int kPairs = kNormalsPerBlock / 2;
  const int chunks = (parameters + kNormalsPerBlock - 1) / kNormalsPerBlock;
  const int thread = static_cast<int>(threadIdx.x) - kThreads;
  const int blocks = static_cast<int>(gridDim.x);
  for (int chunk = static_cast<int>(blockIdx.x) + thread / kPairs * blocks;
       chunk < chunks; chunk += kNoiseThreads / kPairs * blocks) {
    std::uint32_t words[16];
    ChaCha20Block(head.key, static_cast<std::uint32_t>(chunk), words);
    double first = 0, second = 0;
    NormalPair(words, thread % kPairs, first, second);
    const int at = chunk * kNormalsPerBlock + thread % kPairs * 2;
    if (at < parameters) noise[at] = head.noise_stddev * first;
    if (at + 1 < parameters) noise[at + 1] = head.noise_stddev * second;
  }
}

// Whether this block is the last of the grid to come here; what the others
// wrote before is there then.
__device__ bool LastToArrive(unsigned* arrived) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0)
    last = atomicInc(arrived, gridDim.x - 1) == gridDim.x - 1;
  __syncthreads();
  __threadfence();
  return last;
}

__device__ void FinishStep(const StepHead& head, int parameters,
                           const SmallTerms& terms) {
  // All is fetched before anything is stored: a thread waits once for each.
  constexpr int kEach = 8;
  constexpr int kAll = kThreads + kNoiseThreads;
  for (int first = static_cast<int>(threadIdx.x); first < parameters;
       first += kEach * kAll) {
    float sums[kEach], weights[kEach];
    double noise[kEach];
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const int i = first + k * kAll;
      if (i >= parameters) continue;
      // Past the first cache, which knows nothing of other blocks.
      sums[k] = __ldcg(terms.sum + i);
      noise[k] = head.noise_stddev > 0 ? __ldcg(terms.noise + i) : 0;
      weights[k] = __ldcg(terms.weights + i);
    }
#pragma unroll
    for (int k = 0; k < kEach; ++k) {
      const int i = first + k * kAll;
      if (i >= parameters) continue;
      terms.gradient[i] = UpdateOne(head, sums[k], noise[k], weights[k]);
      terms.weights[i] = weights[k];
      terms.sum[i] = 0;
    }
  }
}

// What the first kThreads do, once the head and the rows' numbers are there:
// the rows of this block, up to their gradients in `sum`.
__device__ void AddRows(const SmallPlan& plan, const StepHead& head,
                        const std::uint32_t (&numbers)[kRows],
                        const SmallTerms& terms, float* shared) {
  __shared__ StepTotals parts[kRows];
  const int first = static_cast<int>(blockIdx.x) * kRows;
  const int count = max(0, min(head.count - first, kRows));
  const int in = plan.layers[0].in;
  const int lane = Lane();
  const int row = static_cast<int>(threadIdx.x) / kWarp;
  const bool example = row < count;
  const std::size_t from = example ? numbers[row] : 0;
  for (int k = lane; row < kRows && k < plan.inputs; k += kWarp) {
    float* const to = shared + in + row * plan.inputs + k;
    if (example)
      CopyWord(SharedAddress(to), terms.features + from * plan.inputs + k);
    else
      *to = 0;
  }
  CommitCopies();
  WaitForCopies<0>();
  SyncWorkers();
  Forward(plan, shared);
  const SmallLayer& last = plan.layers[plan.layer_count - 1];
  float loss = 0;
  if (row < kRows) {
    float* grad = shared + last.grad + row * last.units;
    if (example)
      loss = LossOfRow(plan.loss, plan.outputs,
                       shared + last.out + row * last.units,
                       terms.labels + from * plan.label_width, grad)
                 .loss;
    else
      for (int o = lane; o < last.units; o += kWarp) grad[o] = 0;
  }
  SyncWorkers();
  Backward(plan, shared);
  if (row < kRows) ClipRow(plan, head, example, row, loss, shared, parts[row]);
  SyncWorkers();
  AddGradients(plan, shared, terms.sum);
  if (threadIdx.x == 0) AddTotals(parts, *terms.totals);
}

__global__ void SmallKernel(const __grid_constant__ SmallPlan plan,
                            const StepHead* told, const std::uint32_t* rows,
                            const __grid_constant__ SmallTerms terms) {
  auto* const shared = DynamicShared<float>();
  __shared__ StepHead head;
  __shared__ std::uint32_t numbers[kRows];
  const int thread = static_cast<int>(threadIdx.x);
  const bool works = thread < kThreads;
  // Both may lie beyond the bus: fetched once, by as many threads as there are
  // words.
  constexpr int kWords = sizeof(StepHead) / sizeof(std::uint32_t);
  static_assert(kWords + kRows <= kNoiseThreads);
  const int word = thread - kThreads;
  if (works)
    LoadWeights(plan, terms.weights, shared);
  else if (word < kWords)
    reinterpret_cast<std::uint32_t*>(&head)[word] =
        reinterpret_cast<const std::uint32_t*>(told)[word];
  else if (word < kWords + kRows)
    numbers[word - kWords] =
        rows[static_cast<int>(blockIdx.x) * kRows + word - kWords];
  __syncthreads();
  if (works)
    AddRows(plan, head, numbers, terms, shared);
  else if (terms.last && head.noise_stddev > 0)
    DrawShare(head, plan.parameters, terms.noise);
  if (terms.last && LastToArrive(terms.arrived))
    FinishStep(head, plan.parameters, terms);
}

}  // namespace

std::optional<SmallPlan> MakeSmallPlan(const Plan& plan) {
  if (plan.inputs > kWidest) return std::nullopt;
  SmallPlan small{.layer_count = static_cast<int>(plan.layers.size()),
                  .inputs = plan.inputs,
                  .outputs = plan.outputs,
                  .label_width = plan.label_width,
                  .parameters = static_cast<int>(plan.parameters),
                  .loss = plan.loss};
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
  small.shared_floats = next;
  int most = 0;
  Must(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin,
                              plan.device),
       "ask for its shared memory");
  const int bytes = next * static_cast<int>(sizeof(float));
  if (bytes > most) return std::nullopt;
  AllowShared(SmallKernel, static_cast<std::size_t>(bytes));
  return small;
}

void AddSmallClippedSum(cudaStream_t stream, const SmallPlan& plan,
                        const StepHead* head, const std::uint32_t* rows,
                        int count, const SmallTerms& terms) {
  const auto bytes =
      static_cast<std::size_t>(plan.shared_floats) * sizeof(float);
  const int blocks = std::max(1, (count + kRows - 1) / kRows);
  Launch(stream, false, dim3(static_cast<unsigned>(blocks)),
         dim3(kThreads + kNoiseThreads), bytes, SmallKernel, plan, head, rows,
         terms);
}

}  // namespace hearsay::model::cuda
