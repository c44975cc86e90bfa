// bench: how fast this machine moves and averages arrays; its steps are
// bench_step_verb's.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "ops/bench/transport_bench.h"
#include "ops/bench/worker.h"
#include "ops/cli/progress.h"
#include "ops/cli/table.h"
#include "ops/cli/verbs.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxBytes = std::size_t{1} << 30;
constexpr int kMaxNodes = 64;

constexpr const char* kBenchFooter =
    "Starts processes of its own, on loopback, and ends them. Times are "
    "medians with the\n10th and 90th percentile of repetitions; an "
    "all-reduce takes as long as its slowest\nmember, after a barrier. "
    "PREDICTED is what mixing.md 7 makes of the measured pushes:\nalpha + "
    "bytes * beta a message, every member with a link and a core of its own. "
    "With more\nprocesses than cores it is out of reach.\n\n"
    "Measure on an idle machine; the output says if it was not.\n\n"
    "Example:\n  hearsay bench transport --quick\n"
    "  hearsay bench transport --lane ucx --sizes 1MiB,64MiB --nodes 2,4 -o "
    "json";

struct BenchFlags {
  TransportBench bench;
  std::string sizes;
  std::string nodes;
  std::vector<std::string> only;
  std::string output = "table";
  bool quick = false;
  bool no_vote = false;
};

std::vector<std::string> Split(const std::string& list) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at <= list.size();) {
    const auto end = std::min(list.find(',', at), list.size());
    parts.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return parts;
}

// "64KiB", "1MiB", "4096": whole floats, up to 1 GiB.
std::size_t ParseSize(const std::string& text) {
  std::size_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  const std::string unit(stop, end);
  const int shift = unit.empty()    ? 0
                    : unit == "KiB" ? 10
                    : unit == "MiB" ? 20
                    : unit == "GiB" ? 30
                                    : -1;
  if (error != std::errc() || shift < 0 || number == 0 ||
      number > kMaxBytes >> shift || (number << shift) % sizeof(float) != 0)
    throw Exit(kUsage, fmt::format("--sizes {}: allowed are multiples of 4 up "
                                   "to 1GiB, such as 64KiB or 4MiB",
                                   text));
  return number << shift;
}

int ParseNodes(const std::string& text) {
  int number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || number < 2 || number > kMaxNodes)
    throw Exit(kUsage,
               fmt::format("--nodes {}: allowed are 2 to {}", text, kMaxNodes));
  return number;
}

std::string Time(double seconds) {
  if (seconds >= 0.1) return fmt::format("{:.0f} ms", seconds * 1e3);
  if (seconds >= 1e-3) return fmt::format("{:.2f} ms", seconds * 1e3);
  return fmt::format("{:.1f} us", seconds * 1e6);
}

std::string Time(const Json& spread) {
  if (spread.is_number()) return Time(spread.get<double>());
  if (!spread.is_object()) return "-";
  return Time(spread["median"].get<double>());
}

std::string Range(const Json& spread) {
  if (!spread.is_object()) return "-";
  return fmt::format("{} .. {}", Time(spread["p10"].get<double>()),
                     Time(spread["p90"].get<double>()));
}

std::string Size(const Json& bytes) {
  const std::size_t number = bytes;
  if (number % (1 << 20) == 0) return fmt::format("{} MiB", number >> 20);
  if (number % (1 << 10) == 0) return fmt::format("{} KiB", number >> 10);
  return fmt::format("{} B", number);
}

std::string RenderLanes(const Json& lanes) {
  Table pushes({{"LANE"},
                {"SEALED"},
                {"SIZE", Align::kRight},
                {"PUSH", Align::kRight},
                {"P10 .. P90", Align::kRight},
                {"BANDWIDTH", Align::kRight},
                {"EXCHANGE + AVERAGE", Align::kRight},
                {"P10 .. P90", Align::kRight}});
  std::string notes;
  for (const auto& lane : lanes) {
    const auto& rows = lane["push"].empty() ? lane["exchange"] : lane["push"];
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto& push = lane["push"].empty() ? Json() : lane["push"][i];
      const auto& exchange =
          lane["exchange"].empty() ? Json() : lane["exchange"][i];
      pushes.Add(
          {Cell(lane["lane"]), lane["sealed"] == true ? "yes" : "no",
           Size(rows[i]["bytes"]), Time(At(push, "seconds")),
           Range(At(push, "seconds")), RateCell(At(push, "bytes_per_second")),
           Time(At(exchange, "seconds")), Range(At(exchange, "seconds"))});
    }
    if (!lane["latency_seconds"].is_null())
      notes += fmt::format(
          "{} ({}{}): latency {} ({})", Cell(lane["lane"]),
          Cell(lane["transport"]), lane["sealed"] == true ? ", sealed" : "",
          Time(lane["latency_seconds"]), Range(lane["latency_seconds"]));
    if (!lane["fit"].is_null())
      notes += fmt::format(
          "; push = {} + bytes / {}", Time(lane["fit"]["alpha_seconds"]),
          RateCell(1 / lane["fit"]["beta_seconds_per_byte"].get<double>()));
    if (!notes.empty() && notes.back() != '\n') notes += '\n';
  }
  return pushes.Text() + notes;
}

std::string RenderReduces(const Json& rows) {
  Table table({{"LANE"},
               {"SEALED"},
               {"NODES", Align::kRight},
               {"SIZE", Align::kRight},
               {"ALGORITHM"},
               {"VOTED"},
               {"ALL-REDUCE", Align::kRight},
               {"P10 .. P90", Align::kRight},
               {"PREDICTED", Align::kRight}});
  for (const auto& row : rows) {
    std::string algorithm = row["algorithm"];
    if (row["algorithm"] != row["chosen"])
      algorithm += fmt::format(" ({})", row["chosen"].get<std::string>());
    table.Add({Cell(row["lane"]), row["sealed"] == true ? "yes" : "no",
               Cell(row["nodes"]), Size(row["bytes"]), algorithm,
               row["voted"] == true ? "yes" : "no", Time(row["seconds"]),
               Range(row["seconds"]), Time(row["predicted_seconds"])});
  }
  return table.Text();
}

TransportBench BenchOf(const BenchFlags& flags) {
  TransportBench bench = flags.bench;
  if (flags.quick) bench.effort = 0.2;
  bench.vote = !flags.no_vote;
  const char* const usual =
      flags.quick ? "64KiB,1MiB,16MiB" : "64KiB,256KiB,1MiB,4MiB,16MiB,64MiB";
  for (const auto& size : Split(flags.sizes.empty() ? usual : flags.sizes))
    bench.sizes.push_back(ParseSize(size));
  if (!flags.nodes.empty()) {
    bench.nodes.clear();
    for (const auto& nodes : Split(flags.nodes))
      bench.nodes.push_back(ParseNodes(nodes));
  }
  const auto wanted = [&](const char* part) {
    return flags.only.empty() || std::ranges::count(flags.only, part) > 0;
  };
  bench.pushes = wanted("push");
  bench.exchanges = wanted("exchange");
  bench.all_reduces = wanted("all-reduce");
  return bench;
}

std::string Render(const TransportBench& bench, const Json& document) {
  const auto& machine = document["machine"];
  std::string text =
      fmt::format("{}, {} cores, load {:.2f} before and {:.2f} after\n",
                  Cell(machine["cpu"]), machine["cores"].get<unsigned>(),
                  machine["load_before"].get<double>(),
                  machine["load_after"].get<double>());
  for (const auto& note : machine["notes"])
    text += fmt::format("! {}\n", note.get<std::string>());
  if (bench.pushes || bench.exchanges)
    text += '\n' + RenderLanes(document["lanes"]);
  if (bench.all_reduces) text += '\n' + RenderReduces(document["all_reduce"]);
  return text;
}

void RunTransport(const BenchFlags& flags) {
  const auto bench = BenchOf(flags);
  Json document;
  {
    Progress progress;
    document = RunTransportBench(
        bench, [&](const std::string& text) { progress.Show(text); });
  }
  if (flags.output == "json")
    Print(document);
  else
    std::fputs(Render(bench, document).c_str(), stdout);
}

void AddTransport(CLI::App& bench) {
  auto* verb = bench.add_subcommand(
      "transport", "Pushes, exchanges and all-reduces between processes");
  const auto flags = std::make_shared<BenchFlags>();
  verb->add_flag("--quick", flags->quick, "Fewer sizes and repetitions");
  verb->add_option("--lane", flags->bench.lanes, "ucx, socket (default: both)")
      ->delimiter(',')
      ->check(CLI::IsMember({"ucx", "socket"}));
  verb->add_option("--sealing", flags->bench.sealing,
                   "open, sealed (default: both): with certificates of a CA "
                   "that is thrown away")
      ->delimiter(',')
      ->check(CLI::IsMember({"open", "sealed"}));
  verb->add_option("--sizes", flags->sizes,
                   "Array sizes: 64KiB,1MiB,... (default: 64 KiB to 64 MiB)");
  verb->add_option("--nodes", flags->nodes,
                   "Processes of an all-reduce: 2,4,... (default: 2,4,8)");
  verb->add_option(
          "--algorithm", flags->bench.algorithms,
          "auto, ring, halving-doubling, doubling, direct (default: the first "
          "three)")
      ->delimiter(',')
      ->check(CLI::IsMember(
          {"auto", "ring", "halving-doubling", "doubling", "direct"}));
  verb->add_option("--only", flags->only, "push, exchange, all-reduce")
      ->delimiter(',')
      ->check(CLI::IsMember({"push", "exchange", "all-reduce"}));
  verb->add_flag(
      "--no-vote", flags->no_vote,
      "All-reduces end for each member with its own data, as those of MPI and "
      "Gloo do: a death may leave some with a result and others without");
  verb->add_option("--piece-bytes", flags->bench.piece_bytes,
                   "Experiments: all-reduces cut into pieces of so much")
      ->check(CLI::Range(64, 512 << 10));
  verb->add_option("-o,--output", flags->output, "table or json")
      ->check(CLI::IsMember({"table", "json"}));
  verb->footer(kBenchFooter);
  verb->callback([flags] { RunTransport(*flags); });
}

// What `transport` starts.
void AddWorker(CLI::App& bench) {
  auto* verb = bench.add_subcommand("worker", "One process of a benchmark");
  verb->group("");
  const auto options = std::make_shared<WorkerOptions>();
  verb->add_option("--node", options->node)->required();
  verb->add_option("--member", options->members)->required();
  verb->add_option("--peer", options->peer);
  verb->add_option("--wire", options->wire)
      ->check(CLI::IsMember({"ucx", "socket"}));
  verb->add_option("--array-bytes", options->array_bytes)->required();
  verb->add_option("--tls", options->credentials);
  verb->callback([options] {
    if (const int status = RunBenchWorker(*options); status != 0)
      throw Exit(kError, "");
  });
}

}  // namespace

void AddBenchVerbs(CLI::App& app) {
  auto* bench = app.add_subcommand("bench", "Measure what this machine can do");
  bench->require_subcommand(1);
  AddTransport(*bench);
  AddStepBench(*bench);
  AddWorker(*bench);
}

}  // namespace hearsay::ops
