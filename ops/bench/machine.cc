#include "ops/bench/machine.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMaxOthers = 0.05;
constexpr double kMaxSteal = 0.01;

double Load() {
  double load = 0;
  std::ifstream("/proc/loadavg") >> load;
  return load;
}

double OwnSeconds() {
  double seconds = 0;
  for (const int who : {RUSAGE_SELF, RUSAGE_CHILDREN}) {
    rusage usage{};
    getrusage(who, &usage);
    for (const auto& time : {usage.ru_utime, usage.ru_stime})
      seconds += static_cast<double>(time.tv_sec) +
                 1e-6 * static_cast<double>(time.tv_usec);
  }
  return seconds;
}

}  // namespace

MachineWatch::MachineWatch()
    : begin_(Now()), load_before_(Load()), own_before_(OwnSeconds()) {}

// proc(5): user nice system idle iowait irq softirq steal, in ticks.
MachineWatch::Ticks MachineWatch::Now() {
  std::ifstream stream("/proc/stat");
  std::string cpu;
  stream >> cpu;
  std::array<std::uint64_t, 8> fields{};
  for (auto& field : fields) stream >> field;
  Ticks ticks;
  for (const auto field : fields) ticks.all += field;
  ticks.steal = fields[7];
  ticks.busy = ticks.all - fields[3] - fields[4] - fields[7];
  return ticks;
}

Json MachineWatch::Report() const {
  const Ticks now = Now();
  const double all = std::max(1.0, static_cast<double>(now.all - begin_.all));
  const double own =
      (OwnSeconds() - own_before_) * static_cast<double>(sysconf(_SC_CLK_TCK));
  const double others =
      std::max(0.0, (static_cast<double>(now.busy - begin_.busy) - own) / all);
  const double steal = static_cast<double>(now.steal - begin_.steal) / all;
  Json notes = Json::array();
  if (others > kMaxOthers)
    notes.push_back(fmt::format(
        "other processes took {:.0f} % of the machine: measure again when it "
        "is idle",
        100 * others));
  if (steal > kMaxSteal)
    notes.push_back(
        fmt::format("the host took {:.1f} % of the machine", 100 * steal));
  return {{"cpu", CpuModel()},
          {"cores", std::thread::hardware_concurrency()},
          {"load_before", load_before_},
          {"load_after", Load()},
          {"others_fraction", others},
          {"steal_fraction", steal},
          {"idle", notes.empty()},
          {"notes", notes}};
}

std::string CpuModel() {
  std::ifstream stream("/proc/cpuinfo");
  for (std::string line; std::getline(stream, line);)
    if (line.starts_with("model name"))
      return line.substr(std::min(line.size(), line.find(": ") + 2));
  return {};
}

Spread SpreadOf(std::vector<double> values) {
  assert(!values.empty());
  std::sort(values.begin(), values.end());
  const auto at = [&](double quantile) {
    return values[static_cast<std::size_t>(
        quantile * static_cast<double>(values.size() - 1) + 0.5)];
  };
  return {at(0.1), at(0.5), at(0.9)};
}

Json ToJson(const Spread& spread) {
  return {{"p10", spread.p10}, {"median", spread.median}, {"p90", spread.p90}};
}

}  // namespace hearsay::ops
