// hearsayd: one node of a decentralised, differentially private training run.
//
// This file is the map of the program: it reads the configuration, builds the
// node, and turns whatever goes wrong into one line and an exit status.
#include <fmt/format.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <boost/asio/io_context.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "daemon/config.h"
#include "daemon/node.h"
#include "daemon/signals.h"
#include "model/safetensors.h"
#include "transport/ucx_environment.h"

namespace hearsay::daemon {
namespace {

// Documented in --help and README; scripts rely on them.
enum ExitStatus : int {
  kClean = 0,
  kUsage = 2,
  kConfig = 78,
  kAddress = 100,
  kLedger = 101,
  kStateFolder = 102,
  kData = 103,
  kRefused = 104,
  kUnexpected = 119,
};

constexpr const char* kFooter =
    "Signals: TERM, INT checkpoint and leave (a second INT exits at once); "
    "USR2 stops\ntraining and goes on mixing; HUP reloads log.level, a "
    "lower\nprivacy.target_epsilon and the files of [tls].\n"
    "Environment: HEARSAY_<SECTION>_<KEY> overrides the file; --set overrides "
    "both.\n"
    "Exit status: 0 stopped in order; 2 unknown flag; 78 bad configuration; "
    "100 address cannot "
    "be bound;\n101 the ledger refuses; 102 state folder or checkpoints "
    "unusable; 103 data unusable;\n104 refused by the cluster (another node of "
    "this name); 119 unexpected.";

// %* in a pattern: the text as a JSON string, quotes included.
class JsonText : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm& /*tm*/,
              spdlog::memory_buf_t& out) override {
    const auto text =
        nlohmann::json(
            std::string(message.payload.begin(), message.payload.end()))
            .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonText>();
  }
};

void SetUpLog(const Config::Log& log) {
  spdlog::set_default_logger(spdlog::stderr_color_mt("hearsayd"));
  spdlog::set_level(spdlog::level::from_str(log.level));
  auto formatter = std::make_unique<spdlog::pattern_formatter>(
      spdlog::pattern_time_type::utc);
  formatter->add_flag<JsonText>('*').set_pattern(
      log.format == "json"
          ? R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","text":%*})"
          : "%Y-%m-%dT%H:%M:%S.%eZ %l %v");
  spdlog::set_formatter(std::move(formatter));
}

void Handle(int signal, Node& node, const std::function<Config()>& reload) {
  switch (signal) {
    case SIGHUP:
      try {
        node.Reload(reload());
      } catch (const ConfigError& error) {
        node.events().Add(Level::kError, "config",
                          std::string("not reloaded: ") + error.what());
      }
      break;
    case SIGUSR2:
      node.Drain();
      break;
    default:
      node.Stop();
  }
}

int Serve(const std::string& file, const Overrides& overrides,
          Signals& signals) {
  const auto load = [&] { return LoadConfig(file, overrides); };
  const Config config = load();
  SetUpLog(config.log);
  boost::asio::io_context io(1);
  Node node(io, config);
  node.Start();
  signals.Run(io, [&](int signal) { Handle(signal, node, load); });
  if (node.refusal()) throw RefusedError(*node.refusal());
  if (node.rolled_back()) throw dp::LedgerError(*node.rolled_back());
  return kClean;
}

int ExitStatusOf(const std::exception& error) {
  if (dynamic_cast<const ConfigError*>(&error) != nullptr) return kConfig;
  if (dynamic_cast<const dp::LedgerError*>(&error) != nullptr) return kLedger;
  if (dynamic_cast<const CheckpointError*>(&error) != nullptr)
    return kStateFolder;
  if (dynamic_cast<const model::FileError*>(&error) != nullptr) return kData;
  if (dynamic_cast<const RefusedError*>(&error) != nullptr) return kRefused;
  // Before the addresses: a kind of system_error too.
  if (dynamic_cast<const std::filesystem::filesystem_error*>(&error) != nullptr)
    return kStateFolder;
  if (dynamic_cast<const std::system_error*>(&error) != nullptr)
    return kAddress;
  // A value that the configuration's reader let through.
  if (dynamic_cast<const std::invalid_argument*>(&error) != nullptr)
    return kConfig;
  return kUnexpected;
}

Overrides ParseOverrides(const std::vector<std::string>& settings) {
  Overrides overrides;
  for (const auto& setting : settings) {
    const auto equals = setting.find('=');
    if (equals == std::string::npos || equals == 0)
      throw ConfigError(
          fmt::format("--set {}: write SECTION.KEY=VALUE", setting));
    overrides[setting.substr(0, equals)] = setting.substr(equals + 1);
  }
  return overrides;
}

}  // namespace
}  // namespace hearsay::daemon

int main(int argc, char** argv) {
  using namespace hearsay;
  transport::PrepareUcxEnvironment();
  CLI::App app{
      "One node of a Hearsay cluster. `hearsay` starts, watches and "
      "questions it.",
      "hearsayd"};
  std::string file;
  std::vector<std::string> settings;
  bool check = false;
  bool print = false;
  app.add_option("--config", file, "The node's TOML file")->required();
  app.add_option("--set", settings, "Override a key: train.steps=100")
      ->allow_extra_args(false);
  app.add_flag("--check-config", check, "Read and check, do not run");
  app.add_flag("--print-config", print, "Print every key in force, do not run");
  app.set_version_flag("--version", "hearsayd 0.1.0");
  app.footer(daemon::kFooter);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11's own codes would read as ours: 104 is not a bad flag.
    return app.exit(error) == 0 ? daemon::kClean : daemon::kUsage;
  }
  daemon::Signals signals;
  try {
    const auto overrides = daemon::ParseOverrides(settings);
    if (check || print) {
      const auto config = daemon::LoadConfig(file, overrides);
      if (print) std::fputs(daemon::PrintConfig(config).c_str(), stdout);
      return daemon::kClean;
    }
    return daemon::Serve(file, overrides, signals);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hearsayd: %s\n", error.what());
    return daemon::ExitStatusOf(error);
  }
}
