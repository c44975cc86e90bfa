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

// The tensor's values; `slice` says what they must be.
std::span<const float> CheckedValues(const SafetensorsFile& file,
                                     const ParameterSlice& slice) {
  const Tensor& tensor = file.At(slice.name);
  if (tensor.shape != slice.shape)
    Fail(file.path(),
         fmt::format("tensor \"{}\" has shape {}, its model needs {}",
                     slice.name, tensor.shape, slice.shape));
  const std::span<const float> values = file.Floats(slice.name);
  const auto bad = std::find_if(values.begin(), values.end(),
                                [](float v) { return !std::isfinite(v); });
  if (bad != values.end())
    Fail(file.path(), fmt::format("tensor \"{}\" has a value that is not "
                                  "finite, at {}",
                                  slice.name, bad - values.begin()));
  return values;
}

void RefuseStrangers(const SafetensorsFile& file,
                     const std::vector<ParameterSlice>& slices) {
  std::set<std::string> known;
  for (const ParameterSlice& slice : slices) known.insert(slice.name);
  for (const Tensor& tensor : file.tensors())
    if (!known.contains(tensor.name) &&
        !tensor.name.starts_with(kOptimizerPrefix))
      Fail(file.path(),
           fmt::format("tensor \"{}\" is no part of its model", tensor.name));
}

}  // namespace

WeightsFile ReadWeights(const std::filesystem::path& path) {
  SafetensorsFile file = SafetensorsFile::Open(path);
  ModelSpec spec = ReadSpec(file);
  const std::vector<ParameterSlice> slices = ParameterSlices(spec);
  RefuseStrangers(file, slices);
  // All shapes before the arena: a hostile header must not make it huge.
  for (const ParameterSlice& slice : slices) CheckedValues(file, slice);
  Arena weights(ParameterCount(spec));
  for (const ParameterSlice& slice : slices) {
    const std::span<const float> values = file.Floats(slice.name);
    std::copy(values.begin(), values.end(),
              weights.span().subspan(slice.offset).begin());
  }
  Metadata metadata = file.metadata();
  return {.spec = std::move(spec),
          .weights = std::move(weights),
          .metadata = std::move(metadata),
          .file = std::move(file)};
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
