#include "ops/cli/wait.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <thread>

#include "daemon/config.h"
#include "ops/cli/client.h"
#include "ops/cli/process.h"
#include "ops/cli/progress.h"
#include "ops/cli/table.h"

namespace hearsay::ops {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr auto kAskEvery = std::chrono::milliseconds(200);
// How long a process of --dir may be missing: somebody may be restarting it.
constexpr auto kMissingFor = std::chrono::seconds(3);
constexpr int kHttpOk = 200;

struct Goal {
  enum class Kind { kReady, kConverged, kFinished, kStep, kMembers };
  Kind kind = Kind::kReady;
  std::uint64_t number = 0;
};

// One node, now.
struct Seen {
  bool reached = false;
  std::string text;  // for the progress line
};

Goal ParseGoal(const std::string& text) {
  if (text == "ready") return {Goal::Kind::kReady};
  if (text == "converged") return {Goal::Kind::kConverged};
  if (text == "finished") return {Goal::Kind::kFinished};
  for (const auto& [prefix, kind] :
       {std::pair{std::string("step>="), Goal::Kind::kStep},
        std::pair{std::string("members="), Goal::Kind::kMembers}}) {
    if (!text.starts_with(prefix)) continue;
    Goal goal{kind};
    const char* end = text.data() + text.size();
    const auto [rest, error] =
        std::from_chars(text.data() + prefix.size(), end, goal.number);
    if (error == std::errc() && rest == end) return goal;
  }
  throw Exit(kUsage, fmt::format("--for {}: not a state; write ready, "
                                 "converged, finished, step>=N or members=N",
                                 text));
}

Seen SeeReady(const NodeAddress& node, std::chrono::milliseconds patience) {
  const Answer answer = Ask(node, "GET", "/readyz", patience);
  const Json body = Json::parse(answer.body, nullptr, false);
  const bool ready = answer.status == kHttpOk;
  return {ready, ready ? "ready" : Cell(At(body, "state"))};
}

// Throws if this node will never get there.
void CheckNotStuck(const NodeAddress& node, const Goal& goal, const Json& self,
                   const Json& status) {
  const bool by_training =
      goal.kind == Goal::Kind::kFinished || goal.kind == Goal::Kind::kStep;
  if (!by_training) return;
  const auto& state = At(self, "state");
  const std::string at =
      fmt::format("{} at step {}", node.label(), Cell(At(self, "step")));
  if (state == "exhausted")
    throw Exit(kExhausted,
               at + ": the privacy budget is exhausted before the end");
  if (state == "failed") {
    std::string why;
    for (const auto& reason : At(At(status, "cluster"), "reasons"))
      why += ": " + Cell(reason);
    throw Exit(kUnhealthy, at + " cannot train" + why);
  }
  if (state == "finished" && goal.kind == Goal::Kind::kStep)
    throw Exit(kError, at + " has finished and goes no further");
}

Seen SeeStatus(const NodeAddress& node, const Goal& goal,
               std::chrono::milliseconds patience) {
  const Json status = AskJson(node, "GET", "/v1/status", patience);
  const auto& cluster = At(status, "cluster");
  Json self;
  for (const auto& one : At(status, "nodes"))
    if (At(one, "name") == At(status, "self")) self = one;
  switch (goal.kind) {
    case Goal::Kind::kConverged: {
      const auto& consensus = At(cluster, "consensus");
      return {At(consensus, "state") == "agreed",
              FixedCell(At(consensus, "relative_distance"), 4)};
    }
    case Goal::Kind::kMembers: {
      const auto& alive = At(cluster, "members_alive");
      return {alive == goal.number, Cell(alive) + " members"};
    }
    case Goal::Kind::kStep: {
      const auto& step = At(self, "step");
      const Seen seen{step.is_number() && step >= goal.number,
                      "step " + Cell(step)};
      if (!seen.reached) CheckNotStuck(node, goal, self, status);
      return seen;
    }
    default:
      CheckNotStuck(node, goal, self, status);
      return {At(self, "state") == "finished",
              "step " + Cell(At(self, "step"))};
  }
}

// Gives up on processes of --dir that are gone for good.
class Missing {
 public:
  void Check(const Where& where, const NodeAddress& node) {
    if (!where.local_cluster()) return;  // it may still be about to start
    for (const auto& local : ReadLocalCluster(where.dir).nodes) {
      if (local.name != node.name) continue;
      const auto now = SteadyClock::now();
      if (IsRunning(local)) {
        since_.erase(node.name);
      } else if (now - since_.try_emplace(node.name, now).first->second >
                 kMissingFor) {
        throw Exit(kUnreachable,
                   fmt::format("{} is not running; its log ends: {}; `hearsay "
                               "up --dir {}` starts it again",
                               node.name, LastLine(local.log()), where.dir));
      }
    }
  }

 private:
  std::map<std::string, SteadyClock::time_point> since_;
};

class Waiting {
 public:
  explicit Waiting(const WaitOptions& options)
      : options_(options), goal_(ParseGoal(options.state)) {}

  std::chrono::milliseconds Waited() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
        SteadyClock::now() - start_);
  }
  // Of the timeout; for ever if there is none.
  std::chrono::milliseconds Left() const {
    if (!options_.timeout) return std::chrono::milliseconds::max();
    return *options_.timeout - Waited();
  }

  // True when all are there; `line` says how far each is.
  bool Look(std::string& line) {
    bool all = true;
    // A frozen daemon must not hold up the timeout.
    const auto patience =
        std::clamp<std::chrono::milliseconds>(Left(), kAskEvery, kPatience);
    line.clear();
    for (const auto& node : Resolve(options_.where)) {
      Seen seen;
      try {
        seen = goal_.kind == Goal::Kind::kReady
                   ? SeeReady(node, patience)
                   : SeeStatus(node, goal_, patience);
      } catch (const Unreachable&) {
        missing_.Check(options_.where, node);
        seen.text = "no answer";
      }
      all = all && seen.reached;
      line += fmt::format("{}{}: {}", line.empty() ? "" : ", ", node.label(),
                          seen.text);
    }
    return all;
  }

 private:
  const WaitOptions& options_;
  const Goal goal_;
  const SteadyClock::time_point start_ = SteadyClock::now();
  Missing missing_;
};

}  // namespace

void Wait(const WaitOptions& options) {
  Waiting waiting(options);
  Progress progress;
  std::string line;
  while (!waiting.Look(line)) {
    if (waiting.Left() < kAskEvery)
      throw Exit(kTimedOut,
                 fmt::format("not {} within {}: {}", options.state,
                             daemon::FormatDuration(*options.timeout), line));
    progress.Show(fmt::format("waiting for {}: {}", options.state, line));
    std::this_thread::sleep_for(kAskEvery);
  }
  if (!options.where.json()) return;
  const std::chrono::duration<double> took = waiting.Waited();
  const Json json = {{"schema", 1},
                     {"for", options.state},
                     {"reached", true},
                     {"seconds", took.count()}};
  Print(json);
}

}  // namespace hearsay::ops
