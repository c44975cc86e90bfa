#include "ops/compare/cell_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "daemon/config.h"
#include "model/weights_file.h"
#include "ops/cli/evaluate.h"
#include "ops/cli/process.h"
#include "ops/cli/table.h"

namespace hearsay::ops {
namespace {

namespace fs = std::filesystem;

constexpr auto kLookEvery = std::chrono::milliseconds(50);
// To open and check a shard and to bind; the machine may be busy.
constexpr auto kStartPatience = std::chrono::seconds(60);
constexpr const char* kBadConfiguration = "exited with status 78";

bool IsFinal(const std::string& state) {
  return state == "finished" || state == "exhausted" || state == "failed" ||
         state == "draining" || state == "left";
}

std::string Join(const std::vector<std::string>& parts) {
  return fmt::format("{}", fmt::join(parts, "; "));
}

}  // namespace

CellRun::CellRun(const Recipe& recipe, Daemons& daemons, Interrupts& interrupts,
                 CellResult& result)
    : recipe_(recipe),
      daemons_(daemons),
      interrupts_(interrupts),
      result_(result),
      kill_(ParseKill(result.cell.kill)) {}

double CellRun::Seconds() const {
  return std::chrono::duration<double>(SteadyClock::now() - ready_).count();
}

bool CellRun::Awaited(std::size_t node) const {
  return result_.nodes[node].trouble.empty() &&
         (recipe_.until == Recipe::Until::kAll ||
          !result_.nodes[node].slowed());
}

void CellRun::End(Outcome outcome, const std::string& why) {
  result_.outcome = outcome;
  result_.why = why;
}

bool CellRun::UntilReady() {
  const auto give_up = SteadyClock::now() + kStartPatience;
  for (;;) {
    bool all = true;
    for (std::size_t i = 0; i < daemons_.size(); ++i) {
      const std::string& name = daemons_.local(i).name;
      const auto last = [&] { return LastLine(daemons_.local(i).log()); };
      if (!daemons_.Lives(i)) {
        const std::string& how = daemons_.ended(i);
        End(how == kBadConfiguration ? Outcome::kRefused : Outcome::kFailed,
            fmt::format("{} {}: {}", name, how, last()));
        return false;
      }
      if (daemons_.Ready(i)) continue;
      all = false;
      if (SteadyClock::now() > give_up) {
        End(Outcome::kFailed,
            fmt::format("{} is not ready after {} s: {}", name,
                        kStartPatience.count(), last()));
        return false;
      }
    }
    if (all) return true;
    interrupts_.SleepUntil(SteadyClock::now() + kLookEvery);
  }
}

void CellRun::KillIfDue() {
  if (!kill_ || SteadyClock::now() < ready_ + kill_->at) return;
  for (std::size_t i = 0; i < daemons_.size(); ++i) {
    auto& node = result_.nodes[i];
    if (node.name != kill_->node || !node.trouble.empty()) continue;
    if (const auto bytes = daemons_.Bytes(i)) {
      node.bytes_out = bytes->out;
      node.bytes_in = bytes->in;
    }
    AskPrivacy(i);
    daemons_.Kill(i);
    node.trouble = fmt::format("was killed at {:.1f} s, last seen at step {}",
                               Seconds(), node.step);
  }
}

void CellRun::TakeSample() {
  Sample sample = daemons_.Look(Seconds());
  for (std::size_t i = 0; i < daemons_.size(); ++i) {
    auto& node = result_.nodes[i];
    if (const auto& seen = sample.nodes[i]) {
      if (Awaited(i) && seen->step > node.step) moved_ = SteadyClock::now();
      node.step = seen->step;
      node.state = seen->state;
      node.epsilon = seen->epsilon;
    }
    if (node.trouble.empty() && !daemons_.Lives(i))
      node.trouble = fmt::format("{} at {:.1f} s: {}", daemons_.ended(i),
                                 Seconds(), LastLine(daemons_.local(i).log()));
  }
  result_.samples.push_back(std::move(sample));
  result_.seconds = result_.samples.back().seconds;
}

std::string CellRun::Steps() const {
  std::uint64_t least = result_.planned_steps;
  std::uint64_t most = 0;
  for (std::size_t i = 0; i < result_.nodes.size(); ++i) {
    if (!Awaited(i)) continue;
    least = std::min(least, result_.nodes[i].step);
    most = std::max(most, result_.nodes[i].step);
  }
  if (least >= most)
    return fmt::format("at step {} of {}", most, result_.planned_steps);
  return fmt::format("at steps {} to {} of {}", least, most,
                     result_.planned_steps);
}

// What a reader must know of a cell that ended as planned.
std::string CellRun::Remarks() const {
  std::vector<std::string> remarks;
  for (const auto& node : result_.nodes) {
    if (!node.trouble.empty())
      remarks.push_back(node.name + " " + node.trouble);
    else if (node.slowed() && node.step < result_.planned_steps)
      remarks.push_back(fmt::format("{}, {}x slower, took {} of {} steps",
                                    node.name, node.throttle, node.step,
                                    result_.planned_steps));
  }
  return Join(remarks);
}

// Who stopped training before the last step, and why; "" if nobody did.
std::string CellRun::EarlyEnds() const {
  std::map<std::string, std::string> who;  // by what
  for (std::size_t i = 0; i < result_.nodes.size(); ++i) {
    const auto& node = result_.nodes[i];
    if (!Awaited(i) || !IsFinal(node.state) || node.state == "finished")
      continue;
    const std::string why = daemons_.Complaint(i);
    auto& names =
        who[fmt::format("{} at step {} of {}{}", node.state, node.step,
                        result_.planned_steps, why.empty() ? "" : ": " + why)];
    names += (names.empty() ? "" : ", ") + node.name;
  }
  std::vector<std::string> parts;
  for (const auto& [what, names] : who)
    parts.push_back(fmt::format("{} {}", names, what));
  return Join(parts);
}

bool CellRun::Over() {
  int awaited = 0;
  bool all_final = true;
  for (std::size_t i = 0; i < result_.nodes.size(); ++i) {
    if (!Awaited(i)) continue;
    ++awaited;
    all_final = all_final && IsFinal(result_.nodes[i].state);
  }
  const auto ended_early = [&](const std::string& why) {
    std::vector<std::string> all = {why};
    if (const auto remarks = Remarks(); !remarks.empty())
      all.push_back(remarks);
    End(Outcome::kShort, Join(all));
    return true;
  };
  if (awaited == 0) return ended_early("no node is left");
  if (all_final) {
    if (const auto early = EarlyEnds(); !early.empty())
      return ended_early(early);
    End(Outcome::kComplete, Remarks());
    return true;
  }
  const auto now = SteadyClock::now();
  if (now >= ready_ + recipe_.time_limit)
    return ended_early(fmt::format("time limit of {} {}",
                                   daemon::FormatDuration(recipe_.time_limit),
                                   Steps()));
  if (now >= moved_ + recipe_.stalled_after)
    return ended_early(
        fmt::format("stalled: no step for {} {}",
                    daemon::FormatDuration(recipe_.stalled_after), Steps()));
  return false;
}

void CellRun::AskPrivacy(std::size_t i) {
  const Json privacy = daemons_.Privacy(i);
  auto& node = result_.nodes[i];
  if (At(privacy, "noise_multiplier").is_number())
    node.noise_multiplier = At(privacy, "noise_multiplier").get<double>();
  if (At(privacy, "sample_rate").is_number())
    node.sample_rate = At(privacy, "sample_rate");
  if (At(privacy, "delta").is_number()) node.delta = At(privacy, "delta");
  if (At(privacy, "epsilon").is_number())
    node.epsilon = At(privacy, "epsilon").get<double>();
}

// What the nodes that live hold, on the public evaluation set.
void CellRun::Judge() {
  std::vector<std::string> files;
  std::vector<std::size_t> whose;
  fs::path eval;
  for (std::size_t i = 0; i < daemons_.size(); ++i) {
    if (!daemons_.Lives(i)) continue;
    AskPrivacy(i);
    const auto& local = daemons_.local(i);
    eval = daemon::LoadConfig(local.config, {}).data.eval;
    const fs::path file = local.config.parent_path() / "judged.safetensors";
    if (!daemons_.SaveWeights(i, file)) continue;
    files.push_back(file.string());
    whose.push_back(i);
  }
  if (eval.empty() || files.empty()) return;
  const auto report = Evaluate(files, eval.string());
  for (std::size_t i = 0; i < whose.size(); ++i) {
    auto& node = result_.nodes[whose[i]];
    node.accuracy = report.models[i].score.accuracy;
    node.loss = report.models[i].score.mean_loss;
  }
  const Score average = report.average.value_or(report.models[0].score);
  result_.average_accuracy = average.accuracy;
  result_.average_loss = average.mean_loss;
}

void CellRun::Run(const Backend::Look& look) {
  if (!UntilReady()) return;
  ready_ = moved_ = SteadyClock::now();
  auto next = ready_;
  for (;;) {
    KillIfDue();
    TakeSample();
    look(result_);
    if (Over()) break;
    next = std::max(next + recipe_.sample_every, SteadyClock::now());
    const bool kill_pending = kill_ && SteadyClock::now() < ready_ + kill_->at;
    if (kill_pending && ready_ + kill_->at < next) {
      interrupts_.SleepUntil(ready_ + kill_->at);
      KillIfDue();
    }
    interrupts_.SleepUntil(next);
  }
  Settle();
  Judge();
}

// What was exchanged until now, and then averaging alone: its outcome is the
// last point of the curves, but not a time or a state of the training.
void CellRun::Settle() {
  std::vector<std::string> states;
  for (std::size_t i = 0; i < daemons_.size(); ++i) {
    auto& node = result_.nodes[i];
    states.push_back(node.state);
    if (!daemons_.Lives(i)) continue;
    if (const auto bytes = daemons_.Bytes(i)) {
      node.bytes_out = bytes->out;
      node.bytes_in = bytes->in;
    }
    if (!IsFinal(node.state)) daemons_.Drain(i);
  }
  const double trained = result_.seconds;
  interrupts_.SleepUntil(SteadyClock::now() + recipe_.settle);
  TakeSample();
  result_.seconds = trained;
  for (std::size_t i = 0; i < daemons_.size(); ++i)
    result_.nodes[i].state = states[i];
}

}  // namespace hearsay::ops
