#include "model/cuda/bf16_engine.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "model/cuda/stopwatch.h"

namespace hearsay::model::cuda {

namespace {

// Of the clip norm. A clipped row's factor rounds each value once more, by up
// to 2^-9 of it, and sums of float32 need 2^-16, as elsewhere.
constexpr double kBf16Margin = 1 - 0x1p-8;
// The numbers of a batch's rows lie in shared memory.
constexpr int kMostRows = 1 << 15;
constexpr std::size_t kUploadValues = std::size_t{1} << 22;

std::size_t Size(int rows, int columns) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

}  // namespace

Bf16Engine::Bf16Engine(const Plan& plan, const Examples& shard,
                       const float* labels, float* weights)
    : losses_(static_cast<std::size_t>(plan.max_batch)) {
  if (plan.max_batch > kMostRows)
    throw std::runtime_error("CUDA: bf16 takes at most " +
                             std::to_string(kMostRows) +
                             " rows at a time: lower train.physical_batch");
  if (plan.outputs > kMostOutputs)
    throw std::runtime_error("CUDA: bf16 takes at most " +
                             std::to_string(kMostOutputs) + " outputs, not " +
                             std::to_string(plan.outputs) +
                             ": set train.precision = \"tf32\"");
  network_ = {.layers = {},
              .count = static_cast<int>(plan.layers.size()),
              .outputs = plan.outputs,
              .label_width = plan.label_width,
              .max_batch = plan.max_batch,
              .loss = plan.loss,
              .margin = kBf16Margin,
              .shard_squares = nullptr,
              .shard_labels = labels,
              .zero_row = static_cast<std::uint32_t>(shard.rows),
              .losses = losses_.get(),
              .weights = weights};
  Allocate(plan);
  UploadShard(shard);
  PrepareTiles(plan.max_batch);
  PrepareLastLayer(plan.outputs);
  ChooseShapes();
}

void Bf16Engine::Allocate(const Plan& plan) {
  const auto batch = static_cast<std::size_t>(plan.max_batch);
  buffers_.resize(plan.layers.size());
  for (const LayerPlan& layer : plan.layers)
    network_.grad_stride += Padded(layer.units);
  grads_ = Zeros<Bf16>(Size(plan.max_batch, network_.grad_stride));
  network_.grads = grads_.get();
  Bf16* grad = grads_.get();
  for (std::size_t l = 0; l < plan.layers.size(); ++l) {
    const LayerPlan& layer = plan.layers[l];
    const std::size_t units = Size(plan.max_batch, Padded(layer.units));
    const bool last = l + 1 == plan.layers.size();
    const bool keeps_z = !last && layer.activation == Activation::kGelu;
    Buffers& own = buffers_[l];
    own.rounded = Zeros<Bf16>(Size(layer.units, Padded(layer.inputs)));
    own.out = Zeros<Bf16>(last ? 0 : units);
    own.z = Zeros<Bf16>(keeps_z ? units : 0);
    own.in_squares = Zeros<double>(batch);
    own.grad_squares = Zeros<double>(batch);
    network_.layers[l] = {.inputs = layer.inputs,
                          .units = layer.units,
                          .activation = layer.activation,
                          .weight = layer.weight,
                          .bias = layer.bias,
                          .rounded = own.rounded.get(),
                          .in = l == 0 ? nullptr : buffers_[l - 1].out.get(),
                          .out = own.out.get(),
                          .z = own.z.get(),
                          .grad = grad,
                          .in_squares = own.in_squares.get(),
                          .grad_squares = own.grad_squares.get()};
    grad += Padded(layer.units);
  }
}

void Bf16Engine::UploadShard(const Examples& shard) {
  const int width = network_.layers[0].inputs;
  const auto padded = static_cast<std::size_t>(Padded(width));
  shard_ = Zeros<Bf16>((shard.rows + 1) * padded);
  shard_squares_ = Zeros<double>(shard.rows + 1);
  network_.layers[0].in = shard_.get();
  network_.shard_squares = shard_squares_.get();
  const auto values = static_cast<std::size_t>(width);
  const std::size_t at_once =
      std::min(shard.rows, std::max<std::size_t>(1, kUploadValues / values));
  const Memory<float> part(at_once * values);
  const Stream stream = MakeStream();
  for (std::size_t row = 0; row < shard.rows; row += at_once) {
    const std::size_t count = std::min(at_once, shard.rows - row);
    Upload(part.get(), shard.features.subspan(row * values, count * values),
           stream.get());
    Round(stream.get(), part.get(), count, width, shard_.get() + row * padded,
          shard_squares_.get() + row);
  }
  Must(cudaStreamSynchronize(stream.get()), "copy a shard");
}

// On rows of zeros: how long products take is a matter of sizes.
void Bf16Engine::ChooseShapes() {
  const StepHead full{.count = network_.max_batch};
  const Memory<StepHead> head(1);
  const std::vector<std::uint32_t> zeros(
      static_cast<std::size_t>(network_.max_batch), network_.zero_row);
  const Memory<std::uint32_t> rows(zeros.size());
  UploadNow(head.get(), std::span<const StepHead>(&full, 1));
  UploadNow(rows.get(), std::span<const std::uint32_t>(zeros));
  const Stopwatch watch;
  const auto quickest = [&](const auto& run) {
    int best = 0;
    float least = std::numeric_limits<float>::infinity();
    for (int shape = 0; shape < kTileShapes; ++shape) {
      const float took =
          watch.Time([&](cudaStream_t stream) { run(stream, shape); });
      if (took >= least) continue;
      least = took;
      best = shape;
    }
    return best;
  };
  for (int l = 0; l + 1 < network_.count; ++l)
    project_shapes_.push_back(quickest([&](cudaStream_t stream, int shape) {
      ProjectTiles(stream, shape, network_, l, head.get(), rows.get());
    }));
  for (int l = 0; l + 1 < network_.count; ++l)
    back_shapes_.push_back(
        l == 0 ? 0 : quickest([&](cudaStream_t stream, int shape) {
          ProjectBackTiles(stream, shape, network_, l, head.get());
        }));
  // Nothing but sums: weights stay as they are.
  std::size_t parameters = 0;
  for (int l = 0; l < network_.count; ++l) {
    const Bf16Layer& layer = network_.layers[l];
    parameters = std::max(parameters,
                          layer.bias + static_cast<std::size_t>(layer.units));
  }
  const Memory<float> sum(parameters);
  outer_shape_ = quickest([&](cudaStream_t stream, int shape) {
    OuterTiles(stream, shape, network_, head.get(), rows.get(),
               {.first = true, .last = false, .sum = sum.get()});
  });
  // What was added up meanwhile.
  for (const Buffers& own : buffers_) {
    Must(cudaMemset(own.in_squares.get(), 0, own.in_squares.bytes()), "clear");
    Must(cudaMemset(own.grad_squares.get(), 0, own.grad_squares.bytes()),
         "clear");
  }
  Must(cudaDeviceSynchronize(), "measure");
}

void Bf16Engine::WeightsChanged(cudaStream_t stream) {
  RoundWeights(stream, network_);
}

void Bf16Engine::Backward(cudaStream_t stream, const StepHead* head,
                          const std::uint32_t* rows) {
  for (int l = 0; l + 1 < network_.count; ++l)
    ProjectTiles(stream, project_shapes_[static_cast<std::size_t>(l)], network_,
                 l, head, rows);
  LastLayer(stream, network_, head, rows);
  for (int l = network_.count - 2; l > 0; --l)
    ProjectBackTiles(stream, back_shapes_[static_cast<std::size_t>(l)],
                     network_, l, head);
}

void Bf16Engine::Clip(cudaStream_t stream, const StepHead* head,
                      std::uint32_t* rows, StepTotals* totals) {
  ClipBf16Rows(stream, network_, head, rows, totals);
}

void Bf16Engine::Sum(cudaStream_t stream, const StepHead* head,
                     const std::uint32_t* rows, const OuterTerms& terms) {
  OuterTiles(stream, outer_shape_, network_, head, rows, terms);
}

}  // namespace hearsay::model::cuda
