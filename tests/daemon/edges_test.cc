#include "daemon/edges.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hearsay::daemon {
namespace {

using namespace std::chrono_literals;

TEST(EdgesTest, SayStateSinceWhenLastErrorAndWhoseWordItIs) {
  const auto now = Cooldown::Time{} + 1h;
  Edge edge;
  edge.member.node = "b";
  edge.member.address = "127.0.0.1:7401";
  edge.member.state = transport::MemberState::kAlive;
  edge.member.said_by = "c";
  edge.member.since = now - 60s;
  edge.member.edge = transport::EdgeState::kBroken;
  edge.member.edge_since = now - 2s;
  edge.member.last_error = "connection reset";
  edge.quarantine = {
      .reason = "altered", .times = 2, .since = now - 11s, .until = now + 9s};
  edge.quarantines = 2;
  edge.pieces.dropped_checksum = 7;
  edge.exchanges.beyond_clip = 3;
  const auto json = EdgeJson(edge, "a", now);
  EXPECT_EQ(json["peer"], "b");
  EXPECT_EQ(json["state"], "broken");
  EXPECT_EQ(json["since_seconds"], 2.0);
  EXPECT_EQ(json["said_by"], "a");
  EXPECT_EQ(json["last_error"], "connection reset");
  EXPECT_EQ(json["member"]["state"], "alive");
  EXPECT_EQ(json["member"]["since_seconds"], 60.0);
  EXPECT_EQ(json["member"]["said_by"], "c");
  EXPECT_EQ(json["quarantine"]["reason"], "altered");
  EXPECT_EQ(json["quarantine"]["left_seconds"], 9.0);
  EXPECT_EQ(json["quarantine"]["times"], 2);
  EXPECT_TRUE(json["bypass"].is_null());
  EXPECT_EQ(json["dropped"]["checksum"], 7);
  EXPECT_EQ(json["dropped"]["beyond_clip"], 3);
  EXPECT_EQ(json["dropped"]["stale_array"], 0);
}

TEST(EdgesTest, WhatIsNotKnownIsNull) {
  const auto json = EdgeJson({}, "a", Cooldown::Time{} + 1h);
  EXPECT_EQ(json["state"], "none");
  for (const char* key : {"last_error", "transport", "quarantine", "bypass"})
    EXPECT_TRUE(json[key].is_null()) << key;
  EXPECT_TRUE(json["member"]["said_by"].is_null());
}

TEST(EdgesTest, OnlyWhatNoFriendDoesIsAnOffenceAndOnlyOnce) {
  transport::LinkCounters before;
  auto now = before;
  EXPECT_TRUE(NewOffences(before, now).empty());
  now.dropped_late = now.dropped_full = now.dropped_stranger = 9;
  now.dropped_stale = now.dropped_epoch = 9;
  EXPECT_TRUE(NewOffences(before, now).empty());
  now.dropped_checksum = 5;
  now.dropped_size = now.dropped_forged = now.dropped_replayed =
      now.dropped_unsealed = 1;
  EXPECT_EQ(NewOffences(before, now),
            (std::vector<std::string>{"altered", "wrong size", "forged",
                                      "replayed", "not sealed"}));
  EXPECT_TRUE(NewOffences(now, now).empty());
}

}  // namespace
}  // namespace hearsay::daemon
