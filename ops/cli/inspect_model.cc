#include "ops/cli/inspect_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>

#include "daemon/model_config.h"
#include "model/layer_rules.h"
#include "model/presets.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {

namespace {

using nlohmann::ordered_json;

daemon::Config::Model Load(const std::string& name) {
  daemon::Config::Model model;
  const auto names = model::PresetNames();
  if (std::find(names.begin(), names.end(), name) != names.end()) {
    const model::ModelSpec spec = model::Preset(name);
    model.loss = spec.loss;
    model.layers = spec.layers;
    model.input = spec.shape;
    return model;
  }
  if (!std::filesystem::exists(name))
    throw Exit(kUsage, fmt::format("--model {}: there is no such file, and the "
                                   "presets are {}",
                                   name, fmt::join(names, ", ")));
  daemon::ConfigReader reader(name, {});
  daemon::ReadModel(reader, model, daemon::Layers::kRequired);
  return model;
}

// What each layer is; and, where the shape of its inputs is known, what it
// makes of them.
ordered_json LayersOf(const std::vector<model::Layer>& layers,
                      const std::optional<model::Shape>& in) {
  ordered_json all = ordered_json::array();
  std::vector<model::Shape> shapes;
  if (in) shapes = model::ShapesAlong(layers, *in);
  for (std::size_t l = 0; l < layers.size(); ++l) {
    ordered_json entry = {{"type", model::TypeName(layers[l])},
                          {"output", nullptr},
                          {"parameters", nullptr}};
    std::optional<model::Shape> into;
    if (in) {
      into = shapes[l];
      entry["output"] = shapes[l + 1];
      std::uint64_t parameters = 0;
      for (const auto& parameter : model::ParametersOf(layers[l], shapes[l]))
        parameters += parameter.size();
      entry["parameters"] = parameters;
    }
    if (const auto* body = model::BodyOf(layers[l]))
      entry["layers"] = LayersOf(*body, into);
    all.push_back(entry);
  }
  return all;
}

// Comments for the tables of the configuration, which are the layers in the
// order of their beginnings.
void AddComments(const ordered_json& layers,
                 std::vector<std::string>& comments) {
  for (const ordered_json& layer : layers) {
    comments.push_back(
        layer["output"].is_null()
            ? ""
            : fmt::format("  # to {}, {} parameters", layer["output"].dump(),
                          layer["parameters"].get<std::size_t>()));
    if (layer.contains("layers")) AddComments(layer["layers"], comments);
  }
}

}  // namespace

ordered_json InspectModel(const std::string& name) {
  const daemon::Config::Model model = Load(name);
  ordered_json out = {{"schema", 1},
                      {"kind", "model"},
                      {"name", name},
                      {"parameters", nullptr},
                      {"description", nullptr},
                      {"layers", LayersOf(model.layers, std::nullopt)},
                      {"config", "[model]\n" + daemon::ModelKeys(model)}};
  if (model.input.empty()) return out;
  int inputs = 1;
  for (const int extent : model.input) inputs *= extent;
  const model::ModelSpec spec = daemon::SpecOf(model, inputs);
  model::Validate(spec);
  out["parameters"] = model::ParameterCount(spec);
  out["description"] = model::Canonical(spec);
  out["layers"] = LayersOf(spec.layers, spec.shape);
  return out;
}

std::string ModelInspectionText(const ordered_json& inspection) {
  std::string text;
  if (!inspection["parameters"].is_null())
    text = fmt::format("# {} parameters\n",
                       inspection["parameters"].get<std::size_t>());
  const std::string config = inspection["config"];
  std::vector<std::string> comments;
  AddComments(inspection["layers"], comments);
  auto comment = comments.begin();
  for (std::size_t at = 0; at < config.size();) {
    const std::size_t end = config.find('\n', at);
    const std::string line = config.substr(at, end - at);
    at = end + 1;
    text += line + (line.starts_with("[[") ? *comment++ : "") + "\n";
  }
  return text;
}

}  // namespace hearsay::ops
