#include "daemon/run.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <numeric>
#include <utility>
#include <vector>

#include "daemon/cpu.h"
#include "daemon/exact_sum.h"
#include "daemon/initial_weights.h"
#include "daemon/model_config.h"
#include "daemon/noise_check.h"
#include "daemon/probe.h"
#include "daemon/statistics_charge.h"
#include "dp/accountant.h"
#include "dp/sampler.h"
#include "model/cuda_backend.h"
#include "model/network.h"

namespace hearsay::daemon {

namespace {

constexpr int kEvalBatch = 1024;

std::array<std::uint8_t, 32> Sha256(const std::string& text) {
  std::array<std::uint8_t, 32> digest{};
  SHA256(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(),
         digest.data());
  return digest;
}

// The shard decides how many inputs and classes the model must have.
model::ModelSpec SpecFor(const Config& config, const model::Shard& shard) {
  const auto fail = [&](const std::string& what) {
    throw ConfigError(
        fmt::format("{}: model.layer: {}", config.node.name, what));
  };
  const model::ModelSpec spec = [&] {
    try {
      return SpecOf(config.model, shard);
    } catch (const std::invalid_argument& error) {
      fail(error.what());
      throw;
    }
  }();
  const int units = model::Outputs(spec);
  const int classes = shard.classes();
  switch (spec.loss) {
    case model::Loss::kSoftmaxCrossEntropy:
      if (units != classes)
        fail(fmt::format("the last layer has {} units, but {} has {} classes",
                         units, config.data.train.string(), classes));
      break;
    case model::Loss::kBinaryCrossEntropy:
      if (classes != 2)
        fail(fmt::format("binary_cross_entropy needs 2 classes, but {} has {}",
                         config.data.train.string(), classes));
      break;
    case model::Loss::kMse:
      if (units != 1)
        fail("mse on a shard's single label needs one unit in the last layer");
      break;
  }
  return spec;
}

std::optional<model::Shard> OpenEval(const Config& config,
                                     const model::Shard& train) {
  if (config.data.eval.empty()) return std::nullopt;
  auto eval = OpenFor(config.model, config.data.eval);
  if (eval.schema_fingerprint() != train.schema_fingerprint())
    throw model::FileError(fmt::format(
        "{}: its columns are not those of {}; prepare both with one schema",
        config.data.eval.string(), config.data.train.string()));
  return eval;
}

// The noise multiplier as configured, or calibrated to the whole run that comes
// after what statistics of the shard's rows cost.
double NoiseMultiplier(const Config& config, const model::Shard& shard,
                       double sample_rate) {
  const auto& privacy = config.privacy;
  if (privacy.noise_multiplier) return *privacy.noise_multiplier;
  if (config.train.steps == 0) return 1.0;
  const auto spent = ChargedLedger(shard).charged;
  return dp::CalibrateNoiseAfter(
      spent.empty() ? privacy.accountant : dp::Accountant::kRdp, spent,
      std::max(sample_rate, MostSampleRate(config)), config.train.steps,
      privacy.delta, *privacy.target_epsilon);
}

// With a checkpoint there must be the very ledger that it was paid from. Looked
// at before it is opened for writing: opening would make a new one where the
// lost one is to be put back, or record a damaged end as torn.
void CheckPaid(const LoadedCheckpoint& checkpoint,
               const std::filesystem::path& folder) {
  const auto& position = checkpoint.ledger;
  std::error_code ignored;
  const bool lost = !std::filesystem::exists(folder / "ledger", ignored);
  if (!lost) {
    const auto ledger = dp::ReadLedger(folder / "ledger");
    if (position.sequence == 0 ||
        std::any_of(ledger.records.begin(), ledger.records.end(),
                    [&](const auto& record) {
                      return record.sequence == position.sequence &&
                             record.hash == position.hash;
                    }))
      return;
  }
  throw dp::LedgerError(fmt::format(
      "{}: {} record {} of {}: the ledger was lost, replaced, damaged or "
      "rolled "
      "back; restore it (training on would undercount)",
      folder.string(), lost ? "has no ledger, so not" : "does not contain",
      position.sequence, checkpoint.path.string()));
}

dp::Ledger OpenLedger(const Config& config, const model::Shard& shard,
                      const std::optional<LoadedCheckpoint>& checkpoint) {
  const auto& folder = config.privacy.ledger;
  if (checkpoint) CheckPaid(*checkpoint, folder);
  BookCharges(folder, shard);
  dp::Ledger ledger(
      folder, shard.content_hash(),
      fmt::format("{}@{:%Y-%m-%dT%H:%M:%SZ}", config.node.name,
                  fmt::gmtime(std::chrono::system_clock::to_time_t(
                      std::chrono::system_clock::now()))));
  if (checkpoint && !ledger.Contains(checkpoint->ledger))
    throw dp::LedgerError(fmt::format(
        "{}: is not the ledger of {}: it was lost or replaced; restore it "
        "(training on would undercount)",
        folder.string(), checkpoint->path.string()));
  return ledger;
}

// Most rows of a step, but for one step in a billion, from public numbers.
int UsualMost(const Config& config) {
  constexpr int kMultiple = 64;
  const double mean =
      MostSampleRate(config) * static_cast<double>(config.train.public_size);
  const double most = mean + 6 * std::sqrt(mean);
  const double rounded = kMultiple * std::ceil(std::max(most, 1.0) / kMultiple);
  return static_cast<int>(
      std::min(rounded, static_cast<double>(config.train.physical_batch)));
}

std::unique_ptr<PrivateSum> MakeCudaSum(const Config& config,
                                        const model::ModelSpec& spec,
                                        const model::Shard& shard) {
  std::vector<std::uint32_t> rows(shard.rows());
  std::iota(rows.begin(), rows.end(), 0U);
  std::vector<float> features(rows.size() *
                              static_cast<std::size_t>(shard.features()));
  std::vector<float> labels(rows.size());
  shard.Gather(rows, features, labels);
  const bool exact = config.privacy.exact_noise;
  return MakeDeviceSum(
      model::MakeCudaStep(spec, UsualMost(config), features, labels,
                          {.device = config.node.cuda,
                           .precision = config.train.precision,
                           .exact = exact}),
      exact ? DeviceNoise::kExact : DeviceNoise::kGaussian);
}

std::unique_ptr<PrivateSum> MakeCpuSum(const Config& config,
                                       const CheckpointIdentity& identity,
                                       const model::Shard& shard) {
  const auto& spec = *identity.model;
  if (config.privacy.exact_noise)
    return MakeExactSum(model::MakeCpuNetwork(spec, 1, identity.frozen), shard,
                        model::TrainedCount(spec, identity.frozen.layers));
  const auto workers = std::make_shared<model::Workers>(config.train.threads);
  return MakeHostSum(model::MakeCpuNetwork(spec, config.train.physical_batch,
                                           identity.frozen, workers),
                     shard, config.train.physical_batch, workers);
}

// On the GPU where node.device allows it and there is one.
std::unique_ptr<PrivateSum> MakeSum(const Config& config,
                                    const CheckpointIdentity& identity,
                                    const model::Shard& shard, Events& events) {
  using Device = Config::Node::Device;
  const auto& spec = *identity.model;
  const bool frozen = !identity.frozen.layers.empty();
  // What only the CPU's network does.
  const bool plain = config.privacy.clipping == model::Clipping::Kind::kFlat &&
                     config.privacy.loss_bound == 0;
  std::string why = plain
                        ? "node.device is cpu"
                        : "privacy.clipping or privacy.loss_bound asks for it";
  if (config.node.device != Device::kCpu && plain) {
    const auto probe = model::ProbeCuda(config.node.cuda);
    why = frozen ? "frozen layers are for the CPU so far" : probe.reason;
    if (probe.usable && !frozen) {
      try {
        auto sum = MakeCudaSum(config, spec, shard);
        events.Add(Level::kInfo, "device",
                   fmt::format("training on cuda:{}, {}", config.node.cuda,
                               probe.name));
        return sum;
      } catch (const std::runtime_error& error) {
        why = error.what();  // Such as too little memory for this shard.
      }
    }
    if (config.node.device == Device::kCuda)
      throw ConfigError(fmt::format(
          "node.device: cuda:{} cannot be used: {}; set auto to train on the "
          "CPU in its stead",
          config.node.cuda, why));
  }
  const int threads = config.privacy.exact_noise ? 1 : config.train.threads;
  events.Add(Level::kInfo, "device",
             fmt::format("training on the CPU{}: {}",
                         threads > 1 ? fmt::format(", {} threads", threads)
                                     : std::string(),
                         why));
  if (threads > AvailableCores())
    events.Add(Level::kWarning, "device",
               fmt::format("train.threads is {}, but this process may use {:g} "
                           "cores: its threads will wait for each other",
                           threads, AvailableCores()));
  return MakeCpuSum(config, identity, shard);
}

std::unique_ptr<PrivateGradient> MakeSource(const Config& config,
                                            const PrivateStepTerms& terms,
                                            std::unique_ptr<PrivateSum> sum,
                                            Run& run) {
  try {
    return std::make_unique<PrivateGradient>(terms, std::move(sum),
                                             run.train->rows(), *run.budget);
  } catch (const std::invalid_argument& error) {
    throw ConfigError(fmt::format(
        "{}: privacy.clipping: {}; raise train.sample_rate, or use another "
        "clipping",
        config.node.name, error.what()));
  }
}

void PreparePrivate(const Config& config, std::size_t parameters,
                    const std::optional<LoadedCheckpoint>& checkpoint,
                    Events& events, Run& run) {
  const auto rate = dp::PoissonSampler(config.train.sample_rate).sample_rate();
  const double sigma = NoiseMultiplier(config, *run.train, rate);
  if (sigma == 0) run.claim_void = "noise_multiplier is 0: nothing is claimed";

  auto ledger = OpenLedger(config, *run.train, checkpoint);
  run.budget = std::make_unique<Budget>(
      std::move(ledger),
      BudgetTerms{rate, sigma, config.privacy.delta,
                  config.privacy.target_epsilon, config.privacy.accountant,
                  config.privacy.exact_noise ? dp::LedgerNoise::kExact
                                             : dp::LedgerNoise::kGaussian});
  if (run.budget->status().accountant != config.privacy.accountant)
    events.Add(Level::kWarning, "privacy",
               "the ledger holds steps of another rate or noise, or of exact "
               "noise: epsilon is counted by rdp, which allows for that, and "
               "not by pld, which does not");
  events.Add(
      Level::kInfo, "privacy",
      fmt::format("noise multiplier {:.4f}, sample rate {}, delta {}{}", sigma,
                  config.train.sample_rate, config.privacy.delta,
                  config.privacy.noise_multiplier ? "" : " (calibrated)"));
  auto sum = MakeSum(config, run.identity, *run.train, events);
  if (sigma > 0)
    CheckNoise(*sum, parameters,
               {.clip_norm = config.privacy.clip_norm,
                .noise_stddev = sigma * config.privacy.clip_norm,
                .noise_multiplier = sigma});
  auto source =
      MakeSource(config,
                 {rate, sigma, config.privacy.clip_norm,
                  config.train.public_size, config.privacy.clipping,
                  config.privacy.clip_quantile, config.privacy.loss_bound},
                 std::move(sum), run);
  if (checkpoint) {
    std::vector<GradientSource::State> kept;
    for (const auto& state : checkpoint->snapshot.optimizer)
      kept.push_back({state.name, state.values});
    source->Restore(kept);
  }
  run.private_gradient = source.get();
  run.source = std::move(source);
}

void RestoreOptimizer(const LoadedCheckpoint& checkpoint,
                      model::Optimizer& optimizer) {
  const auto states = optimizer.State();
  for (const auto& state : states) {
    bool found = false;
    for (const auto& saved : checkpoint.snapshot.optimizer) {
      if (saved.name != state.name ||
          saved.values.size() != state.values.size())
        continue;
      std::copy(saved.values.begin(), saved.values.end(), state.values.begin());
      found = true;
    }
    if (!found)
      throw CheckpointError(fmt::format(
          "{}: has no optimiser state \"{}\" of this model: train.optimizer or "
          "train.momentum was changed; set it back, or move the checkpoints "
          "aside to begin anew",
          checkpoint.path.string(), state.name));
  }
  optimizer.set_steps(checkpoint.snapshot.step);
}

void PrepareIdentity(const Config& config, Run& run) {
  run.identity.cluster = config.cluster.name;
  run.identity.node = config.node.name;
  if (!config.test.probe.empty()) {
    run.claim_void = "a test probe trains on no data: nothing is claimed";
    run.identity.fingerprint = ModelFingerprint(
        fmt::format("probe {} {}", config.test.probe, config.test.dimension),
        "");
    return;
  }
  run.train = OpenFor(config.model, config.data.train);
  run.eval = OpenEval(config, *run.train);
  run.identity.model = SpecFor(config, *run.train);
  run.identity.frozen = ReadFrozen(config, *run.identity.model);
  run.identity.fingerprint = ModelFingerprint(
      model::Canonical(*run.identity.model) + FrozenText(run.identity.frozen),
      run.train->schema_fingerprint());
}

void PrepareWeights(const Config& config,
                    const std::optional<LoadedCheckpoint>& checkpoint,
                    std::size_t parameters, Run& run) {
  run.weights =
      std::make_unique<LiveWeights>(parameters, config.mixing.momentum);
  if (checkpoint) {
    // A checkpoint of a run without momentum has no twin: it begins at the
    // weights, as before the first step and on a late joiner, where nothing has
    // moved one apart from the other. One that is not wanted is left out.
    const auto& snapshot = checkpoint->snapshot;
    if (run.weights->has_twin() && !snapshot.twin.empty())
      run.weights->AssignBoth(snapshot.weights, snapshot.twin);
    else
      run.weights->Assign(snapshot.weights);
    return;
  }
  if (run.identity.model) {
    run.weights->Assign(InitialWeights(config, run.identity));
    return;
  }
  model::Arena initial(parameters);
  InitialiseProbe(initial.span());
  run.weights->Assign(initial.span());
}

void PrepareEma(const Config& config,
                const std::optional<LoadedCheckpoint>& checkpoint,
                std::size_t parameters, Run& run) {
  if (config.train.ema == 0) return;
  run.ema = std::make_unique<Ema>(config.train.ema, parameters);
  // Where a checkpoint has none it begins with the next step.
  if (checkpoint && checkpoint->snapshot.ema_steps > 0)
    run.ema->Restore(checkpoint->snapshot.ema, checkpoint->snapshot.ema_steps);
}

}  // namespace

std::string ModelFingerprint(const std::string& canonical,
                             const std::string& schema_fingerprint) {
  constexpr std::size_t kBytes = 16;
  const auto digest = Sha256(canonical + "\n" + schema_fingerprint);
  std::string hex;
  for (std::size_t i = 0; i < kBytes; ++i)
    hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

Run PrepareRun(const Config& config, Events& events) {
  Run run;
  PrepareIdentity(config, run);
  const std::size_t parameters =
      run.identity.model
          ? model::TrainedCount(*run.identity.model, run.identity.frozen.layers)
          : static_cast<std::size_t>(config.test.dimension);
  const auto checkpoint = LoadNewestCheckpoint(
      config.node.state_dir / "checkpoints", run.identity, parameters);
  if (checkpoint) {
    for (const auto& why : checkpoint->skipped)
      events.Add(Level::kWarning, "checkpoint", "skipped: " + why);
    run.first_step = checkpoint->snapshot.step;
    events.Add(Level::kInfo, "checkpoint",
               fmt::format("resuming at step {} from {}", run.first_step,
                           checkpoint->path.string()));
  }
  if (run.identity.model) {
    PreparePrivate(config, parameters, checkpoint, events, run);
  } else if (config.test.probe == "shake") {
    run.source = MakeShakeProbe(config.test.index);
  } else {
    run.source = MakeQuadraticProbe(config.test.index);
  }
  run.optimizer = model::MakeOptimizer(config.train.optimizer, parameters);
  if (checkpoint) RestoreOptimizer(*checkpoint, *run.optimizer);
  PrepareWeights(config, checkpoint, parameters, run);
  PrepareEma(config, checkpoint, parameters, run);
  if (run.eval)
    run.evaluator = std::make_unique<Evaluator>(
        model::MakeCpuNetwork(*run.identity.model, kEvalBatch,
                              run.identity.frozen),
        kEvalBatch, *run.eval, *run.weights, run.ema.get());
  return run;
}

}  // namespace hearsay::daemon
