// The passes of bf16.h that are products of matrices, each with what is done to
// its elements on the way out.
#include "model/cuda/bf16.h"
#include "model/cuda/launch.cuh"
#include "model/cuda/tiles.cuh"
#include "model/cuda/update.cuh"

namespace hearsay::model::cuda {

namespace {

template <int kM, int kN>
using ProjectProduct = TileProduct<kM, kN, Lie::kAlongK, Lie::kAlongK>;
template <int kM, int kN>
using BackProduct = TileProduct<kM, kN, Lie::kAlongK, Lie::kAcrossK>;
template <int kM, int kN>
using OuterProduct = TileProduct<kM, kN, Lie::kAcrossK, Lie::kAcrossK>;

// Where a thread's pairs of products lie: of rows i, half and columns j.
template <typename Product>
struct Place {
  static __device__ int Row(int m, int i, int half) {
    return m + Product::FirstM() + 16 * i + 8 * half + Lane() / 4;
  }
  static __device__ int Column(int n, int j) {
    return n + Product::FirstN() + 8 * j + Lane() % 4 * 2;
  }
};

struct Kept {
  int rows = 0, columns = 0;  // of what there is; padding is kept as 0
  Bf16* to = nullptr;
  int stride = 0;
  double* squares = nullptr;  // (rows), or none; added to
};

// next(i, half, j, values) gives what is kept of a pair of products.
template <typename Product, typename Next>
__device__ void KeepRows(const typename Product::Sums& sums, int m, int n,
                         const Kept& kept, Next next) {
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = Place<Product>::Row(m, i, half);
      double squared = 0;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int column = Place<Product>::Column(n, j);
        if (row >= kept.rows || column >= Padded(kept.columns)) continue;
        float2 value = next(i, half, j,
                            make_float2(sums.values[i][j][2 * half],
                                        sums.values[i][j][2 * half + 1]));
        if (column >= kept.columns) value.x = 0;
        if (column + 1 >= kept.columns) value.y = 0;
        const __nv_bfloat162 pair = __float22bfloat162_rn(value);
        *reinterpret_cast<__nv_bfloat162*>(kept.to +
                                           At(row, kept.stride, column)) = pair;
        const double x = __bfloat162float(pair.x), y = __bfloat162float(pair.y);
        squared += x * x + y * y;
      }
      if (kept.squares == nullptr) continue;
      squared += __shfl_xor_sync(kAllLanes, squared, 1);
      squared += __shfl_xor_sync(kAllLanes, squared, 2);
      if (Lane() % 4 == 0 && row < kept.rows)
        atomicAdd(kept.squares + row, squared);
    }
}

// The pairs of a matrix, or of none, that lie where this thread's products do.
struct Pairs {
  __nv_bfloat162 values[2][2][4];
};
template <typename Product>
__device__ Pairs LoadPairs(const Bf16* from, int m, int n, int rows,
                           int width) {
  Pairs pairs;
#pragma unroll
  for (int i = 0; i < 2; ++i)
#pragma unroll
    for (int half = 0; half < 2; ++half)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int row = Place<Product>::Row(m, i, half);
        const int column = Place<Product>::Column(n, j);
        const bool real = from != nullptr && row < rows && column < width;
        pairs.values[i][half][j] =
            real ? *reinterpret_cast<const __nv_bfloat162*>(
                       from + At(row, width, column))
                 : __nv_bfloat162(Bf16(0.0F), Bf16(0.0F));
      }
  return pairs;
}

template <int kM, int kN>
__global__ void ProjectKernel(const __grid_constant__ Bf16Layer layer,
                              double* out_squares, int max_batch,
                              const float* biases, const StepHead* head,
                              const std::uint32_t* rows) {
  using Product = ProjectProduct<kM, kN>;
  auto* const shared = DynamicShared<std::byte>();
  LetNextBegin();
  const int m = static_cast<int>(blockIdx.y) * kM;
  const int n = static_cast<int>(blockIdx.x) * kN;
  float2 bias[4];
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int column = Place<Product>::Column(n, j);
    const float* const from = biases + layer.bias + column;
    bias[j].x = column < layer.units ? from[0] : 0;
    bias[j].y = column + 1 < layer.units ? from[1] : 0;
  }
  AwaitPrevious();
  if (m >= head->count) return;
  const int width = Padded(layer.inputs);
  const TileSource in{.at = layer.in,
                      .rows = rows,
                      .stride = width,
                      .row_count = max_batch,
                      .width = width};
  const TileSource weight{.at = layer.rounded,
                          .stride = width,
                          .row_count = layer.units,
                          .width = width};
  typename Product::Sums sums;
  Product::Run(in, weight, m, n, layer.inputs, SharedAddress(shared), sums);
  const int out_width = Padded(layer.units);
  KeepRows<Product>(
      sums, m, n,
      {.rows = max_batch,
       .columns = layer.units,
       .to = layer.out,
       .stride = out_width,
       .squares = out_squares},
      [&](int i, int half, int j, float2 z) {
        z.x += bias[j].x;
        z.y += bias[j].y;
        if (layer.z != nullptr)
          *reinterpret_cast<__nv_bfloat162*>(
              layer.z + At(Place<Product>::Row(m, i, half), out_width,
                           Place<Product>::Column(n, j))) =
              __float22bfloat162_rn(z);
        return make_float2(Activate(layer.activation, z.x),
                           Activate(layer.activation, z.y));
      });
}

template <int kM, int kN>
__global__ void ProjectBackKernel(const __grid_constant__ Bf16Layer layer,
                                  const __grid_constant__ Bf16Layer below,
                                  int grad_stride, double* squares,
                                  int max_batch, const StepHead* head) {
  using Product = BackProduct<kM, kN>;
  auto* const shared = DynamicShared<std::byte>();
  LetNextBegin();
  const int m = static_cast<int>(blockIdx.y) * kM;
  const int n = static_cast<int>(blockIdx.x) * kN;
  AwaitPrevious();
  if (m >= head->count) return;
  // Before the product, which hides how long it takes.
  const int width = Padded(layer.inputs);
  const Pairs out = LoadPairs<Product>(below.out, m, n, max_batch, width);
  const Pairs z = LoadPairs<Product>(below.z, m, n, max_batch, width);
  const TileSource grad{.at = layer.grad,
                        .stride = grad_stride,
                        .row_count = max_batch,
                        .width = Padded(layer.units)};
  const TileSource weight{.at = layer.rounded,
                          .stride = width,
                          .row_count = layer.units,
                          .width = width};
  typename Product::Sums sums;
  Product::Run(grad, weight, m, n, layer.units, SharedAddress(shared), sums);
  KeepRows<Product>(
      sums, m, n,
      {.rows = max_batch,
       .columns = below.units,
       .to = below.grad,
       .stride = grad_stride,
       .squares = squares},
      [&](int i, int half, int j, float2 value) {
        const float2 o = __bfloat1622float2(out.values[i][half][j]);
        const float2 s = __bfloat1622float2(z.values[i][half][j]);
        return make_float2(value.x * Derivative(below.activation, s.x, o.x),
                           value.y * Derivative(below.activation, s.y, o.y));
      });
}

// What a parameter's sum meets at the end, fetched before anything is stored.
struct Met {
  float sum = 0, weight = 0;
  double noise = 0;
};
__device__ inline Met Meet(const Bf16Network& network, const OuterTerms& terms,
                           std::size_t at) {
  Met met;
  if (!terms.first) met.sum = terms.sum[at];
  if (!terms.last) return met;
  met.weight = network.weights[at];
  met.noise = __ldg(terms.noise + at);
  return met;
}

// `rounded`: the copy of a weight, or null.
__device__ inline void Finish(const Bf16Network& network, const StepHead& head,
                              const OuterTerms& terms, std::size_t at,
                              float part, const Met& met, Bf16* rounded) {
  const float sum = met.sum + part;
  if (!terms.last) {
    terms.sum[at] = sum;
    return;
  }
  float weight = met.weight;
  terms.gradient[at] = UpdateOne(head, sum, met.noise, weight);
  if (head.learning_rate == 0) return;
  network.weights[at] = weight;
  if (rounded != nullptr) *rounded = Bf16(weight);
}

// A thread's share of a tile of (units, inputs).
template <typename Product>
__device__ void FinishTile(const Bf16Network& network, const Bf16Layer& layer,
                           const StepHead& head, const OuterTerms& terms,
                           const typename Product::Sums& sums, int m, int n) {
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    Met met[2][4][2];
#pragma unroll
    for (int e = 0; e < 16; ++e) {
      const int unit = Place<Product>::Row(m, i, e / 8);
      const int input = Place<Product>::Column(n, e / 2 % 4) + e % 2;
      if (unit < layer.units && input < layer.inputs)
        met[e / 8][e / 2 % 4][e % 2] =
            Meet(network, terms, layer.weight + At(unit, layer.inputs, input));
    }
#pragma unroll
    for (int e = 0; e < 16; ++e) {
      const int unit = Place<Product>::Row(m, i, e / 8);
      const int input = Place<Product>::Column(n, e / 2 % 4) + e % 2;
      if (unit < layer.units && input < layer.inputs)
        Finish(network, head, terms,
               layer.weight + At(unit, layer.inputs, input),
               sums.values[i][e / 2 % 4][e / 8 * 2 + e % 2],
               met[e / 8][e / 2 % 4][e % 2],
               layer.rounded + At(unit, Padded(layer.inputs), input));
    }
  }
  if (n != 0 || Product::FirstN() != 0 || Lane() % 4 != 0) return;
#pragma unroll
  for (int e = 0; e < 4; ++e) {
    const int unit = Place<Product>::Row(m, e / 2, e % 2);
    if (unit >= layer.units) continue;
    const std::size_t at = layer.bias + static_cast<std::size_t>(unit);
    Finish(network, head, terms, at, sums.rows[e / 2][e % 2 * 2],
           Meet(network, terms, at), nullptr);
  }
}

// The first block of each layer's.
struct OuterGrid {
  int first_block[kMostLayers + 1] = {};
};

template <int kM, int kN>
OuterGrid GridOf(const Bf16Network& network) {
  OuterGrid grid;
  for (int l = 0; l < network.count; ++l) {
    const Bf16Layer& layer = network.layers[l];
    grid.first_block[l + 1] =
        grid.first_block[l] +
        (layer.units + kM - 1) / kM * ((layer.inputs + kN - 1) / kN);
  }
  return grid;
}

// Blocks are tiles of the layers' gradients (units, inputs).
template <int kM, int kN>
__global__ void OuterKernel(const __grid_constant__ Bf16Network network,
                            const __grid_constant__ OuterGrid grid,
                            const StepHead* head, const std::uint32_t* rows,
                            const __grid_constant__ OuterTerms terms) {
  using Product = OuterProduct<kM, kN>;
  auto* const shared = DynamicShared<std::byte>();
  const int block = static_cast<int>(blockIdx.x);
  int l = 0;
  while (block >= grid.first_block[l + 1]) ++l;
  const Bf16Layer& layer = network.layers[l];
  const int across = (layer.inputs + kN - 1) / kN;
  const int m = (block - grid.first_block[l]) / across * kM;
  const int n = (block - grid.first_block[l]) % across * kN;
  AwaitPrevious();
  const StepHead told = *head;
  auto* const numbers =
      reinterpret_cast<std::uint32_t*>(shared + Product::kSharedBytes);
  if (l == 0) {
    for (int i = static_cast<int>(threadIdx.x); i < network.max_batch;
         i += Product::kThreads)
      numbers[i] = rows[i];
    __syncthreads();
  }
  const TileSource grad{.at = layer.grad,
                        .stride = network.grad_stride,
                        .row_count = told.count,
                        .width = Padded(layer.units)};
  const TileSource in{.at = layer.in,
                      .rows = l == 0 ? numbers : nullptr,
                      .stride = Padded(layer.inputs),
                      .row_count = told.count,
                      .width = Padded(layer.inputs)};
  typename Product::Sums sums;
  if (n == 0)
    Product::template Run<true>(grad, in, m, n, told.count,
                                SharedAddress(shared), sums);
  else
    Product::Run(grad, in, m, n, told.count, SharedAddress(shared), sums);
  FinishTile<Product>(network, layer, told, terms, sums, m, n);
}

template <int kTileM, int kTileN>
struct Shape {
  static constexpr int kM = kTileM, kN = kTileN;
};
template <typename Call>
void WithShape(int shape, Call call) {
  static_assert(kTileShapes == 2);
  if (shape == 0)
    call(Shape<64, 64>{});
  else
    call(Shape<128, 64>{});
}

template <typename Product>
std::size_t SharedOf(int numbers = 0) {
  return Product::kSharedBytes +
         static_cast<std::size_t>(numbers) * sizeof(std::uint32_t);
}

dim3 TileGrid(int rows, int columns, int m, int n) {
  return dim3(static_cast<unsigned>((columns + n - 1) / n),
              static_cast<unsigned>((rows + m - 1) / m));
}

}  // namespace

void PrepareTiles(int max_batch) {
  for (int shape = 0; shape < kTileShapes; ++shape)
    WithShape(shape, [&]<typename S>(S) {
      AllowShared(ProjectKernel<S::kM, S::kN>,
                  SharedOf<ProjectProduct<S::kM, S::kN>>());
      AllowShared(ProjectBackKernel<S::kM, S::kN>,
                  SharedOf<BackProduct<S::kM, S::kN>>());
      AllowShared(OuterKernel<S::kM, S::kN>,
                  SharedOf<OuterProduct<S::kM, S::kN>>(max_batch));
    });
}

void ProjectTiles(cudaStream_t stream, int shape, const Bf16Network& network,
                  int l, const StepHead* head, const std::uint32_t* rows) {
  const Bf16Layer& layer = network.layers[l];
  // The last layer's inputs are measured where they are read.
  double* const squares =
      l + 2 < network.count ? network.layers[l + 1].in_squares : nullptr;
  WithShape(shape, [&]<typename S>(S) {
    using Product = ProjectProduct<S::kM, S::kN>;
    Launch(stream, l > 0,
           TileGrid(network.max_batch, Padded(layer.units), S::kM, S::kN),
           dim3(Product::kThreads), SharedOf<Product>(),
           ProjectKernel<S::kM, S::kN>, layer, squares, network.max_batch,
           network.weights, head, l == 0 ? rows : nullptr);
  });
}

void ProjectBackTiles(cudaStream_t stream, int shape,
                      const Bf16Network& network, int l, const StepHead* head) {
  const Bf16Layer& below = network.layers[l - 1];
  WithShape(shape, [&]<typename S>(S) {
    using Product = BackProduct<S::kM, S::kN>;
    Launch(stream, true,
           TileGrid(network.max_batch, Padded(below.units), S::kM, S::kN),
           dim3(Product::kThreads), SharedOf<Product>(),
           ProjectBackKernel<S::kM, S::kN>, network.layers[l], below,
           network.grad_stride, below.grad_squares, network.max_batch, head);
  });
}

void OuterTiles(cudaStream_t stream, int shape, const Bf16Network& network,
                const StepHead* head, const std::uint32_t* rows,
                const OuterTerms& terms) {
  WithShape(shape, [&]<typename S>(S) {
    using Product = OuterProduct<S::kM, S::kN>;
    const OuterGrid grid = GridOf<S::kM, S::kN>(network);
    Launch(stream, true,
           dim3(static_cast<unsigned>(grid.first_block[network.count])),
           dim3(Product::kThreads), SharedOf<Product>(network.max_batch),
           OuterKernel<S::kM, S::kN>, network, grid, head, rows, terms);
  });
}

}  // namespace hearsay::model::cuda
