// Trainers that wait: what their meetings give them, what ends a wait, and
// which failures end training.
#include "daemon/meetings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <chrono>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/daemon/memory_rounds.h"

namespace hearsay::daemon {
namespace {

using namespace std::chrono_literals;
using mixing::Rule;
using testing::Each;

constexpr std::size_t kSize = 64;

ResyncOptions Blocking() {
  ResyncOptions options;
  options.mode = ResyncOptions::Mode::kBlocking;
  return options;
}

struct Side {
  Side(boost::asio::io_context& io, Room& room, const std::string& name,
       const ResyncOptions& options, std::unique_ptr<Rule> its_rule,
       std::uint64_t blocks_every, const ExchangeOptions& exchanges)
      : rule(std::move(its_rule)),
        transport(room, name),
        neighbours(name, [](const auto&) {}),
        exchange(io, transport, *rule, weights, neighbours, exchanges,
                 [] { return std::uint64_t{0}; }),
        resync(io, transport, name, weights, options, Hooks()),
        meetings(io, *rule, blocks_every, exchange, resync) {
    weights.Assign(std::vector<float>(kSize, name == "a" ? 0.0F : 8.0F));
    transport.pool = transport::BufferPool::Make(
        MessageBytes(rule->habits(), "fp32", kSize), 8);
    neighbours.Update({{.name = "b", .reachable = true, .mixes = true}},
                      transport::Clock::now());
    exchange.Start();
    resync.Start();
  }
  Resync::Hooks Hooks() {
    return {.members =
                [this] {
                  ++looked;
                  return members;
                },
            .proposer = [this] { return members.front(); },
            .expected = 2,
            .step = [] { return std::uint64_t{0}; },
            .distance = [] { return std::nullopt; },
            .trains = [] { return true; },
            .trusts = [](const auto&) { return true; },
            .tell = [](Level, const auto&) {}};
  }
  std::vector<float> values() const {
    std::vector<float> seen(kSize);
    weights.Snapshot(seen);
    return seen;
  }

  std::vector<std::string> members = {"a", "b"};
  std::atomic<int> looked = 0;
  std::unique_ptr<Rule> rule;
  LiveWeights weights{kSize};
  RoomTransport transport;
  Neighbours neighbours;
  ExchangeLoop exchange;
  Resync resync;
  Meetings meetings;
};

// Trainers are threads of their own; the network is a thread beside the test's.
class MeetingsTest : public testing::Test {
 protected:
  ~MeetingsTest() override {
    open_.reset();
    io.stop();
    if (network_.joinable()) network_.join();
  }

  void Make(const std::function<std::unique_ptr<Rule>()>& rule,
            std::uint64_t blocks_every = 0) {
    for (std::size_t i = 0; i < 2; ++i)
      sides_[i] = std::make_unique<Side>(io, room, i == 0 ? "a" : "b", options,
                                         rule(), blocks_every, exchanges);
    network_ = std::thread([this] { io.run(); });
  }
  Meetings& of(std::size_t i) { return sides_[i]->meetings; }

  static std::future<bool> OnStep(Meetings& meetings, std::uint64_t step) {
    return std::async(std::launch::async,
                      [&meetings, step] { return meetings.OnStep(step); });
  }
  // Why training fails; "" if it does not.
  static std::string Failure(std::future<bool> outcome) {
    try {
      EXPECT_TRUE(outcome.get());
      return "";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }
  static void ExpectEnds(std::future<bool>& outcome, bool value) {
    ASSERT_EQ(outcome.wait_for(10s), std::future_status::ready);
    EXPECT_EQ(outcome.get(), value);
  }

  ResyncOptions options = Blocking();
  ExchangeOptions exchanges;
  boost::asio::io_context io;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      open_ = boost::asio::make_work_guard(io);
  Room room{io};
  std::unique_ptr<Side> sides_[2];
  std::thread network_;
};

TEST_F(MeetingsTest, OnlyWhatMakesATrainerWaitNeedsThem) {
  EXPECT_FALSE(Meetings::Needed(mixing::MakePairwise()->habits(), 0));
  EXPECT_FALSE(Meetings::Needed(mixing::MakePushSum()->habits(), 0));
  EXPECT_TRUE(Meetings::Needed(mixing::MakePairwise()->habits(), 10));
  EXPECT_TRUE(Meetings::Needed(mixing::MakeAllReduce()->habits(), 0));
  EXPECT_TRUE(Meetings::Needed(mixing::MakeLocalSgd(10)->habits(), 0));
  EXPECT_TRUE(Meetings::Needed(mixing::MakeSymmetricBlocking()->habits(), 0));
}

TEST_F(MeetingsTest, AGradientBecomesTheMeanOfAll) {
  Make(mixing::MakeAllReduce);
  std::vector<float> gradients[2] = {std::vector<float>(kSize, 1),
                                     std::vector<float>(kSize, 4)};
  auto other = std::async(std::launch::async,
                          [&] { return of(1).OnGradient(gradients[1]); });
  EXPECT_TRUE(of(0).OnGradient(gradients[0]));
  ExpectEnds(other, true);
  for (const auto& gradient : gradients) EXPECT_THAT(gradient, Each(2.5F));
  EXPECT_TRUE(of(0).OnStep(1));  // There is nothing more to wait for.
  EXPECT_GT(of(0).stalled_seconds(), 0);
}

TEST_F(MeetingsTest, EachLearnsWhatAllGive) {
  Make(mixing::MakeAllReduce);
  const auto meet = [this](std::size_t i, double mine) {
    std::vector<float> gradient(kSize, 1);
    EXPECT_TRUE(of(i).OnGradient(gradient));
    return of(i).OneOfEach(mine);
  };
  auto other = std::async(std::launch::async, [&] { return meet(1, 1e7); });
  const auto at_a = meet(0, 0.25);
  const auto at_b = other.get();
  ASSERT_TRUE(at_a && at_b);
  EXPECT_EQ(at_a->values, (std::vector<double>{0.25, 1e7}));
  EXPECT_EQ(at_b->values, at_a->values);
  EXPECT_EQ(at_a->self, 0U);
  EXPECT_EQ(at_b->self, 1U);
  room.fail = "b is lost";
  auto lost = std::async(std::launch::async, [&] { of(1).OneOfEach(1); });
  EXPECT_THROW(of(0).OneOfEach(1), std::runtime_error);
  EXPECT_THROW(lost.get(), std::runtime_error);
}

TEST_F(MeetingsTest, AGradientThatCannotBeSharedEndsTraining) {
  room.fail = "b is lost";
  Make(mixing::MakeAllReduce);
  auto other = std::async(std::launch::async, [&] {
    std::vector<float> gradient(kSize);
    return of(1).OnGradient(gradient);
  });
  std::vector<float> gradient(kSize);
  EXPECT_THROW(of(0).OnGradient(gradient), std::runtime_error);
  EXPECT_EQ(Failure(std::move(other)), "all_reduce: b is lost");
}

TEST_F(MeetingsTest, WeightsMeetEveryFewSteps) {
  Make([] { return mixing::MakeLocalSgd(4); });
  EXPECT_TRUE(of(0).OnStep(3));
  EXPECT_EQ(of(0).stalled_seconds(), 0);
  auto one = OnStep(of(0), 4);
  auto other = OnStep(of(1), 4);
  ExpectEnds(one, true);
  ExpectEnds(other, true);
  EXPECT_THAT(sides_[0]->values(), Each(4.0F));
  EXPECT_THAT(sides_[1]->values(), Each(4.0F));
}

TEST_F(MeetingsTest, ARuleThatCannotMeetEndsTrainingWithItsReason) {
  room.fail = "b is lost";
  Make([] { return mixing::MakeLocalSgd(1); });
  auto one = OnStep(of(0), 1);
  auto other = OnStep(of(1), 1);
  EXPECT_EQ(Failure(std::move(one)), "local_sgd: b is lost");
  EXPECT_EQ(Failure(std::move(other)), "local_sgd: b is lost");
}

TEST_F(MeetingsTest, AResyncThatFailsDoesNotEndTraining) {
  room.fail = "b is lost";
  Make(mixing::MakePairwise, 2);
  auto one = OnStep(of(0), 2);
  auto other = OnStep(of(1), 2);
  ExpectEnds(one, true);
  ExpectEnds(other, true);
  EXPECT_THAT(sides_[0]->values(), Each(0.0F));
}

TEST_F(MeetingsTest, ASilentPeerOfManyDoesNotEndTraining) {
  Make(mixing::MakeSymmetricBlocking);
  EXPECT_TRUE(of(0).OnStep(1));
  EXPECT_GT(of(0).stalled_seconds(), 0);
}

TEST_F(MeetingsTest, TheOneServerEndsItByItsSilence) {
  exchanges.server = "b";
  Make([] { return mixing::MakeParameterServer(mixing::Seat::kWorker); });
  EXPECT_EQ(Failure(OnStep(of(0), 1)), "parameter_server: b: late");
}

TEST_F(MeetingsTest, StopWakesATrainerThatWaits) {
  Make([] { return mixing::MakeLocalSgd(1); });
  auto waits = OnStep(of(1), 1);  // For a proposal that never comes.
  while (sides_[1]->looked == 0) std::this_thread::sleep_for(1ms);
  EXPECT_EQ(waits.wait_for(20ms), std::future_status::timeout);
  of(1).Stop();
  ExpectEnds(waits, false);
  EXPECT_GE(of(1).stalled_seconds(), 0.02);
  EXPECT_FALSE(of(1).OnStep(2));
}

}  // namespace
}  // namespace hearsay::daemon
