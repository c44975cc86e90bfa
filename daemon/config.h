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

#include "daemon/mixing/balance.h"
#include "daemon/mixing/rule.h"
#include "daemon/mixing/topology.h"
#include "dp/accountant.h"
#include "model/clipping.h"
#include "model/device_step.h"
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

// What becomes of a message that would move the weights beyond mixing.clip.
enum class BeyondClip {
  kDrop,   // it is an offence
  kScale,  // it moves them by the clip: clipped gossip
};
enum class OnExhausted { kGossip, kStop };

struct Config {
  struct Node {
    std::string name;
    std::filesystem::path state_dir;
    // auto: the first GPU if there is one to use, else the CPU.
    enum class Device { kAuto, kCpu, kCuda } device = Device::kAuto;
    int cuda = 0;       // the driver's number, for kCuda
    std::string group;  // its host or rack, for topology = "hierarchical"
  } node;

  struct Cluster {
    std::string name;
    std::string listen = "127.0.0.1:0";
    std::string advertise;
    std::vector<std::string> peers;  // retried for ever
    std::string profile = "lan";
    // What carries arrays: auto | ucx | socket (ops/decisions/0008, 0028).
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
    std::vector<model::Layer> layers;
    model::Shape input;  // of an image or a sequence; empty: flat
    // What a fresh run begins with, by the names of PyTorch's nn.Sequential;
    // empty: at random. Declared public, as is what is frozen of it.
    std::filesystem::path weights;
    std::vector<bool> frozen;  // by layer; empty: none is
  } model;

  struct Train {
    std::uint64_t steps = 0;
    double sample_rate = 0;
    std::int64_t public_size = 0;
    int physical_batch = 1024;
    int threads = 1;  // of a step on the CPU
    model::Precision precision = model::Precision::kFloat32;  // on a GPU
    model::OptimizerSpec optimizer;
    // Of the weights over the steps, for evaluation and export: what is kept
    // of it at each step (daemon/ema.h); 0 = off.
    double ema = 0;
    std::uint64_t seed = 1;
    double throttle = 1.0;
    // No step is faster than this: budget is dear and time is not, so a tiny
    // model gives its neighbours time to mix between two steps.
    Duration min_step_time{0};
  } train;

  struct Privacy {
    double clip_norm = 1.0;
    model::Clipping::Kind clipping = model::Clipping::Kind::kFlat;
    // adaptive: the share of gradients that the clip norm should leave alone.
    std::optional<double> clip_quantile;
    // Above 0: the mean loss of training is reported, with noise that is
    // charged; what one record may add to the sum.
    double loss_bound = 0;
    std::optional<double> noise_multiplier;
    std::optional<double> target_epsilon;
    double delta = 1e-5;
    dp::Accountant accountant = dp::Accountant::kRdp;
    std::filesystem::path ledger;
    OnExhausted on_exhausted = OnExhausted::kGossip;
    bool exact_noise = false;  // on a grid of integers (daemon/exact_sum.h)
  } privacy;

  struct Mixing {
    mixing::RuleKind rule = mixing::RuleKind::kPairwise;
    std::optional<Duration> interval;  // nullopt = auto
    mixing::TopologyName topology;     // of kFile: what the config says
    mixing::Adjacency adjacency;       // of kFile: what the file says
    bool by_bandwidth = false;         // kRing: its order; else by name
    std::string server;                // of rule parameter_server: its name
    // Acid: a second array and faster agreement on a ring (mixing/momentum.h),
    // for as much memory again. The same on every member.
    mixing::Momentum momentum = mixing::Momentum::kOff;
    // Nodes: each node counts once, however fast it is. Else each gradient.
    bool objective_nodes = false;
    // How far one message may move the weights (Euclidean); 0 = no bound.
    double clip = 0;
    BeyondClip beyond_clip = BeyondClip::kDrop;
    // How weights are written into messages (mixing/wire.h): fp32 | bf16 | int8
    // | topk:SHARE. Like clip and beyond_clip, the same on every member, or
    // corrections are not opposite.
    std::string wire = "fp32";
    // How many of its sender's steps a message may be behind what that sender
    // has shown; 0 = no bound. No honest message is ten thousand steps late.
    std::uint64_t max_staleness = 10000;
  } mixing;

  struct Resync {
    std::uint64_t every_steps = 0;  // 0 = off
    enum class Mode { kOverlapped, kBlocking, kAdaptive };
    Mode mode = Mode::kOverlapped;
    std::string algorithm = "auto";  // auto | ring | halving_doubling | direct
    bool by_group = false;           // among the members of one's node.group
    double above = 0.05;             // adaptive: relative consensus distance
    double slow_momentum = 0;        // SlowMo's beta; 0 = off
    Duration timeout = std::chrono::seconds(60);
  } resync;

  // Of rule all_reduce, whose trainers wait for the slowest.
  struct Balance {
    mixing::BalancePolicy policy = mixing::BalancePolicy::kOff;
    std::uint64_t every_steps = 100;  // a phase
    // fixed_global: how many times train.sample_rate a node samples at most. A
    // noise multiplier that is calibrated is so for that rate.
    double most = 2;
  } balance;

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
    double exchange_loss = 0;    // this share of them never goes out
    std::string misbehave;       // "" | "nan" | "huge" | "stale": what it sends
  } test;
};

// "train.steps" -> "100", as given with --set.
using Overrides = std::map<std::string, std::string>;

// Reads, overrides, validates, the files of [tls] too. Relative paths are taken
// from the file's folder.
// Throws: ConfigError.
Config LoadConfig(const std::filesystem::path& file, const Overrides& flags);

// That of any step, which load balance may raise above train.sample_rate.
double MostSampleRate(const Config& config);

// Every key with its value in force, as TOML.
std::string PrintConfig(const Config& config);

// "500ms", "2s", "1500us", "3m". Throws: std::invalid_argument.
Duration ParseDuration(const std::string& text);
std::string FormatDuration(Duration duration);

}  // namespace hearsay::daemon
