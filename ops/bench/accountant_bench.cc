// What an evaluation of epsilon takes, for trainings from papers and tutorials:
//
//   build/release/bin/hearsay_accountant_bench
//
// One row each: the least and the median of seven, in milliseconds.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "dp/pld.h"
#include "dp/rdp.h"

namespace {

using hearsay::dp::Releases;

struct Times {
  double least = 0;
  double median = 0;
};

template <typename Evaluate>
Times Measure(const Evaluate& evaluate) {
  std::array<double, 7> times;
  for (double& time : times) {
    const auto start = std::chrono::steady_clock::now();
    evaluate();
    time = std::chrono::duration<double, std::milli>(
               std::chrono::steady_clock::now() - start)
               .count();
  }
  std::sort(times.begin(), times.end());
  return {times.front(), times[times.size() / 2]};
}

struct Row {
  Releases releases;
  double delta;
};

}  // namespace

int main() {
  const Row rows[] = {{{0.01, 0.67379294682, 1}, 1e-5},
                      {{0.01, 0.7, 120}, 1e-5},
                      {{0.01, 0.35, 120}, 1e-5},
                      {{0.1, 2, 100}, 1e-5},
                      {{0.5, 5, 100}, 1e-6},
                      {{0.01, 1, 1000}, 1e-5},
                      {{0.04, 1.5, 2249}, 1e-5},
                      {{0.04, 1.2915, 2000}, 1e-5},
                      {{0.00256, 0.9, 4900}, 1e-5},
                      {{0.0025, 1.3, 6000}, 1e-5},
                      {{0.004, 0.7, 11250}, 1e-5},
                      {{256 / 60000.0, 1.1, 14063}, 1e-5},
                      {{0.0001, 0.5, 100000}, 1e-7}};
  fmt::print("{:>10} {:>8} {:>7} {:>6}  {:>9} {:>6} {:>6}  {:>9} {:>6} {:>6}\n",
             "q", "sigma", "steps", "delta", "pld", "least", "median", "rdp",
             "least", "median");
  for (const auto& [releases, delta] : rows) {
    double pld = 0;
    double rdp = 0;
    const Times pld_times = Measure([&] {
      pld = hearsay::dp::PldEpsilon({&releases, 1}, delta);
    });
    const Times rdp_times = Measure(
        [&] { rdp = hearsay::dp::RdpEpsilon(releases, delta).epsilon; });
    fmt::print(
        "{:>10.6g} {:>8.5g} {:>7} {:>6g}  {:>9.6f} {:>6.1f} {:>6.1f}  {:>9.6f} "
        "{:>6.1f} {:>6.1f}\n",
        releases.sample_rate, releases.noise_multiplier, releases.steps, delta,
        pld, pld_times.least, pld_times.median, rdp, rdp_times.least,
        rdp_times.median);
  }
  return 0;
}
