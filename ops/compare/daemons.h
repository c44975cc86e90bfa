// The processes of one cell, and what is asked of them. Ends every one of them
// by its pid when it is destroyed, whatever happens.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ops/cli/target.h"
#include "ops/compare/results.h"

namespace hearsay::ops {

struct ExchangedBytes {
  double out = 0;
  double in = 0;
};

// Pure, of the daemon's documents. Each takes what is missing for unknown.
// The entry of `name` in a /v1/status; nothing if there is none.
std::optional<NodeSample> NodeSampleOf(const Json& status,
                                       const std::string& name);
std::optional<double> DistanceOf(const Json& status);
// Out of /metrics: exchange_bytes_total over all peers; nothing if there is no
// such metric.
std::optional<ExchangedBytes> ExchangedBytesOf(const std::string& metrics);

class Daemons {
 public:
  // Starts all of `cluster`, whose folder is `dir`.
  // Throws: Exit(kError).
  Daemons(const std::filesystem::path& program, LocalCluster cluster,
          const std::filesystem::path& dir);
  ~Daemons();
  Daemons(const Daemons&) = delete;
  Daemons& operator=(const Daemons&) = delete;

  std::size_t size() const { return nodes_.size(); }
  const LocalNode& local(std::size_t node) const { return nodes_[node].local; }
  // False once its process has ended.
  bool Lives(std::size_t node);
  // How it ended: "exited with status 78"; "" while it lives.
  const std::string& ended(std::size_t node) const {
    return nodes_[node].ended;
  }

  bool Ready(std::size_t node) const;
  // One /v1/status from each that answers; the distance by the first of them.
  Sample Look(double seconds);
  // What it complains of itself; "" if of nothing.
  std::string Complaint(std::size_t node) const;
  std::optional<ExchangedBytes> Bytes(std::size_t node) const;
  // The document, or null.
  Json Privacy(std::size_t node) const;
  // Writes its weights to `file`. False if it does not give them.
  bool SaveWeights(std::size_t node, const std::filesystem::path& file) const;

  // It trains no more; averaging goes on.
  void Drain(std::size_t node);
  void Kill(std::size_t node);
  // In order, and then not in order.
  void StopAll();

 private:
  struct Process {
    LocalNode local;
    std::string ended;
  };
  Daemons() = default;
  NodeAddress AddressOf(std::size_t node) const;

  std::vector<Process> nodes_;
};

// Ends what an interrupted run left in the cluster's folder, and removes it.
void ClearRun(const std::filesystem::path& dir);

}  // namespace hearsay::ops
