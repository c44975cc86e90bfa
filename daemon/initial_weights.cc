#include "daemon/initial_weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/sha.h>

#include <array>
#include <cstdint>
#include <span>
#include <stdexcept>

#include "model/arena.h"
#include "model/digest.h"
#include "model/initialise.h"
#include "model/weights_file.h"

namespace hearsay::daemon {

model::Frozen ReadFrozen(const Config& config, const model::ModelSpec& spec) {
  const auto& layers = config.model.frozen;
  if (layers.empty()) return {};
  try {
    model::ValidateFrozen(spec, layers);
  } catch (const std::invalid_argument& error) {
    throw ConfigError(fmt::format("{}: model.layer: freeze: {}",
                                  config.node.name, error.what()));
  }
  const auto all = model::ReadInitialWeights(config.model.weights, spec);
  return model::Divide(spec, layers, all.span()).frozen;
}

std::string FrozenText(const model::Frozen& frozen) {
  if (frozen.layers.empty()) return "";
  model::Digest digest;
  digest.Add(std::as_bytes(std::span(frozen.values)));
  std::vector<std::size_t> numbers;
  for (std::size_t l = 0; l < frozen.layers.size(); ++l)
    if (frozen.layers[l]) numbers.push_back(l);
  return fmt::format(" frozen={} of {}", fmt::join(numbers, ","), digest.Hex());
}

std::vector<float> InitialWeights(const Config& config,
                                  const CheckpointIdentity& identity) {
  const auto& spec = *identity.model;
  const auto& layers = identity.frozen.layers;
  if (!config.model.weights.empty()) {
    const auto all = model::ReadInitialWeights(config.model.weights, spec);
    return model::Divide(spec, layers, all.span()).trained;
  }
  // The same on every node of the cluster, from public words only.
  const auto words =
      fmt::format("hearsay-initial-weights-1\n{}\n{}\n{}", config.cluster.name,
                  identity.fingerprint, config.train.seed);
  std::array<std::uint8_t, 32> key{};
  SHA256(reinterpret_cast<const std::uint8_t*>(words.data()), words.size(),
         key.data());
  model::Arena all(model::ParameterCount(spec));
  model::Initialise(spec, key, all.span());
  return model::Divide(spec, layers, all.span()).trained;
}

}  // namespace hearsay::daemon
