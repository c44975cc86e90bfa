// Whether the machine had time for a measurement.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace hearsay::ops {

// From its making to Report: what the processors did meanwhile.
class MachineWatch {
 public:
  MachineWatch();
  // {"cpu", "cores", "load_before", "load_after", "others_fraction",
  // "steal_fraction", "idle", "notes"}. `idle` is false, and the notes say
  // why, if anybody but this process and its children that have ended took
  // more than a twentieth of the machine, or the host took more than a
  // hundredth.
  nlohmann::ordered_json Report() const;

 private:
  struct Ticks {
    std::uint64_t busy = 0, steal = 0, all = 0;
  };
  static Ticks Now();

  const Ticks begin_;
  const double load_before_;
  const double own_before_;  // seconds
};

// Of /proc/cpuinfo: "model name"; "" if it does not say.
std::string CpuModel();

struct Spread {
  double p10 = 0, median = 0, p90 = 0;
};
// Requires: not empty.
Spread SpreadOf(std::vector<double> values);
nlohmann::ordered_json ToJson(const Spread& spread);

}  // namespace hearsay::ops
