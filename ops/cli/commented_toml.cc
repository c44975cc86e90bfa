#include "ops/cli/commented_toml.h"

#include <fmt/format.h>

#include <cmath>
#include <sstream>
#include <utility>

namespace hearsay::ops {

namespace {

// Defaults and documentation in one: each value is replaced by the one in
// force, each comment stays. A value of `?` is only written if it is set.
constexpr const char* kDefaults =
    R"(# One node of a local cluster, written by `hearsay up`. Edit it while the node is
# stopped; `hearsay up` on the same folder then starts it with the changes.

[node]
name = ?                     # unique in the cluster
state_dir = ?                # checkpoints, admin.sock, admin.json, admin.token
device = ?                   # auto | cpu | cuda:0
group = ?                    # its host or rack, for topology = "hierarchical"

[cluster]
name = ?                     # nodes of other clusters are refused
listen = ?
advertise = ?                # the address told to others, if it differs
peers = ?                    # retried for ever
profile = "local"            # local | lan | wan: every timeout follows from it
wire = "auto"                # auto | ucx | socket: what carries arrays; auto is
                             # ucx where UCX_TLS names a fabric, such as rc
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
weights = ?                  # safetensors to begin with; public: epsilon does not cover what is in it
@layers

[train]
steps = 600                  # counted over restarts
sample_rate = 0.02           # each record is in a step with this probability
public_size = ?              # public, rounded; sample_rate * this is the mean's denominator
physical_batch = 1024        # memory bound only; no effect on the result
threads = 1                  # of a step on the CPU: at most the cores that are free
precision = ?                # float32 | tf32 | bf16: on a GPU, faster products, wider clip margin
optimizer = "sgd"            # sgd | adam | adamw: on the noised sum; its state stays here
learning_rate = 1.0
momentum = 0.0               # sgd's
nesterov = ?
beta1 = ?
beta2 = ?
adam_epsilon = ?
weight_decay = ?             # adamw's: shrinks weights by this times the rate, a step
schedule = ?                 # constant | cosine | step: of the learning rate
warmup_steps = ?             # the rate rises from 0 over so many steps first
rate_floor = ?               # cosine's end, a share of learning_rate
decay_every = ?              # step: times decay_factor every so many steps
decay_factor = ?
ema = ?                      # 0.99: evaluate a moving average of the weights; free of epsilon
seed = 1                     # initial weights only; never noise
throttle = 1.0               # experiments: 8.0 makes this node eight times slower
min_step_time = "20ms"       # no step is faster: small models need time to mix

[privacy]
clip_norm = 1.0              # bound on each record's gradient
clipping = "flat"            # flat | automatic | per_layer | adaptive: follows a quantile, from clip_norm on
clip_quantile = ?
loss_bound = 0.0             # above 0: peers see the training loss with noise, each record's up to this
noise_multiplier = ?
target_epsilon = 1.0         # the budget; without noise_multiplier, noise is calibrated to it
delta = 1e-5
accountant = "rdp"           # rdp | pld: a tenth less epsilon or so for the same noise, delta from 1e-9
ledger = ?                   # what this data set has spent; outlives the run
on_exhausted = "gossip"      # gossip | stop
noise = "gaussian"           # gaussian | exact: integers, no rounding to attack; slower, by rdp

[mixing]
rule = "pairwise"            # pairwise | one_way | push_sum | none; to compare: all_reduce | local_sgd | parameter_server | symmetric_blocking | naive_newest
server = ?
topology = "ring"            # ring | exponential | random_matching | torus | complete | hierarchical | file:PATH
interval = "auto"            # or "50ms"; auto: slower of step and 2 round trips, 1 % of a busy core
objective = "gradients"      # every gradient counts once | nodes: every node does
ring_order = "name"          # bandwidth: neighbours by what exchanges take
momentum = ?                 # off | acid: a second array, sooner agreement on a ring
wire = ?
clip = ?
beyond_clip = ?

[resync]
every_steps = 0              # a full average every k steps; 0 = off
mode = "overlapped"          # nobody waits | blocking: all do | adaptive: when they disagree
algorithm = "auto"           # ring | halving_doubling | doubling | direct
among = "all"                # all | group: those of the same node.group
above = ?
slow_momentum = ?
timeout = "60s"              # a round that takes longer changes nothing

[balance]
policy = "off"               # of all_reduce: fixed_global | fixed_local lot; each node's rate follows its speed
every_steps = ?
most = ?

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

constexpr const char* kLayers = "@layers";
constexpr std::size_t kCommentColumn = 29;

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

}  // namespace

toml::table DefaultValues() {
  std::string toml;
  std::istringstream lines(kDefaults);
  for (std::string line; std::getline(lines, line);)
    if (line != kLayers && line.find(" = ?") == std::string::npos)
      toml += line + "\n";
  return toml::parse(toml);
}

std::string CommentedToml(toml::table values) {
  return Writer(std::move(values)).Write();
}

}  // namespace hearsay::ops
