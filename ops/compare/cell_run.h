// One cell while its daemons run: waits for them, looks at them on a clock,
// kills whom the cell kills, knows when it is over, and judges what they hold.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "ops/compare/backend.h"
#include "ops/compare/daemons.h"

namespace hearsay::ops {

class CellRun {
 public:
  // References must outlive this. `result` has its cell and its nodes.
  CellRun(const Recipe& recipe, Daemons& daemons, Interrupts& interrupts,
          CellResult& result);

  // Fills in the result. Throws: Interrupted.
  void Run(const Backend::Look& look);

 private:
  using SteadyClock = std::chrono::steady_clock;

  bool UntilReady();
  void TakeSample();
  void KillIfDue();
  // True when the cell is over; the outcome and its reason are set.
  bool Over();
  void End(Outcome outcome, const std::string& why);
  std::string Remarks() const;
  std::string EarlyEnds() const;
  void Settle();
  void Judge();
  void AskPrivacy(std::size_t node);

  bool Awaited(std::size_t node) const;
  double Seconds() const;
  std::string Steps() const;

  const Recipe& recipe_;
  Daemons& daemons_;
  Interrupts& interrupts_;
  CellResult& result_;
  const std::optional<Kill> kill_;
  SteadyClock::time_point ready_;
  SteadyClock::time_point moved_;  // last, by an awaited node
};

}  // namespace hearsay::ops
