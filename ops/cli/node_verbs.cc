// The verbs that question and steer running nodes. status and wait, the two
// that think, have files of their own.
#include <fmt/format.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "daemon/config.h"
#include "ops/cli/client.h"
#include "ops/cli/ledger_report.h"
#include "ops/cli/network_privacy.h"
#include "ops/cli/status.h"
#include "ops/cli/table.h"
#include "ops/cli/verbs.h"
#include "ops/cli/wait.h"

namespace hearsay::ops {
namespace {

constexpr auto kFollowEvery = std::chrono::milliseconds(500);

// One node's claim, and whether its training ended for lack of budget.
Json PrivacyOf(const NodeAddress& node) {
  Json json = AskJson(node, "GET", "/v1/privacy");
  const Json status = AskJson(node, "GET", "/v1/status");
  json["exhausted"] = false;
  for (const auto& one : At(status, "nodes"))
    if (At(one, "name") == At(status, "self"))
      json["exhausted"] = At(one, "state") == "exhausted";
  return json;
}

std::string RenderPrivacy(const Json& nodes) {
  Table table({{"NODE"},
               {"EPSILON", Align::kRight},
               {"BUDGET", Align::kRight},
               {"DELTA", Align::kRight},
               {"NOISE", Align::kRight},
               {"RATE", Align::kRight},
               {"CHARGED", Align::kRight},
               {"LEFT", Align::kRight},
               {"CLAIM"}});
  std::string notes;
  for (const auto& node : nodes) {
    const auto& delta = At(node, "delta");
    std::string claim = At(node, "valid") == true ? "valid" : "NOT VALID";
    if (At(node, "error").is_string()) claim = "-";
    if (At(node, "exhausted") == true) claim += ", exhausted";
    table.Add(
        {Cell(At(node, "node")), FixedCell(At(node, "epsilon"), 4),
         FixedCell(At(node, "target_epsilon"), 3),
         delta.is_number() ? fmt::format("{:g}", delta.get<double>()) : "-",
         FixedCell(At(node, "noise_multiplier"), 4),
         FixedCell(At(node, "sample_rate"), 4), Cell(At(node, "steps_charged")),
         Cell(At(node, "steps_left")), claim});
    for (const auto& reason : At(node, "reasons"))
      notes += fmt::format("! {}: {}\n", Cell(At(node, "node")), Cell(reason));
    if (At(node, "error").is_string())
      notes += fmt::format("! {}: {}\n", Cell(At(node, "node")),
                           Cell(At(node, "error")));
    if (const auto& path = At(At(node, "ledger"), "path"); path.is_string())
      notes +=
          fmt::format("ledger of {}: {}\n", Cell(At(node, "node")), Cell(path));
  }
  return table.Text() + notes;
}

ExitCode CodeOfPrivacy(const Json& nodes) {
  ExitCode code = kOk;
  std::size_t silent = 0;
  for (const auto& node : nodes) {
    if (At(node, "error").is_string()) {
      ++silent;
      code = std::max(code, kDegraded);
    } else if (At(node, "valid") != true) {
      code = std::max(code, kUnhealthy);
    } else if (At(node, "exhausted") == true) {
      code = std::max(code, kExhausted);
    }
  }
  return silent == nodes.size() ? kUnreachable : code;
}

// Every node of --dir: each has a budget of its own.
void Privacy(const Where& where) {
  const auto addresses = Resolve(where);
  const bool several = where.local_cluster() && where.node.empty();
  Json nodes = Json::array();
  for (const auto& address : addresses) {
    try {
      nodes.push_back(PrivacyOf(address));
    } catch (const Unreachable& error) {
      if (!several) throw;
      nodes.push_back({{"node", address.name}, {"error", error.what()}});
    }
  }
  if (where.json())
    Print(several ? Json{{"schema", 1}, {"nodes", nodes}} : nodes[0]);
  else
    std::fputs(RenderPrivacy(nodes).c_str(), stdout);
  if (const ExitCode code = CodeOfPrivacy(nodes); code != kOk)
    throw Exit(code, "");
}

// Of a ledger, whether its node runs or not.
void PrivacyOfLedger(const std::string& path, double delta, bool json) {
  const auto report = LedgerReport(path, delta);
  if (json)
    Print(report);
  else
    std::fputs(LedgerReportText(report).c_str(), stdout);
}

void PrintEvents(const Json& json) {
  for (const auto& event : At(json, "events"))
    fmt::print("{} {:<7} {:<10} {}\n", Cell(At(event, "time")),
               Cell(At(event, "level")), Cell(At(event, "kind")),
               Cell(At(event, "text")));
}

void Events(const Where& where, bool follow) {
  Json json = AskAny(where, "GET", "/v1/events");
  if (where.json() && !follow) return Print(json);
  while (true) {
    if (where.json()) {
      for (const auto& event : At(json, "events"))  // one line each
        std::puts(event.dump().c_str());
    } else {
      PrintEvents(json);
    }
    if (!follow) return;
    std::fflush(stdout);
    std::this_thread::sleep_for(kFollowEvery);
    const std::uint64_t next = At(json, "next");
    json = AskAny(where, "GET", fmt::format("/v1/events?after={}", next));
  }
}

// POSTs to one node, or to every node of --dir: an order to a cluster is meant
// for all of it.
void Act(const Where& where, const std::string& verb, const char* done) {
  Json nodes = Json::array();
  ExitCode code = kOk;
  for (const auto& node : Resolve(where)) {
    Json one = {{"name", node.label()}, {"ok", true}, {"error", nullptr}};
    try {
      AskJson(node, "POST", "/v1/" + verb);
    } catch (const Exit& refusal) {
      one["ok"] = false;
      one["error"] = refusal.what();
      code = std::max(code, refusal.code);
    }
    nodes.push_back(one);
  }
  if (where.json()) {
    Print({{"schema", 1}, {"action", verb}, {"nodes", nodes}});
  } else {
    for (const auto& node : nodes) {
      const std::string name = Cell(node["name"]);
      const std::string error = Cell(node["error"]);
      if (node["ok"] == true)
        fmt::print("{}: {}\n", name, done);
      else if (error.starts_with(name + ":"))
        fmt::print(stderr, "hearsay: {}\n", error);
      else
        fmt::print(stderr, "hearsay: {}: {}\n", name, error);
    }
  }
  if (code != kOk) throw Exit(code, "");
}

// Declares a verb that takes nothing but where to go.
void AddSimple(CLI::App& app, const std::string& name, const std::string& help,
               const std::function<void(const Where&)>& run) {
  auto* verb = app.add_subcommand(name, help);
  const auto where = std::make_shared<Where>();
  AddWhere(*verb, *where);
  verb->callback([where, run] { run(*where); });
}

// Of a configuration: what its exchanges alone would show.
void PrivacyOfNetwork(const NetworkRequest& request, bool json) {
  try {
    const auto report = NetworkReport(request);
    if (json)
      Print(report);
    else
      std::fputs(NetworkReportText(report).c_str(), stdout);
  } catch (const daemon::ConfigError& error) {
    throw Exit(kUsage, error.what());
  }
}

struct PrivacyRequest {
  Where where;
  std::string ledger;
  double delta = 1e-5;
  bool network = false;
  NetworkRequest view;
};

void AddNetworkOptions(CLI::App& verb, PrivacyRequest& request,
                       CLI::Option& ledger) {
  auto* network =
      verb.add_flag("--network", request.network,
                    "What the exchanges alone would show a node of another, by "
                    "distance; no node is asked")
          ->excludes(&ledger);
  auto* config = verb.add_option("--config", request.view.config,
                                 "Of --network: a node's hearsayd.toml")
                     ->needs(network)
                     ->check(CLI::ExistingFile);
  network->needs(config);
  verb.add_option("--nodes", request.view.nodes,
                  "Of --network: how many; else those of the file")
      ->needs(network)
      ->check(CLI::Range(2, 1024));
  verb.add_option("--rounds", request.view.rounds,
                  "Of --network: exchanges of each node")
      ->needs(network)
      ->check(CLI::Range(1, 512))
      ->capture_default_str();
  verb.add_option("--steps-per-round", request.view.steps_per_round,
                  "Of --network: steps between two exchanges")
      ->needs(network)
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
}

void AddPrivacy(CLI::App& app) {
  auto* verb =
      app.add_subcommand("privacy", "What has been spent, and what is claimed");
  const auto request = std::make_shared<PrivacyRequest>();
  AddWhere(*verb, request->where);
  auto* ledger = verb->add_option(
      "--ledger", request->ledger,
      "Verify and add up this ledger (a file, or its folder); no node is "
      "asked");
  verb->add_option("--delta", request->delta, "At which to say epsilon")
      ->needs(ledger)
      ->capture_default_str();
  AddNetworkOptions(*verb, *request, *ledger);
  verb->footer(
      "Of running nodes, or offline:\n"
      "  hearsay privacy --dir run\n"
      "  hearsay privacy --ledger run/a/ledger --delta 1e-5\n"
      "  hearsay privacy --network --config run/a/hearsayd.toml --nodes 8\n"
      "--network is information, never the claim, and says \"does not apply\" "
      "where it does not.\n"
      "Exit status: 0 valid; 1 the ledger does not verify; 4 a claim is not "
      "valid; 8 a budget is exhausted.");
  verb->callback([request] {
    if (request->network)
      PrivacyOfNetwork(request->view, request->where.json());
    else if (request->ledger.empty())
      Privacy(request->where);
    else
      PrivacyOfLedger(request->ledger, request->delta, request->where.json());
  });
}

void AddStatus(CLI::App& app) {
  auto* verb = app.add_subcommand(
      "status", "Health, step, rate, evaluation, consensus, epsilon, links");
  const auto options = std::make_shared<StatusOptions>();
  AddWhere(*verb, options->where);
  verb->add_flag("--cluster", options->cluster,
                 "All nodes, not only the one that is asked");
  auto* watch = verb->add_flag("--watch", options->watch,
                               "Once a second, until interrupted");
  // For ops/demo, which must end by itself.
  verb->add_option_function<std::string>(
          "--until",
          [options](const std::string&) { options->until_finished = true; })
      ->check(CLI::IsMember({"finished"}))
      ->needs(watch)
      ->group("");
  verb->callback([options] { Status(*options); });
}

void AddWait(CLI::App& app) {
  auto* verb = app.add_subcommand("wait", "Block until all nodes are there");
  const auto options = std::make_shared<WaitOptions>();
  AddWhere(*verb, options->where);
  verb->add_option("--for", options->state,
                   "ready, converged, finished, step>=N or members=N")
      ->required();
  verb->add_option_function<std::string>(
      "--timeout",
      [options](const std::string& text) {
        try {
          options->timeout =
              std::chrono::duration_cast<std::chrono::milliseconds>(
                  daemon::ParseDuration(text));
        } catch (const std::invalid_argument& error) {
          throw CLI::ValidationError("--timeout", error.what());
        }
      },
      "Give up with exit code 7 after, say, 60s (default: never)");
  verb->callback([options] { Wait(*options); });
}

}  // namespace

void AddNodeVerbs(CLI::App& app) {
  AddStatus(app);
  AddWait(app);
  AddPrivacy(app);
  auto* events = app.add_subcommand("events", "What happened on one node");
  const auto at = std::make_shared<Where>();
  const auto follow = std::make_shared<bool>(false);
  AddWhere(*events, *at);
  events->add_flag("--follow", *follow, "Go on printing new ones");
  events->callback([at, follow] { Events(*at, *follow); });
  struct Action {
    const char* verb;
    const char* done;
    const char* help;
  };
  for (const auto& action :
       {Action{"pause", "paused", "Stop training for now; averaging goes on"},
        Action{"resume", "resumed", "Train again after pause"},
        Action{"drain", "draining",
               "Stop training for good; averaging goes on"},
        Action{"checkpoint", "writing a checkpoint", "Write a checkpoint now"},
        Action{"resync", "proposed a full average",
               "Average the weights of all members once, now; `status` has "
               "what came of it"},
        Action{"stop", "stopping",
               "Checkpoint, leave the cluster, end the daemon"}})
    AddSimple(app, action.verb, action.help, [action](const Where& where) {
      Act(where, action.verb, action.done);
    });
}

}  // namespace hearsay::ops
