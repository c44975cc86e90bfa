#include "daemon/exchange_loop.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cmath>
#include <utility>

namespace hearsay::daemon {

namespace {

using transport::Buffer;
using transport::Clock;

constexpr Duration kShortestInterval = std::chrono::milliseconds(1);
constexpr Duration kLongestInterval = std::chrono::seconds(10);
constexpr double kSmoothing = 0.1;
// Slower wires than this, in bytes a second, are not waited for at first.
constexpr double kSlowestWire = 10e6;

std::span<float> Floats(const Buffer& buffer) {
  return {reinterpret_cast<float*>(buffer->data()),
          buffer->size() / sizeof(float)};
}

}  // namespace

ExchangeLoop::ExchangeLoop(boost::asio::io_context& io,
                           transport::Transport& transport,
                           const mixing::Rule& rule, LiveWeights& weights,
                           Neighbours& neighbours,
                           const ExchangeOptions& options,
                           std::function<std::uint64_t()> version)
    : io_(io),
      transport_(transport),
      rule_(rule),
      weights_(weights),
      neighbours_(neighbours),
      options_(options),
      version_(std::move(version)),
      timer_(io),
      jitter_(std::random_device{}()),
      misbehaviour_(options.misbehave) {}

ExchangeLoop::~ExchangeLoop() { Stop(); }

void ExchangeLoop::Start() {
  started_ = true;
  if (rule_.Asks()) Arm();
}

void ExchangeLoop::Stop() {
  stopped_ = true;
  timer_.cancel();
  worker_.join();
}

Duration ExchangeLoop::ProposedInterval() const {
  if (options_.interval) return *options_.interval;
  // Mixing oftener than steps are taken, or than half the time can be spent
  // exchanging, gains nothing (mixing.md 3).
  const Duration exchange(std::llround(2e6 * round_trip_seconds_));
  return std::clamp(std::max(median_step_time_, exchange), kShortestInterval,
                    kLongestInterval);
}

Duration ExchangeLoop::Interval() const {
  const auto own = ProposedInterval();
  return rule_.NeedsCommonInterval() ? std::max(own, largest_proposed_) : own;
}

void ExchangeLoop::SetClusterPace(Duration median_step_time,
                                  Duration largest_proposed) {
  median_step_time_ = median_step_time;
  largest_proposed_ = std::min(largest_proposed, kLongestInterval);
}

void ExchangeLoop::Arm() {
  // Jitter: a fixed phase between two nodes' clocks biases the weights.
  std::uniform_real_distribution<double> jitter(0.5, 1.5);
  const auto interval = static_cast<double>(Interval().count());
  timer_.expires_after(
      std::chrono::microseconds(std::llround(interval * jitter(jitter_))));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || stopped_) return;
    if (!in_flight_)
      if (const auto peer = neighbours_.Successor(Clock::now())) Ask(*peer);
    Arm();
  });
}

void ExchangeLoop::Ask(const std::string& peer) {
  const Buffer mine = transport_.buffers()->Take();
  const bool carries = rule_.AskCarriesSnapshot();
  // What is used here stays as it is, whatever is sent.
  const Buffer sent =
      carries && misbehaviour_.active() ? transport_.buffers()->Take() : mine;
  if (mine == nullptr || sent == nullptr) {
    ++counters_[peer]
          .failed;  // All in use by slow peers: try at the next tick.
    return;
  }
  in_flight_ = true;
  boost::asio::post(worker_, [this, peer, mine, sent, carries,
                              version = version_()]() mutable {
    weights_.Snapshot(Floats(mine));
    if (sent != mine) {
      std::copy(mine->begin(), mine->end(), sent->begin());
      misbehaviour_.Spoil(Floats(sent), version);
    }
    boost::asio::post(
        io_, [this, peer, mine, version, payload = carries ? sent : nullptr] {
          Send(peer, mine, {version, payload});
        });
  });
}

void ExchangeLoop::Send(const std::string& peer, Buffer mine,
                        transport::Message request) {
  if (stopped_) return;
  transport_.Exchange(peer, std::move(request), Deadline(peer),
                      [this, peer, mine, asked = Clock::now()](auto answer) {
                        if (!stopped_)
                          OnAnswer(peer, mine, asked, std::move(answer));
                      });
}

transport::Milliseconds ExchangeLoop::Deadline(const std::string& peer) const {
  const auto bytes = static_cast<double>(weights_.size() * sizeof(float));
  const transport::Milliseconds on_the_wire(
      std::llround(1e3 * bytes / kSlowestWire));
  const auto found = counters_.find(peer);
  const double round_trip =
      found == counters_.end() ? 0 : found->second.round_trip_seconds;
  return std::max(options_.deadline + on_the_wire,
                  transport::Milliseconds(std::llround(8e3 * round_trip)));
}

void ExchangeLoop::OnAnswer(const std::string& peer, Buffer mine,
                            Clock::time_point asked,
                            transport::Result<transport::Message> answer) {
  auto& counters = counters_[peer];
  in_flight_ = false;
  if (!answer) {
    ++counters.failed;
    // A peer that is gone is the member list's news.
    if (answer.error().code == transport::ErrorCode::kTimeout ||
        answer.error().code == transport::ErrorCode::kMalformed)
      neighbours_.OnFailure(peer, Clock::now());
    return;
  }
  if (answer->payload == nullptr) {
    ++counters.declined;
    return;
  }
  if (IsStale(peer, answer->version)) {
    ++counters.failed;
    return OnFault(peer, mixing::Fault::kStale);
  }
  const double seconds =
      std::chrono::duration<double>(Clock::now() - asked).count();
  for (double* average : {&counters.round_trip_seconds, &round_trip_seconds_})
    *average =
        *average == 0 ? seconds : *average + kSmoothing * (seconds - *average);
  in_flight_ = true;
  Correct(peer, std::move(mine), *std::move(answer));
}

void ExchangeLoop::Correct(const std::string& peer, Buffer mine,
                           transport::Message answer) {
  boost::asio::post(worker_, [this, peer, mine, answer] {
    const auto fault = mixing::Vet(Floats(answer.payload), Floats(mine),
                                   rule_.ask_gain(), options_.clip);
    if (!fault)
      weights_.Correct(rule_.ask_gain(), Floats(answer.payload), Floats(mine));
    boost::asio::post(io_, [this, peer, fault, version = answer.version] {
      in_flight_ = false;
      ++(fault ? counters_[peer].failed : counters_[peer].ok);
      fault ? OnFault(peer, *fault) : OnUsed(peer, version);
    });
  });
}

void ExchangeLoop::OnRequest(const std::string& from,
                             transport::Message request,
                             transport::Respond respond) {
  if (stopped_) return;
  auto& counters = counters_[from];
  if (!neighbours_.Trusts(from, Clock::now())) {
    ++counters.untrusted;
    return;
  }
  const bool fetch = request.payload == nullptr && rule_.AskCarriesSnapshot();
  if (!started_ || (fetch && !given_.expired()))
    return respond({version_(), nullptr});
  if (request.payload != nullptr && IsStale(from, request.version))
    return OnFault(from, mixing::Fault::kStale);
  const Buffer mine = transport_.buffers()->Take();
  if (mine == nullptr) {
    ++counters.failed;
    return;
  }
  if (fetch) given_ = mine;
  Answer(from, std::move(request), mine, std::move(respond));
}

void ExchangeLoop::Answer(const std::string& from, transport::Message request,
                          Buffer mine, transport::Respond respond) {
  boost::asio::post(worker_, [this, from, mine, theirs = request.payload,
                              theirs_version = request.version,
                              version = version_(),
                              respond = std::move(respond)]() mutable {
    const bool correct = rule_.answer_gain() != 0.0F && theirs != nullptr;
    weights_.Snapshot(Floats(mine));
    std::optional<mixing::Fault> fault;
    if (correct) {
      fault = mixing::Vet(Floats(theirs), Floats(mine), rule_.answer_gain(),
                          options_.clip);
      if (!fault)
        weights_.Correct(rule_.answer_gain(), Floats(theirs), Floats(mine));
    }
    misbehaviour_.Spoil(Floats(mine), version);
    boost::asio::post(io_, [this, from, mine, fault, correct, theirs_version,
                            version, respond = std::move(respond)] {
      if (fault) return OnFault(from, *fault);
      ++counters_[from].answered;
      if (correct) OnUsed(from, theirs_version);
      respond({version, mine});
    });
  });
}

void ExchangeLoop::OnAnswerLost(const std::string& to) {
  ++counters_[to].one_sided;
}

void ExchangeLoop::OnStep(const std::string& peer, std::uint64_t step) {
  auto& newest = counters_[peer].newest_version;
  newest = std::max(newest, step);
}

void ExchangeLoop::OnRestart(const std::string& peer) {
  counters_[peer].newest_version = 0;
}

bool ExchangeLoop::IsStale(const std::string& peer, std::uint64_t version) {
  return mixing::VetVersion(version, counters_[peer].newest_version,
                            options_.max_staleness)
      .has_value();
}

void ExchangeLoop::OnUsed(const std::string& peer, std::uint64_t version) {
  auto& counters = counters_[peer];
  counters.used_version = version;
  counters.used = Clock::now();
  OnStep(peer, version);
  neighbours_.OnGood(peer, Clock::now());
}

void ExchangeLoop::OnFault(const std::string& peer, mixing::Fault fault) {
  auto& counters = counters_[peer];
  switch (fault) {
    case mixing::Fault::kNotFinite:
      ++counters.not_finite;
      break;
    case mixing::Fault::kBeyondClip:
      ++counters.beyond_clip;
      break;
    case mixing::Fault::kStale:
      ++counters.stale;
      break;
  }
  neighbours_.OnOffence(peer, mixing::Word(fault), Clock::now());
}

}  // namespace hearsay::daemon
