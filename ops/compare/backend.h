// What runs the cells of a comparison: real daemons, or the simulator.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>

#include "ops/compare/interrupts.h"
#include "ops/compare/recipe.h"
#include "ops/compare/results.h"

namespace hearsay::ops {

class Backend {
 public:
  virtual ~Backend() = default;

  // Told of the cell as far as it is, now and then.
  using Look = std::function<void(const CellResult& so_far)>;

  // Runs one cell of the recipe to its end. What is wrong with the cell, or
  // goes wrong in it, is its outcome; nothing of it runs on afterwards,
  // whatever happens.
  // Throws: Interrupted.
  virtual CellResult Run(const MatrixCell& cell, const Look& look) = 0;
};

// `dir` is the comparison's folder. References must outlive the backend.
// Throws: Exit(kUsage) for one that is not yet in use.
std::unique_ptr<Backend> MakeBackend(const Recipe& recipe,
                                     const std::filesystem::path& dir,
                                     Interrupts& interrupts);

}  // namespace hearsay::ops
