// Fetches the current weights from a member that has trained, before this
// node's first step.
//
// Donors take turns, beginning at a random one: a member that fails, declines
// (it gives to one at a time, so that it is not slowed) or gives an array that
// is not fit is followed by the next. After a bounded number of rounds the
// node goes on with the weights that it has, and says so.
//
// Threads: the network thread, which runs `io`.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "daemon/live_weights.h"
#include "daemon/mixing/wire.h"
#include "transport/transport.h"

namespace hearsay::daemon {

class Joiner {
 public:
  struct Hooks {
    // Who may give now, in any order.
    std::function<std::vector<std::string>()> donors;
    std::function<transport::Milliseconds(const std::string&)> deadline;
    // Why an array of this norm is not fit, if it is not.
    std::function<std::optional<std::string>(double norm)> unfit;
    // In one line each: progress, and what a donor did wrong.
    std::function<void(const std::string&)> on_progress;
    std::function<void(const std::string& donor, const std::string& offence)>
        on_offence;
    // Once. `fetched`: the weights have been replaced.
    std::function<void(bool fetched)> on_done;
  };

  static constexpr int kMostRounds = 8;

  // `pause`: before another round of the donors, longer each time.
  Joiner(boost::asio::io_context& io, transport::Transport& transport,
         LiveWeights& weights, std::unique_ptr<mixing::WireFormat> format,
         transport::Milliseconds pause, Hooks hooks);
  ~Joiner();

  // Requires: not started. Nobody else writes the weights until on_done.
  void Start();
  // on_done is not called any more.
  void Stop();
  bool started() const { return started_; }

 private:
  void BeginRound();
  void EndRound();
  void Next();
  void OnAnswer(const std::string& donor, transport::Clock::time_point asked,
                transport::Result<transport::Message> answer);
  void Vet(const std::string& donor, transport::Clock::time_point asked,
           transport::Message answer);
  void Take(const std::string& donor, transport::Clock::time_point asked,
            std::uint64_t step);
  void Done(bool fetched);

  boost::asio::io_context& io_;
  transport::Transport& transport_;
  LiveWeights& weights_;
  const std::unique_ptr<mixing::WireFormat> format_;
  const transport::Milliseconds pause_;
  const Hooks hooks_;
  boost::asio::steady_timer timer_;
  std::mt19937_64 random_;         // Of the turns: no secret, no claim.
  std::vector<std::string> turn_;  // Who is to be asked in this round.
  int round_ = 0;
  std::vector<float> fetched_;  // The worker's.
  bool started_ = false;
  bool stopped_ = false;
  boost::asio::thread_pool worker_{1};  // Streaming passes; joined first.
};

}  // namespace hearsay::daemon
