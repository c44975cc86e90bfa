#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/ops/fake_daemon.h"
#include "tests/ops/program.h"

namespace hearsay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using tests::FakeDaemon;
using tests::Hearsay;
using tests::Json;
using tests::Outcome;
using tests::StatusDocument;
using tests::StatusNode;
using tests::TemporaryFolder;

class WaitTest : public ::testing::Test {
 protected:
  Outcome For(const std::string& state, const std::string& timeout = "300ms") {
    return Hearsay({"wait", "--for", state, "--timeout", timeout, "--addr",
                    daemon_.unix_address()});
  }
  void Serve(const std::string& state, int step) {
    daemon_.Serve("/v1/status",
                  StatusDocument("a", {StatusNode("a", state, step),
                                       StatusNode("b", "training", 1)}));
  }

  TemporaryFolder folder_;
  FakeDaemon daemon_{folder_ / "a.sock"};
};

TEST_F(WaitTest, ReadyIsWhatTheDaemonSays) {
  daemon_.Serve("/readyz", {{"schema", 1}, {"state", "joining"}}, 503);
  const auto not_yet = For("ready");
  EXPECT_EQ(not_yet.code, 7);
  EXPECT_THAT(not_yet.err,
              AllOf(HasSubstr("not ready within 300ms"), HasSubstr("joining")));
  daemon_.Serve("/readyz", {{"schema", 1}, {"ready", true}});
  EXPECT_EQ(For("ready").code, 0);
}

TEST_F(WaitTest, GoesOnUntilTheStateIsReached) {
  daemon_.Serve("/readyz", {{"schema", 1}}, 503);
  tests::Running wait({"wait", "--for", "ready", "-o", "json", "--addr",
                       daemon_.unix_address()});
  for (int i = 0; i < 500 && daemon_.asked("/readyz") < 2; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  daemon_.Serve("/readyz", {{"schema", 1}});
  const auto got = wait.Wait();
  EXPECT_EQ(got.code, 0);
  EXPECT_EQ(got.json()["reached"], true);
  EXPECT_GT(got.json()["seconds"], 0.1);
}

TEST_F(WaitTest, WaitsForADaemonThatIsNotThereYet) {
  const auto socket = folder_ / "late.sock";
  tests::Running wait({"wait", "--for", "ready", "--timeout", "20s", "--addr",
                       "unix:" + socket.string()});
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  FakeDaemon late(socket);
  late.Serve("/readyz", {{"schema", 1}});
  EXPECT_EQ(wait.Wait().code, 0);
}

TEST_F(WaitTest, CountsStepsMembersAndConsensus) {
  Serve("training", 99);
  EXPECT_EQ(For("step>=99").code, 0);
  EXPECT_EQ(For("step>=100").code, 7);
  EXPECT_EQ(For("members=2").code, 0);
  EXPECT_EQ(For("members=3").code, 7);
  EXPECT_EQ(For("members=1").code, 7);
  EXPECT_EQ(For("converged").code, 0);
  Json apart = StatusDocument("a", {StatusNode("a", "training", 1)});
  apart["cluster"]["consensus"]["state"] = "mixing";
  daemon_.Serve("/v1/status", apart);
  EXPECT_EQ(For("converged").code, 7);
}

TEST_F(WaitTest, FinishedIsAboutTheNodeThatIsAsked) {
  Serve("training", 99);
  EXPECT_EQ(For("finished").code, 7);
  Serve("finished", 100);
  EXPECT_EQ(For("finished").code, 0);
}

TEST_F(WaitTest, AnExhaustedBudgetEndsTheWait) {
  Serve("exhausted", 40);
  for (const char* state : {"finished", "step>=41"}) {
    const auto got = For(state, "60s");
    EXPECT_EQ(got.code, 8);
    EXPECT_THAT(got.err, HasSubstr("exhausted"));
  }
  EXPECT_EQ(For("step>=40").code, 0);
}

TEST_F(WaitTest, AStateThatCannotComeAnyMoreEndsTheWait) {
  Serve("finished", 40);
  EXPECT_EQ(For("step>=41", "60s").code, 1);
  Serve("failed", 40);
  EXPECT_EQ(For("finished", "60s").code, 4);
}

TEST_F(WaitTest, EveryNodeOfADirectoryMustBeThere) {
  tests::WriteClusterFile(folder_.path(), {"a", "b"});
  FakeDaemon b(folder_ / "b.sock");
  const auto wait = [&] {
    return Hearsay({"wait", "--for", "ready", "--timeout", "300ms", "--dir",
                    folder_.path().string()})
        .code;
  };
  daemon_.Serve("/readyz", {{"schema", 1}});
  b.Serve("/readyz", {{"schema", 1}}, 503);
  EXPECT_EQ(wait(), 7) << "b is not";
  b.Serve("/readyz", {{"schema", 1}});
  EXPECT_EQ(wait(), 0);
  daemon_.Serve("/readyz", {{"schema", 1}}, 503);
  EXPECT_EQ(wait(), 7) << "a is not";
}

TEST_F(WaitTest, AProcessThatIsGoneEndsTheWait) {
  tests::WriteClusterFile(folder_.path(), {"gone"});
  std::filesystem::create_directories(folder_ / "gone");
  std::ofstream(folder_ / "gone" / "hearsayd.log") << "it\nfell over\n";
  const auto got =
      Hearsay({"wait", "--for", "ready", "--dir", folder_.path().string()});
  EXPECT_EQ(got.code, 5);
  EXPECT_THAT(got.err,
              AllOf(HasSubstr("gone is not running"), HasSubstr("fell over")));
}

TEST_F(WaitTest, RefusesStatesAndTimesThatAreNone) {
  for (const char* wrong :
       {"happy", "step>=", "step>=x", "step=5", "members=-1", "members=2x", ""})
    EXPECT_EQ(For(wrong).code, 2) << wrong;
  for (const char* wrong : {"60", "soon", "-1s"})
    EXPECT_EQ(For("ready", wrong).code, 2) << wrong;
  EXPECT_EQ(Hearsay({"wait", "--addr", daemon_.unix_address()}).code, 2);
}

TEST_F(WaitTest, AForbiddenRequestEndsTheWait) {
  daemon_.Serve("/v1/status", {{"schema", 1}, {"error", "no"}}, 403);
  EXPECT_EQ(For("finished", "60s").code, 6);
}

}  // namespace
}  // namespace hearsay
