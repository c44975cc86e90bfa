#include "daemon/joiner.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <chrono>
#include <utility>

#include "daemon/mixing/vet.h"

namespace hearsay::daemon {

using transport::Clock;

Joiner::Joiner(boost::asio::io_context& io, transport::Transport& transport,
               LiveWeights& weights, std::unique_ptr<mixing::WireFormat> format,
               transport::Milliseconds pause, Hooks hooks)
    : io_(io),
      transport_(transport),
      weights_(weights),
      format_(std::move(format)),
      pause_(pause),
      hooks_(std::move(hooks)),
      timer_(io),
      random_(std::random_device{}()) {}

Joiner::~Joiner() { Stop(); }

void Joiner::Start() {
  started_ = true;
  BeginRound();
}

void Joiner::Stop() {
  stopped_ = true;
  timer_.cancel();
  worker_.join();
}

void Joiner::BeginRound() {
  ++round_;
  turn_ = hooks_.donors();
  std::shuffle(turn_.begin(), turn_.end(), random_);
  Next();
}

// Others may be joining too, and donors are busy with them.
void Joiner::EndRound() {
  if (round_ == kMostRounds) {
    hooks_.on_progress(
        fmt::format("no member gave its weights in {} rounds: goes on with its "
                    "own, which are behind",
                    round_));
    return Done(false);
  }
  timer_.expires_after(pause_ * round_);
  timer_.async_wait([this](const boost::system::error_code& error) {
    if (!error && !stopped_) BeginRound();
  });
}

void Joiner::Next() {
  if (turn_.empty()) return EndRound();
  const std::string donor = turn_.back();
  turn_.pop_back();
  hooks_.on_progress(fmt::format("fetching the weights of {}", donor));
  transport_.Exchange(donor, {0, nullptr}, hooks_.deadline(donor),
                      [this, donor, asked = Clock::now()](auto answer) {
                        if (!stopped_)
                          OnAnswer(donor, asked, std::move(answer));
                      });
}

void Joiner::OnAnswer(const std::string& donor, Clock::time_point asked,
                      transport::Result<transport::Message> answer) {
  if (answer && answer->payload != nullptr)
    return Vet(donor, asked, *std::move(answer));
  hooks_.on_progress(
      answer ? fmt::format("{} declines: it is busy", donor)
             : fmt::format("not fetched: {}", answer.error().detail));
  Next();
}

void Joiner::Vet(const std::string& donor, Clock::time_point asked,
                 transport::Message answer) {
  boost::asio::post(worker_, [this, donor, asked, answer] {
    fetched_.resize(weights_.size());
    const auto message = answer.payload->first(format_->Bytes(weights_.size()));
    auto fault = format_->Decode(message, fetched_);
    if (!fault && !mixing::AllFinite(fetched_))
      fault = mixing::Fault::kNotFinite;
    const double norm = mixing::Norm(fetched_);
    boost::asio::post(
        io_, [this, donor, asked, step = answer.version, fault, norm] {
          if (stopped_) return;
          const auto unfit = fault ? "it is " + std::string(Word(*fault))
                                   : hooks_.unfit(norm).value_or("");
          if (unfit.empty()) return Take(donor, asked, step);
          hooks_.on_progress(
              fmt::format("the weights of {} are not fit: {}", donor, unfit));
          hooks_.on_offence(donor,
                            Word(fault.value_or(mixing::Fault::kBeyondClip)));
          Next();
        });
  });
}

void Joiner::Take(const std::string& donor, Clock::time_point asked,
                  std::uint64_t step) {
  boost::asio::post(worker_, [this, donor, asked, step] {
    weights_.Assign(fetched_);
    fetched_ = {};
    boost::asio::post(io_, [this, donor, asked, step] {
      if (stopped_) return;
      const auto took = std::chrono::duration<double>(Clock::now() - asked);
      hooks_.on_progress(
          fmt::format("fetched the weights of {}, which is at step {}, in "
                      "{:.3f} s",
                      donor, step, took.count()));
      Done(true);
    });
  });
}

void Joiner::Done(bool fetched) {
  stopped_ = true;
  hooks_.on_done(fetched);
}

}  // namespace hearsay::daemon
