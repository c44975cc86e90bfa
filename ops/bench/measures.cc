#include "ops/bench/measures.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <utility>

#include "transport/collective/collective.h"

namespace hearsay::ops {
namespace {

using Json = nlohmann::ordered_json;
using transport::Buffer;
using transport::Clock;
using transport::Message;
using transport::Milliseconds;
using transport::Result;
using transport::Transport;
using Done = std::function<void(const MeasureOutcome&)>;
using Seconds = std::chrono::duration<double>;

constexpr Milliseconds kDeadline{60000};
// What a request asks for, in its version.
constexpr std::uint64_t kWantsNothing = 0;
constexpr std::uint64_t kWantsArray = 1;

std::span<float> Floats(const Buffer& buffer) {
  return {reinterpret_cast<float*>(buffer->data()),
          buffer->size() / sizeof(float)};
}

Buffer TakeFilled(Transport& transport) {
  Buffer buffer = transport.buffers()->Take();
  std::ranges::fill(Floats(buffer), 1.0F);
  return buffer;
}

// What arrives becomes (mine + theirs) / 2, piece by piece.
transport::OnPiece Averaging(const Buffer& mine, const Message& begun) {
  return [mine, theirs = Floats(begun.payload)](std::size_t offset,
                                                std::size_t bytes) {
    const auto a = Floats(mine).subspan(offset / sizeof(float));
    const auto b =
        theirs.subspan(offset / sizeof(float), bytes / sizeof(float));
    for (std::size_t i = 0; i < b.size(); ++i) b[i] = (a[i] + b[i]) * 0.5F;
  };
}

// Requests to the other member, `width` of them under way.
class Asking final : public Measure {
 public:
  enum class Kind { kLatency, kPush, kStream, kExchange };

  Asking(Transport& transport, std::string to, Kind kind, std::size_t rounds)
      : transport_(transport),
        to_(std::move(to)),
        kind_(kind),
        rounds_(rounds + kWarmUp) {}

  void Start(Done done) override {
    done_ = std::move(done);
    if (kind_ != Kind::kLatency) own_ = TakeFilled(transport_);
    for (std::size_t i = 0; i < width(); ++i) Ask();
  }

 private:
  static constexpr std::size_t kWarmUp = 3;

  std::size_t width() const { return kind_ == Kind::kStream ? 2 : 1; }

  void Ask() {
    if (asked_++ >= rounds_) return;
    const auto start = Clock::now();
    transport_.Exchange(
        to_,
        {.version = kind_ == Kind::kExchange ? kWantsArray : kWantsNothing,
         .payload = own_},
        kDeadline,
        [this, start](Result<Message> answer) {
          OnAnswer(start, std::move(answer));
        },
        [this](const Message& begun) {
          return kind_ == Kind::kExchange ? Averaging(own_, begun) : nullptr;
        });
  }

  void OnAnswer(Clock::time_point start, Result<Message> answer) {
    if (!done_) return;
    if (!answer)
      return std::exchange(done_, nullptr)(
          {.error = answer.error().detail, .seconds = {}, .detail = {}});
    if (kind_ == Kind::kExchange) own_ = answer->payload;
    const auto now = Clock::now();
    if (++answered_ > kWarmUp)
      seconds_.push_back(
          Seconds(now - (kind_ == Kind::kStream ? last_ : start)).count());
    last_ = now;
    if (answered_ < rounds_) return Ask();
    own_ = nullptr;
    std::exchange(done_, nullptr)(
        {.error = {}, .seconds = std::move(seconds_), .detail = {}});
  }

  Transport& transport_;
  const std::string to_;
  const Kind kind_;
  const std::size_t rounds_;
  std::size_t asked_ = 0, answered_ = 0;
  Clock::time_point last_;
  std::vector<double> seconds_;
  Buffer own_;
  Done done_;
};

// Rounds of a group, each after one of four bytes that has everybody begin at
// the same moment.
class Reducing final : public Measure {
 public:
  Reducing(Transport& transport, const std::vector<std::string>& members,
           const Json& command)
      : transport_(transport), rounds_(command.at("rounds")) {
    barrier_terms_.members = members;
    barrier_terms_.bytes = sizeof(float);
    terms_.members = members;
    terms_.bytes = command.at("bytes");
    if (command.at("vote") == false)
      terms_.outcome = transport::collective::Round::Outcome::kOwn;
    terms_.piece_bytes = command.value("piece_bytes", std::size_t{0});
    const std::string wanted = command.at("algorithm");
    terms_.algorithm = transport::collective::AllReduceNamed(wanted);
    if (!terms_.algorithm && wanted != "auto")
      throw std::invalid_argument("no such algorithm: " + wanted);
  }

  void Start(Done done) override {
    done_ = std::move(done);
    input_ = TakeFilled(transport_);
    Form("barrier", barrier_terms_, &Reducing::barrier_, [this] {
      Form("measured", terms_, &Reducing::group_, [this] { Meet(); });
    });
  }

 private:
  static constexpr std::size_t kWarmUp = 2;
  using GroupPointer = std::shared_ptr<transport::collective::Group>;

  void Form(const std::string& name, const transport::collective::Terms& terms,
            GroupPointer Reducing::*into, std::function<void()> then) {
    transport_.collectives().Form(
        name, terms, kDeadline,
        [this, into, then = std::move(then)](Result<GroupPointer> formed) {
          if (!formed) return Fail(formed.error());
          this->*into = *formed;
          then();
        });
  }
  void Fail(const transport::Error& error) {
    std::exchange(
        done_, nullptr)({.error = error.detail, .seconds = {}, .detail = {}});
  }

  void Meet() {
    barrier_->Run(input_, kDeadline, [this](const Result<Buffer>& met) {
      if (!met) return Fail(met.error());
      start_ = Clock::now();
      group_->Run(input_, kDeadline, [this](const Result<Buffer>& result) {
        if (!result) return Fail(result.error());
        OnRound();
      });
    });
  }
  void OnRound() {
    if (++done_rounds_ > kWarmUp)
      seconds_.push_back(Seconds(Clock::now() - start_).count());
    if (done_rounds_ < rounds_ + kWarmUp) return Meet();
    const std::string chosen(Name(*group_->terms().algorithm));
    std::exchange(done_, nullptr)(
        {.error = {}, .seconds = std::move(seconds_), .detail = chosen});
  }

  Transport& transport_;
  const std::size_t rounds_;
  transport::collective::Terms barrier_terms_, terms_;
  GroupPointer barrier_, group_;
  Buffer input_;
  Clock::time_point start_;
  std::size_t done_rounds_ = 0;
  std::vector<double> seconds_;
  Done done_;
};

}  // namespace

std::unique_ptr<Measure> MakeMeasure(Transport& transport,
                                     const std::vector<std::string>& members,
                                     const Json& command) {
  const std::string kind = command.at("measure");
  if (kind == "all_reduce")
    return std::make_unique<Reducing>(transport, members, command);
  static const std::array<std::pair<const char*, Asking::Kind>, 4> kKinds = {
      {{"latency", Asking::Kind::kLatency},
       {"push", Asking::Kind::kPush},
       {"stream", Asking::Kind::kStream},
       {"exchange", Asking::Kind::kExchange}}};
  for (const auto& [name, asking] : kKinds)
    if (kind == name)
      return std::make_unique<Asking>(transport, members.back(), asking,
                                      command.at("rounds"));
  throw std::invalid_argument("no such measure: " + kind);
}

Answerer::Answerer(Transport& transport) : own_(TakeFilled(transport)) {}

transport::OnPiece Answerer::OnBegin(const Message& begun,
                                     const transport::Respond& ahead) {
  if (begun.version != kWantsArray) return nullptr;
  ahead({.version = kWantsArray, .payload = own_});
  return Averaging(own_, begun);
}

void Answerer::OnRequest(const Message& request,
                         const transport::Respond& respond) {
  if (!request.payload || request.version == kWantsNothing)
    return respond({.version = kWantsNothing, .payload = nullptr});
  respond({.version = kWantsArray, .payload = own_});
  own_ = request.payload;
}

}  // namespace hearsay::ops
