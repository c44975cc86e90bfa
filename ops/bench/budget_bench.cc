// What a private step's price costs the trainer: the budget alone, with a real
// ledger on the disk of the given folder, and steps that only take their time.
//
//   build/release/bin/hearsay_budget_bench FOLDER STEP_US [SECONDS [TARGET]]
//
// Prints the share of the time that the trainer spent paying, the processor
// time that the whole process spent beyond the steps, the blocks that were
// reserved and the most steps that a crash would have lost. TARGET: an epsilon,
// so that the budget looks for the last step that fits, too.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <optional>
#include <string>

#include "daemon/budget.h"
#include "dp/ledger.h"

namespace {

using Clock = std::chrono::steady_clock;

double Seconds(Clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

double ProcessorSeconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) +
         static_cast<double>(time.tv_nsec) * 1e-9;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    fmt::print(stderr,
               "hearsay_budget_bench FOLDER STEP_US [SECONDS [TARGET]]\n");
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  const std::chrono::duration<double, std::micro> step(std::atof(argv[2]));
  const std::chrono::duration<double> length(argc > 3 ? std::atof(argv[3]) : 5);
  std::optional<double> target;
  if (argc > 4) target = std::atof(argv[4]);
  if (std::filesystem::exists(folder / "ledger")) {
    fmt::print(stderr, "{}: has a ledger already\n", folder.string());
    return 1;
  }

  std::uint64_t steps = 0;
  std::uint64_t most_unused = 0;
  Clock::duration paying{0};
  Clock::duration longest{0};
  double charged_seconds = 0;
  {
    hearsay::daemon::Budget budget(
        hearsay::dp::Ledger(folder, "bench", "bench"),
        {0.001, 1.0, 1e-5, target});
    constexpr std::uint64_t kWanted = 1'000'000;
    const auto begin = Clock::now();
    const double processor = ProcessorSeconds();
    auto now = begin;
    while (now - begin < length) {
      if (!budget.PayOneStep(kWanted - steps)) break;
      const auto paid = Clock::now();
      paying += paid - now;
      longest = std::max(longest, paid - now);
      ++steps;
      most_unused =
          std::max(most_unused, budget.status().steps_charged - steps);
      while ((now = Clock::now()) - paid < step) {
      }
    }
    charged_seconds = ProcessorSeconds() - processor;
    const double all = Seconds(now - begin);
    fmt::print(
        "{} steps of {:.0f} us: {:.2f} % of the time was spent paying, "
        "the longest {:.2f} ms; {:.2f} % more processor time\n",
        steps, step.count(), 100 * Seconds(paying) / all,
        1e3 * Seconds(longest),
        100 * (charged_seconds - (all - Seconds(paying))) / all);
    budget.Settle();
  }
  const auto contents = hearsay::dp::ReadLedger(folder / "ledger");
  fmt::print("{} records; at most {} steps reserved and not used\n",
             contents.records.size(), most_unused);
  return contents.charged_steps == steps ? 0 : 1;
}
