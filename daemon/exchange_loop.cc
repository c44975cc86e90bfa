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

std::span<float> Floats(const Buffer& buffer) {
  return {reinterpret_cast<float*>(buffer->data()),
          buffer->size() / sizeof(float)};
}

}  // namespace

ExchangeLoop::ExchangeLoop(
    boost::asio::io_context& io, transport::Transport& transport,
    const mixing::Rule& rule, LiveWeights& weights,
    const ExchangeOptions& options,
    std::function<std::optional<std::string>()> next_peer,
    std::function<std::uint64_t()> version)
    : io_(io),
      transport_(transport),
      rule_(rule),
      weights_(weights),
      options_(options),
      next_peer_(std::move(next_peer)),
      version_(std::move(version)),
      timer_(io),
      jitter_(std::random_device{}()) {}

ExchangeLoop::~ExchangeLoop() { Stop(); }

void ExchangeLoop::Start() {
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
      if (const auto peer = next_peer_()) Ask(*peer);
    Arm();
  });
}

void ExchangeLoop::Ask(const std::string& peer) {
  const Buffer mine = transport_.buffers()->Take();
  if (mine == nullptr) {  // All in use by slow peers: try at the next tick.
    ++counters_[peer].failed;
    return;
  }
  in_flight_ = true;
  boost::asio::post(worker_, [this, peer, mine] {
    weights_.Snapshot(Floats(mine));
    boost::asio::post(io_, [this, peer, mine] { Sent(peer, mine); });
  });
}

void ExchangeLoop::Sent(const std::string& peer, Buffer mine) {
  if (stopped_) return;
  transport::Message request{version_(), nullptr};
  if (rule_.AskCarriesSnapshot()) request.payload = mine;
  const auto deadline = std::max(
      options_.deadline, transport::Milliseconds(std::llround(
                             8e3 * counters_[peer].round_trip_seconds)));
  transport_.Exchange(peer, std::move(request), deadline,
                      [this, peer, mine, asked = Clock::now()](auto answer) {
                        if (!stopped_)
                          OnAnswer(peer, mine, asked, std::move(answer));
                      });
}

void ExchangeLoop::OnAnswer(const std::string& peer, Buffer mine,
                            Clock::time_point asked,
                            transport::Result<transport::Message> answer) {
  auto& counters = counters_[peer];
  if (!answer || answer->payload == nullptr) {
    ++counters.failed;
    in_flight_ = false;
    return;
  }
  const double seconds =
      std::chrono::duration<double>(Clock::now() - asked).count();
  for (double* average : {&counters.round_trip_seconds, &round_trip_seconds_})
    *average =
        *average == 0 ? seconds : *average + kSmoothing * (seconds - *average);
  boost::asio::post(worker_, [this, peer, mine, theirs = answer->payload] {
    const bool finite = AllFinite(Floats(theirs));
    if (finite)
      weights_.Correct(rule_.ask_gain(), Floats(theirs), Floats(mine));
    boost::asio::post(io_, [this, peer, finite] {
      auto& counted = counters_[peer];
      ++(finite ? counted.ok : counted.failed);
      if (!finite) ++counted.not_finite;
      in_flight_ = false;
    });
  });
}

void ExchangeLoop::OnRequest(const std::string& from,
                             transport::Message request,
                             transport::Respond respond) {
  if (stopped_) return;
  const bool correct =
      rule_.answer_gain() != 0.0F && request.payload != nullptr;
  const Buffer mine = transport_.buffers()->Take();
  if (mine == nullptr) {
    ++counters_[from].failed;
    return;
  }
  boost::asio::post(
      worker_, [this, from, mine, correct, theirs = request.payload,
                respond = std::move(respond)] {
        const bool usable = !correct || AllFinite(Floats(theirs));
        if (usable) {
          weights_.Snapshot(Floats(mine));
          if (correct)
            weights_.Correct(rule_.answer_gain(), Floats(theirs), Floats(mine));
        }
        boost::asio::post(io_, [this, from, mine, usable, respond] {
          auto& counters = counters_[from];
          ++(usable ? counters.answered : counters.not_finite);
          if (usable) respond({version_(), mine});
        });
      });
}

void ExchangeLoop::OnAnswerLost(const std::string& to) {
  ++counters_[to].one_sided;
}

}  // namespace hearsay::daemon
