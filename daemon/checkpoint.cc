#include "daemon/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "model/safetensors.h"
#include "model/weights_file.h"

namespace hearsay::daemon {

namespace {

constexpr const char* kProbeTensor = "probe";
constexpr const char* kTwinTensor = "mixing.twin";
constexpr const char* kEmaSteps = "hearsay.ema_steps";
using model::kEmaPrefix;
using model::kOptimizerPrefix;

std::span<const std::byte> BytesOf(std::span<const float> values) {
  return std::as_bytes(values);
}

// Of what is trained.
std::vector<model::ParameterSlice> Slices(const CheckpointIdentity& identity,
                                          std::size_t parameters) {
  if (identity.model)
    return model::TrainedSlices(*identity.model, identity.frozen.layers);
  return {{kProbeTensor, 0, {static_cast<std::int64_t>(parameters)}}};
}

void AddTensors(const std::vector<model::ParameterSlice>& slices,
                const std::string& prefix, std::span<const float> values,
                std::vector<model::Tensor>& tensors) {
  for (const auto& slice : slices)
    tensors.push_back({prefix + slice.name, model::DType::kF32, slice.shape,
                       BytesOf(values.subspan(slice.offset, slice.size()))});
}

std::vector<model::Tensor> Tensors(const TrainerSnapshot& snapshot,
                                   const CheckpointIdentity& identity) {
  std::vector<model::Tensor> tensors;
  const std::span<const float> weights = snapshot.weights;
  AddTensors(Slices(identity, weights.size()), "", weights, tensors);
  if (identity.model)
    AddTensors(model::FrozenSlices(*identity.model, identity.frozen.layers), "",
               identity.frozen.values, tensors);
  return tensors;
}

model::Metadata MetadataOf(const TrainerSnapshot& snapshot,
                           const CheckpointIdentity& identity,
                           const dp::LedgerPosition& ledger,
                           const std::string& kind) {
  model::Metadata metadata = {
      {"hearsay.kind", kind},
      {"hearsay.cluster", identity.cluster},
      {"hearsay.node", identity.node},
      {"hearsay.fingerprint", identity.fingerprint},
      {"hearsay.step", std::to_string(snapshot.step)},
      {"hearsay.ledger_sequence", std::to_string(ledger.sequence)},
      {"hearsay.ledger_hash", ledger.hash}};
  if (identity.model)
    metadata["hearsay.model"] = model::Canonical(*identity.model);
  if (kind == model::kCheckpointKind && !snapshot.ema.empty())
    metadata[kEmaSteps] = std::to_string(snapshot.ema_steps);
  return metadata;
}

// What is this node's own business.
void AddState(const TrainerSnapshot& snapshot,
              const CheckpointIdentity& identity,
              std::vector<model::Tensor>& tensors) {
  if (!snapshot.ema.empty())
    AddTensors(Slices(identity, snapshot.ema.size()), kEmaPrefix, snapshot.ema,
               tensors);
  if (!snapshot.twin.empty())
    tensors.push_back({kTwinTensor,
                       model::DType::kF32,
                       {static_cast<std::int64_t>(snapshot.twin.size())},
                       BytesOf(snapshot.twin)});
  for (const auto& state : snapshot.optimizer)
    tensors.push_back({kOptimizerPrefix + state.name,
                       model::DType::kF32,
                       {static_cast<std::int64_t>(state.values.size())},
                       BytesOf(state.values)});
}

std::string Value(const model::SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end())
    throw model::FileError(fmt::format("{}: has no {} in its metadata",
                                       file.path().string(), key));
  return found->second;
}

std::uint64_t Number(const model::SafetensorsFile& file,
                     const std::string& key) {
  const auto text = Value(file, key);
  if (text.empty() || text.size() > 19 ||
      text.find_first_not_of("0123456789") != std::string::npos)
    throw model::FileError(fmt::format("{}: {} is \"{}\", not a number",
                                       file.path().string(), key, text));
  return std::stoull(text);
}

// A whole checkpoint of somebody else is not damage: it is a mistake of the
// operator, and older files will not mend it.
void CheckIdentity(const model::SafetensorsFile& file,
                   const CheckpointIdentity& identity) {
  const std::pair<const char*, std::string> expected[] = {
      {"cluster", identity.cluster},
      {"node", identity.node},
      {"fingerprint", identity.fingerprint}};
  for (const auto& [name, ours] : expected) {
    const auto theirs = Value(file, std::string("hearsay.") + name);
    if (theirs != ours)
      throw CheckpointError(fmt::format(
          "{}: is of {} {}, this node's is {}; use another node.state_dir, or "
          "move this folder aside to begin anew",
          file.path().string(),
          name == std::string("fingerprint") ? "model" : name, theirs, ours));
  }
}

// Throws: model::FileError if it is not fit for `parameters` weights.
std::vector<float> Floats(const model::SafetensorsFile& file,
                          const std::string& tensor, std::size_t parameters) {
  const auto values = file.Floats(tensor);
  const bool finite = std::all_of(values.begin(), values.end(),
                                  [](float v) { return std::isfinite(v); });
  if (values.size() != parameters || !finite)
    throw model::FileError(fmt::format(
        "{}: tensor {} has {}", file.path().string(), tensor,
        finite ? "another size than the model's" : "values not finite"));
  return {values.begin(), values.end()};
}

std::vector<float> FloatsOf(const model::SafetensorsFile& file,
                            const std::vector<model::ParameterSlice>& slices,
                            const std::string& prefix) {
  std::vector<float> all;
  for (const auto& slice : slices) {
    const auto values = Floats(file, prefix + slice.name, slice.size());
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

LoadedCheckpoint Load(const std::filesystem::path& path,
                      const CheckpointIdentity& identity,
                      std::size_t parameters) {
  const auto file =
      model::SafetensorsFile::Open(path, model::Checksum::kRequired);
  CheckIdentity(file, identity);
  LoadedCheckpoint loaded;
  loaded.path = path;
  loaded.snapshot.step = Number(file, "hearsay.step");
  loaded.ledger = {Number(file, "hearsay.ledger_sequence"),
                   Value(file, "hearsay.ledger_hash")};
  const auto slices = Slices(identity, parameters);
  loaded.snapshot.weights = FloatsOf(file, slices, "");
  if (file.metadata().contains(kEmaSteps)) {
    loaded.snapshot.ema_steps = Number(file, kEmaSteps);
    loaded.snapshot.ema = FloatsOf(file, slices, kEmaPrefix);
  }
  for (const auto& tensor : file.tensors()) {
    if (tensor.name == kTwinTensor)
      loaded.snapshot.twin = Floats(file, tensor.name, parameters);
    if (!tensor.name.starts_with(kOptimizerPrefix)) continue;
    const auto values = file.Floats(tensor.name);
    loaded.snapshot.optimizer.push_back(
        {tensor.name.substr(std::string(kOptimizerPrefix).size()),
         {values.begin(), values.end()}});
  }
  return loaded;
}

// Newest first. Names are zero-padded, so they sort by step.
std::vector<std::filesystem::path> ListCheckpoints(
    const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> paths;
  std::error_code missing;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder, missing)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".safetensors"))
      paths.push_back(entry.path());
  }
  std::sort(paths.rbegin(), paths.rend());
  return paths;
}

}  // namespace

std::optional<LoadedCheckpoint> LoadNewestCheckpoint(
    const std::filesystem::path& folder, const CheckpointIdentity& identity,
    std::size_t parameters) {
  std::vector<std::string> skipped;
  for (const auto& path : ListCheckpoints(folder)) {
    try {
      auto loaded = Load(path, identity, parameters);
      loaded.skipped = std::move(skipped);
      return loaded;
    } catch (const model::FileError& error) {
      skipped.emplace_back(error.what());
    }
  }
  if (skipped.empty()) return std::nullopt;
  throw CheckpointError(fmt::format(
      "{}; no whole checkpoint is left: move {} aside to begin anew (the "
      "ledger still counts what was spent)",
      skipped.front(), folder.string()));
}

std::string EncodeSnapshot(const TrainerSnapshot& snapshot,
                           const CheckpointIdentity& identity,
                           const dp::LedgerPosition& ledger,
                           const std::string& kind) {
  auto tensors = Tensors(snapshot, identity);
  if (kind == "checkpoint") AddState(snapshot, identity, tensors);
  return model::EncodeSafetensors(tensors,
                                  MetadataOf(snapshot, identity, ledger, kind));
}

CheckpointWriter::CheckpointWriter(
    std::filesystem::path folder, CheckpointIdentity identity, int keep,
    std::function<void(const std::string&, const std::string&)> on_done)
    : folder_(std::move(folder)),
      identity_(std::move(identity)),
      keep_(keep),
      on_done_(std::move(on_done)) {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error)
    throw CheckpointError(
        fmt::format("{}: cannot make this folder for checkpoints: {}",
                    folder_.string(), error.message()));
  thread_ = std::thread([this] { Run(); });
}

CheckpointWriter::~CheckpointWriter() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
    wake_.notify_one();
  }
  thread_.join();
}

void CheckpointWriter::Offer(TrainerSnapshot snapshot,
                             dp::LedgerPosition ledger) {
  const std::lock_guard lock(mutex_);
  waiting_ = Job{std::move(snapshot), std::move(ledger)};
  wake_.notify_one();
}

void CheckpointWriter::Run() {
  for (;;) {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [this] { return stop_ || waiting_; });
    if (!waiting_) return;
    const Job job = *std::exchange(waiting_, std::nullopt);
    lock.unlock();
    Write(job);
  }
}

void CheckpointWriter::Write(const Job& job) {
  const auto path =
      folder_ / fmt::format("step-{:012}.safetensors", job.snapshot.step);
  try {
    auto tensors = Tensors(job.snapshot, identity_);
    AddState(job.snapshot, identity_, tensors);
    model::WriteSafetensors(
        path, tensors,
        MetadataOf(job.snapshot, identity_, job.ledger, "checkpoint"));
    DeleteOld(path);
    on_done_(path.string(), "");
  } catch (const model::FileError& error) {
    on_done_("", error.what());
  }
}

void CheckpointWriter::DeleteOld(const std::filesystem::path& written) const {
  auto paths = ListCheckpoints(folder_);
  // Damaged ones that the run began below must not push whole ones out.
  std::erase_if(paths, [&](const auto& path) { return path > written; });
  for (std::size_t i = static_cast<std::size_t>(keep_); i < paths.size(); ++i) {
    std::error_code ignored;  // A file too many is no reason to stop.
    std::filesystem::remove(paths[i], ignored);
  }
  // Halves that a crash left: nobody else writes here, and this thread has
  // just finished a whole one.
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator(folder_, ignored)) {
    const auto name = entry.path().filename().string();
    if (name.starts_with("step-") && name.ends_with(".tmp"))
      std::filesystem::remove(entry.path(), ignored);
  }
}

}  // namespace hearsay::daemon
