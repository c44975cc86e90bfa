#include "ops/cli/node_config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <array>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>

namespace hearsay::ops {

struct ConfigTemplate::Document {
  toml::table file;   // with source lines
  toml::table table;  // with the settings on top
};

namespace {

// Defaults and documentation in one: each value is replaced by the one in
// force, each comment stays. A value of `?` is only written if it is set.
constexpr const char* kDefaults =
    R"(# One node of a local cluster, written by `hearsay up`. Edit it while the node is
# stopped; `hearsay up` on the same folder then starts it with the changes.

[node]
name = ?                     # unique in the cluster
state_dir = ?                # checkpoints, admin.sock, admin.json, admin.token
device = ?                   # auto | cpu

[cluster]
name = ?                     # nodes of other clusters are refused
listen = ?
advertise = ?                # the address told to others, if it differs
peers = ?                    # retried for ever
profile = "local"            # local | lan | wan: every timeout follows from it
wire = "auto"                # auto | ucx | socket: what carries arrays
expect = ?                   # members to wait for before a fresh run's first step
expect_timeout = "30s"       # and how long; then it starts with those there

[tls]
mode = "mutual"              # certificates on both ends | off (loopback only)
ca = ?                       # whose signature makes a member; see `hearsay tls`
cert = ?                     # this node's; it must carry node.name
key = ?                      # its secret
crl = ?                      # what was revoked; HUP reads all four again

[data]
train = ?                    # this node's private shard
eval = ?                     # declared public

[model]
loss = "softmax_cross_entropy"  # | binary_cross_entropy | mse
@layers

[train]
steps = 600                  # counted over restarts
sample_rate = 0.02           # each record is in a step with this probability
public_size = ?              # public, rounded; sample_rate * this is the mean's denominator
physical_batch = 1024        # memory bound only; no effect on the result
optimizer = "sgd"            # sgd | adam
learning_rate = 1.0
momentum = 0.0
seed = 1                     # initial weights only; never noise
throttle = 1.0               # experiments: 8.0 makes this node eight times slower
min_step_time = "20ms"       # no step is faster: small models need time to mix

[privacy]
clip_norm = 1.0              # bound on each record's gradient
noise_multiplier = ?
target_epsilon = 1.0         # the budget; without noise_multiplier, noise is calibrated to it
delta = 1e-5
ledger = ?                   # what this data set has spent; outlives the run
on_exhausted = "gossip"      # gossip | stop
noise = ?

[mixing]
rule = "pairwise"            # pairwise | one_way | none
topology = "ring"
interval = "auto"            # or "50ms": time between a node's own exchanges
objective = ?
momentum = ?
wire = ?
clip = ?

[resync]
every_steps = ?
mode = ?
algorithm = ?

[checkpoint]
every_steps = 100
keep = 3

[admin]
listen = "127.0.0.1:0"       # HTTP, for who has the token; the unix socket needs none
token_file = ?

[log]
level = "info"
format = "text"              # text | json
)";

// Different on every node, so a template cannot say them.
constexpr std::array kFilledIn = {
    "node.name",     "node.state_dir", "cluster.listen", "cluster.advertise",
    "cluster.peers", "data.train",     "data.eval",      "privacy.ledger",
    "admin.listen",  "test.index",     "tls.ca",         "tls.cert",
    "tls.key",       "tls.crl"};

constexpr const char* kLayers = "@layers";
constexpr std::size_t kCommentColumn = 29;

std::pair<std::string, std::string> Split(const std::string& key) {
  const auto dot = key.find('.');
  if (dot == std::string::npos) return {key, ""};
  return {key.substr(0, dot), key.substr(dot + 1)};
}

bool Has(const toml::table& table, const std::string& key) {
  return bool(table.at_path(key));
}

template <class Value>
void Set(toml::table& table, const std::string& key, Value&& value) {
  const auto [section, name] = Split(key);
  table.insert(section, toml::table{});
  if (auto* inner = table[section].as_table())
    inner->insert_or_assign(name, std::forward<Value>(value));
}

template <class Value>
void SetIfAbsent(toml::table& table, const std::string& key, Value&& value) {
  if (!Has(table, key)) Set(table, key, std::forward<Value>(value));
}

// "100" is a number, "true" a truth value, "pairwise" a string without quotes.
toml::table ParseValue(const std::string& text) {
  try {
    return toml::parse("value = " + text);
  } catch (const toml::parse_error&) {
    return toml::table{{"value", text}};
  }
}

// One value, as TOML on one line.
std::string Inline(toml::node& node) {
  if (auto* table = node.as_table()) table->is_inline(true);
  // toml++ writes 1e-5 with all its 17 digits.
  if (const auto* number = node.as_floating_point();
      number != nullptr && std::isfinite(number->get())) {
    const std::string digits = fmt::format("{}", number->get());
    const bool whole = digits.find_first_of(".e") == std::string::npos;
    return whole ? digits + ".0" : digits;
  }
  std::ostringstream text;
  constexpr auto kDoubleQuotes = toml::format_flags::none;
  node.visit([&](auto& value) {
    text << toml::toml_formatter{value, kDoubleQuotes};
  });
  return text.str();
}

std::string KeyLine(const std::string& name, toml::node& value,
                    const std::string& comment) {
  std::string line = fmt::format("{} = {}", name, Inline(value));
  if (!comment.empty())
    line = fmt::format("{:<{}}# {}", line + "  ", kCommentColumn, comment);
  return line + "\n";
}

// [[model.layer]] tables, for people to read.
std::string Layers(toml::table& model) {
  std::string text;
  auto* layers = model["layer"].as_array();
  if (layers == nullptr) return text;
  for (auto& layer : *layers) {
    auto* table = layer.as_table();
    if (table == nullptr) return fmt::format("layer = {}\n", Inline(*layers));
    text += "[[model.layer]]\n";
    for (const char* first : {"type", "units", "activation"})
      if (auto* value = table->get(first)) text += KeyLine(first, *value, "");
    for (auto& [key, value] : *table)
      if (key != "type" && key != "units" && key != "activation")
        text += KeyLine(std::string(key.str()), value, "");
  }
  model.erase("layer");
  return text;
}

// Writes `values` in the order and with the comments of kDefaults. What
// kDefaults does not know is written too: the daemon says what it is.
class Writer {
 public:
  explicit Writer(toml::table values) : values_(std::move(values)) {}

  std::string Write() {
    std::istringstream lines(kDefaults);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with('['))
        BeginSection(line.substr(1, line.size() - 2));
      else if (line == kLayers)
        layers_wanted_ = true;
      else if (const auto equals = line.find(" = ");
               equals != std::string::npos)
        Key(line.substr(0, equals), line);
      else if (section_.empty())
        text_ += line + "\n";
    }
    EndSection();
    for (auto& [name, value] : values_)
      if (auto* table = value.as_table(); table != nullptr && !table->empty())
        text_ += fmt::format("[{}]\n{}\n", name.str(), Rest(*table));
    text_.pop_back();  // the last section's empty line
    return text_;
  }

 private:
  void BeginSection(const std::string& name) {
    EndSection();
    section_ = name;
  }

  void Key(const std::string& name, const std::string& line) {
    auto* table = values_[section_].as_table();
    if (table == nullptr || !table->contains(name)) return;
    const auto hash = line.find("# ");
    body_ += KeyLine(name, *table->get(name),
                     hash == std::string::npos ? "" : line.substr(hash + 2));
    table->erase(name);
  }

  // Layers come last: TOML counts every key after [[model.layer]] to the layer.
  void EndSection() {
    if (auto* table = values_[section_].as_table()) {
      const std::string layers = layers_wanted_ ? Layers(*table) : "";
      body_ += Rest(*table) + layers;
      values_.erase(section_);
    }
    if (!body_.empty()) text_ += fmt::format("[{}]\n{}\n", section_, body_);
    body_.clear();
    layers_wanted_ = false;
  }

  static std::string Rest(toml::table& table) {
    std::string text;
    for (auto& [key, value] : table)
      if (!(key.str() == "layer" && value.is_array_of_tables()))
        text += KeyLine(std::string(key.str()), value, "");
    return text;
  }

  toml::table values_;
  std::string section_;
  std::string body_;
  std::string text_;
  bool layers_wanted_ = false;
};

// kDefaults' own values: every line whose value is not `?`.
toml::table Defaults() {
  std::string toml;
  std::istringstream lines(kDefaults);
  for (std::string line; std::getline(lines, line);)
    if (line != kLayers && line.find(" = ?") == std::string::npos)
      toml += line + "\n";
  return toml::parse(toml);
}

void FillDefaults(toml::table& values) {
  // Privacy is one decision: noise given without a budget means no budget.
  const bool noise_given = Has(values, "privacy.noise_multiplier");
  // And Adam's steps are not SGD's.
  const bool adam =
      values.at_path("train.optimizer").value_or(std::string()) == "adam";
  for (auto& [section, keys] : Defaults())
    for (auto& [name, value] : *keys.as_table()) {
      const std::string key = fmt::format("{}.{}", section.str(), name.str());
      if (section == "model" && !Has(values, "data.train")) continue;
      if (key == "privacy.target_epsilon" && noise_given) continue;
      if (key == "train.learning_rate" && adam) continue;
      value.visit([&](auto& v) { SetIfAbsent(values, key, v); });
    }
}

void FillModel(toml::table& values, int classes) {
  constexpr std::int64_t kHidden = 16;
  const bool regression = classes == 0;
  if (regression) SetIfAbsent(values, "model.loss", "mse");
  if (Has(values, "model.layer")) return;
  const bool one_output =
      regression || values.at_path("model.loss").value_or(std::string()) ==
                        "binary_cross_entropy";
  Set(values, "model.layer",
      toml::array{
          toml::table{
              {"type", "dense"}, {"units", kHidden}, {"activation", "tanh"}},
          toml::table{{"type", "dense"},
                      {"units", std::int64_t{one_output ? 1 : classes}},
                      {"activation", "none"}}});
}

}  // namespace

ConfigTemplate::ConfigTemplate(std::filesystem::path file,
                               const std::vector<std::string>& settings)
    : file_(std::move(file)), user_(std::make_unique<Document>()) {
  if (!file_.empty()) {
    std::ifstream stream(file_);
    if (!stream || std::filesystem::is_directory(file_))
      throw Exit(kError,
                 fmt::format("{}: cannot read this file", file_.string()));
    try {
      user_->file = toml::parse(stream, file_.string());
    } catch (const toml::parse_error& error) {
      throw Exit(kError,
                 fmt::format("{}:{}: not TOML: {}", file_.string(),
                             error.source().begin.line, error.description()));
    }
  }
  user_->table = user_->file;
  for (const char* key : kFilledIn)
    if (Has(user_->file, key)) replaced_.emplace_back(key);
  for (const auto& setting : settings) {
    const auto equals = setting.find('=');
    const std::string key = setting.substr(0, equals);
    if (equals == std::string::npos || Split(key).first.empty() ||
        Split(key).second.empty())
      throw Exit(kUsage,
                 fmt::format("--set {}: write SECTION.KEY=VALUE", setting));
    for (const char* filled : kFilledIn)
      if (key == filled)
        throw Exit(kUsage,
                   fmt::format("--set {}: `up` fills in {} for each node",
                               setting, key));
    auto value = ParseValue(setting.substr(equals + 1));
    value.get("value")->visit([&](auto& v) { Set(user_->table, key, v); });
    settings_[key] = setting;
  }
}

ConfigTemplate::~ConfigTemplate() = default;

bool ConfigTemplate::needs_data() const {
  return user_->table.at_path("test.probe").value_or(std::string()).empty();
}

bool ConfigTemplate::needs_certificates() const {
  return user_->table.at_path("tls.mode").value_or(std::string("mutual")) ==
         "mutual";
}

std::optional<std::string> ConfigTemplate::cluster_name() const {
  return user_->table.at_path("cluster.name").value<std::string>();
}

std::string ConfigTemplate::TextFor(
    const NodePlace& place, int members, const std::string& cluster,
    const std::optional<ShardFacts>& shard) const {
  toml::table values = user_->table;
  for (const auto& key : replaced_)
    if (auto* table = values[Split(key).first].as_table())
      table->erase(Split(key).second);
  Set(values, "node.name", place.name);
  Set(values, "node.state_dir", (place.folder / "state").string());
  Set(values, "cluster.listen", place.listen);
  toml::array peers;
  for (const auto& peer : place.peers) peers.push_back(peer);
  Set(values, "cluster.peers", peers);
  if (!place.tls.empty()) {
    Set(values, "tls.ca", (place.tls / "ca.pem").string());
    Set(values, "tls.cert", (place.tls / (place.name + ".pem")).string());
    Set(values, "tls.key", (place.tls / (place.name + ".key")).string());
    Set(values, "tls.crl", (place.tls / "crl.pem").string());
  }
  SetIfAbsent(values, "cluster.name", cluster);
  SetIfAbsent(values, "cluster.expect", std::int64_t{members});
  Set(values, "privacy.ledger", (place.folder / "ledger").string());
  if (shard) {
    Set(values, "data.train", shard->train.string());
    Set(values, "data.eval", shard->eval.string());
    SetIfAbsent(values, "train.public_size", shard->public_size);
    FillModel(values, shard->classes);
  } else {
    Set(values, "test.index", std::int64_t{place.index});
  }
  FillDefaults(values);
  return Writer(std::move(values)).Write();
}

std::string ConfigTemplate::Explain(const std::string& complaint) const {
  // "FILE:LINE: section.key: what": the first field that is a key of the
  // user's.
  constexpr std::string_view kColon = ": ";
  auto begin = complaint.find(kColon);
  while (begin != std::string::npos) {
    begin += kColon.size();
    const auto end = complaint.find(kColon, begin);
    if (end == std::string::npos) break;
    const std::string key = complaint.substr(begin, end - begin);
    const std::string what = complaint.substr(end + kColon.size());
    if (const auto setting = settings_.find(key); setting != settings_.end())
      return fmt::format("--set {}: {}", setting->second, what);
    if (const auto node = user_->file.at_path(key))
      return fmt::format("{}:{}: {}: {}", file_.string(),
                         node.node()->source().begin.line, key, what);
    begin = end;
  }
  return complaint;
}

}  // namespace hearsay::ops
