#include "daemon/metrics.h"

#include <fmt/format.h>

#include <cmath>
#include <map>
#include <vector>

#include "daemon/node.h"

namespace hearsay::daemon {

namespace {

class Page {
 public:
  void Begin(const std::string& name, const char* type, const char* help) {
    name_ = "hearsay_" + name;
    text_ += fmt::format("# HELP {0} {2}\n# TYPE {0} {1}\n", name_, type, help);
  }
  // `labels` as they are written: peer="b",outcome="ok"
  void Add(double value, const std::string& labels = "") {
    text_ += labels.empty()
                 ? fmt::format("{} {}\n", name_, Number(value))
                 : fmt::format("{}{{{}}} {}\n", name_, labels, Number(value));
  }
  std::string text() && { return std::move(text_); }

 private:
  static std::string Number(double value) {
    if (std::isinf(value)) return value > 0 ? "+Inf" : "-Inf";
    return std::isnan(value) ? "NaN" : fmt::format("{}", value);
  }
  std::string name_;
  std::string text_;
};

void AddTraining(const Node& node, const NodeReport& report, Page& page) {
  page.Begin("train_steps_total", "counter", "Private steps taken");
  page.Add(static_cast<double>(report.step));
  page.Begin("train_steps_per_second", "gauge", "Over the last seconds");
  page.Add(report.steps_per_second);
  page.Begin(
      "train_stall_seconds_total", "counter",
      "Time the trainer waited for others, or for a chunk of the weights");
  page.Add(node.stalled_seconds());
  if (report.eval_loss) {
    page.Begin("eval_loss", "gauge", "On the public evaluation set");
    page.Add(*report.eval_loss);
  }
  if (report.eval_accuracy) {
    page.Begin("eval_accuracy_ratio", "gauge", "On the public evaluation set");
    page.Add(*report.eval_accuracy);
  }
}

void AddPrivacy(const NodeReport& report, Page& page) {
  page.Begin("privacy_epsilon", "gauge", "Spent, by the ledger");
  page.Add(report.epsilon);
  if (report.target_epsilon) {
    page.Begin("privacy_epsilon_budget", "gauge", "privacy.target_epsilon");
    page.Add(*report.target_epsilon);
  }
  page.Begin("privacy_steps_remaining", "gauge",
             "Steps the run wants and the budget allows");
  page.Add(static_cast<double>(report.steps_left));
  page.Begin("privacy_valid", "gauge", "1 while the claim holds");
  page.Add(report.privacy_valid ? 1 : 0);
}

void AddExchanges(const Node& node, Page& page) {
  const auto& counters = node.exchange().counters();
  page.Begin("exchange_total", "counter", "Exchanges by peer and outcome");
  for (const auto& [peer, c] : counters) {
    const std::pair<const char*, std::uint64_t> outcomes[] = {
        {"ok", c.ok},
        {"failed", c.failed},
        {"answered", c.answered},
        {"one_sided", c.one_sided},
        {"not_finite", c.not_finite}};
    for (const auto& [outcome, count] : outcomes)
      page.Add(static_cast<double>(count),
               fmt::format(R"(peer="{}",outcome="{}")", peer, outcome));
  }
  page.Begin("exchange_bytes_total", "counter", "Array bytes by direction");
  for (const auto& [peer, c] : counters) {
    const auto bytes = node.transport().counters(peer);
    page.Add(static_cast<double>(bytes.bytes_out),
             fmt::format(R"(peer="{}",direction="out")", peer));
    page.Add(static_cast<double>(bytes.bytes_in),
             fmt::format(R"(peer="{}",direction="in")", peer));
  }
  page.Begin("exchange_dropped_total", "counter",
             "Pieces dropped by reason; peer \"\": of nobody known");
  const auto add_dropped = [&](const std::string& peer) {
    for (const auto& [reason, count] :
         node.transport().counters(peer).dropped())
      page.Add(static_cast<double>(count),
               fmt::format(R"(peer="{}",reason="{}")", peer, reason));
  };
  add_dropped("");
  for (const auto& [peer, c] : counters) add_dropped(peer);
  page.Begin("exchange_round_trip_seconds", "gauge", "Smoothed");
  for (const auto& [peer, c] : counters)
    page.Add(c.round_trip_seconds, fmt::format(R"(peer="{}")", peer));
}

void AddCluster(const Node& node, Page& page) {
  const auto view = node.View();
  const auto summary = Summarise(view);
  if (summary.consensus) {
    page.Begin("consensus_distance_ratio", "gauge",
               "Root mean square distance from the mean, over its norm");
    page.Add(summary.consensus->relative_distance);
  }
  if (view.momentum_eta) {
    page.Begin("mixing_momentum_eta", "gauge",
               "Of the blend of the two arrays, an interval between exchanges");
    page.Add(*view.momentum_eta);
  }
  std::map<std::string, int> states;
  for (const auto& known : view.nodes) ++states[Word(known.member)];
  page.Begin("members", "gauge", "Known nodes by state, this one included");
  for (const auto& [state, count] : states)
    page.Add(count, fmt::format(R"(state="{}")", state));
  page.Begin("resync_total", "counter", "Full averages by outcome");
  page.Add(static_cast<double>(node.resync().succeeded()), R"(outcome="ok")");
  page.Add(static_cast<double>(node.resync().failed()), R"(outcome="failed")");
  page.Begin("ring_repairs_total", "counter",
             "Times the next node of the ring failed and was bypassed");
  page.Add(static_cast<double>(node.neighbours().repairs()));
  if (const auto when = node.last_checkpoint()) {
    page.Begin("checkpoint_last_success_timestamp_seconds", "gauge",
               "Unix time");
    page.Add(std::chrono::duration<double>(when->time_since_epoch()).count());
  }
}

void AddPhases(const Node& node, const OwnersDoor& door, Page& page) {
  if (node.run().private_gradient == nullptr) return;
  const auto phases = door.Open(node.run().private_gradient->phases());
  page.Begin("step_seconds_total", "counter",
             "Time spent in each phase of the steps (private: owner only)");
  page.Add(phases.load, R"(phase="load")");
  page.Add(phases.forward_backward, R"(phase="forward_backward")");
  page.Add(phases.clip_noise, R"(phase="clip_noise")");
}

}  // namespace

std::string Metrics(const Node& node, const std::optional<OwnersDoor>& door) {
  Page page;
  const auto report = node.SelfReport();
  AddTraining(node, report, page);
  AddPrivacy(report, page);
  AddExchanges(node, page);
  AddCluster(node, page);
  if (door) AddPhases(node, *door, page);
  return std::move(page).text();
}

}  // namespace hearsay::daemon
