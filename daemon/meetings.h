// A trainer's meetings with the others: for the rules whose trainers wait (each
// step a sum of gradients, each few steps a mean of weights, an exchange after
// each step) and for a resync that blocks.
//
// The trainer's thread asks the network thread, and waits until that has an
// answer: it always has one, since every exchange and round has a limit. What
// it waited is counted: `stalled_seconds`.
//
// A rule that cannot meet fails training, with a reason: that is how such
// systems end. A resync that fails changes nothing and training goes on.
#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <string>

#include "daemon/company.h"
#include "daemon/exchange_loop.h"
#include "daemon/mixing/rule.h"
#include "daemon/resync.h"

namespace hearsay::daemon {

class Meetings final : public Company {
 public:
  // References must outlive this. `blocks_every`: of a resync that blocks; 0 =
  // none.
  Meetings(boost::asio::io_context& io, const mixing::Rule& rule,
           std::uint64_t blocks_every, ExchangeLoop& exchange, Resync& resync);

  // Does anything of this configuration make a trainer wait?
  static bool Needed(const mixing::Habits& habits, std::uint64_t blocks_every);

  bool OnGradient(std::span<float> gradient) override;
  bool OnStep(std::uint64_t step) override;

  // What each member of the meetings for gradients gives.
  // Nothing: training has ended meanwhile. Throws: as above.
  std::optional<OneOfEachMember> OneOfEach(double mine);

  // Whoever waits goes on, as training has ended. Threads: any.
  void Stop();
  // Threads: any.
  double stalled_seconds() const;

 private:
  using Done = std::function<void(std::string error)>;
  // Runs `call` on the network thread and waits for its `done`: nothing if
  // stopped, else the error or "".
  std::optional<std::string> Await(std::function<void(Done)> call);

  boost::asio::io_context& io_;
  const mixing::Rule& rule_;
  const std::uint64_t blocks_every_;
  ExchangeLoop& exchange_;
  Resync& resync_;

  std::atomic<std::int64_t> stalled_ns_ = 0;
  // Shared with calls that come back after Stop.
  struct Slot {
    std::mutex mutex;
    std::condition_variable wake;
    bool stopped = false;
    std::uint64_t call = 0;  // the one that is waited for
    std::optional<std::string> outcome;
  };
  const std::shared_ptr<Slot> slot_ = std::make_shared<Slot>();
};

}  // namespace hearsay::daemon
