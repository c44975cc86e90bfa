// Cells under virtual time (`backend = "sim"`): the rules of the daemons, a
// small classifier on generated records with clipping and noise, and as many
// nodes as it takes. Times are those of the simulated network and trainers.
#pragma once

#include "ops/compare/backend.h"

namespace hearsay::ops {

class SimBackend final : public Backend {
 public:
  // References must outlive this.
  explicit SimBackend(const Recipe& recipe) : recipe_(recipe) {}
  CellResult Run(const MatrixCell& cell, const Look& look) override;

 private:
  const Recipe& recipe_;
};

}  // namespace hearsay::ops
