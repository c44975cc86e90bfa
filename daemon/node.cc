#include "daemon/node.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "daemon/admin_api.h"
#include "daemon/admin_token.h"
#include "daemon/mixing/shuffle.h"
#include "model/arena.h"

namespace hearsay::daemon {

using transport::MemberState;

namespace {

std::unique_ptr<mixing::Rule> MakeRule(const Config& config) {
  return mixing::MakeRule(
      config.mixing.rule,
      {.seat = config.mixing.server == config.node.name ? mixing::Seat::kServer
                                                        : mixing::Seat::kWorker,
       .meet_every = std::max<std::uint64_t>(config.resync.every_steps, 1),
       .momentum = config.mixing.momentum});
}

TopologyChoice ChoiceOf(const Config& config, const mixing::Habits& habits) {
  std::uint64_t seed = 0;
  for (const char c : config.cluster.name)
    seed = mixing::Mix(seed, static_cast<unsigned char>(c));
  return {.kind = config.mixing.topology.kind,
          .adjacency = config.mixing.adjacency,
          .seed = seed,
          .group = config.node.group,
          .both_ways = habits.every_other,
          .explores = config.mixing.by_bandwidth};
}

PassOptions PassesOf(const Config& config) {
  return {.clip = config.mixing.clip,
          .scale_to_clip = config.mixing.beyond_clip == BeyondClip::kScale,
          .wire = config.mixing.wire,
          .misbehave = config.test.misbehave};
}

ResyncOptions OptionsOf(const Config& config) {
  using transport::collective::Algorithm;
  const auto& c = config.resync;
  ResyncOptions options;
  options.mode = static_cast<ResyncOptions::Mode>(c.mode);
  options.every_steps = c.every_steps;
  if (config.mixing.rule == mixing::RuleKind::kLocalSgd)
    options.mode = ResyncOptions::Mode::kBlocking;
  options.needs_all = config.mixing.rule == mixing::RuleKind::kLocalSgd;
  if (c.algorithm == "ring") options.algorithm = Algorithm::kRing;
  if (c.algorithm == "halving_doubling")
    options.algorithm = Algorithm::kHalvingDoubling;
  if (c.algorithm == "doubling") options.algorithm = Algorithm::kDoubling;
  if (c.algorithm == "direct") options.algorithm = Algorithm::kDirect;
  options.above = c.above;
  options.slow_momentum = c.slow_momentum;
  options.clip = config.mixing.clip;
  options.limit =
      std::chrono::duration_cast<transport::Milliseconds>(c.timeout);
  return options;
}

transport::WireKind WireOf(const std::string& word) {
  if (word == "ucx") return transport::WireKind::kUcx;
  if (word == "socket") return transport::WireKind::kSocket;
  return transport::WireKind::kAuto;
}

std::shared_ptr<transport::tls::Credentials> MakeCredentials(
    const Config& config) {
  if (!config.tls.mutual) return nullptr;
  try {
    return std::make_shared<transport::tls::Credentials>(config.tls.files,
                                                         config.node.name);
  } catch (const transport::tls::FileError& error) {
    throw ConfigError(fmt::format("{}: tls.{}: {}", config.node.name,
                                  error.key(), error.what()));
  }
}

// A stream would lose the reason, and a full disk is noticed only at the end.
std::error_code WriteFile(const std::filesystem::path& path,
                          const std::string& text) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(
      std::fopen(path.c_str(), "we"), &std::fclose);
  if (!file ||
      std::fwrite(text.data(), 1, text.size(), file.get()) != text.size() ||
      std::fflush(file.get()) != 0)
    return {errno, std::generic_category()};
  return {};
}

}  // namespace

void PrepareStateFolder(const Config& config) {
  const auto& folder = config.node.state_dir;
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (!error) error = WriteFile(folder / ".writable", "x");
  std::error_code ignored;
  std::filesystem::remove(folder / ".writable", ignored);
  if (error)
    throw CheckpointError(
        fmt::format("{}: cannot write to the state folder (node.state_dir): {}",
                    folder.string(), error.message()));
}

Node::Node(boost::asio::io_context& io, const Config& config)
    : io_(io),
      config_(config),
      profile_(ProfileOf(config.cluster.profile)),
      run_((PrepareStateFolder(config), PrepareRun(config, events_))),
      rule_(MakeRule(config)),
      credentials_(MakeCredentials(config)),
      neighbours_(
          config.node.name,
          [this](const auto& text) {
            events_.Add(Level::kInfo, "topology", text);
          },
          ChoiceOf(config, rule_->habits())),
      tick_(io),
      listen_(io),
      expect_(io),
      born_(std::chrono::steady_clock::now()) {
  checkpoints_ = std::make_unique<CheckpointWriter>(
      config_.node.state_dir / "checkpoints", run_.identity,
      config_.checkpoint.keep,
      [this](const std::string& path, const std::string& error) {
        boost::asio::post(io_, [=, this] { OnCheckpoint(path, error); });
      });
  MakeLedgerWatch();
  transport_ =
      transport::Transport::Make(io_, TransportOptions(), TransportCallbacks());
  exchange_ = std::make_unique<ExchangeLoop>(
      io_, *transport_, *rule_, *run_.weights, neighbours_,
      ExchangeOptions{config_.mixing.interval, profile_.exchange_deadline,
                      config_.mixing.max_staleness, config_.mixing.server,
                      PassesOf(config_)},
      [this] { return trainer_->step(); });
  joiner_ = std::make_unique<Joiner>(io_, *transport_, *run_.weights,
                                     mixing::ParseWire(config_.mixing.wire),
                                     profile_.timing.heartbeat, JoinHooks());
  MakeMeetings();
  MakeBalancer();
  const bool probe = !config_.test.probe.empty();
  trainer_ = std::make_unique<Trainer>(
      TrainerOptions{
          config_.train.steps, run_.first_step,
          probe ? config_.test.step_time : config_.train.min_step_time,
          config_.train.throttle, config_.checkpoint.every_steps},
      *run_.source, *run_.optimizer, *run_.weights,
      [this](TrainerSnapshot snapshot) { OnBoundary(std::move(snapshot)); },
      [this](TrainingState state) {
        boost::asio::post(io_, [this, state] { OnTrainingState(state); });
      },
      balancer_ ? static_cast<Company*>(balancer_.get()) : meetings_.get(),
      run_.ema.get());
  BindAdmin();
}

// Threads end before what they use: the trainer, then passes over the weights,
// then the transport.
Node::~Node() {
  if (meetings_) meetings_->Stop();
  trainer_->Stop();
  exchange_->Stop();
  resync_->Stop();
  joiner_->Stop();
  sketcher_.join();
}

transport::Options Node::TransportOptions() const {
  transport::Options options;
  options.cluster = config_.cluster.name;
  options.node = config_.node.name;
  // Corrections are opposite only if both ends go by one rule.
  options.model_fingerprint = fmt::format("{},{},{}", run_.identity.fingerprint,
                                          rule_->name(), config_.mixing.wire);
  options.listen = config_.cluster.listen;
  options.advertise = config_.cluster.advertise;
  options.peers = config_.cluster.peers;
  options.tls = credentials_;
  options.array_bytes =
      MessageBytes(rule_->habits(), config_.mixing.wire, run_.weights->size());
  options.round_bytes = run_.weights->size() * sizeof(float);
  options.wire = WireOf(config_.cluster.wire);
  options.timing = profile_.timing;
  options.added_delay = std::chrono::duration_cast<transport::Milliseconds>(
      config_.test.exchange_delay);
  options.added_loss = config_.test.exchange_loss;
  return options;
}

transport::Callbacks Node::TransportCallbacks() {
  transport::Callbacks callbacks;
  callbacks.on_member = [this](const auto& member) { OnMember(member); };
  callbacks.on_report = [this](const auto& member) { OnReport(member); };
  callbacks.on_greeting = [this](const auto& member) {
    ledger_watch_->Greet(member);
    transport_->SetReport(EncodeReport(SelfReport()));
  };
  callbacks.on_request_begin = [this](const std::string& from,
                                      const transport::Message& begun,
                                      transport::Respond ahead) {
    return exchange_->OnRequestBegin(from, begun, std::move(ahead));
  };
  callbacks.on_request = [this](const std::string& from,
                                transport::Message request,
                                transport::Respond respond) {
    exchange_->OnRequest(from, std::move(request), std::move(respond));
  };
  callbacks.on_answer_lost = [this](const std::string& to,
                                    const transport::Error& /*why*/) {
    exchange_->OnAnswerLost(to);
  };
  callbacks.on_refused = [this](const std::string& reason,
                                transport::RefusalKind kind) {
    events_.Add(Level::kError, "member", "refused: " + reason);
    // Two nodes of one name cannot both be right, and the older one stays.
    if (kind == transport::RefusalKind::kDuplicateName) {
      refusal_ = reason;
      Stop();
    }
  };
  return callbacks;
}

void Node::BindAdmin() {
  AdminOptions options;
  options.listen = config_.admin.listen;
  options.unix_socket = config_.node.state_dir / "admin.sock";
  if (!options.listen.empty())
    options.token = ReadOrMakeAdminToken(config_.admin.token_file);
  admin_ = std::make_unique<AdminServer>(io_, options,
                                         [this](const AdminRequest& request) {
                                           return ServeAdmin(*this, request);
                                         });
}

// So that `hearsay` finds a node whose ports the system chose.
void Node::WriteAdminFile() const {
  const auto path = config_.node.state_dir / "admin.json";
  const nlohmann::ordered_json file = {
      {"schema", 1},
      {"node", config_.node.name},
      {"pid", getpid()},
      {"unix", (config_.node.state_dir / "admin.sock").string()},
      {"http", admin_->address()},
      {"token_file", config_.admin.token_file.string()},
      {"listen", transport_->address()}};
  const auto aside = path.string() + ".new";
  auto error = WriteFile(aside, file.dump(2) + "\n");
  if (!error) std::filesystem::rename(aside, path, error);
  if (error)
    throw CheckpointError(fmt::format("{}: cannot write this file: {}",
                                      path.string(), error.message()));
}

void Node::Start() {
  WriteAdminFile();
  events_.Add(Level::kInfo, "node",
              fmt::format("{} of cluster {} listens on {}, admin on {}; model "
                          "{}, {} parameters, rule {}",
                          config_.node.name, config_.cluster.name,
                          transport_->address(), admin_->address(),
                          run_.identity.fingerprint, run_.weights->size(),
                          rule_->name()));
  events_.Add(Level::kInfo, "tls",
              credentials_ ? credentials_->current()->summary()
                           : "off: whoever can connect is believed");
  // So that whoever meets this node knows at once whether it has trained.
  transport_->SetReport(EncodeReport(SelfReport()));
  transport_->Start();
  Tick();
  listen_.expires_after(profile_.timing.handshake);
  listen_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    listened_ = true;
    BeginWhenSettled();
  });
  expect_.expires_after(config_.cluster.expect_timeout);
  expect_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;
    expect_over_ = true;
    BeginWhenSettled();
  });
  BeginWhenSettled();
}

void Node::Stop() {
  if (std::exchange(stopping_, true)) return;
  events_.Add(Level::kInfo, "node", "stopping");
  tick_.cancel();
  listen_.cancel();
  expect_.cancel();
  joiner_->Stop();
  if (meetings_) meetings_->Stop();
  trainer_->Stop();
  exchange_->Stop();
  resync_->Stop();
  SaveMarks();
  WriteCheckpoint();
  // Posted, so that answers which the last pass made are sent first.
  boost::asio::post(io_, [this] {
    transport_->Leave([this] {
      checkpoints_.reset();  // Waits until the last checkpoint is on disk.
      admin_->Stop();
      io_.stop();
    });
  });
}

void Node::Drain() {
  events_.Add(Level::kInfo, "training", "drained: trains no more, mixes on");
  trainer_->Drain();
}

// What is here stays if the new files will not do.
void Node::ReloadTls(const Config& config) {
  if (!credentials_ || !config.tls.mutual) return;
  try {
    credentials_->Reload(config.tls.files);
    config_.tls.files = config.tls.files;
    events_.Add(Level::kInfo, "tls",
                "reloaded: " + credentials_->current()->summary());
  } catch (const transport::tls::FileError& error) {
    events_.Add(Level::kError, "tls",
                std::string("not reloaded: ") + error.what());
  }
}

void Node::Reload(const Config& config) {
  ReloadTls(config);
  if (config.log.level != config_.log.level) {
    spdlog::set_level(spdlog::level::from_str(config.log.level));
    config_.log.level = config.log.level;
  }
  const auto& target = config.privacy.target_epsilon;
  if (target && run_.budget && target != config_.privacy.target_epsilon) {
    if (run_.budget->LowerTarget(*target)) {
      config_.privacy.target_epsilon = target;
      events_.Add(Level::kInfo, "privacy",
                  fmt::format("target epsilon lowered to {}", *target));
    } else {
      events_.Add(Level::kWarning, "config",
                  "privacy.target_epsilon can only be lowered while running");
    }
  }
  if (PrintConfig(config) != PrintConfig(config_))
    events_.Add(Level::kWarning, "config",
                "reloaded log.level, a lower privacy.target_epsilon and the "
                "files of [tls]; other changed keys need a restart");
}

double Node::stalled_seconds() const {
  return run_.weights->waited_seconds() +
         (meetings_ ? meetings_->stalled_seconds() : 0);
}

void Node::MakeMeetings() {
  resync_ = std::make_unique<Resync>(io_, *transport_, config_.node.name,
                                     *run_.weights, OptionsOf(config_),
                                     ResyncHooks());
  const bool blocks = config_.resync.mode == Config::Resync::Mode::kBlocking &&
                      config_.mixing.rule != mixing::RuleKind::kLocalSgd;
  const auto blocks_every = blocks ? config_.resync.every_steps : 0;
  if (!Meetings::Needed(rule_->habits(), blocks_every)) return;
  meetings_ = std::make_unique<Meetings>(io_, *rule_, blocks_every, *exchange_,
                                         *resync_);
  if (run_.private_gradient && config_.train.min_step_time.count() == 0)
    events_.Add(
        Level::kWarning, "privacy",
        "what is sent at the end of a step tells how long it took, and so "
        "something of the batch, which epsilon does not cover: set "
        "train.min_step_time above the longest step");
}

void Node::MakeBalancer() {
  const auto& balance = config_.balance;
  if (balance.policy == mixing::BalancePolicy::kOff) return;
  balancer_ = std::make_unique<Balancer>(
      BalancerOptions{
          {balance.policy, run_.private_gradient->sample_rate(), balance.most},
          balance.every_steps,
          config_.train.steps,
          config_.train.min_step_time,
          config_.train.throttle},
      *meetings_, *run_.weights, *run_.private_gradient, *run_.budget,
      [this](const std::string& text) {
        boost::asio::post(
            io_, [this, text] { events_.Add(Level::kInfo, "balance", text); });
      });
}

void Node::OnTrainingState(TrainingState state) {
  const auto step = trainer_->step();
  if (state != TrainingState::kTraining && state != TrainingState::kPaused)
    resync_->OnTrainingEnded();
  switch (state) {
    case TrainingState::kFailed:
      events_.Add(Level::kError, "training", "stopped: " + trainer_->error());
      break;
    case TrainingState::kExhausted:
      events_.Add(
          Level::kWarning, "privacy",
          fmt::format("budget exhausted at step {}: trains no more{}", step,
                      config_.privacy.on_exhausted == OnExhausted::kStop
                          ? ""
                          : ", mixes on"));
      if (config_.privacy.on_exhausted == OnExhausted::kStop) Stop();
      break;
    default:
      events_.Add(Level::kInfo, "training",
                  fmt::format("{} at step {}", Word(state), step));
  }
}

void Node::OnBoundary(TrainerSnapshot snapshot) {
  checkpoints_->Offer(std::move(snapshot), run_.budget
                                               ? run_.budget->status().position
                                               : dp::LedgerPosition{});
}

void Node::OnCheckpoint(const std::string& path, const std::string& error) {
  if (error.empty()) {
    last_checkpoint_ = std::chrono::system_clock::now();
    if (!checkpoint_error_.empty())
      events_.Add(Level::kInfo, "checkpoint", "written again: " + path);
    spdlog::debug("checkpoint: {}", path);
  } else if (error != checkpoint_error_) {
    events_.Add(Level::kError, "checkpoint",
                error + " (training goes on; tried again at the next one)");
  }
  checkpoint_error_ = error;
}

TrainerSnapshot Node::LiveSnapshot() const {
  TrainerSnapshot snapshot;
  snapshot.step = trainer_->step();
  snapshot.weights.resize(run_.weights->size());
  run_.weights->Snapshot(snapshot.weights);
  return snapshot;
}

void Node::WriteCheckpoint() { trainer_->RequestBoundary(); }

std::string Node::EncodeWeights() const {
  return EncodeSnapshot(
      LiveSnapshot(), run_.identity,
      run_.budget ? run_.budget->status().position : dp::LedgerPosition{},
      "weights");
}

void Node::Tick() {
  if (stopping_) return;
  rate_.Sample(std::chrono::steady_clock::now(), trainer_->step());
  PaceExchanges();
  JudgeDrops();
  UpdateRing();
  SaveMarks();
  // The sketch is a pass over all weights: not on this thread.
  if (!std::exchange(sketching_, true))
    boost::asio::post(sketcher_, [this] {
      model::Arena copy(run_.weights->size());
      run_.weights->Snapshot(copy.span());
      const auto sketch = mixing::SketchOf(copy.span());
      boost::asio::post(io_, [this, sketch] { PublishReport(sketch); });
    });
  tick_.expires_after(profile_.timing.heartbeat);
  tick_.async_wait([this](const boost::system::error_code& error) {
    if (!error) Tick();
  });
}

void Node::PublishReport(const mixing::Sketch& sketch) {
  sketching_ = false;
  if (stopping_) return;
  sketch_ = sketch;
  transport_->SetReport(EncodeReport(SelfReport()));
}

}  // namespace hearsay::daemon
