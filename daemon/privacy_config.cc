#include "daemon/privacy_config.h"

#include <fmt/format.h>

#include "daemon/config_text.h"
#include "dp/pld.h"

namespace hearsay::daemon {

namespace {

constexpr double kMostPrivacy = 1e12;
constexpr double kLeastExact = 1e-6;  // Multiplier of exact noise.

void ReadClipping(ConfigReader& reader, Config& config) {
  auto& privacy = config.privacy;
  Take(privacy.clip_norm,
       reader.Number("privacy.clip_norm", 1e-12, kMostPrivacy));
  const auto kind = reader.Word("privacy.clipping",
                                {"flat", "automatic", "per_layer", "adaptive"});
  using Kind = model::Clipping::Kind;
  if (kind == "automatic") privacy.clipping = Kind::kAutomatic;
  if (kind == "per_layer") privacy.clipping = Kind::kPerLayer;
  const auto quantile = reader.Number("privacy.clip_quantile", 0.01, 0.99);
  if (kind == "adaptive") privacy.clip_quantile = quantile.value_or(0.5);
  if (quantile && !privacy.clip_quantile)
    reader.Fail("privacy.clip_quantile",
                "is for privacy.clipping = \"adaptive\" only");
  if (privacy.clipping != Kind::kFlat &&
      config.node.device == Config::Node::Device::kCuda)
    reader.Fail(
        "privacy.clipping",
        fmt::format("{} is done by the CPU: set node.device = \"cpu\"", *kind));
}

void ReadLossBound(ConfigReader& reader, Config& config) {
  auto& privacy = config.privacy;
  Take(privacy.loss_bound,
       reader.Number("privacy.loss_bound", 0, kMostPrivacy));
  if (privacy.loss_bound == 0) return;
  if (privacy.noise_multiplier == 0.0)
    reader.Fail("privacy.loss_bound",
                "a loss is reported with noise: set privacy.noise_multiplier "
                "above 0");
  if (config.node.device == Config::Node::Device::kCuda)
    reader.Fail("privacy.loss_bound",
                "losses are bounded by the CPU: set node.device = \"cpu\"");
}

void ReadNoise(ConfigReader& reader, Config::Privacy& privacy) {
  privacy.exact_noise =
      reader.Word("privacy.noise", {"gaussian", "exact"}) == "exact";
  if (!privacy.exact_noise) return;
  if (privacy.accountant == dp::Accountant::kPld)
    reader.Fail("privacy.noise",
                "exact is accounted for by Renyi divergences: that the "
                "distribution of a sampled discrete Gaussian's loss is no "
                "worse than the Gaussian's is proven of them only; set "
                "privacy.accountant = \"rdp\"");
  if (privacy.noise_multiplier && *privacy.noise_multiplier < kLeastExact)
    reader.Fail("privacy.noise",
                fmt::format("exact needs a privacy.noise_multiplier of {} or "
                            "more",
                            kLeastExact));
  if (privacy.clip_quantile || privacy.clipping != model::Clipping::Kind::kFlat)
    reader.Fail("privacy.noise", "exact needs privacy.clipping = \"flat\"");
  if (privacy.loss_bound > 0)
    reader.Fail("privacy.noise",
                "exact has no noise for privacy.loss_bound: set that to 0");
}

}  // namespace

void ReadPrivacy(ConfigReader& reader, Config& config) {
  auto& privacy = config.privacy;
  ReadClipping(reader, config);
  privacy.noise_multiplier = reader.Number("privacy.noise_multiplier", 0, 1e6);
  privacy.target_epsilon = reader.Number("privacy.target_epsilon", 1e-6, 1e6);
  Take(privacy.delta, reader.Number("privacy.delta", 1e-300, 0.999999));
  if (reader.Word("privacy.accountant", {"rdp", "pld"}) == "pld")
    privacy.accountant = dp::Accountant::kPld;
  if (privacy.accountant == dp::Accountant::kPld &&
      privacy.delta < dp::kLeastPldDelta)
    reader.Fail("privacy.accountant",
                "pld needs a delta of 1e-9 or more; use rdp, which has no such "
                "limit");
  Take(privacy.ledger, reader.Path("privacy.ledger"));
  if (reader.Word("privacy.on_exhausted", {"gossip", "stop"}) == "stop")
    privacy.on_exhausted = OnExhausted::kStop;
  ReadLossBound(reader, config);
  ReadNoise(reader, privacy);
  if (privacy.clip_quantile && privacy.noise_multiplier == 0.0)
    reader.Fail("privacy.clipping",
                "adaptive counts what is clipped, which needs noise: set "
                "privacy.noise_multiplier above 0");
  if (!config.test.probe.empty()) return;
  if (!privacy.noise_multiplier && !privacy.target_epsilon)
    reader.Fail("privacy.noise_multiplier",
                "set this, or privacy.target_epsilon alone to have it "
                "calibrated, or both");
  if (privacy.ledger.empty())
    reader.Fail("privacy.ledger",
                "this key is required: a folder for this data set's ledger, "
                "which outlives the run");
}

std::string PrivacyKeys(const Config::Privacy& privacy) {
  std::string text;
  const auto key = [&](const char* name, const auto& value) {
    text += fmt::format("{} = {}\n", name, value);
  };
  key("clip_norm", privacy.clip_norm);
  using Kind = model::Clipping::Kind;
  key("clipping", Quote(privacy.clip_quantile                  ? "adaptive"
                        : privacy.clipping == Kind::kAutomatic ? "automatic"
                        : privacy.clipping == Kind::kPerLayer  ? "per_layer"
                                                               : "flat"));
  if (privacy.clip_quantile) key("clip_quantile", *privacy.clip_quantile);
  key("loss_bound", privacy.loss_bound);
  if (privacy.noise_multiplier)
    key("noise_multiplier", *privacy.noise_multiplier);
  if (privacy.target_epsilon) key("target_epsilon", *privacy.target_epsilon);
  key("delta", privacy.delta);
  key("accountant", Quote(dp::Word(privacy.accountant)));
  key("ledger", Quote(privacy.ledger.string()));
  key("on_exhausted",
      Quote(privacy.on_exhausted == OnExhausted::kStop ? "stop" : "gossip"));
  key("noise", Quote(privacy.exact_noise ? "exact" : "gaussian"));
  return text;
}

}  // namespace hearsay::daemon
