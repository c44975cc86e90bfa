#include "ops/cli/node_config.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <array>
#include <fstream>
#include <string_view>
#include <utility>

#include "ops/cli/commented_toml.h"

namespace hearsay::ops {

struct ConfigTemplate::Document {
  toml::table file;   // with source lines
  toml::table table;  // with the settings on top
};

namespace {

// Different on every node, so a template cannot say them.
constexpr std::array kFilledIn = {
    "node.name",     "node.state_dir", "cluster.listen", "cluster.advertise",
    "cluster.peers", "data.train",     "data.eval",      "privacy.ledger",
    "admin.listen",  "test.index",     "tls.ca",         "tls.cert",
    "tls.key",       "tls.crl"};

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

void FillDefaults(toml::table& values) {
  // Privacy is one decision: noise given without a budget means no budget.
  const bool noise_given = Has(values, "privacy.noise_multiplier");
  // And Adam's steps are not SGD's.
  const bool adam = values.at_path("train.optimizer")
                        .value_or(std::string())
                        .starts_with("adam");
  for (auto& [section, keys] : DefaultValues())
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
  if (Has(values, "model.layer") || Has(values, "model.preset")) return;
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
  // A node's file lies elsewhere.
  if (const auto weights =
          user_->file.at_path("model.weights").value<std::string>())
    Set(user_->file, "model.weights",
        (std::filesystem::absolute(file_).parent_path() / *weights).string());
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
    if (key == "model.weights")
      Set(user_->table, key,
          std::filesystem::absolute(setting.substr(equals + 1)).string());
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
  return CommentedToml(std::move(values));
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
