// How fast a data lane is between two processes of this machine, each on a core
// of its own: the exchange (an array each way, and the average of both at both
// ends), and arrays one way.
//
//   hearsay_exchange_bench [--wire=ucx|socket] [--sealed|--open]
//                          [--exchange=MIB,MIB...] [--push=MIB,MIB...]
//                          [--turns=N] [--rounds=N] [--chunk=KIB]
//
// Without choices: everything, in turns, so that what the machine does
// meanwhile touches all alike. A line of JSON each, the median first.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <sstream>
#include <string>
#include <vector>

#include "ops/bench/data_lane.h"

namespace {

using hearsay::bench::DataLane;
using hearsay::bench::Seconds;
using hearsay::transport::WireKind;

struct Plan {
  std::vector<WireKind> wires{WireKind::kUcx, WireKind::kSocket};
  std::vector<bool> sealed{false, true};
  std::vector<std::size_t> exchange{16, 64, 256};  // MiB
  std::vector<std::size_t> push{1, 4, 16, 64};
  int turns = 3;
  int rounds = 0;  // 0: as many as take about a second
  std::size_t chunk_bytes = DataLane().chunk_bytes;
};

struct Task {
  bool push;
  DataLane lane;
  std::vector<double> milliseconds;
};

std::vector<std::size_t> Numbers(const std::string& text) {
  std::vector<std::size_t> numbers;
  std::istringstream stream(text);
  for (std::string one; std::getline(stream, one, ',');)
    numbers.push_back(std::stoul(one));
  return numbers;
}

// False if there is no such flag.
bool Take(const std::string& argument, Plan& plan) {
  const auto equals = argument.find('=');
  const std::string name = argument.substr(0, equals);
  const std::string value =
      equals == std::string::npos ? "" : argument.substr(equals + 1);
  if (name == "--open")
    plan.sealed = {false};
  else if (name == "--sealed")
    plan.sealed = {true};
  else if (argument == "--wire=ucx")
    plan.wires = {WireKind::kUcx};
  else if (argument == "--wire=socket")
    plan.wires = {WireKind::kSocket};
  else if (name == "--exchange")
    plan.exchange = Numbers(value);
  else if (name == "--push")
    plan.push = Numbers(value);
  else if (name == "--turns")
    plan.turns = std::stoi(value);
  else if (name == "--rounds")
    plan.rounds = std::stoi(value);
  else if (name == "--chunk")
    plan.chunk_bytes = std::stoul(value) << 10;
  else
    return false;
  return true;
}

std::vector<Task> TasksOf(const Plan& plan) {
  std::vector<Task> tasks;
  for (const bool push : {false, true})
    for (const std::size_t mib : push ? plan.push : plan.exchange)
      for (const auto wire : plan.wires)
        for (const bool sealed : plan.sealed)
          tasks.push_back({push,
                           {.wire = wire,
                            .sealed = sealed,
                            .array_bytes = mib << 20,
                            .chunk_bytes = plan.chunk_bytes},
                           {}});
  return tasks;
}

void Measure(Task& task, int rounds) {
  const int about_a_second = static_cast<int>(
      std::clamp<std::size_t>((std::size_t{2} << 30) / task.lane.array_bytes, 8,
                              task.push ? 1024 : 32));
  if (rounds == 0) rounds = about_a_second;
  if (task.push)
    return task.milliseconds.push_back(
        1000 *
        MeasurePush(task.lane, {.warm_up = rounds / 4, .measured = rounds})
            .count());
  for (const Seconds one :
       MeasureExchange(task.lane, {.warm_up = 3, .measured = rounds}))
    task.milliseconds.push_back(1000 * one.count());
}

void Print(Task& task) {
  auto& times = task.milliseconds;
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2];
  std::printf(
      "{\"what\":\"%s\",\"wire\":\"%s\",\"sealed\":%s,\"mib\":%zu,"
      "\"median_ms\":%.3f,\"p10_ms\":%.3f,\"p90_ms\":%.3f,\"min_ms\":%.3f,"
      "\"mib_per_s\":%.0f,\"samples\":%zu}\n",
      task.push ? "push" : "exchange",
      task.lane.wire == WireKind::kUcx ? "ucx" : "socket",
      task.lane.sealed ? "true" : "false", task.lane.array_bytes >> 20, median,
      times[times.size() / 10], times[times.size() * 9 / 10], times.front(),
      1000 * static_cast<double>(task.lane.array_bytes >> 20) / median,
      times.size());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    Plan plan;
    for (int i = 1; i < argc; ++i)
      if (!Take(argv[i], plan)) {
        std::fprintf(stderr, "hearsay_exchange_bench: no such flag: %s\n",
                     argv[i]);
        return 2;
      }
    auto tasks = TasksOf(plan);
    for (int turn = 0; turn < plan.turns; ++turn)
      for (auto& task : tasks) Measure(task, plan.rounds);
    for (auto& task : tasks) Print(task);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hearsay_exchange_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
