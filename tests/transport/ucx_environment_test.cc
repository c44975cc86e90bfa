#include "transport/ucx_environment.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>

#include "tests/transport/peer_process.h"

namespace hearsay::transport {
namespace {

// Before the first test, as a daemon does it first thing in main().
[[maybe_unused]] const bool kPrepared = (PrepareUcxEnvironment(), true);

using Handler = void (*)(int);

Handler HandlerOf(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return action.sa_handler;
}

TEST(UcxEnvironmentTest, HangupMeansWhatItMeansWithoutUcx) {
  EXPECT_EQ(HandlerOf(SIGHUP), SIG_DFL);
}

// UCX's library takes SIGHUP when it is loaded. The peer does not give it back;
// it inherits the settings instead, and so a hangup ends it.
TEST(UcxEnvironmentTest, SettingsReachTheProgramsThatAreStarted) {
  EXPECT_STREQ(std::getenv("UCX_DEBUG_SIGNO"), "0");
  EXPECT_STREQ(std::getenv("UCX_HANDLE_ERRORS"), "none");
  EXPECT_STREQ(std::getenv("UCX_LOG_LEVEL"), "fatal");
  EXPECT_STREQ(std::getenv("UCX_TCP_PUT_ENABLE"), "n");
  EXPECT_STREQ(std::getenv("UCX_TCP_TX_SEG_SIZE"), "1M");
  EXPECT_STREQ(std::getenv("UCX_TCP_RX_SEG_SIZE"), "1M");
  PeerProcess peer("x", 16);
  peer.Signal(SIGHUP);
  const int status = peer.Leave();
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGHUP) << status;
}

TEST(UcxEnvironmentTest, WhatTheUserSetIsLeftAlone) {
  setenv("UCX_LOG_LEVEL", "warn", 1);
  PrepareUcxEnvironment();
  EXPECT_STREQ(std::getenv("UCX_LOG_LEVEL"), "warn");
  setenv("UCX_LOG_LEVEL", "fatal", 1);
}

}  // namespace
}  // namespace hearsay::transport
