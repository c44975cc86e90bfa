// Runs a cell with real daemons, one process a node, made as `hearsay up` makes
// a local cluster, watched over their unix sockets.
//
// DIR/run          the cluster of the cell that is running
// DIR/data         shards, if compare makes them
// DIR/logs/CELL    what each node said, and its configuration
#pragma once

#include "ops/compare/backend.h"
#include "ops/compare/data.h"

namespace hearsay::ops {

class DaemonBackend : public Backend {
 public:
  // Throws: Exit(kError) if there is no hearsayd.
  DaemonBackend(const Recipe& recipe, const std::filesystem::path& dir,
                Interrupts& interrupts);

  CellResult Run(const MatrixCell& cell, const Look& look) override;

 private:
  void RunIn(CellResult& result, const Look& look);
  void KeepLogs(const CellResult& result) const;
  std::string Explain(const std::string& complaint) const;

  const Recipe& recipe_;
  const std::filesystem::path dir_;
  Interrupts& interrupts_;
  const std::filesystem::path daemon_;
  CompareData data_;
};

}  // namespace hearsay::ops
