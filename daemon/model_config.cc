#include "daemon/model_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

#include "daemon/config_text.h"
#include "model/encoding.h"
#include "model/frozen.h"
#include "model/presets.h"

namespace hearsay::daemon {

namespace {

constexpr int kMost = 1 << 24;

// One field of a layer from its key; true if it was there.
class FieldReader {
 public:
  FieldReader(ConfigReader& reader, const std::string& key)
      : reader_(reader), key_(key) {}

  bool Read(int& field) const {
    const auto value = reader_.Integer(key_, 1, kMost);
    if (value) field = static_cast<int>(*value);
    return value.has_value();
  }
  bool Read(double& field) const {
    const auto value = reader_.Number(key_, 0, 1);
    if (value) field = *value;
    return value.has_value();
  }
  bool Read(std::vector<int>& field) const {
    const auto values = reader_.Integers(key_, 0, kMost);
    if (values) field = *values;
    return values.has_value();
  }
  bool Read(model::Extent& field) const {
    const auto values = reader_.Integers(key_, 0, kMost);
    if (!values) return false;
    if (values->empty() || values->size() > 2)
      reader_.Fail(key_, "must be one number, or [height, width]");
    field = {values->front(), values->back()};
    return true;
  }
  bool Read(model::Activation& field) const {
    const auto word =
        reader_.Word(key_, {"none", "relu", "tanh", "gelu", "sigmoid"});
    if (word) field = model::ParseActivation(*word);
    return word.has_value();
  }
  bool Read(model::Mask& field) const {
    const auto word = reader_.Word(key_, {"none", "causal"});
    if (word) field = model::ParseMask(*word);
    return word.has_value();
  }

 private:
  ConfigReader& reader_;
  const std::string& key_;
};

// A pool's windows lie side by side unless it says otherwise.
template <typename T>
void SetDefaults(T& layer) {
  if constexpr (
      requires { layer.stride; } && !requires { layer.dilation; })
    if (layer.stride == model::Extent{0, 0}) layer.stride = layer.kernel;
}

void ReadFreeze(ConfigReader& reader, const std::string& prefix,
                std::vector<bool>& frozen) {
  frozen.push_back(reader.Truth(prefix + ".freeze").value_or(false));
}

void ReadLayers(ConfigReader& reader, const std::string& key, int deep,
                std::vector<model::Layer>& layers);

// At most `deep` bodies deep.
model::Layer ReadLayer(ConfigReader& reader, const std::string& prefix,
                       int deep) {
  const auto key = prefix + ".type";
  model::Layer layer = [&] {
    try {
      return model::LayerOfType(reader.String(key).value_or("dense"));
    } catch (const std::invalid_argument& error) {
      reader.Fail(key, error.what());
    }
  }();
  std::visit(
      [&](auto& kind) {
        model::VisitFields(
            kind, [&](const char* name, auto& value, model::Field field) {
              const auto path = fmt::format("{}.{}", prefix, name);
              if (!FieldReader(reader, path).Read(value) &&
                  field == model::Field::kRequired)
                reader.Fail(path, "this key is required");
            });
        SetDefaults(kind);
      },
      layer.kind);
  if (auto* body = model::BodyOf(layer)) {
    if (deep == 0)
      reader.Fail(key, fmt::format("layers inside layers are at most {} deep",
                                   model::kDeepestBody));
    ReadLayers(reader, prefix + ".layer", deep - 1, *body);
  }
  return layer;
}

void ReadLayers(ConfigReader& reader, const std::string& key, int deep,
                std::vector<model::Layer>& layers) {
  reader.Tables(key, [&](const std::string& prefix) {
    layers.push_back(ReadLayer(reader, prefix, deep));
  });
}

// Also where there are no layers, so that a misspelling finds its neighbour.
void ReadPreset(ConfigReader& reader, Config::Model& model) {
  const auto name = reader.Word("model.preset", model::PresetNames());
  const auto outputs = reader.Integer("model.outputs", 1, kMost);
  if (!name) {
    if (outputs)
      reader.Fail("model.outputs",
                  "belongs to a preset; a model of layers "
                  "says it in its last layer");
    return;
  }
  if (!model.layers.empty() || !model.input.empty())
    reader.Fail("model.preset",
                "has layers and an input of its own: remove model.layer and "
                "model.input, or print the preset's with `hearsay inspect "
                "--model` and change those");
  const model::ModelSpec spec =
      model::Preset(*name, static_cast<int>(outputs.value_or(0)));
  model.layers = spec.layers;
  model.input = spec.shape;
}

// With an image everything is known here; else the shard must say its width.
void Check(const ConfigReader& reader, const Config::Model& model) {
  if (model.input.empty()) return;
  double values = 1;
  for (const int extent : model.input) values *= extent;
  if (values > kMost)
    reader.Fail("model.input", fmt::format("{:.0f} values are too many; at "
                                           "most {} are supported",
                                           values, kMost));
  try {
    const auto spec = SpecOf(model, static_cast<int>(values));
    model::Validate(spec);
    model::ValidateFrozen(spec, model.frozen);
  } catch (const std::invalid_argument& error) {
    reader.Fail("model.layer", error.what());
  }
}

std::string Write(int value) { return fmt::format("{}", value); }
std::string Write(double value) { return fmt::format("{}", value); }
std::string Write(const std::vector<int>& values) {
  return fmt::format("[{}]", fmt::join(values, ", "));
}
std::string Write(model::Extent value) {
  return fmt::format("[{}, {}]", value.height, value.width);
}
std::string Write(model::Mask value) {
  return fmt::format("\"{}\"", model::Word(value));
}
std::string Write(model::Activation value) {
  return fmt::format("\"{}\"", model::Word(value));
}

std::string WriteLayers(const std::string& key,
                        const std::vector<model::Layer>& layers,
                        const std::vector<bool>& frozen = {}) {
  std::string text;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const model::Layer& layer = layers[l];
    text += fmt::format("[[{}]]\ntype = \"{}\"\n", key, model::TypeName(layer));
    if (!frozen.empty() && frozen[l]) text += "freeze = true\n";
    std::visit(
        [&](const auto& kind) {
          model::VisitFields(
              kind, [&](const char* name, const auto& value, model::Field) {
                text += fmt::format("{} = {}\n", name, Write(value));
              });
        },
        layer.kind);
    if (const auto* body = model::BodyOf(layer))
      text += WriteLayers(key + ".layer", *body);
  }
  return text;
}

}  // namespace

void ReadModel(ConfigReader& reader, Config::Model& model, Layers layers) {
  if (const auto word =
          reader.Word("model.loss",
                      {"softmax_cross_entropy", "binary_cross_entropy", "mse"}))
    model.loss = model::ParseLoss(*word);
  if (const auto shape = reader.Integers("model.input", 1, kMost)) {
    if (shape->size() < 2 || shape->size() > 3)
      reader.Fail("model.input",
                  "must be [channels, height, width], or [places, values] for "
                  "a sequence; a flat input has no such key: the shard says "
                  "how wide it is");
    model.input = *shape;
  }
  reader.Tables("model.layer", [&](const std::string& prefix) {
    model.layers.push_back(ReadLayer(reader, prefix, model::kDeepestBody));
    ReadFreeze(reader, prefix, model.frozen);
  });
  if (const auto path = reader.Path("model.weights")) model.weights = *path;
  if (std::ranges::count(model.frozen, true) == 0) model.frozen.clear();
  if (!model.frozen.empty() && model.weights.empty())
    reader.Fail("model.weights",
                "this key is required by freeze = true: a layer that begins "
                "at random and is never trained learns nothing");
  ReadPreset(reader, model);
  if (model.layers.empty() && layers == Layers::kRequired)
    reader.Fail("model.layer",
                "at least one [[model.layer]] is required, or a model.preset");
  Check(reader, model);
}

std::string ModelKeys(const Config::Model& model) {
  std::string text = fmt::format("loss = \"{}\"\n", model::Word(model.loss));
  if (!model.input.empty())
    text += fmt::format("input = [{}]\n", fmt::join(model.input, ", "));
  if (!model.weights.empty())
    text += fmt::format("weights = {}\n", Quote(model.weights.string()));
  return text + WriteLayers("model.layer", model.layers, model.frozen);
}

model::Shard OpenFor(const Config::Model& model,
                     const std::filesystem::path& path) {
  return model::Shard::Open(path, model::EncodingFor(model.layers));
}

model::ModelSpec SpecOf(const Config::Model& model, const model::Shard& shard) {
  model::ModelSpec spec = SpecOf(model, shard.features());
  spec.layers = model::FitToColumns(spec.layers, shard.columns());
  model::Validate(spec);
  model::CheckColumns(spec.layers, shard.columns());
  return spec;
}

model::ModelSpec SpecOf(const Config::Model& model, int features) {
  return {.inputs = features,
          .layers = model.layers,
          .loss = model.loss,
          .shape = model.input};
}

}  // namespace hearsay::daemon
