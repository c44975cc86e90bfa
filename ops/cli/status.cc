#include "ops/cli/status.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "ops/cli/client.h"
#include "ops/cli/table.h"

namespace hearsay::ops {
namespace {

constexpr auto kRedrawEvery = std::chrono::seconds(1);

Json SilentNode(const std::string& name, const std::string& error) {
  return {{"name", name}, {"state", "failed"}, {"error", error}};
}

// What is left to say when nobody answers.
Json SilentCluster(const Where& where) {
  Json name = nullptr;
  if (where.local_cluster()) name = ReadLocalCluster(where.dir).name;
  return {
      {"schema", 1},
      {"self", nullptr},
      {"cluster",
       {{"name", name},
        {"health", "unhealthy"},
        {"reasons", {"no node answers"}},
        {"members_alive", 0},
        {"members_total", nullptr},
        {"consensus", {{"relative_distance", nullptr}, {"state", "unknown"}}}}},
      {"nodes", Json::array()}};
}

bool Mentions(const Json& status, const std::string& name) {
  const auto& nodes = At(status, "nodes");
  return std::any_of(nodes.begin(), nodes.end(), [&](const Json& node) {
    return At(node, "name") == name;
  });
}

void AddSilent(const NodeAddress& node, const std::string& error,
               Json& status) {
  if (Mentions(status, node.name)) {
    for (auto& known : status["nodes"])
      if (At(known, "name") == node.name && At(known, "error").is_null())
        known["error"] = error;
    return;
  }
  status["nodes"].push_back(SilentNode(node.label(), error));
  auto& cluster = status["cluster"];
  if (At(status, "self").is_null()) return;  // one reason for all is enough
  if (At(cluster, "health") == "healthy") cluster["health"] = "degraded";
  cluster["reasons"].push_back(fmt::format("{}: {}", node.label(), error));
}

Json OnlySelf(Json status) {
  Json self = Json::array();
  for (const auto& node : status["nodes"])
    if (At(status, "self").is_null() || At(node, "name") == At(status, "self"))
      self.push_back(node);
  status["nodes"] = self;
  return status;
}

std::string LinksCell(const Json& node) {
  std::string cell;
  for (const auto& link : At(node, "links")) {
    if (At(link, "direction") != "out") continue;
    cell += fmt::format("{}>{} {}", cell.empty() ? "" : ", ",
                        Cell(At(link, "peer")),
                        SecondsCell(At(link, "round_trip_seconds")));
    if (const auto& failed = At(link, "failed");
        failed.is_number() && failed > 0)
      cell += fmt::format(" ({} failed)", failed.dump());
  }
  return cell.empty() ? "-" : cell;
}

std::string EpsilonCell(const Json& privacy) {
  if (At(privacy, "valid") == false) return "no claim";
  const std::string spent = FixedCell(At(privacy, "epsilon"), 3);
  const auto& target = At(privacy, "target_epsilon");
  return target.is_number() ? spent + " of " + FixedCell(target, 3) : spent;
}

std::string Heading(const Json& status) {
  const auto& cluster = At(status, "cluster");
  const auto& consensus = At(cluster, "consensus");
  std::string text = fmt::format("{}: {}", Cell(At(cluster, "name")),
                                 Cell(At(cluster, "health")));
  if (At(cluster, "members_total").is_number())
    text += fmt::format(
        ", {} of {} members, {} {}", Cell(At(cluster, "members_alive")),
        Cell(At(cluster, "members_total")), Cell(At(cluster, "topology")),
        Cell(At(cluster, "rule")));
  if (At(consensus, "relative_distance").is_number())
    text += fmt::format(", consensus {} ({})",
                        FixedCell(At(consensus, "relative_distance"), 4),
                        Cell(At(consensus, "state")));
  return text + "\n";
}

// Overwrites what it drew before, line by line, and leaves the terminal's
// history alone. In a file: one screen after the other.
class Screen {
 public:
  void Draw(const std::string& text) {
    std::string out;
    if (terminal_) {
      if (lines_ > 0) out = fmt::format("\x1b[{}A", lines_);
      for (const char c : text)
        out += c == '\n' ? "\x1b[K\n" : std::string(1, c);
      out += "\x1b[J";
    } else {
      out = (lines_ > 0 ? "\n" : "") + text;
    }
    lines_ = std::count(text.begin(), text.end(), '\n');
    std::fputs(out.c_str(), stdout);
    std::fflush(stdout);
  }

 private:
  const bool terminal_ = isatty(STDOUT_FILENO) == 1;
  std::ptrdiff_t lines_ = 0;
};

void Watch(const StatusOptions& options) {
  Screen screen;
  while (true) {
    const auto next = std::chrono::steady_clock::now() + kRedrawEvery;
    Json status = FetchStatus(options.where);
    const bool finished = AllFinished(status);
    if (!options.cluster) status = OnlySelf(std::move(status));
    if (options.where.json()) {
      std::puts(status.dump().c_str());
      std::fflush(stdout);
    } else {
      screen.Draw(RenderStatus(status));
    }
    if (options.until_finished && finished) return;
    std::this_thread::sleep_until(next);
  }
}

}  // namespace

Json FetchStatus(const Where& where) {
  std::optional<Json> status;
  std::map<std::string, std::string> silent;
  const auto nodes = Resolve(where);
  for (const auto& node : nodes) {
    try {
      status = AskJson(node, "GET", "/v1/status");
      break;
    } catch (const Unreachable& error) {
      silent[node.name] = error.what();
    }
  }
  const bool answered = status.has_value();
  if (!answered) status = SilentCluster(where);
  for (const auto& node : nodes) {
    const auto found = silent.find(node.name);
    if (found != silent.end())
      AddSilent(node, found->second, *status);
    else if (!Mentions(*status, node.name) && !node.name.empty())
      AddSilent(node, "the node that answered does not know it", *status);
  }
  return *std::move(status);
}

ExitCode CodeOf(const Json& status) {
  if (At(status, "self").is_null()) return kUnreachable;
  const auto& health = At(At(status, "cluster"), "health");
  if (health == "healthy") return kOk;
  return health == "degraded" ? kDegraded : kUnhealthy;
}

bool AllFinished(const Json& status) {
  const auto& nodes = At(status, "nodes");
  return std::all_of(nodes.begin(), nodes.end(), [](const Json& node) {
    const auto& state = At(node, "state");
    return state == "finished" || state == "exhausted";
  });
}

std::string TimingLines(const Json& document) {
  constexpr std::size_t kWidth = 79;
  constexpr std::string_view kTitle = "timing: ";
  std::string text;
  std::string line(kTitle);
  for (const auto& [key, value] : At(document, "timing").items()) {
    const std::string word = fmt::format("{} {}", key, Cell(value));
    const bool first = line.size() == kTitle.size();
    if (!first && line.size() + word.size() + 3 > kWidth) {
      text += line + ",\n";
      line = std::string(kTitle.size(), ' ') + word;
    } else {
      line += (first ? "" : ", ") + word;
    }
  }
  return line == kTitle ? "" : text + line + "\n";
}

std::string RenderStatus(const Json& status) {
  Table table({{"NODE"},
               {"STATE"},
               {"STEP", Align::kRight},
               {"STEPS/S", Align::kRight},
               {"ACCURACY", Align::kRight},
               {"LOSS", Align::kRight},
               {"CONSENSUS", Align::kRight},
               {"EPSILON", Align::kRight},
               {"LEFT", Align::kRight},
               {"LINKS"}});
  std::string notes;
  const auto note = [&](const std::string& text) {
    // A node's error is often the cluster's reason too.
    if (notes.find("! " + text + "\n") == std::string::npos)
      notes += "! " + text + "\n";
  };
  for (const auto& node : At(status, "nodes")) {
    const auto& eval = At(node, "eval");
    const auto& privacy = At(node, "privacy");
    table.Add(
        {Cell(At(node, "name")), Cell(At(node, "state")),
         Cell(At(node, "step")), FixedCell(At(node, "steps_per_second"), 1),
         PercentCell(At(eval, "accuracy")), FixedCell(At(eval, "loss"), 4),
         FixedCell(At(node, "consensus_distance"), 4), EpsilonCell(privacy),
         Cell(At(privacy, "steps_left")), LinksCell(node)});
    if (At(node, "error").is_string())
      note(fmt::format("{}: {}", Cell(At(node, "name")),
                       Cell(At(node, "error"))));
  }
  for (const auto& reason : At(At(status, "cluster"), "reasons"))
    note(Cell(reason));
  return Heading(status) + table.Text() + notes + TimingLines(status);
}

void Status(const StatusOptions& options) {
  if (options.watch) return Watch(options);
  Json status = FetchStatus(options.where);
  const ExitCode code = CodeOf(status);
  if (!options.cluster) status = OnlySelf(std::move(status));
  if (options.where.json())
    Print(status);
  else if (code == kUnreachable && status["nodes"].size() == 1)
    throw Exit(code, status["nodes"][0]["error"]);
  else
    std::fputs(RenderStatus(status).c_str(), stdout);
  if (code != kOk) throw Exit(code, "");
}

}  // namespace hearsay::ops
