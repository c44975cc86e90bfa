#include "ops/cli/inspect_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "daemon/model_config.h"
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

std::size_t Parameters(const std::vector<model::ParameterSlice>& slices,
                       int module) {
  const std::string prefix = fmt::format("{}.", module);
  std::size_t sum = 0;
  for (const auto& slice : slices)
    if (slice.name.starts_with(prefix)) sum += slice.size();
  return sum;
}

}  // namespace

ordered_json InspectModel(const std::string& name) {
  const daemon::Config::Model model = Load(name);
  ordered_json out = {{"schema", 1},
                      {"kind", "model"},
                      {"name", name},
                      {"parameters", nullptr},
                      {"description", nullptr},
                      {"layers", ordered_json::array()},
                      {"config", "[model]\n" + daemon::ModelKeys(model)}};
  for (const model::Layer& layer : model.layers)
    out["layers"].push_back({{"type", model::TypeName(layer)},
                             {"output", nullptr},
                             {"parameters", nullptr}});
  if (model.input.empty()) return out;
  int inputs = 1;
  for (const int extent : model.input) inputs *= extent;
  const model::ModelSpec spec = daemon::SpecOf(model, inputs);
  model::Validate(spec);
  out["parameters"] = model::ParameterCount(spec);
  out["description"] = model::Canonical(spec);
  const auto shapes = model::Shapes(spec);
  const auto slices = model::ParameterSlices(spec);
  int module = 0;
  for (std::size_t l = 0; l < spec.layers.size(); ++l) {
    out["layers"][l]["output"] = shapes[l + 1];
    out["layers"][l]["parameters"] = Parameters(slices, module);
    const auto* dense = std::get_if<model::Dense>(&spec.layers[l].kind);
    module += dense != nullptr && dense->activation != model::Activation::kNone
                  ? 2
                  : 1;
  }
  return out;
}

std::string ModelInspectionText(const ordered_json& inspection) {
  std::string text;
  if (!inspection["parameters"].is_null())
    text = fmt::format("# {} parameters\n",
                       inspection["parameters"].get<std::size_t>());
  const std::string config = inspection["config"];
  constexpr std::string_view kTable = "[[model.layer]]\n";
  std::size_t layer = 0;
  for (std::size_t at = 0; at < config.size();) {
    const std::size_t end = config.find('\n', at) + 1;
    const std::string line = config.substr(at, end - at);
    at = end;
    text += line;
    if (line != kTable) continue;
    const ordered_json& of = inspection["layers"][layer++];
    if (of["output"].is_null()) continue;
    text.pop_back();
    text += fmt::format("  # to {}, {} parameters\n", of["output"].dump(),
                        of["parameters"].get<std::size_t>());
  }
  return text;
}

}  // namespace hearsay::ops
