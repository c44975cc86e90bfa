#include "model/cuda/engine.h"

#include <cstdint>
#include <stdexcept>
#include <string>

namespace hearsay::model::cuda {

namespace {

// What cuBLAS asks for on this generation of devices.
constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;
constexpr std::size_t kSideWorkspaceBytes = std::size_t{8} << 20;
constexpr std::uintptr_t kBiasAlignment = 16;
// Of the clip norm, where both operands of a product are rounded to 10 bits.
constexpr double kTf32Margin = 1 - 0x1p-9;

std::size_t Size(int rows, int columns) {
  return static_cast<std::size_t>(rows) * static_cast<std::size_t>(columns);
}

}  // namespace

Engine::Engine(const Plan& plan)
    : plan_(plan),
      weights_(plan.parameters),
      sum_(plan.parameters),
      features_(Size(plan.max_batch, plan.inputs)),
      labels_(Size(plan.max_batch, plan.label_width)),
      losses_(static_cast<std::size_t>(plan.max_batch)),
      lt_(MakeLt()),
      workspace_(kWorkspaceBytes),
      forked_(MakeEvent()) {
  for (const auto& layer : plan.layers) {
    const std::size_t values = Size(plan.max_batch, layer.units);
    layers_.push_back({.plan = layer,
                       .z = Memory<float>(values),
                       .out = Memory<float>(
                           layer.activation == Activation::kGelu ? values : 0),
                       .grad = Memory<float>(values)});
  }
  MakeProducts();
  views_.count = static_cast<int>(layers_.size());
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    views_.layers[l] = {.in = InputOf(l),
                        .grad = layer.grad.get(),
                        .out = layer.result(),
                        .z = layer.z.get(),
                        .bias_sum = sum_.get() + layer.plan.bias,
                        .inputs = layer.plan.inputs,
                        .units = layer.plan.units,
                        .activation = layer.plan.activation};
  }
}

void Engine::MakeProducts() {
  GemmTerms terms{.lt = lt_.get(),
                  .workspace = workspace_.get(),
                  .workspace_bytes = kWorkspaceBytes,
                  .tf32 = rounds()};
  GemmTerms side_terms = terms;
  side_terms.workspace_bytes = kSideWorkspaceBytes;
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    Layer& layer = layers_[l];
    const auto& shape = layer.plan;
    const float* weight = weights_.get() + shape.weight;
    const float* bias = weights_.get() + shape.bias;
    layer.biased = reinterpret_cast<std::uintptr_t>(bias) % kBiasAlignment == 0;
    layer.fused = layer.biased && (shape.activation == Activation::kRelu ||
                                   shape.activation == Activation::kNone);
    const auto epilogue = !layer.biased ? Gemm::Epilogue::kNone
                          : layer.fused && shape.activation == Activation::kRelu
                              ? Gemm::Epilogue::kReluBias
                              : Gemm::Epilogue::kBias;
    forward_.push_back(Gemm::Project(terms, plan_.max_batch, shape.inputs,
                                     shape.units, InputOf(l), weight, bias,
                                     epilogue, layer.z.get()));
    if (l > 0)
      backward_.push_back(Gemm::ProjectBack(
          terms, plan_.max_batch, shape.inputs, shape.units, layer.grad.get(),
          weight, layers_[l - 1].grad.get()));
    outer_.push_back(Gemm::OuterProducts(
        l == 0 ? terms : side_terms, plan_.max_batch, shape.inputs, shape.units,
        layer.grad.get(), InputOf(l), sum_.get() + shape.weight));
    sides_.push_back(
        {.stream = MakeStream(),
         .done = MakeEvent(),
         .workspace = Memory<std::byte>(l == 0 ? 0 : kSideWorkspaceBytes)});
  }
}

double Engine::margin() const {
  return rounds() ? kTf32Margin : kFloat32Margin;
}

const float* Engine::outputs() const { return layers_.back().result(); }

void Engine::Forward(cudaStream_t stream) {
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    forward_[l].Run(stream, 0, workspace_.get());
    if (layer.fused) continue;
    AddBiasAndActivate(
        stream, layer.plan.activation, plan_.max_batch, layer.plan.units,
        layer.biased ? nullptr : weights_.get() + layer.plan.bias,
        layer.z.get(), layer.result());
  }
}

void Engine::Losses(cudaStream_t stream, const StepHead* head,
                    StepTotals* totals) {
  LossGradients(stream, plan_.loss, head, plan_.max_batch, plan_.outputs,
                outputs(), labels_.get(), losses_.get(),
                layers_.back().grad.get(), totals);
}

// The first layer's derivative is left to ClipRows, which reads it anyway.
void Engine::Backward(cudaStream_t stream) {
  for (std::size_t l = layers_.size() - 1; l > 0; --l) {
    const Layer& layer = layers_[l];
    MultiplyByDerivative(stream, layer.plan.activation, plan_.max_batch,
                         layer.plan.units, layer.z.get(), layer.result(),
                         layer.grad.get());
    backward_[l - 1].Run(stream, 0, workspace_.get());
  }
}

void Engine::Clip(cudaStream_t stream, const StepHead* head, float* norms,
                  StepTotals* totals, bool clip) {
  ClipRows(stream, views_, plan_.max_batch,
           {.head = head,
            .losses = losses_.get(),
            .norms = norms,
            .totals = totals,
            .margin = margin(),
            .clip = clip});
}

void Engine::SumGradients(cudaStream_t stream, float beta) {
  Must(cudaEventRecord(forked_.get(), stream), "fork a stream");
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const Side& side = sides_[l];
    Must(cudaStreamWaitEvent(side.stream.get(), forked_.get(), 0),
         "fork a stream");
    // The first layer's product is the largest: it stays here. In its stead
    // the biases take a side.
    if (l == 0)
      SumRows(side.stream.get(), views_, plan_.max_batch, beta);
    else
      outer_[l].Run(side.stream.get(), beta, side.workspace.get());
    Must(cudaEventRecord(side.done.get(), side.stream.get()), "join a stream");
  }
  outer_[0].Run(stream, beta, workspace_.get());
  for (const auto& side : sides_)
    Must(cudaStreamWaitEvent(stream, side.done.get(), 0), "join a stream");
}

}  // namespace hearsay::model::cuda
