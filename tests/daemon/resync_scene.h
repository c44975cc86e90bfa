// Members with a resync each, joined by a room of memory.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daemon/resync.h"
#include "tests/daemon/memory_rounds.h"

namespace hearsay::daemon {

inline constexpr std::size_t kSize = 64;

// One member, and what its hooks say.
struct Side {
  Side(boost::asio::io_context& io, Room& room, const std::string& name,
       std::vector<std::string> all, float value, const ResyncOptions& options,
       mixing::Momentum momentum = mixing::Momentum::kOff)
      : members(std::move(all)),
        weights(kSize, momentum),
        transport(room, name),
        resync(io, transport, name, weights, options, Hooks()) {
    weights.Assign(std::vector<float>(kSize, value));
  }

  Resync::Hooks Hooks() {
    return {.members = [this] { return members; },
            .proposer = [this] { return members.front(); },
            .failed = [this](const auto& peer) { return peer == failed; },
            .expected = 2,
            .step = [this] { return step; },
            .distance = [this] { return distance; },
            .trains = [this] { return trains; },
            .trusts = [this](const auto& peer) { return peer != quarantined; },
            .tell = [this](Level, const auto& text) { told.push_back(text); }};
  }

  std::vector<float> values() const {
    std::vector<float> seen(kSize);
    weights.Snapshot(seen);
    return seen;
  }
  void Train(float by) { weights.Add(std::vector<float>(kSize, by)); }

  std::vector<std::string> members;
  std::uint64_t step = 0;
  std::optional<double> distance;
  bool trains = true;
  std::string quarantined;
  std::string failed;
  std::vector<std::string> told;

  LiveWeights weights;
  RoomTransport transport;
  Resync resync;
};

class ResyncTest : public testing::Test {
 protected:
  // "a" begins at 0, "b" at 8, "c" at 1.
  void Make(const std::vector<std::string>& names = {"a", "b"}) {
    static constexpr float kValues[] = {0, 8, 1};
    for (const auto& name : names)
      sides_.push_back(std::make_unique<Side>(
          io, room, name, names, kValues[sides_.size()], options, momentum));
    for (auto& side : sides_) side->resync.Start();
  }
  Side& operator[](std::size_t i) { return *sides_.at(i); }
  Side& a() { return *sides_.at(0); }
  Side& b() { return *sides_.at(1); }

  template <typename Condition>
  bool Until(Condition condition) {
    const auto end = transport::Clock::now() + std::chrono::seconds(10);
    while (!condition() && transport::Clock::now() < end)
      io.run_for(std::chrono::milliseconds(2));
    return condition();
  }
  // So long that whatever is under way has happened.
  void Settle() { io.run_for(std::chrono::milliseconds(50)); }

  bool AllEnded(std::uint64_t rounds) {
    return Until([&] {
      for (const auto& side : sides_)
        if (side->resync.succeeded() + side->resync.failed() < rounds)
          return false;
      return true;
    });
  }
  void RoundOf(Side& side) {
    const auto before = side.resync.succeeded() + side.resync.failed();
    side.resync.Propose([](const auto&) {});
    ASSERT_TRUE(AllEnded(before + 1));
  }
  static auto Into(std::optional<std::string>& outcome) {
    return [&outcome](const std::string& error) { outcome = error; };
  }

  ResyncOptions options;
  mixing::Momentum momentum = mixing::Momentum::kOff;
  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      open_ = boost::asio::make_work_guard(io);
  Room room{io};
  std::vector<std::unique_ptr<Side>> sides_;
};

}  // namespace hearsay::daemon
