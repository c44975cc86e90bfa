// What the simulated nodes train, each on data of its own.
//
// Threads: one.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "ops/sim/chance.h"
#include "ops/sim/settings.h"

namespace hearsay::sim {

struct Score {
  double loss = 0;
  double accuracy = 0;
};

class Task {
 public:
  virtual ~Task() = default;
  virtual std::size_t dimension() const = 0;
  virtual void Start(std::span<double> weights) const = 0;
  // The update of one step of `node`, computed at `weights`; noise included.
  virtual void Step(std::size_t node, std::span<const double> weights,
                    Chance& chance, std::span<double> update) = 0;
  // Of the optimum if every node counts once; empty: unknown.
  virtual std::span<const double> optimum() const = 0;
  virtual bool scores() const { return false; }
  // On data that no node holds.
  virtual Score Evaluate(std::span<const double> /*weights*/) { return {}; }
};

// Throws: std::invalid_argument.
std::unique_ptr<Task> MakeTask(const Settings& settings);

}  // namespace hearsay::sim
