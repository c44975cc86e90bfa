// One node's configuration: a strict TOML file, overridden by the environment
// (HEARSAY_TRAIN_STEPS=100), overridden by flags (--set train.steps=100).
//
// Every key is read in one place (config.cc); a key that is not there is an
// error that names the file, the line and the nearest key that is. The struct
// is const once loaded.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/optimizer.h"
#include "model/spec.h"
#include "transport/tls/identity.h"

namespace hearsay::daemon {

// what() is "FILE:LINE: section.key: what is wrong, what is allowed".
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

using Duration = std::chrono::microseconds;

enum class Rule { kPairwise, kOneWay, kNone };
enum class OnExhausted { kGossip, kStop };

struct Config {
  struct Node {
    std::string name;
    std::filesystem::path state_dir;
  } node;

  struct Cluster {
    std::string name;
    std::string listen = "127.0.0.1:0";
    std::string advertise;
    std::vector<std::string> peers;  // retried for ever
    std::string profile = "lan";
    // What carries arrays: auto | ucx | socket (ops/decisions/0008).
    std::string wire = "auto";
    // Members to wait for before the first step of a fresh run, so that no
    // budget is spent before there is anybody to mix with; 1 = do not wait.
    int expect = 1;
    Duration expect_timeout = std::chrono::seconds(30);
  } cluster;

  // With certificates on both ends, or (loopback only) in the clear.
  struct Tls {
    bool mutual = true;
    transport::tls::Files files;  // All "" if not mutual.
  } tls;

  struct Data {
    std::filesystem::path train;
    std::filesystem::path eval;  // empty: no evaluation leaves the node
  } data;

  struct Model {
    model::Loss loss = model::Loss::kSoftmaxCrossEntropy;
    std::vector<model::Dense> layers;
  } model;

  struct Train {
    std::uint64_t steps = 0;
    double sample_rate = 0;
    std::int64_t public_size = 0;
    int physical_batch = 1024;
    model::OptimizerSpec optimizer;
    std::uint64_t seed = 1;
    double throttle = 1.0;
    // No step is faster than this: budget is dear and time is not, so a tiny
    // model gives its neighbours time to mix between two steps.
    Duration min_step_time{0};
  } train;

  struct Privacy {
    double clip_norm = 1.0;
    std::optional<double> noise_multiplier;
    std::optional<double> target_epsilon;
    double delta = 1e-5;
    std::filesystem::path ledger;
    OnExhausted on_exhausted = OnExhausted::kGossip;
  } privacy;

  struct Mixing {
    Rule rule = Rule::kPairwise;
    std::optional<Duration> interval;  // nullopt = auto
    // How far one message may move the weights (Euclidean); 0 = no bound.
    double clip = 0;
    // How many of its sender's steps a message may be behind what that sender
    // has shown; 0 = no bound. No honest message is ten thousand steps late.
    std::uint64_t max_staleness = 10000;
  } mixing;

  struct Checkpoint {
    std::uint64_t every_steps = 500;
    int keep = 3;
  } checkpoint;

  struct Admin {
    std::string listen = "127.0.0.1:0";  // "" = unix socket only
    // What opens it (admin_token.h); made if it is not there. Not given: the
    // state folder's admin.token.
    std::filesystem::path token_file;
  } admin;

  struct Log {
    std::string level = "info";
    std::string format = "text";
  } log;

  // Experiments on the machinery itself; never with private data. A node with
  // a probe reads no data, spends no budget and says so in its status.
  struct Test {
    std::string probe;   // "" | "quadratic" | "shake"
    int dimension = 64;  // of the probe's weights
    int index = 0;       // which target is this node's
    Duration step_time = std::chrono::milliseconds(10);
    Duration exchange_delay{0};  // holds outgoing arrays back
    std::string misbehave;       // "" | "nan" | "huge" | "stale": what it sends
  } test;
};

// "train.steps" -> "100", as given with --set.
using Overrides = std::map<std::string, std::string>;

// Reads, overrides, validates, the files of [tls] too. Relative paths are taken
// from the file's folder.
// Throws: ConfigError.
Config LoadConfig(const std::filesystem::path& file, const Overrides& flags);

// Every key with its value in force, as TOML.
std::string PrintConfig(const Config& config);

// "500ms", "2s", "1500us", "3m". Throws: std::invalid_argument.
Duration ParseDuration(const std::string& text);
std::string FormatDuration(Duration duration);

}  // namespace hearsay::daemon
