#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "tests/ops/fake_daemon.h"
#include "tests/ops/program.h"

namespace hearsay {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using tests::FakeDaemon;
using tests::Hearsay;
using tests::Json;
using tests::StatusDocument;
using tests::StatusNode;
using tests::TemporaryFolder;

class NodeVerbsTest : public tests::AskingTest {};

TEST_F(NodeVerbsTest, AsksOverTcpAndByEnvironmentToo) {
  daemon_.Serve("/v1/status",
                StatusDocument("a", {StatusNode("a", "training", 1)}));
  const std::string token = (folder_ / "token").string();
  std::ofstream(token) << FakeDaemon::kToken << '\n';
  EXPECT_EQ(Hearsay({"status", "--addr", daemon_.tcp_address(), "--token-file",
                     token})
                .code,
            0);
  EXPECT_EQ(Hearsay({"status", "--addr", daemon_.tcp_address()},
                    {"HEARSAY_TOKEN_FILE=" + token})
                .code,
            0);
  EXPECT_EQ(Hearsay({"status"}, {"HEARSAY_ADDR=" + address()}).code, 0);
  EXPECT_EQ(Hearsay({"status", "--addr", daemon_.tcp_address()}).code, 6);
  EXPECT_EQ(Hearsay({"status", "--addr", daemon_.tcp_address(), "--token-file",
                     dir() + "/none"})
                .code,
            1);
  // A flag goes before the environment.
  EXPECT_EQ(Hearsay({"status", "--addr", "unix:/nowhere"},
                    {"HEARSAY_ADDR=" + address()})
                .code,
            5);
  tests::WriteClusterFile(folder_.path(), {"a"});
  EXPECT_EQ(
      Hearsay({"status", "--dir", dir()}, {"HEARSAY_ADDR=unix:/nowhere"}).code,
      0);
}

TEST_F(NodeVerbsTest, ASilentDaemonIsUnreachable) {
  for (const char* verb :
       {"status", "members", "links", "privacy", "events", "pause", "stop"}) {
    const auto got = Hearsay({verb, "--addr", "unix:/nowhere/at/all"});
    EXPECT_EQ(got.code, 5) << verb;
    EXPECT_THAT(got.err, AllOf(StartsWith("hearsay: "),
                               HasSubstr("unix:/nowhere/at/all")))
        << verb;
    EXPECT_EQ(got.out, "") << verb;
  }
  EXPECT_EQ(Hearsay({"status", "--addr", "127.0.0.1:1"}).code, 5);
}

TEST_F(NodeVerbsTest, AMalformedAddressIsAUsageError) {
  for (const char* wrong : {"nowhere", ":80", "host:"}) {
    const auto got = Hearsay({"status", "--addr", wrong});
    EXPECT_EQ(got.code, 2) << wrong;
    EXPECT_THAT(got.err, HasSubstr("HOST:PORT")) << wrong;
  }
  EXPECT_EQ(Hearsay({"status", "--addr", "unix:" + std::string(200, 'x')}).code,
            2);
}

TEST_F(NodeVerbsTest, UnknownFlagsAndMissingTargetsAreUsageErrors) {
  EXPECT_EQ(Hearsay({"status", "--no-such-flag"}).code, 2);
  EXPECT_EQ(Hearsay({"no-such-verb"}).code, 2);
  EXPECT_EQ(Hearsay({}).code, 2);
  EXPECT_EQ(Hearsay({"status", "--addr", address(), "-o", "xml"}).code, 2);
  EXPECT_EQ(Hearsay({"status", "--addr", address(), "--dir", dir()}).code, 2);
  EXPECT_EQ(Hearsay({"status", "--addr", address(), "--node", "a"}).code, 2);
  const auto nowhere = Hearsay({"status"});
  EXPECT_EQ(nowhere.code, 2);
  EXPECT_THAT(nowhere.err, AllOf(HasSubstr("--dir"), HasSubstr("--addr"),
                                 HasSubstr("HEARSAY_ADDR")));
}

TEST_F(NodeVerbsTest, ADirectoryWithoutAClusterIsAnErrorThatNamesIt) {
  const auto none = Hearsay({"status", "--dir", dir()});
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.err, AllOf(HasSubstr(dir()), HasSubstr("hearsay up")));
  std::ofstream(folder_ / "cluster.json") << "{\"schema\":1,";
  const auto torn = Hearsay({"status", "--dir", dir()});
  EXPECT_EQ(torn.code, 1);
  EXPECT_THAT(torn.err, HasSubstr("cluster.json: damaged"));
}

TEST_F(NodeVerbsTest, AForbiddenRequestExitsWithSix) {
  for (const int status : {401, 403}) {
    daemon_.Serve("/v1/status", {{"schema", 1}, {"error", "say the word"}},
                  status);
    const auto got = Hearsay({"status", "--addr", address()});
    EXPECT_EQ(got.code, 6);
    EXPECT_THAT(got.err, HasSubstr("say the word"));
  }
}

TEST_F(NodeVerbsTest, WhatIsNoHearsaydIsAnErrorAndNotACrash) {
  for (const char* body : {"<html>", "", "[]", "{\"schema\":2}", "{\"a\":1}"}) {
    daemon_.ServeText("/v1/status", body);
    const auto got = Hearsay({"status", "--addr", address()});
    EXPECT_EQ(got.code, 1) << body;
    EXPECT_THAT(got.err, HasSubstr("not what a hearsayd")) << body;
  }
  const auto missing = Hearsay({"members", "--addr", address()});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.err, HasSubstr("there is no /v1/members"));
}

TEST_F(NodeVerbsTest, OneNodeOfTheDirectoryCanBeNamed) {
  tests::WriteClusterFile(folder_.path(), {"gone", "a"});
  daemon_.Serve("/v1/status",
                StatusDocument("a", {StatusNode("a", "training", 5)}));
  EXPECT_EQ(Hearsay({"status", "--dir", dir(), "--node", "a"}).code, 0);
  EXPECT_EQ(Hearsay({"status", "--dir", dir(), "--node", "gone"}).code, 5);
  const auto nobody = Hearsay({"status", "--dir", dir(), "--node", "zz"});
  EXPECT_EQ(nobody.code, 2);
  EXPECT_THAT(nobody.err, HasSubstr("it has gone, a"));
}

TEST_F(NodeVerbsTest, MembersListsThemWithTheTimingInForce) {
  const Json document = {{"schema", 1},
                         {"self", "a"},
                         {"members",
                          {{{"name", "a"},
                            {"address", "127.0.0.1:7400"},
                            {"state", "alive"},
                            {"said_by", "a"},
                            {"incarnation", 1},
                            {"since_seconds", 9.5},
                            {"edge", "connected"},
                            {"edge_since_seconds", 9.5},
                            {"heard_seconds", 0},
                            {"last_error", nullptr}},
                           {{"name", "b"},
                            {"address", "127.0.0.1:7401"},
                            {"state", "suspect"},
                            {"said_by", "c"},
                            {"incarnation", 0},
                            {"since_seconds", 3.0},
                            {"edge", "broken"},
                            {"edge_since_seconds", 4.0},
                            {"heard_seconds", nullptr},
                            {"last_error", "connection refused"}}}},
                         {"timing",
                          {{"profile", "local"},
                           {"heartbeat_ms", 200},
                           {"probe_interval_ms", 500},
                           {"probe_timeout_ms", 250},
                           {"silent_after_ms", 1000}}}};
  daemon_.Serve("/v1/members", document);
  const auto table = Hearsay({"members", "--addr", address()});
  EXPECT_EQ(table.code, 0);
  EXPECT_EQ(table.out,
            "MEMBER  ADDRESS         STATE    SINCE  SAYS  EDGE    SINCE  HEARD"
            "  LAST ERROR\n"
            "a       127.0.0.1:7400  alive    9.5 s  a     self        -      -"
            "  -\n"
            "b       127.0.0.1:7401  suspect  3.0 s  c     broken  4.0 s      -"
            "  connection refused\n"
            "timing: profile local, heartbeat_ms 200, probe_interval_ms 500,\n"
            "        probe_timeout_ms 250, silent_after_ms 1000\n");
  EXPECT_EQ(Hearsay({"members", "--addr", address(), "-o", "json"}).json(),
            document);
}

TEST_F(NodeVerbsTest, LinksShowWhatWasDropped) {
  const Json document = {{"schema", 1},
                         {"self", "a"},
                         {"links",
                          {{{"peer", "b"},
                            {"direction", "out"},
                            {"transport", "tcp"},
                            {"ok", 10},
                            {"failed", 1},
                            {"one_sided", 0},
                            {"round_trip_seconds", 0.25},
                            {"bytes_per_second", 1500},
                            {"dropped", {{"checksum", 2}, {"size", 0}}}}}}};
  daemon_.Serve("/v1/links", document);
  EXPECT_THAT(Hearsay({"links", "--addr", address()}).out,
              AllOf(HasSubstr("250.0 ms"), HasSubstr("1.5 kB/s"),
                    HasSubstr("2 checksum"), Not(HasSubstr("size"))));
  EXPECT_EQ(Hearsay({"links", "--addr", address(), "-o", "json"}).json(),
            document);
}

TEST_F(NodeVerbsTest, LinksShowEachEdgeAndWhyAPeerIsSetAside) {
  const Json document = {
      {"schema", 1},
      {"self", "a"},
      {"edges",
       {{{"peer", "b"},
         {"address", "127.0.0.1:7401"},
         {"state", "broken"},
         {"since_seconds", 2.0},
         {"said_by", "a"},
         {"last_error", "connection reset"},
         {"transport", nullptr},
         {"member",
          {{"state", "alive"}, {"since_seconds", 60.0}, {"said_by", "c"}}},
         {"quarantine",
          {{"reason", "not_finite"},
           {"times", 2},
           {"since_seconds", 11.5},
           {"left_seconds", 8.5}}},
         {"quarantines", 2},
         {"bypass", nullptr},
         {"dropped", {{"not_finite", 4}, {"late", 0}}}}}},
      {"links", Json::array()},
      {"strangers", {{"dropped", {{"stranger", 3}}}}}};
  daemon_.Serve("/v1/links", document);
  EXPECT_THAT(
      Hearsay({"links", "--addr", address()}).out,
      StartsWith("PEER  EDGE    SINCE  SAYS  MEMBER  SAYS  ASIDE              "
                 "                          DROPPED       LAST ERROR\n"
                 "b     broken  2.0 s  a     alive   c     quarantined 8.5 s "
                 "more (time 2): not_finite  4 not_finite  connection reset\n"
                 "from nobody known: 3 stranger\n"));
  EXPECT_EQ(Hearsay({"links", "--addr", address(), "-o", "json"}).json(),
            document);
}

TEST_F(NodeVerbsTest, JoinAndForceLeaveAreOrdersToOneNode) {
  const Json ok = {{"schema", 1}, {"ok", true}};
  daemon_.Serve("/v1/join?address=[::1]:7400", ok);
  const auto joined = Hearsay({"join", "[::1]:7400", "--addr", address()});
  EXPECT_EQ(joined.code, 0) << joined.err;
  EXPECT_EQ(joined.out, "dialling [::1]:7400\n");
  daemon_.Serve("/v1/force-leave?node=b&c", ok);
  EXPECT_EQ(
      Hearsay({"force-leave", "b&c", "--addr", address(), "-o", "json"}).json(),
      ok);
  EXPECT_THAT(daemon_.posts(), ElementsAre("/v1/join?address=[::1]:7400",
                                           "/v1/force-leave?node=b&c"));
  for (const char* bad : {"host", "host:0", "host:99999", ""})
    EXPECT_EQ(Hearsay({"join", bad, "--addr", address()}).code, 2) << bad;
  EXPECT_EQ(Hearsay({"join"}).code, 2);
  EXPECT_EQ(Hearsay({"force-leave", "--addr", address()}).code, 2);
  EXPECT_EQ(daemon_.posts().size(), 2U);
  EXPECT_EQ(Hearsay({"join", "h:1", "--addr", "unix:/nowhere"}).code, 5);
}

Json PrivacyDocument() {
  return {{"schema", 1},
          {"node", "a"},
          {"epsilon", 0.987654},
          {"target_epsilon", 1.0},
          {"delta", 1e-5},
          {"accountant", "rdp"},
          {"sample_rate", 0.02},
          {"noise_multiplier", 2.5},
          {"clip_norm", 1.0},
          {"steps_charged", 590},
          {"steps_left", 10},
          {"ledger", {{"path", "/l/a"}, {"sequence", 4}, {"hash", "ff"}}},
          {"valid", true},
          {"reasons", Json::array()}};
}

TEST_F(NodeVerbsTest, PrivacyExitsByWhatIsLeftOfTheClaim) {
  const auto code = [&](const std::string& state, bool valid) {
    Json document = PrivacyDocument();
    document["valid"] = valid;
    if (!valid) document["reasons"] = {"noise_multiplier is 0"};
    daemon_.Serve("/v1/privacy", document);
    daemon_.Serve("/v1/status",
                  StatusDocument("a", {StatusNode("a", state, 9)}));
    return Hearsay({"privacy", "--addr", address()});
  };
  const auto good = code("training", true);
  EXPECT_EQ(good.code, 0);
  EXPECT_THAT(good.out, AllOf(HasSubstr("0.9877"), HasSubstr("1e-05"),
                              HasSubstr("ledger of a: /l/a")));
  EXPECT_EQ(code("finished", true).code, 0);
  EXPECT_EQ(code("exhausted", true).code, 8);
  const auto bad = code("training", false);
  EXPECT_EQ(bad.code, 4);
  EXPECT_THAT(bad.out, AllOf(HasSubstr("NOT VALID"),
                             HasSubstr("noise_multiplier is 0")));
}

TEST_F(NodeVerbsTest, PrivacyOfADirectoryShowsEveryNode) {
  tests::WriteClusterFile(folder_.path(), {"a", "gone"});
  daemon_.Serve("/v1/privacy", PrivacyDocument());
  daemon_.Serve("/v1/status",
                StatusDocument("a", {StatusNode("a", "training", 9)}));
  const auto got = Hearsay({"privacy", "--dir", dir(), "-o", "json"});
  EXPECT_EQ(got.code, 3);
  ASSERT_EQ(got.json()["nodes"].size(), 2u);
  EXPECT_EQ(got.json()["nodes"][0]["epsilon"], 0.987654);
  EXPECT_EQ(got.json()["nodes"][1]["node"], "gone");
  EXPECT_TRUE(got.json()["nodes"][1]["error"].is_string());
}

TEST_F(NodeVerbsTest, EventsAreFollowedFromWhereTheyStopped) {
  const auto event = [](int sequence, const char* text) {
    return Json{{"sequence", sequence},
                {"time", "2026-11-20T12:00:00.123Z"},
                {"level", "info"},
                {"kind", "member"},
                {"text", text}};
  };
  daemon_.Serve(
      "/v1/events",
      {{"schema", 1}, {"events", {event(1, "b is alive")}}, {"next", 1}});
  daemon_.Serve(
      "/v1/events?after=1",
      {{"schema", 1}, {"events", {event(2, "b is gone")}}, {"next", 2}});
  daemon_.Serve("/v1/events?after=2",
                {{"schema", 1}, {"events", Json::array()}, {"next", 2}});
  const auto once = Hearsay({"events", "--addr", address()});
  EXPECT_EQ(once.code, 0);
  EXPECT_EQ(once.out,
            "2026-11-20T12:00:00.123Z info    member     b is alive\n");
  tests::Running follow(
      {"events", "--follow", "--addr", address(), "-o", "json"});
  for (int i = 0; i < 1000 && daemon_.asked("/v1/events") < 4; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  follow.Interrupt();
  const std::string out = follow.Wait().out;
  EXPECT_EQ(out, event(1, "b is alive").dump() + "\n" +
                     event(2, "b is gone").dump() + "\n");
}

TEST_F(NodeVerbsTest, ActionsPostToTheNode) {
  for (const std::string verb :
       {"pause", "resume", "drain", "checkpoint", "stop"}) {
    daemon_.Serve("/v1/" + verb, {{"schema", 1}, {"ok", true}});
    const auto got = Hearsay({verb, "--addr", address(), "-o", "json"});
    EXPECT_EQ(got.code, 0) << got.err;
    EXPECT_EQ(got.json()["nodes"][0]["ok"], true);
  }
  EXPECT_THAT(daemon_.posts(),
              ElementsAre("/v1/pause", "/v1/resume", "/v1/drain",
                          "/v1/checkpoint", "/v1/stop"));
}

TEST_F(NodeVerbsTest, ActionsOverTcpNeedTheToken) {
  daemon_.Serve("/v1/stop", {{"schema", 1}, {"ok", true}});
  const auto got = Hearsay({"stop", "--addr", daemon_.tcp_address()});
  EXPECT_EQ(got.code, 6);
  EXPECT_THAT(got.err, HasSubstr("unix socket"));
  EXPECT_THAT(daemon_.posts(), IsEmpty());
}

TEST_F(NodeVerbsTest, ActionsOnADirectoryReachEveryNodeThatAnswers) {
  tests::WriteClusterFile(folder_.path(), {"gone", "a", "b"});
  FakeDaemon b(folder_ / "b.sock");
  for (auto* daemon : {&daemon_, &b})
    daemon->Serve("/v1/pause", {{"schema", 1}, {"ok", true}});
  const auto got = Hearsay({"pause", "--dir", dir()});
  EXPECT_EQ(got.code, 5);
  EXPECT_EQ(got.out, "a: paused\nb: paused\n");
  EXPECT_THAT(got.err, HasSubstr("gone: "));
  EXPECT_EQ(Hearsay({"pause", "--dir", dir(), "--node", "b"}).code, 0);
  EXPECT_EQ(daemon_.posts().size(), 1u);
  EXPECT_EQ(b.posts().size(), 2u);
}

}  // namespace
}  // namespace hearsay
