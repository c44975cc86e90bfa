// What a node tells its peers: nothing private, nothing malformed let in.
#include "daemon/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "daemon/report.pb.h"

namespace hearsay::daemon {
namespace {

NodeReport Full() {
  NodeReport report;
  report.step = 1234;
  report.state = "training";
  report.steps_per_second = 410;
  report.sketch.emplace();
  report.sketch->fill(0.5F);
  report.eval_loss = 0.44;
  report.eval_accuracy = 0.79;
  report.epsilon = 1.21;
  report.target_epsilon = 3;
  report.delta = 1e-5;
  report.steps_left = 3766;
  report.privacy_valid = true;
  report.proposed_interval = 0.02;
  report.links = {{"b", "out", "tcp", 10, 1, 0, 0.004, 1.2e8}};
  report.health = "degraded";
  report.group = "east";
  report.ring_order = {"c", "a", "b"};
  report.accountant = "pld";
  report.reasons = {"x"};
  const LedgerMark mark{
      std::string(kMarkBytes, 'l'), std::string(kMarkBytes, '\0'), 17,
      std::string(kMarkBytes, 'h'), std::string(kMarkBytes, '\xff')};
  report.ledger = mark;
  report.marks = {{"b", mark}};
  report.noised_loss = 0.61;
  return report;
}

TEST(ReportTest, ComesBackAsItWasSent) {
  const auto back = DecodeReport(EncodeReport(Full()));
  ASSERT_TRUE(back);
  EXPECT_EQ(EncodeReport(*back), EncodeReport(Full()));
  EXPECT_EQ(back->step, 1234U);
  EXPECT_EQ(back->links.size(), 1U);
  EXPECT_EQ(back->ledger, Full().ledger);
  ASSERT_EQ(back->marks.size(), 1U);
  EXPECT_EQ(back->marks[0].node, "b");
  EXPECT_EQ(back->noised_loss, 0.61);
  EXPECT_EQ(back->marks[0].mark, *Full().ledger);
}

TEST(ReportTest, OfANodeThatNamesNoAccountantIsByRdp) {
  pb::Report older;
  older.ParseFromString(EncodeReport(Full()));
  EXPECT_EQ(DecodeReport(older.SerializeAsString())->accountant, "pld");
  older.clear_accountant();
  EXPECT_EQ(DecodeReport(older.SerializeAsString())->accountant, "rdp");
}

TEST(ReportTest, FitsInAHeartbeat) {
  NodeReport report = Full();
  report.links.assign(1000, report.links[0]);
  report.reasons.assign(100, std::string(5000, 'x'));
  report.marks.assign(1000, {std::string(64, 'n'), *report.ledger});
  EXPECT_LE(EncodeReport(report).size(), 32U * 1024);
}

// Private numbers have no place in a message to peers, so there is no class
// "private" to declare: a field is public or released, or this fails.
void CheckEgress(const google::protobuf::Descriptor& message) {
  for (int i = 0; i < message.field_count(); ++i) {
    const auto& field = *message.field(i);
    EXPECT_NE(field.options().GetExtension(pb::egress), pb::EGRESS_UNSPECIFIED)
        << field.full_name() << " declares no egress class";
    if (const auto* inner = field.message_type()) CheckEgress(*inner);
  }
}

TEST(ReportTest, EveryFieldDeclaresItsEgressClass) {
  ASSERT_GT(pb::Report::descriptor()->field_count(), 10);
  CheckEgress(*pb::Report::descriptor());
}

TEST(ReportTest, InfiniteEpsilonTravels) {
  NodeReport report = Full();
  report.epsilon = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(DecodeReport(EncodeReport(report)));
}

TEST(ReportTest, NumbersThatAreNoneAreRefused) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  const auto refused = [](auto change) {
    NodeReport report = Full();
    change(report);
    return !DecodeReport(EncodeReport(report));
  };
  EXPECT_TRUE(refused([&](auto& r) { r.epsilon = nan; }));
  EXPECT_TRUE(refused([&](auto& r) { r.epsilon = -1; }));
  EXPECT_TRUE(refused([&](auto& r) { r.eval_loss = inf; }));
  EXPECT_TRUE(refused([&](auto& r) { r.noised_loss = inf; }));
  EXPECT_TRUE(refused([&](auto& r) { r.steps_per_second = nan; }));
  EXPECT_TRUE(refused([&](auto& r) { r.proposed_interval = -5; }));
  EXPECT_TRUE(refused([&](auto& r) { (*r.sketch)[7] = std::nanf(""); }));
  EXPECT_TRUE(refused([&](auto& r) { r.links[0].round_trip_seconds = inf; }));
  EXPECT_TRUE(refused([&](auto& r) { r.state = std::string(2000, 'x'); }));
  EXPECT_TRUE(refused([&](auto& r) { r.ledger->hash += 'x'; }));
  EXPECT_TRUE(refused([&](auto& r) { r.marks[0].mark.ledger = ""; }));
  EXPECT_TRUE(refused([&](auto& r) { r.marks[0].mark.seal = "short"; }));
}

TEST(ReportTest, ASketchOfAnotherSizeIsRefused) {
  pb::Report wire;
  wire.set_state("training");
  wire.add_sketch(1);
  EXPECT_FALSE(DecodeReport(wire.SerializeAsString()));
}

TEST(ReportTest, MutatedBytesNeverGetFurtherThanTheDecoder) {
  const auto good = EncodeReport(Full());
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = good.substr(0, random() % (good.size() + 1));
    for (int flips = static_cast<int>(random() % 4); flips > 0; --flips)
      if (!bytes.empty())
        bytes[random() % bytes.size()] = static_cast<char>(random());
    if (const auto report = DecodeReport(bytes)) {
      EXPECT_FALSE(std::isnan(report->epsilon));
      EXPECT_LE(report->links.size(), 64U);
    }
  }
}

}  // namespace
}  // namespace hearsay::daemon
