#include "ops/compare/daemons.h"

#include <fmt/format.h>

#include <charconv>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>
#include <thread>

#include "ops/cli/client.h"
#include "ops/cli/process.h"
#include "ops/cli/table.h"

namespace hearsay::ops {

namespace fs = std::filesystem;

namespace {

constexpr int kHttpOk = 200;
// A node that takes longer counts as silent for that sample.
constexpr auto kLook = std::chrono::milliseconds(1000);
constexpr auto kBigAnswer = std::chrono::seconds(10);
constexpr auto kStopPatience = std::chrono::seconds(10);
constexpr auto kReapEvery = std::chrono::milliseconds(1);

std::optional<double> NumberAt(const Json& object, const std::string& key) {
  const Json& value = At(object, key);
  if (!value.is_number()) return std::nullopt;
  return value.get<double>();
}

}  // namespace

std::optional<NodeSample> NodeSampleOf(const Json& status,
                                       const std::string& name) {
  for (const auto& node : At(status, "nodes")) {
    if (At(node, "name") != name) continue;
    NodeSample sample;
    if (At(node, "state").is_string()) sample.state = At(node, "state");
    if (At(node, "step").is_number_unsigned()) sample.step = At(node, "step");
    sample.steps_per_second = NumberAt(node, "steps_per_second").value_or(0);
    sample.accuracy = NumberAt(At(node, "eval"), "accuracy");
    sample.loss = NumberAt(At(node, "eval"), "loss");
    sample.epsilon = NumberAt(At(node, "privacy"), "epsilon");
    return sample;
  }
  return std::nullopt;
}

std::optional<double> DistanceOf(const Json& status) {
  return NumberAt(At(At(status, "cluster"), "consensus"), "relative_distance");
}

std::optional<ExchangedBytes> ExchangedBytesOf(const std::string& metrics) {
  constexpr std::string_view kName = "hearsay_exchange_bytes_total";
  std::optional<ExchangedBytes> bytes;
  std::istringstream lines(metrics);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(fmt::format("# TYPE {} ", kName)))
      bytes.emplace();  // a node without peers has sent nothing
    if (!bytes || !line.starts_with(fmt::format("{}{{", kName))) continue;
    const auto space = line.rfind(' ');
    double value = 0;
    std::from_chars(line.data() + space + 1, line.data() + line.size(), value);
    (line.find("direction=\"out\"") != std::string::npos ? bytes->out
                                                         : bytes->in) += value;
  }
  return bytes;
}

Daemons::Daemons(const fs::path& program, LocalCluster cluster,
                 const fs::path& dir)
    : Daemons() {
  // Should this throw, the destructor ends those that were started.
  for (auto& node : cluster.nodes) {
    node.pid = StartDaemon(program, node);
    nodes_.push_back({node, ""});
  }
  WriteLocalCluster(dir, cluster);  // for ClearRun, should we be killed
}

Daemons::~Daemons() { StopAll(); }

bool Daemons::Lives(std::size_t node) {
  auto& process = nodes_[node];
  if (!process.ended.empty()) return false;
  if (const auto end = HowItEnded(process.local.pid)) process.ended = *end;
  return process.ended.empty();
}

NodeAddress Daemons::AddressOf(std::size_t node) const {
  const auto& local = nodes_[node].local;
  return {.name = local.name,
          .address = "unix:" + local.unix_socket.string(),
          .token = {}};
}

bool Daemons::Ready(std::size_t node) const {
  try {
    return Ask(AddressOf(node), "GET", "/readyz", kLook).status == kHttpOk;
  } catch (const Unreachable&) {
    return false;
  }
}

Sample Daemons::Look(double seconds) {
  Sample sample{.seconds = seconds, .distance = {}, .nodes = {}};
  for (std::size_t i = 0; i < size(); ++i) {
    sample.nodes.emplace_back();
    if (!Lives(i)) continue;
    try {
      const Json status = AskJson(AddressOf(i), "GET", "/v1/status", kLook);
      sample.nodes.back() = NodeSampleOf(status, local(i).name);
      if (!sample.distance) sample.distance = DistanceOf(status);
    } catch (const Exit&) {
      // Silent, or busy, or about to end: unknown at this moment.
    }
  }
  return sample;
}

std::string Daemons::Complaint(std::size_t node) const {
  Json status;
  try {
    status = AskJson(AddressOf(node), "GET", "/v1/status", kLook);
  } catch (const Exit&) {
    return "";
  }
  // "NAME: why", among those of others and those about others ("NAME is ...").
  const std::string own = local(node).name + ": ";
  for (const auto& reason : At(At(status, "cluster"), "reasons"))
    if (reason.is_string() && reason.get<std::string>().starts_with(own))
      return reason.get<std::string>().substr(own.size());
  return "";
}

std::optional<ExchangedBytes> Daemons::Bytes(std::size_t node) const {
  try {
    return ExchangedBytesOf(
        Ask(AddressOf(node), "GET", "/metrics", kLook).body);
  } catch (const Unreachable&) {
    return std::nullopt;
  }
}

Json Daemons::Privacy(std::size_t node) const {
  try {
    return AskJson(AddressOf(node), "GET", "/v1/privacy", kLook);
  } catch (const Exit&) {
    return nullptr;
  }
}

bool Daemons::SaveWeights(std::size_t node, const fs::path& file) const {
  try {
    const Answer answer =
        Ask(AddressOf(node), "GET", "/v1/weights", kBigAnswer);
    std::ofstream stream(file, std::ios::binary);
    stream << answer.body;
    stream.close();
    return answer.status == kHttpOk && stream.good();
  } catch (const Unreachable&) {
    return false;
  }
}

void Daemons::Drain(std::size_t node) {
  try {
    AskJson(AddressOf(node), "POST", "/v1/drain", kLook);
  } catch (const Exit&) {
    // One that does not answer will be judged by what it then holds, or not.
  }
}

void Daemons::Kill(std::size_t node) {
  if (Lives(node)) kill(local(node).pid, SIGKILL);
  while (Lives(node)) std::this_thread::sleep_for(kReapEvery);
}

void Daemons::StopAll() {
  for (std::size_t i = 0; i < size(); ++i)
    if (Lives(i)) kill(local(i).pid, SIGTERM);
  for (std::size_t i = 0; i < size(); ++i) {
    if (!Lives(i)) continue;
    StopDaemon(local(i), kStopPatience);
    Lives(i);  // so that no zombie stays
  }
}

void ClearRun(const fs::path& dir) {
  if (HasLocalCluster(dir))
    for (const auto& node : ReadLocalCluster(dir).nodes)
      if (IsRunning(node)) StopDaemon(node, kStopPatience);
  fs::remove_all(dir);
}

}  // namespace hearsay::ops
