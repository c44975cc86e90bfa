#include "daemon/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string_view>

#include "daemon/config_reader.h"
#include "daemon/config_text.h"
#include "daemon/mixing/wire.h"
#include "daemon/model_config.h"
#include "daemon/privacy_config.h"
#include "daemon/train_config.h"

namespace hearsay::daemon {

namespace {

constexpr std::int64_t kMaxSteps = std::int64_t{1} << 40;
constexpr double kHuge = 1e12;

bool NameIsPlain(const std::string& name) {
  if (name.empty() || name.size() > 64) return false;
  return name.find_first_not_of(
             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
             "-_.") == std::string::npos &&
         name.front() != '.';
}

std::string Name(ConfigReader& reader, const std::string& key) {
  const auto name = Required(reader, key, reader.String(key));
  if (!NameIsPlain(name))
    reader.Fail(key, "must be 1 to 64 letters, digits, '-', '_' or '.'");
  return name;
}

enum class Reach { kAnywhere, kLoopback };

// HOST:PORT; `why`: what allows only loopback.
void CheckAddress(const ConfigReader& reader, const std::string& key,
                  const std::string& address, Reach reach,
                  const std::string& why) {
  const auto colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0)
    reader.Fail(key, fmt::format("\"{}\" is not HOST:PORT", address));
  const auto port = address.substr(colon + 1);
  if (port.empty() || port.size() > 5 ||
      port.find_first_not_of("0123456789") != std::string::npos ||
      std::stoi(port) > 65535)
    reader.Fail(key, fmt::format("\"{}\" has no port of 0 to 65535", address));
  const auto host = address.substr(0, colon);
  if (reach == Reach::kLoopback && !host.starts_with("127.") &&
      host != "localhost" && host != "[::1]")
    reader.Fail(
        key, fmt::format("\"{}\" is not a loopback address; {}", address, why));
}

std::string HowToGetCertificates(const Config& config) {
  return fmt::format(
      "`hearsay tls init --dir tls` makes a CA for a cluster, `hearsay tls "
      "issue --name {} --dir tls` this node's certificate and key (tls.mode = "
      "\"off\" needs none, and allows only loopback addresses)",
      config.node.name);
}

// Read here once, so that what is wrong with them is an error of the
// configuration, before anything else is touched.
void CheckFiles(const ConfigReader& reader, const Config& config) {
  try {
    const transport::tls::Credentials checked(config.tls.files,
                                              config.node.name);
  } catch (const transport::tls::FileError& error) {
    reader.Fail("tls." + error.key(),
                std::filesystem::exists(error.file())
                    ? error.what()
                    : fmt::format("{}; {}", error.what(),
                                  HowToGetCertificates(config)));
  }
}

void ReadTls(ConfigReader& reader, Config& config) {
  auto& tls = config.tls;
  tls.mutual =
      reader.Word("tls.mode", {"mutual", "off"}).value_or("mutual") != "off";
  auto& files = tls.files;
  std::map<std::string, std::filesystem::path*> keys = {
      {"tls.ca", &files.ca},
      {"tls.cert", &files.cert},
      {"tls.key", &files.key}};
  for (const auto& [key, file] : keys) Take(*file, reader.Path(key));
  Take(files.crl, reader.Path("tls.crl"));
  if (!tls.mutual) {
    files = {};
    return;
  }
  for (const auto& [key, file] : keys)
    if (file->empty())
      reader.Fail(key, fmt::format("this key is required: {}",
                                   HowToGetCertificates(config)));
  CheckFiles(reader, config);
}

void ReadCluster(ConfigReader& reader, Config& config) {
  const auto check = [&](const std::string& key, const std::string& address) {
    CheckAddress(reader, key, address,
                 config.tls.mutual ? Reach::kAnywhere : Reach::kLoopback,
                 "tls.mode = \"off\" allows only those");
  };
  auto& cluster = config.cluster;
  cluster.name = Name(reader, "cluster.name");
  Take(cluster.listen, reader.String("cluster.listen"));
  check("cluster.listen", cluster.listen);
  Take(cluster.advertise, reader.String("cluster.advertise"));
  if (!cluster.advertise.empty()) check("cluster.advertise", cluster.advertise);
  Take(cluster.peers, reader.Strings("cluster.peers"));
  for (const auto& peer : cluster.peers) check("cluster.peers", peer);
  Take(cluster.profile,
       reader.Word("cluster.profile", {"local", "lan", "wan"}));
  Take(cluster.wire, reader.Word("cluster.wire", {"auto", "ucx", "socket"}));
  Take(cluster.expect, reader.Integer("cluster.expect", 1, 100000));
  Take(cluster.expect_timeout, reader.Time("cluster.expect_timeout"));
}

void ReadDevice(ConfigReader& reader, Config& config) {
  const auto device = reader.String("node.device").value_or("auto");
  using Device = Config::Node::Device;
  if (device == "auto") return;
  config.node.device = device == "cpu" ? Device::kCpu : Device::kCuda;
  constexpr std::string_view kCuda = "cuda:";
  if (device == "cpu") return;
  const auto number = device.substr(std::min(device.size(), kCuda.size()));
  if (!device.starts_with(kCuda) || number.empty() || number.size() > 3 ||
      number.find_first_not_of("0123456789") != std::string::npos)
    reader.Fail("node.device", fmt::format("must be auto, cpu or cuda:NUMBER "
                                           "(cuda:0 is the first GPU), not {}",
                                           device));
  config.node.cuda = std::stoi(number);
}

void ReadRingOrder(ConfigReader& reader, Config::Mixing& mixing) {
  mixing.by_bandwidth =
      reader.Word("mixing.ring_order", {"name", "bandwidth"}) == "bandwidth";
  if (!mixing.by_bandwidth) return;
  using mixing::RuleKind;
  const auto rule = mixing.rule;
  if (mixing.topology.kind != mixing::TopologyKind::kRing)
    reader.Fail("mixing.ring_order", "is for topology = \"ring\" only");
  if (rule != RuleKind::kPairwise && rule != RuleKind::kOneWay &&
      rule != RuleKind::kPushSum && rule != RuleKind::kNaiveNewest)
    reader.Fail("mixing.ring_order",
                fmt::format("bandwidth is for rules that ask on a clock; under "
                            "{} nobody tries other members",
                            Word(rule)));
}

void ReadTopology(ConfigReader& reader, Config& config) {
  const auto text = reader.String("mixing.topology");
  if (!text) return;
  const auto parsed = mixing::ParseTopology(*text);
  if (!parsed)
    reader.Fail("mixing.topology",
                fmt::format("\"{}\" is not allowed; allowed: {}", *text,
                            fmt::join(mixing::TopologyWords(), ", ")));
  config.mixing.topology = *parsed;
  if (parsed->kind != mixing::TopologyKind::kFile) return;
  auto& path = config.mixing.topology.path;
  path = reader.Absolute(path).string();
  std::ifstream file(path);
  const std::string lines((std::istreambuf_iterator<char>(file)), {});
  if (!file) reader.Fail("mixing.topology", path + ": cannot read this file");
  try {
    config.mixing.adjacency = mixing::ParseAdjacency(lines);
  } catch (const std::invalid_argument& error) {
    reader.Fail("mixing.topology", fmt::format("{}:{}", path, error.what()));
  }
}

// Of two that ask each other at once each waits for the other.
void CheckWhoAsks(ConfigReader& reader, const Config::Mixing& mixing) {
  if (mixing.rule == mixing::RuleKind::kSymmetricBlocking &&
      mixing.topology.kind != mixing::TopologyKind::kRing)
    reader.Fail("mixing.topology",
                fmt::format("symmetric_blocking needs neighbours of whom only "
                            "one asks, as on \"ring\", not \"{}\"",
                            mixing::Word(mixing.topology.kind)));
}

void ReadMomentum(ConfigReader& reader, Config::Mixing& mixing) {
  if (reader.Word("mixing.momentum", {"off", "acid"}) != "acid") return;
  mixing.momentum = mixing::Momentum::kAcid;
  if (mixing.rule != mixing::RuleKind::kPairwise)
    reader.Fail("mixing.momentum",
                fmt::format("acid needs the opposite corrections of "
                            "mixing.rule = \"pairwise\", not \"{}\"",
                            mixing::Word(mixing.rule)));
  if (mixing.topology.kind != mixing::TopologyKind::kRing)
    reader.Fail("mixing.momentum",
                fmt::format("acid has the constants of mixing.topology = "
                            "\"ring\", not of \"{}\"",
                            mixing::Word(mixing.topology.kind)));
}

void ReadWire(ConfigReader& reader, Config::Mixing& mixing) {
  const auto wire = reader.String("mixing.wire").value_or(mixing.wire);
  std::unique_ptr<mixing::WireFormat> format;
  try {
    format = mixing::ParseWire(wire);
  } catch (const std::invalid_argument& error) {
    reader.Fail("mixing.wire", error.what());
  }
  using mixing::RuleKind;
  if (!format->IsWhole() && mixing.rule != RuleKind::kPairwise &&
      mixing.rule != RuleKind::kNone)
    reader.Fail("mixing.wire",
                fmt::format("{} says some weights only, which needs "
                            "mixing.rule = \"pairwise\"; other rules need "
                            "another format",
                            format->name()));
  mixing.wire = format->name();
}

void ReadClip(ConfigReader& reader, Config::Mixing& mixing) {
  Take(mixing.clip, reader.Number("mixing.clip", 0, kHuge));
  if (reader.Word("mixing.beyond_clip", {"drop", "scale"}) == "scale")
    mixing.beyond_clip = BeyondClip::kScale;
  if (mixing.beyond_clip == BeyondClip::kScale && mixing.clip == 0)
    reader.Fail("mixing.beyond_clip",
                "scale has nothing to scale to: set mixing.clip above 0");
}

void ReadMixing(ConfigReader& reader, Config& config) {
  if (const auto rule = reader.Word("mixing.rule", mixing::RuleWords()))
    config.mixing.rule = *mixing::ParseRule(*rule);
  Take(config.mixing.server, reader.String("mixing.server"));
  const bool served = config.mixing.rule == mixing::RuleKind::kParameterServer;
  if (served && config.mixing.server.empty())
    reader.Fail("mixing.server",
                "this key is required by rule = \"parameter_server\": the name "
                "of the node that serves");
  if (!served && !config.mixing.server.empty())
    reader.Fail("mixing.server", "is for rule = \"parameter_server\" only");
  ReadTopology(reader, config);
  ReadRingOrder(reader, config.mixing);
  config.mixing.objective_nodes =
      reader.Word("mixing.objective", {"gradients", "nodes"}) == "nodes";
  CheckWhoAsks(reader, config.mixing);
  ReadMomentum(reader, config.mixing);
  ReadWire(reader, config.mixing);
  ReadClip(reader, config.mixing);
  Take(config.mixing.max_staleness,
       reader.Integer("mixing.max_staleness", 0, kMaxSteps));
  const auto interval = reader.String("mixing.interval");
  if (interval && *interval != "auto") {
    config.mixing.interval = reader.Time("mixing.interval");
    if (config.mixing.interval->count() < 100)
      reader.Fail("mixing.interval", "must be at least \"100us\", or \"auto\"");
  }
}

void ReadResync(ConfigReader& reader, Config& config) {
  auto& resync = config.resync;
  using Mode = Config::Resync::Mode;
  Take(resync.every_steps, reader.Integer("resync.every_steps", 0, kMaxSteps));
  const auto mode =
      reader.Word("resync.mode", {"overlapped", "blocking", "adaptive"});
  if (mode == "blocking") resync.mode = Mode::kBlocking;
  if (mode == "adaptive") resync.mode = Mode::kAdaptive;
  Take(resync.algorithm,
       reader.Word("resync.algorithm",
                   {"auto", "ring", "halving_doubling", "doubling", "direct"}));
  resync.by_group = reader.Word("resync.among", {"all", "group"}) == "group";
  Take(resync.above, reader.Number("resync.above", 0, kHuge));
  Take(resync.slow_momentum, reader.Number("resync.slow_momentum", 0, 0.999));
  Take(resync.timeout, reader.Time("resync.timeout"));
  if (config.mixing.rule == mixing::RuleKind::kLocalSgd &&
      resync.every_steps == 0)
    reader.Fail("resync.every_steps",
                "this key is required by rule = \"local_sgd\": the steps "
                "between two averages");
}

void ReadBalance(ConfigReader& reader, Config& config) {
  auto& balance = config.balance;
  if (const auto word =
          reader.Word("balance.policy", {"off", "fixed_global", "fixed_local"}))
    balance.policy = *mixing::ParseBalance(*word);
  Take(balance.every_steps,
       reader.Integer("balance.every_steps", 1, kMaxSteps));
  Take(balance.most, reader.Number("balance.most", 1, 1000));
  if (balance.policy == mixing::BalancePolicy::kOff) return;
  if (config.mixing.rule != mixing::RuleKind::kAllReduce)
    reader.Fail(
        "balance.policy",
        fmt::format("{} is for mixing.rule = \"all_reduce\", where each "
                    "step waits for the slowest; nobody waits under {}",
                    Word(balance.policy), Word(config.mixing.rule)));
  if (!config.test.probe.empty())
    reader.Fail("balance.policy", "a probe has no batches to balance");
  if (config.privacy.clip_quantile)
    reader.Fail("balance.policy",
                "changes the size of batches, by which the noise of "
                "privacy.clipping = \"adaptive\" goes: use another clipping");
  if (config.privacy.loss_bound > 0)
    reader.Fail("balance.policy",
                "changes the size of batches, by which privacy.loss_bound "
                "tells a mean: set that to 0");
  if (config.privacy.accountant == dp::Accountant::kPld)
    reader.Fail("balance.policy",
                "changes the sample rate on the way, and pld is for steps of "
                "one rate: set privacy.accountant = \"rdp\"");
}

void ReadTest(ConfigReader& reader, Config& config) {
  auto& test = config.test;
  Take(test.probe, reader.Word("test.probe", {"quadratic", "shake"}));
  Take(test.dimension, reader.Integer("test.dimension", 2, 1 << 28));
  Take(test.index, reader.Integer("test.index", 0, test.dimension / 2 - 1));
  Take(test.step_time, reader.Time("test.step_time"));
  Take(test.exchange_delay, reader.Time("test.exchange_delay"));
  Take(test.exchange_loss, reader.Number("test.exchange_loss", 0, 1));
  Take(test.misbehave,
       reader.Word("test.misbehave", {"", "nan", "huge", "stale"}));
}

void ReadRest(ConfigReader& reader, Config& config) {
  Take(config.checkpoint.every_steps,
       reader.Integer("checkpoint.every_steps", 1, kMaxSteps));
  Take(config.checkpoint.keep, reader.Integer("checkpoint.keep", 1, 1000));
  Take(config.admin.listen, reader.String("admin.listen"));
  if (!config.admin.listen.empty())
    CheckAddress(reader, "admin.listen", config.admin.listen, Reach::kLoopback,
                 "its HTTP is in the clear, tokens too");
  Take(config.admin.token_file, reader.Path("admin.token_file"));
  if (config.admin.token_file.empty())
    config.admin.token_file = config.node.state_dir / "admin.token";
  Take(config.log.level,
       reader.Word("log.level", {"trace", "debug", "info", "warn", "error"}));
  Take(config.log.format, reader.Word("log.format", {"text", "json"}));
}

}  // namespace

Config LoadConfig(const std::filesystem::path& file, const Overrides& flags) {
  ConfigReader reader(file, flags);
  Config config;
  config.node.name = Name(reader, "node.name");
  config.node.state_dir =
      Required(reader, "node.state_dir", reader.Path("node.state_dir"));
  ReadDevice(reader, config);
  Take(config.node.group, reader.String("node.group"));
  if (config.node.group.size() > 64)
    reader.Fail("node.group", "must be 64 characters at most");
  ReadTest(reader, config);
  ReadTls(reader, config);
  ReadCluster(reader, config);
  Take(config.data.eval, reader.Path("data.eval"));
  const auto train = reader.Path("data.train");
  if (config.test.probe.empty())
    config.data.train = Required(reader, "data.train", train);
  ReadModel(reader, config.model,
            config.test.probe.empty() ? Layers::kRequired : Layers::kOptional);
  ReadTrain(reader, config.train, !config.test.probe.empty());
  ReadPrivacy(reader, config);
  ReadMixing(reader, config);
  ReadResync(reader, config);
  ReadBalance(reader, config);
  ReadRest(reader, config);
  reader.RefuseUnknown();
  return config;
}

double MostSampleRate(const Config& config) {
  const bool grows =
      config.balance.policy == mixing::BalancePolicy::kFixedGlobal;
  return std::min(1.0,
                  config.train.sample_rate * (grows ? config.balance.most : 1));
}

namespace {

const char* Word(Config::Resync::Mode mode) {
  using Mode = Config::Resync::Mode;
  return mode == Mode::kBlocking   ? "blocking"
         : mode == Mode::kAdaptive ? "adaptive"
                                   : "overlapped";
}

}  // namespace

std::string PrintConfig(const Config& c) {
  std::string text;
  const auto section = [&](const char* name) {
    text += fmt::format("{}[{}]\n", text.empty() ? "" : "\n", name);
  };
  const auto key = [&](const char* name, const auto& value) {
    text += fmt::format("{} = {}\n", name, value);
  };
  section("node");
  key("name", Quote(c.node.name));
  key("state_dir", Quote(c.node.state_dir.string()));
  using Device = Config::Node::Device;
  key("group", Quote(c.node.group));
  key("device", Quote(c.node.device == Device::kAuto ? "auto"
                      : c.node.device == Device::kCpu
                          ? "cpu"
                          : fmt::format("cuda:{}", c.node.cuda)));
  section("cluster");
  key("name", Quote(c.cluster.name));
  key("listen", Quote(c.cluster.listen));
  key("advertise", Quote(c.cluster.advertise));
  std::string peers;
  for (const auto& peer : c.cluster.peers)
    peers += (peers.empty() ? "" : ", ") + Quote(peer);
  key("peers", "[" + peers + "]");
  key("profile", Quote(c.cluster.profile));
  key("wire", Quote(c.cluster.wire));
  key("expect", c.cluster.expect);
  key("expect_timeout", Quote(FormatDuration(c.cluster.expect_timeout)));
  section("tls");
  key("mode", Quote(c.tls.mutual ? "mutual" : "off"));
  key("ca", Quote(c.tls.files.ca.string()));
  key("cert", Quote(c.tls.files.cert.string()));
  key("key", Quote(c.tls.files.key.string()));
  key("crl", Quote(c.tls.files.crl.string()));
  section("data");
  key("train", Quote(c.data.train.string()));
  key("eval", Quote(c.data.eval.string()));
  section("model");
  text += ModelKeys(c.model);
  section("train");
  text += TrainKeys(c.train);
  section("privacy");
  text += PrivacyKeys(c.privacy);
  section("mixing");
  key("rule", Quote(mixing::Word(c.mixing.rule)));
  const auto& topology = c.mixing.topology;
  key("topology", Quote(topology.path.empty() ? mixing::Word(topology.kind)
                                              : "file:" + topology.path));
  key("ring_order", Quote(c.mixing.by_bandwidth ? "bandwidth" : "name"));
  key("server", Quote(c.mixing.server));
  key("momentum",
      Quote(c.mixing.momentum == mixing::Momentum::kAcid ? "acid" : "off"));
  key("objective", Quote(c.mixing.objective_nodes ? "nodes" : "gradients"));
  key("interval",
      Quote(c.mixing.interval ? FormatDuration(*c.mixing.interval) : "auto"));
  key("clip", c.mixing.clip);
  key("beyond_clip",
      Quote(c.mixing.beyond_clip == BeyondClip::kScale ? "scale" : "drop"));
  key("wire", Quote(c.mixing.wire));
  key("max_staleness", c.mixing.max_staleness);
  section("resync");
  key("every_steps", c.resync.every_steps);
  key("mode", Quote(Word(c.resync.mode)));
  key("algorithm", Quote(c.resync.algorithm));
  key("among", Quote(c.resync.by_group ? "group" : "all"));
  key("above", c.resync.above);
  key("slow_momentum", c.resync.slow_momentum);
  key("timeout", Quote(FormatDuration(c.resync.timeout)));
  section("balance");
  key("policy", Quote(Word(c.balance.policy)));
  key("every_steps", c.balance.every_steps);
  key("most", c.balance.most);
  section("checkpoint");
  key("every_steps", c.checkpoint.every_steps);
  key("keep", c.checkpoint.keep);
  section("admin");
  key("listen", Quote(c.admin.listen));
  key("token_file", Quote(c.admin.token_file.string()));
  section("log");
  key("level", Quote(c.log.level));
  key("format", Quote(c.log.format));
  return text;
}

}  // namespace hearsay::daemon
