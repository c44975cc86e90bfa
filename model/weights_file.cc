#include "model/weights_file.h"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>

namespace hearsay::model {

namespace {

const std::string& Find(const SafetensorsFile& file, const char* key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end())
    Fail(file.path(), fmt::format("has no \"{}\" in its metadata: not a "
                                  "checkpoint or weights of Hearsay",
                                  key));
  return found->second;
}

ModelSpec ReadSpec(const SafetensorsFile& file) {
  const std::string& kind = Find(file, kKindKey);
  if (kind != kCheckpointKind && kind != kWeightsKind)
    Fail(file.path(),
         fmt::format("is a \"{}\", not a checkpoint or weights", kind));
  try {
    return ParseCanonical(Find(file, kModelKey));
  } catch (const std::invalid_argument& error) {
    Fail(file.path(), error.what());
  }
}

std::string LayerOf(const ModelSpec& spec, const ParameterSlice& slice) {
  return fmt::format("layer {} ({})", slice.layer,
                     TypeName(spec.layers[slice.layer]));
}

bool Has(const SafetensorsFile& file, const std::string& name) {
  return std::any_of(file.tensors().begin(), file.tensors().end(),
                     [&](const Tensor& tensor) { return tensor.name == name; });
}

// What a checkpoint holds beside the weights.
bool IsState(const std::string& name) {
  return name.starts_with(kOptimizerPrefix) ||
         name.starts_with(kMixingPrefix) || name.starts_with(kEmaPrefix);
}

std::string NamesIn(const SafetensorsFile& file) {
  constexpr std::size_t kMostNames = 8;
  std::vector<std::string> names;
  for (const Tensor& tensor : file.tensors())
    if (!IsState(tensor.name)) names.push_back(tensor.name);
  const std::size_t all = names.size();
  names.resize(std::min(all, kMostNames));
  return fmt::format("{}{}", fmt::join(names, ", "),
                     all > kMostNames ? ", ..." : "");
}

void RequireTensor(const SafetensorsFile& file, const ModelSpec& spec,
                   const ParameterSlice& slice, const std::string& name) {
  if (!Has(file, name))
    Fail(file.path(),
         fmt::format("has no tensor \"{}\" of shape {} for {} of the model; it "
                     "has: {}",
                     name, slice.shape, LayerOf(spec, slice), NamesIn(file)));
}

// The tensor's values; `slice` says what they must be.
std::span<const float> CheckedValues(const SafetensorsFile& file,
                                     const ModelSpec& spec,
                                     const ParameterSlice& slice,
                                     const std::string& name) {
  RequireTensor(file, spec, slice, name);
  const Tensor& tensor = file.At(name);
  if (tensor.shape != slice.shape)
    Fail(file.path(),
         fmt::format("tensor \"{}\" has shape {}, {} of its model needs {}",
                     name, tensor.shape, LayerOf(spec, slice), slice.shape));
  const std::span<const float> values = file.Floats(name);
  const auto bad = std::find_if(values.begin(), values.end(),
                                [](float v) { return !std::isfinite(v); });
  if (bad != values.end())
    Fail(file.path(),
         fmt::format("tensor \"{}\" has a value that is not finite, at {}",
                     name, bad - values.begin()));
  return values;
}

void RefuseStrangers(const SafetensorsFile& file,
                     const std::vector<ParameterSlice>& slices) {
  std::set<std::string> known;
  for (const ParameterSlice& slice : slices) known.insert(slice.name);
  for (const Tensor& tensor : file.tensors())
    if (!known.contains(tensor.name) && !IsState(tensor.name))
      Fail(file.path(),
           fmt::format("tensor \"{}\" is no part of its model", tensor.name));
}

// What is frozen has no average: it does not move.
std::string NameOf(const SafetensorsFile& file, const ParameterSlice& slice,
                   Which which) {
  const std::string average = kEmaPrefix + slice.name;
  return which == Which::kEma && Has(file, average) ? average : slice.name;
}

Arena Read(const SafetensorsFile& file, const ModelSpec& spec, Which which) {
  const std::vector<ParameterSlice> slices = ParameterSlices(spec);
  RefuseStrangers(file, slices);
  // All shapes before the arena: a hostile header must not make it huge.
  for (const ParameterSlice& slice : slices)
    CheckedValues(file, spec, slice, NameOf(file, slice, which));
  Arena weights(ParameterCount(spec));
  for (const ParameterSlice& slice : slices) {
    const std::span<const float> values =
        file.Floats(NameOf(file, slice, which));
    std::copy(values.begin(), values.end(),
              weights.span().subspan(slice.offset).begin());
  }
  return weights;
}

}  // namespace

WeightsFile ReadWeights(const std::filesystem::path& path, Which which) {
  SafetensorsFile file = SafetensorsFile::Open(path);
  ModelSpec spec = ReadSpec(file);
  const bool averaged = std::any_of(
      file.tensors().begin(), file.tensors().end(),
      [](const Tensor& tensor) { return tensor.name.starts_with(kEmaPrefix); });
  if (which == Which::kEma && !averaged)
    Fail(path,
         "has no average of the weights: only checkpoints of a run with "
         "train.ema have one");
  Arena weights = Read(file, spec, which);
  Metadata metadata = file.metadata();
  return {.spec = std::move(spec),
          .weights = std::move(weights),
          .metadata = std::move(metadata),
          .file = std::move(file)};
}

Arena ReadInitialWeights(const std::filesystem::path& path,
                         const ModelSpec& spec) {
  const SafetensorsFile file = SafetensorsFile::Open(path);
  // What a layer lacks says more than what nobody asked for.
  for (const ParameterSlice& slice : ParameterSlices(spec))
    RequireTensor(file, spec, slice, slice.name);
  return Read(file, spec, Which::kLive);
}

std::vector<Tensor> WeightTensors(const ModelSpec& spec,
                                  std::span<const float> weights) {
  assert(weights.size() == ParameterCount(spec));
  std::vector<Tensor> tensors;
  for (ParameterSlice& slice : ParameterSlices(spec)) {
    const auto values = weights.subspan(slice.offset, slice.size());
    tensors.push_back({.name = std::move(slice.name),
                       .dtype = DType::kF32,
                       .shape = std::move(slice.shape),
                       .bytes = std::as_bytes(values)});
  }
  return tensors;
}

}  // namespace hearsay::model
