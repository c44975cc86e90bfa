#include "daemon/exchange_loop.h"

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cmath>
#include <utility>

#include "daemon/cpu.h"

namespace hearsay::daemon {

namespace {

using transport::Buffer;
using transport::Clock;

// Slower wires than this, in bytes a second, are not waited for at first.
constexpr double kSlowestWire = 10e6;

// In the version of an answer that carries nothing: the request's array was
// taken. No step count comes near it.
constexpr std::uint64_t kAcknowledged = std::uint64_t{1} << 63;

constexpr std::size_t kMostWaiting = 64;
// A trainer that waits looks this often whether it has somebody to meet, for as
// many times the deadline of an exchange.
constexpr std::chrono::milliseconds kRetry{20};
constexpr int kPatience = 5;

}  // namespace

ExchangeLoop::ExchangeLoop(boost::asio::io_context& io,
                           transport::Transport& transport, mixing::Rule& rule,
                           LiveWeights& weights, Neighbours& neighbours,
                           const ExchangeOptions& options,
                           std::function<std::uint64_t()> version)
    : io_(io),
      transport_(transport),
      habits_(rule.habits()),
      weights_bytes_(weights.size() * sizeof(float)),
      neighbours_(neighbours),
      options_(options),
      version_(std::move(version)),
      timer_(io),
      jitter_(std::random_device{}()),
      retry_(io),
      pace_(options.interval, AvailableCores()),
      record_(options.max_staleness),
      passes_(rule, weights, options.passes) {}

ExchangeLoop::~ExchangeLoop() { Stop(); }

void ExchangeLoop::Start() {
  started_ = true;
  passes_.Begin();  // No pass runs yet.
  if (habits_.asks == mixing::Habits::Asks::kOnClock) Arm();
}

void ExchangeLoop::Stop() {
  stopped_ = true;
  timer_.cancel();
  retry_.cancel();
  worker_.join();
}

Duration ExchangeLoop::ProposedInterval() const { return pace_.Proposed(); }

Duration ExchangeLoop::Interval() const {
  return habits_.common_interval ? pace_.Common() : pace_.Proposed();
}

void ExchangeLoop::SetClusterPace(Duration median_step_time,
                                  Duration largest_proposed) {
  pace_.SetCluster(median_step_time, largest_proposed);
  pace_.OnUse({.at = Clock::now(),
               .process_seconds = ProcessCpuSeconds(),
               .exchange_seconds = ThreadCpuSeconds() + worked_seconds_,
               .exchanges = record_.Corrections()});
}

template <typename Pass>
void ExchangeLoop::Work(Pass pass) {
  boost::asio::post(worker_, [this, pass = std::move(pass)]() mutable {
    const double before = ThreadCpuSeconds();
    pass();
    worked_seconds_ = worked_seconds_ + ThreadCpuSeconds() - before;
  });
}

void ExchangeLoop::Arm() {
  // Jitter: a fixed phase between two nodes' clocks biases the weights.
  std::uniform_real_distribution<double> jitter(0.5, 1.5);
  const auto interval = static_cast<double>(Interval().count());
  timer_.expires_after(
      std::chrono::microseconds(std::llround(interval * jitter(jitter_))));
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (error || stopped_) return;
    if (habits_.keeps_newest) Work([this] { passes_.Tick(); });
    if (!in_flight_)
      if (const auto peer = Peer()) Ask(*peer);
    Arm();
  });
}

std::optional<std::string> ExchangeLoop::Peer() {
  if (!options_.server.empty()) return options_.server;
  return neighbours_.Next(Clock::now());
}

std::uint64_t ExchangeLoop::IdOf(const std::string& peer) {
  const auto [found, added] = ids_.try_emplace(peer, next_id_);
  if (added) ++next_id_;
  return found->second;
}

void ExchangeLoop::Meet(std::function<void(std::string)> done) {
  met_ = std::move(done);
  MeetNow(Clock::now() + kPatience * options_.deadline);
}

// Tries until somebody can be asked. Alone is no error, but to a worker whose
// server is gone.
void ExchangeLoop::MeetNow(Clock::time_point until) {
  if (stopped_ || !habits_.MayAsk(place_.place, place_.members))
    return Finish("");
  const auto peer = Peer();
  const bool there = peer && (options_.server.empty() ||
                              neighbours_.Mixes(*peer, Clock::now()));
  if (there && !in_flight_) {
    Ask(*peer);
    if (in_flight_) return;
  } else if (!peer && !in_flight_) {
    return Finish("");
  }
  if (Clock::now() > until)
    return Finish(there ? "no buffer is free" : *peer + " is not there");
  retry_.expires_after(kRetry);
  retry_.async_wait([this, until](const boost::system::error_code& error) {
    if (!error) MeetNow(until);
  });
}

void ExchangeLoop::Finish(const std::string& error) {
  in_flight_ = false;
  if (const auto met = std::exchange(met_, nullptr)) met(error);
  while (!in_flight_ && !waiting_.empty()) {
    Waiting next = std::move(waiting_.front());
    waiting_.pop_front();
    OnRequest(next.from, std::move(next.request), std::move(next.respond));
  }
}

void ExchangeLoop::Ask(const std::string& peer) {
  auto own = std::make_shared<Own>();
  own->name = peer;
  own->peer = IdOf(peer);
  own->version = version_();
  own->pace.members = place_.members;
  if (const auto delay = pace_.Delay()) own->pace.delay = *delay;
  own->interval_seconds = std::chrono::duration<double>(Interval()).count();
  if (habits_.ask_carries != mixing::Carries::kNothing) {
    own->sent = transport_.buffers()->Take();
    if (!own->sent) {  // All in use by slow peers: try at the next tick.
      ++record_.Of(peer).failed;
      return;
    }
  }
  in_flight_ = true;
  Work([this, own] {
    passes_.Fill(*own);
    boost::asio::post(io_, [this, own] { Send(own); });
  });
}

void ExchangeLoop::Send(std::shared_ptr<Own> own) {
  if (stopped_) return;
  own->asked = Clock::now();
  transport_.Exchange(
      own->name, {own->version, own->sent}, Deadline(own->name),
      [this, own](auto answer) {
        if (!stopped_) OnAnswer(own, std::move(answer));
      },
      [this, own](const transport::Message& begun) {
        return stopped_ ? nullptr : OnAnswerBegin(own, begun);
      });
}

transport::OnPiece ExchangeLoop::OnAnswerBegin(
    const std::shared_ptr<Own>& own, const transport::Message& begun) {
  if (!passes_.differs_on_arrival() || !habits_.answer_carries) return nullptr;
  own->difference = passes_.DifferenceOf(begun.payload, own->sent);
  return MadeOf(own->difference, own->sent);
}

transport::Milliseconds ExchangeLoop::Deadline(const std::string& peer) const {
  const auto bytes = static_cast<double>(weights_bytes_);
  const transport::Milliseconds on_the_wire(
      std::llround(1e3 * bytes / kSlowestWire));
  return std::max(options_.deadline + on_the_wire,
                  transport::Milliseconds(
                      std::llround(8e3 * record_.RoundTripSeconds(peer))));
}

void ExchangeLoop::OnAnswer(const std::shared_ptr<Own>& own,
                            transport::Result<transport::Message> answer) {
  const auto& peer = own->name;
  auto& counters = record_.Of(peer);
  if (!answer) {
    ++counters.failed;
    // A peer that is gone is the member list's news.
    if (answer.error().code == transport::ErrorCode::kTimeout ||
        answer.error().code == transport::ErrorCode::kMalformed)
      neighbours_.OnFailure(peer, Clock::now());
    return Finish(peer + ": " + answer.error().detail);
  }
  const bool acknowledged = (answer->version & kAcknowledged) != 0;
  answer->version &= ~kAcknowledged;
  if (answer->payload == nullptr && !acknowledged) {
    ++counters.declined;
    return Finish(peer + " has nothing to give");
  }
  if (record_.IsStale(peer, answer->version)) {
    ++counters.failed;
    OnFault(peer, mixing::Fault::kStale);
    return Finish(peer + ": its answer is old");
  }
  const double seconds =
      std::chrono::duration<double>(Clock::now() - own->asked).count();
  record_.OnRoundTrip(peer, seconds);
  pace_.OnRoundTrip(seconds);
  Correct(own, *std::move(answer));
}

void ExchangeLoop::Correct(const std::shared_ptr<Own>& own,
                           transport::Message answer) {
  Work([this, own, answer] {
    const auto fault = passes_.Correct(*own, answer.payload);
    boost::asio::post(io_, [this, peer = own->name, fault, answer] {
      ++(fault ? record_.Of(peer).failed : record_.Of(peer).ok);
      if (fault)
        OnFault(peer, *fault);
      else if (answer.payload)
        OnUsed(peer, answer.version);
      else
        neighbours_.OnGood(peer, Clock::now());
      Finish(fault ? peer + ": its answer is " + Word(*fault) : "");
    });
  });
}

transport::OnPiece ExchangeLoop::OnRequestBegin(const std::string& from,
                                                const transport::Message& begun,
                                                transport::Respond ahead) {
  if (!started_ || stopped_ || !passes_.differs_on_arrival() ||
      arrivals_.Has(from) || !neighbours_.Trusts(from, Clock::now()) ||
      record_.IsStale(from, begun.version))
    return nullptr;
  const auto arrival = std::make_shared<Arrival>();
  arrival->mine = transport_.buffers()->Take();
  if (arrival->mine == nullptr) return nullptr;
  arrival->from = from;
  arrival->payload = begun.payload;
  arrival->version = version_();
  arrival->difference = passes_.DifferenceOf(begun.payload, arrival->mine);
  arrivals_.Add(arrival);
  Work([this, arrival, ahead = std::move(ahead)] {
    passes_.BeginAnswer(arrival->mine);
    boost::asio::post(io_, [this, arrival, ahead] {
      arrival->ready = true;
      if (!stopped_ && habits_.answer_carries)
        ahead({arrival->version, arrival->mine});
    });
  });
  // What came before the snapshot was taken is made at the end.
  return [arrival, made = MadeOf(arrival->difference, arrival->mine)](
             std::size_t offset, std::size_t bytes) {
    if (arrival->ready) made(offset, bytes);
  };
}

void ExchangeLoop::OnRequest(const std::string& from,
                             transport::Message request,
                             transport::Respond respond) {
  if (stopped_) return;
  auto& counters = record_.Of(from);
  if (!neighbours_.Trusts(from, Clock::now())) {
    ++counters.untrusted;
    return;
  }
  const bool fetch = request.payload == nullptr &&
                     habits_.ask_carries != mixing::Carries::kNothing;
  if (habits_.one_at_a_time && in_flight_ && !fetch) {
    if (waiting_.size() < kMostWaiting)
      waiting_.push_back({from, std::move(request), std::move(respond)});
    return;
  }
  if (!started_ || (fetch && (!given_.expired() || !passes_.gives_all())))
    return respond({version_(), nullptr});
  if (request.payload != nullptr && record_.IsStale(from, request.version))
    return OnFault(from, mixing::Fault::kStale);
  const auto arrival = arrivals_.Of(request);
  const Buffer mine = arrival ? arrival->mine : transport_.buffers()->Take();
  if (mine == nullptr) {
    ++counters.failed;
    return;
  }
  if (fetch) given_ = mine;
  Answer(from, std::move(request), mine, arrival, std::move(respond));
}

void ExchangeLoop::Answer(const std::string& from, transport::Message request,
                          Buffer mine, const std::shared_ptr<Arrival>& arrival,
                          transport::Respond respond) {
  Work([this, from, mine, id = IdOf(from), theirs = request.payload,
        theirs_version = request.version,
        version = arrival ? arrival->version : version_(),
        difference = arrival ? arrival->difference : nullptr,
        respond = std::move(respond)]() mutable {
    const auto fault = difference ? passes_.Answer(id, theirs, *difference)
                                  : passes_.Answer(id, theirs, mine, version);
    boost::asio::post(io_, [this, from, mine, fault, used = theirs != nullptr,
                            theirs_version, version,
                            respond = std::move(respond)] {
      if (fault) return OnFault(from, *fault);
      ++record_.Of(from).answered;
      if (used) OnUsed(from, theirs_version);
      const bool carries = !used || habits_.answer_carries;
      respond(carries ? transport::Message{version, mine}
                      : transport::Message{version | kAcknowledged, nullptr});
    });
  });
}

void ExchangeLoop::OnAnswerLost(const std::string& to) {
  ++record_.Of(to).one_sided;
}

void ExchangeLoop::OnRestart(const std::string& peer) {
  record_.OnRestart(peer);
  // For the rule it is somebody else: what the two owed each other is lost.
  const auto found = ids_.find(peer);
  if (found == ids_.end() || stopped_) return;
  Work([this, id = found->second] { passes_.Forget(id); });
  ids_.erase(found);
}

void ExchangeLoop::OnUsed(const std::string& peer, std::uint64_t version) {
  record_.OnUsed(peer, version);
  neighbours_.OnGood(peer, Clock::now());
}

void ExchangeLoop::OnFault(const std::string& peer, mixing::Fault fault) {
  record_.OnFault(peer, fault);
  neighbours_.OnOffence(peer, mixing::Word(fault), Clock::now());
}

}  // namespace hearsay::daemon
