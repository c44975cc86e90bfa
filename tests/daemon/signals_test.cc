#include "daemon/signals.h"

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <stdexcept>
#include <thread>
#include <vector>

namespace hearsay::daemon {
namespace {

// Signals belong to the whole process, so each test runs in one of its own.
class SignalsTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

// Runs until `wanted` signals have come, and returns them.
std::vector<int> Collect(Signals& signals, std::size_t wanted) {
  boost::asio::io_context io;
  const auto keep = boost::asio::make_work_guard(io);
  std::vector<int> seen;
  signals.Run(io, [&](int signal) {
    seen.push_back(signal);
    if (seen.size() == wanted) io.stop();
  });
  return seen;
}

void Exit(bool good) { std::_Exit(good ? 0 : 3); }

TEST_F(SignalsTest, WhatComesBeforeRunIsKeptInOrder) {
  EXPECT_EXIT(
      {
        Signals signals;
        std::raise(SIGHUP);
        std::this_thread::sleep_for(std::chrono::milliseconds(50));
        std::raise(SIGTERM);
        Exit(Collect(signals, 2) == std::vector<int>{SIGHUP, SIGTERM});
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(SignalsTest, WhatComesWhileRunningIsHandledOnTheRunningThread) {
  EXPECT_EXIT(
      {
        Signals signals;
        std::thread other([] {
          std::this_thread::sleep_for(std::chrono::milliseconds(50));
          std::raise(SIGUSR2);
        });
        boost::asio::io_context io;
        const auto keep = boost::asio::make_work_guard(io);
        std::thread::id handled;
        signals.Run(io, [&](int) {
          handled = std::this_thread::get_id();
          io.stop();
        });
        other.join();
        Exit(handled == std::this_thread::get_id());
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(SignalsTest, TheSecondIntEndsTheProgramWhateverItIsBusyWith) {
  EXPECT_EXIT(
      {
        const Signals signals;
        std::raise(SIGINT);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        std::raise(SIGINT);
        std::this_thread::sleep_for(std::chrono::seconds(20));
        Exit(false);
      },
      testing::ExitedWithCode(1), "");
}

TEST_F(SignalsTest, ALateTermDoesNotSpoilTheExitStatus) {
  EXPECT_EXIT(
      {
        { const Signals signals; }
        for (const int signal : {SIGTERM, SIGHUP, SIGUSR2}) std::raise(signal);
        Exit(true);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(SignalsTest, AnExceptionOfTheLoopLeavesNothingBehind) {
  EXPECT_EXIT(
      {
        Signals signals;
        std::raise(SIGTERM);
        bool thrown = false;
        try {
          boost::asio::io_context io;
          const auto keep = boost::asio::make_work_guard(io);
          signals.Run(io, [](int) { throw std::runtime_error("handler"); });
        } catch (const std::runtime_error&) {
          thrown = true;
        }
        std::raise(SIGHUP);  // Must not be posted to the loop that is gone.
        Exit(thrown && Collect(signals, 1) == std::vector<int>{SIGHUP});
      },
      testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace hearsay::daemon
