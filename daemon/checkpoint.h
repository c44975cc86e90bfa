// Checkpoints: safetensors files
// STATE/checkpoints/step-NNNNNNNNNNNN.safetensors with the weights (named as
// PyTorch names them), the optimiser's state, momentum's twin if there is one
// (what it is ahead of the weights is steps that were paid for), the moving
// average of the weights if there is one, the step and the ledger position.
// No randomness is saved: a resumed node draws new noise and pays for it again.
//
// Written aside, synced and renamed; the newest whole one is used; `keep` are
// kept. A checkpoint's ledger position lets a rolled-back ledger be noticed.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "daemon/trainer.h"
#include "dp/ledger.h"
#include "model/frozen.h"
#include "model/spec.h"

namespace hearsay::daemon {

// There are checkpoints, but none can be used. what() says why, and what to do.
class CheckpointError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What makes a checkpoint this node's and no other's.
struct CheckpointIdentity {
  std::string cluster;
  std::string node;
  std::string fingerprint;
  // Absent for probes, whose weights have no layers.
  std::optional<model::ModelSpec> model;
  // Written with the weights, so that a file is a whole model; never read back.
  model::Frozen frozen = {};
};

struct LoadedCheckpoint {
  std::filesystem::path path;
  TrainerSnapshot snapshot;
  dp::LedgerPosition ledger;
  std::vector<std::string> skipped;  // Newer ones that were not whole: why.
};

// The newest whole checkpoint in `folder`; nothing if there is none at all.
// Throws: CheckpointError (none is whole; of another cluster, node or model).
std::optional<LoadedCheckpoint> LoadNewestCheckpoint(
    const std::filesystem::path& folder, const CheckpointIdentity& identity,
    std::size_t parameters);

// The safetensors bytes of a snapshot, for checkpoints and for /v1/weights.
// `kind` is "checkpoint" or "weights"; the latter leaves the optimiser out.
std::string EncodeSnapshot(const TrainerSnapshot& snapshot,
                           const CheckpointIdentity& identity,
                           const dp::LedgerPosition& ledger,
                           const std::string& kind);

// Writes checkpoints on a thread of its own, so that no disk stops the trainer.
class CheckpointWriter {
 public:
  // `on_done` is called on the writer's thread after each: the path, or "" and
  // the error. Throws: CheckpointError if the folder cannot be made.
  CheckpointWriter(
      std::filesystem::path folder, CheckpointIdentity identity, int keep,
      std::function<void(const std::string& path, const std::string& error)>
          on_done);
  ~CheckpointWriter();  // Writes what was offered, then ends.

  // Takes over `snapshot`; replaces one that is still waiting. Never blocks.
  // Threads: any.
  void Offer(TrainerSnapshot snapshot, dp::LedgerPosition ledger);

 private:
  struct Job {
    TrainerSnapshot snapshot;
    dp::LedgerPosition ledger;
  };
  void Run();
  void Write(const Job& job);
  void DeleteOld(const std::filesystem::path& written) const;

  const std::filesystem::path folder_;
  const CheckpointIdentity identity_;
  const int keep_;
  const std::function<void(const std::string&, const std::string&)> on_done_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::optional<Job> waiting_;  // Guarded by mutex_.
  bool stop_ = false;           // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace hearsay::daemon
