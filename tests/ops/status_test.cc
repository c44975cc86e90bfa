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
using ::testing::Not;
using tests::FakeDaemon;
using tests::Hearsay;
using tests::Json;
using tests::StatusDocument;
using tests::StatusNode;
using tests::TemporaryFolder;

class StatusTest : public tests::AskingTest {};

TEST_F(StatusTest, ShowsOnlyTheNodeThatIsAsked) {
  daemon_.Serve("/v1/status",
                StatusDocument("a", {StatusNode("a", "training", 1234),
                                     StatusNode("b", "training", 1200)}));
  const auto table = Hearsay({"status", "--addr", address()});
  EXPECT_EQ(table.code, 0);
  EXPECT_EQ(table.err, "");
  EXPECT_EQ(table.out,
            "pums: healthy, 2 of 2 members, ring pairwise, consensus 0.0120 "
            "(agreed)\n"
            "NODE  STATE     STEP  STEPS/S  ACCURACY    LOSS  CONSENSUS        "
            " EPSILON  LEFT  LINKS\n"
            "a     training  1234    410.2     79.1%  0.4412     0.0110  1.234 "
            "of 3.000  3766  >b 4.0 ms (3 failed)\n");
  const auto json = Hearsay({"status", "--addr", address(), "-o", "json"});
  ASSERT_EQ(json.json()["nodes"].size(), 1u);
  EXPECT_EQ(json.json()["nodes"][0]["name"], "a");
}

TEST_F(StatusTest, ShowsTheClusterAsTheDaemonTellsIt) {
  const Json document = StatusDocument(
      "a",
      {StatusNode("a", "training", 1234), StatusNode("b", "training", 1200)});
  daemon_.Serve("/v1/status", document);
  const auto got =
      Hearsay({"status", "--cluster", "--addr", address(), "--output", "json"});
  EXPECT_EQ(got.json(), document);
}

TEST_F(StatusTest, ExitsByHealth) {
  const std::vector<Json> nodes = {StatusNode("a", "training", 1)};
  const auto code = [&](const std::string& health) {
    daemon_.Serve("/v1/status", StatusDocument("a", nodes, health));
    return Hearsay({"status", "--addr", address()}).code;
  };
  EXPECT_EQ(code("healthy"), 0);
  EXPECT_EQ(code("degraded"), 3);
  EXPECT_EQ(code("unhealthy"), 4);
}

TEST_F(StatusTest, SaysWhyAndWhoIsInError) {
  Json bad = StatusNode("b", "failed", 7);
  bad["error"] = "connection refused";
  bad["eval"] = nullptr;
  bad["privacy"]["valid"] = false;
  Json document =
      StatusDocument("a", {StatusNode("a", "training", 9), bad}, "degraded");
  document["cluster"]["reasons"] = {"b is failed"};
  daemon_.Serve("/v1/status", document);
  const auto got = Hearsay({"status", "--cluster", "--addr", address()});
  EXPECT_THAT(got.out,
              AllOf(HasSubstr("! b: connection refused\n"),
                    HasSubstr("! b is failed\n"), HasSubstr("no claim")));
}

TEST_F(StatusTest, DocumentsOfAnotherReleaseCostADashOnly) {
  daemon_.Serve("/v1/status", {{"schema", 1},
                               {"self", "a"},
                               {"cluster", {{"health", "healthy"}}},
                               {"nodes", {{{"name", "a"}, {"step", "many"}}}}});
  const auto got = Hearsay({"status", "--addr", address()});
  EXPECT_EQ(got.code, 0) << got.err;
  EXPECT_THAT(got.out, HasSubstr("\na "));
}

TEST_F(StatusTest, AnUnreachableNodeStaysInTheJson) {
  tests::WriteClusterFile(folder_.path(), {"gone", "a", "lost"});
  Json lost = StatusNode("lost", "failed", 3);
  lost["error"] = "handshake timed out";
  daemon_.Serve("/v1/status",
                StatusDocument("a", {StatusNode("a", "training", 5), lost}));
  const auto got =
      Hearsay({"status", "--cluster", "--dir", dir(), "-o", "json"});
  EXPECT_EQ(got.code, 3);
  const Json nodes = got.json()["nodes"];
  ASSERT_EQ(nodes.size(), 3u);
  EXPECT_EQ(nodes[0]["error"], nullptr);
  EXPECT_EQ(nodes[1]["error"], "handshake timed out");
  EXPECT_EQ(nodes[2]["name"], "gone");
  EXPECT_THAT(nodes[2]["error"].get<std::string>(), HasSubstr("gone.sock"));
  EXPECT_EQ(got.json()["cluster"]["health"], "degraded");
}

TEST_F(StatusTest, AClusterOfWhichNobodyAnswersIsStillADocument) {
  const TemporaryFolder silent;
  tests::WriteClusterFile(silent.path(), {"a", "b"});
  const auto got = Hearsay(
      {"status", "--cluster", "--dir", silent.path().string(), "-o", "json"});
  EXPECT_EQ(got.code, 5);
  EXPECT_EQ(got.json()["cluster"]["name"], "pums");
  EXPECT_EQ(got.json()["nodes"].size(), 2u);
  EXPECT_TRUE(got.json()["nodes"][1]["error"].is_string());
}

TEST_F(StatusTest, WatchDrawsAScreenEachSecondUntilAllHaveFinished) {
  daemon_.Serve("/v1/status",
                StatusDocument("a", {StatusNode("a", "training", 5)}));
  tests::Running watch({"status", "--cluster", "--watch", "--until", "finished",
                        "--addr", address()});
  for (int i = 0; i < 500 && daemon_.asked("/v1/status") < 2; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  daemon_.Serve("/v1/status",
                StatusDocument("a", {StatusNode("a", "finished", 6)}));
  const auto got = watch.Wait();
  EXPECT_EQ(got.code, 0);
  EXPECT_THAT(got.out, AllOf(HasSubstr("training"), HasSubstr("finished")));
  EXPECT_THAT(got.out, Not(HasSubstr("\x1b"))) << "colour or cursor in a file";
}

}  // namespace
}  // namespace hearsay
