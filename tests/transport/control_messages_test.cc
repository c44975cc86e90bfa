#include "transport/control_messages.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "transport/chunk.h"
#include "transport/frame.h"

namespace hearsay::transport {
namespace {

Hello GoodHello() {
  return {.protocol = kProtocolVersion,
          .cluster = "pums",
          .node = "a",
          .incarnation = 0x1122334455667788,
          .model = "3fa2",
          .address = "127.0.0.1:7400",
          .age_ms = 12,
          .array_bytes = 4096,
          .chunk_bytes = 1024,
          .attempt = 3,
          .life = 1234567};
}

Grant GoodGrant() {
  return {.data_token = 42, .worker_address = std::string("\0\1\xff", 3)};
}

swim::Record GoodRecord() {
  return {.node = "b",
          .address = "[::1]:7401",
          .life = swim::kMaxLife - 1,
          .incarnation = 7,
          .state = swim::State::kSuspect,
          .said_by = "c"};
}

std::vector<ControlMessage> OneOfEach() {
  Heartbeat heartbeat{.report = std::string("\0report\xff", 8),
                      .updates = {GoodRecord(), GoodRecord()}};
  heartbeat.updates[1].state = swim::State::kLeft;
  return {GoodHello(),
          Welcome{.hello = GoodHello(), .grant = GoodGrant()},
          Ready{.grant = GoodGrant()},
          Refuse{.kind = Refuse::Kind::kDuplicateName,
                 .hello = GoodHello(),
                 .other_address = "127.0.0.1:7402",
                 .newcomer = true},
          heartbeat,
          Leave{},
          swim::Message{.kind = swim::Message::Kind::kPingRequest,
                        .probe = 9,
                        .target = "d",
                        .updates = {GoodRecord()}},
          swim::Message{.kind = swim::Message::Kind::kNack,
                        .probe = 10,
                        .target = {},
                        .updates = {}}};
}

bool Passes(const ControlMessage& message) {
  return DecodeControl(EncodeControl(message)).has_value();
}

// A Hello with one thing changed.
bool Passes(const std::function<void(Hello&)>& change) {
  Hello hello = GoodHello();
  change(hello);
  return Passes(ControlMessage(hello));
}

TEST(ControlMessagesTest, DecodesWhatWasEncoded) {
  for (const auto& message : OneOfEach()) {
    const auto decoded = DecodeControl(EncodeControl(message));
    ASSERT_TRUE(decoded) << message.index();
    EXPECT_EQ(*decoded, message);
  }
}

TEST(ControlMessagesTest, RejectsNamesThatAreMissingLongOrNotPrintable) {
  const std::string bad_names[] = {
      "",        "two words", "line\nbreak",
      "\x1b[2J", "\xc3\xa4",  std::string(129, 'x')};
  for (const auto& name : bad_names) {
    EXPECT_FALSE(Passes([&](Hello& hello) { hello.node = name; })) << name;
    EXPECT_FALSE(Passes([&](Hello& hello) { hello.cluster = name; })) << name;
    EXPECT_FALSE(Passes([&](Hello& hello) { hello.model = name; })) << name;
  }
  EXPECT_TRUE(Passes([](Hello& hello) { hello.node = std::string(128, 'x'); }));
}

TEST(ControlMessagesTest, RejectsAddressesThatCannotBeDialled) {
  for (const std::string address : {"", "host", "host:0", "ho st:1", "h:1\n"})
    EXPECT_FALSE(Passes([&](Hello& hello) { hello.address = address; }))
        << address;
}

TEST(ControlMessagesTest, RejectsSizesThatWouldCostTheReceiverMemory) {
  EXPECT_FALSE(Passes([](Hello& hello) { hello.array_bytes = 0; }));
  EXPECT_FALSE(Passes([](Hello& hello) { hello.chunk_bytes = 0; }));
  EXPECT_FALSE(
      Passes([](Hello& hello) { hello.chunk_bytes = kMaxChunkBytes + 1; }));
  EXPECT_FALSE(Passes([](Hello& hello) {
    hello.array_bytes = kMaxChunks;
    hello.chunk_bytes = 1;
  }));
}

TEST(ControlMessagesTest, AHelloOfAnotherVersionNeedsOnlyBePrintable) {
  Hello hello;
  hello.protocol = kProtocolVersion + 1;
  EXPECT_TRUE(Passes(ControlMessage(hello)));
  hello.node = "line\nbreak";
  EXPECT_FALSE(Passes(ControlMessage(hello)));
}

TEST(ControlMessagesTest, RejectsAWorkerAddressThatIsEmptyLongOrDamaged) {
  Ready ready{.grant = GoodGrant()};
  ready.grant.worker_address.clear();
  EXPECT_FALSE(Passes(ControlMessage(ready)));
  ready.grant.worker_address.assign(kMaxWorkerAddressBytes + 1, 'x');
  EXPECT_FALSE(Passes(ControlMessage(ready)));
  ready.grant.worker_address = "0123456789";
  std::string bytes = EncodeControl(ready);
  bytes[bytes.find("0123456789") + 4] = 'x';
  EXPECT_FALSE(DecodeControl(bytes));
}

TEST(ControlMessagesTest, RejectsReportsAndListsOverTheirBounds) {
  Heartbeat heartbeat;
  heartbeat.report.assign(kMaxReportBytes, 'x');
  heartbeat.updates.assign(kMaxUpdates, GoodRecord());
  EXPECT_TRUE(Passes(ControlMessage(heartbeat)));
  heartbeat.updates.push_back(GoodRecord());
  EXPECT_FALSE(Passes(ControlMessage(heartbeat)));
  heartbeat.updates.clear();
  heartbeat.report += 'x';
  EXPECT_FALSE(Passes(ControlMessage(heartbeat)));
  swim::Message probe;
  probe.updates.assign(kMaxUpdates, GoodRecord());
  EXPECT_TRUE(Passes(ControlMessage(probe)));
  probe.updates.push_back(GoodRecord());
  EXPECT_FALSE(Passes(ControlMessage(probe)));
}

TEST(ControlMessagesTest, RejectsRecordsThatCannotBeTrue) {
  const auto passes = [](const std::function<void(swim::Record&)>& change) {
    Heartbeat heartbeat{.report = {}, .updates = {GoodRecord()}};
    change(heartbeat.updates[0]);
    return Passes(ControlMessage(heartbeat));
  };
  using swim::Record;
  EXPECT_FALSE(passes([](Record& r) { r.node = ""; }));
  EXPECT_FALSE(passes([](Record& r) { r.node = "two words"; }));
  EXPECT_FALSE(passes([](Record& r) { r.said_by = "line\nbreak"; }));
  EXPECT_FALSE(passes([](Record& r) { r.said_by = std::string(129, 'x'); }));
  EXPECT_FALSE(passes([](Record& r) { r.address = "h:0"; }));
  EXPECT_FALSE(passes([](Record& r) { r.address = ""; }));
  EXPECT_FALSE(passes([](Record& r) { r.life = swim::kMaxLife; }));
  EXPECT_FALSE(passes([](Record& r) { r.state = swim::State(4); }));
  EXPECT_FALSE(passes([](Record& r) { r.state = swim::State(-1); }));
  EXPECT_FALSE(Passes([](Hello& hello) { hello.life = swim::kMaxLife; }));
}

TEST(ControlMessagesTest, RejectsProbesOfNoKindAndWithTheWrongTarget) {
  using Kind = swim::Message::Kind;
  const auto passes = [](Kind kind, const std::string& target) {
    return Passes(ControlMessage(swim::Message{
        .kind = kind, .probe = 1, .target = target, .updates = {}}));
  };
  EXPECT_TRUE(passes(Kind::kPing, ""));
  EXPECT_FALSE(passes(Kind::kPing, "d"));
  EXPECT_TRUE(passes(Kind::kPingRequest, "d"));
  EXPECT_FALSE(passes(Kind::kPingRequest, ""));
  EXPECT_FALSE(passes(Kind::kPingRequest, "two words"));
  EXPECT_FALSE(passes(Kind(0), ""));
  EXPECT_FALSE(passes(Kind(5), ""));
}

TEST(ControlMessagesTest, TheLargestHeartbeatFitsAFrame) {
  Heartbeat heartbeat;
  heartbeat.report.assign(kMaxReportBytes, 'x');
  const std::string name(kMaxNameBytes, 'n');
  heartbeat.updates.assign(
      kMaxUpdates, {.node = name,
                    .address = std::string(250, 'h') + ":65535",
                    .life = swim::kMaxLife - 1,
                    .incarnation = std::numeric_limits<std::uint32_t>::max(),
                    .state = swim::State::kLeft,
                    .said_by = name});
  EXPECT_TRUE(Passes(ControlMessage(heartbeat)));
  EXPECT_LE(EncodeControl(heartbeat).size(), kMaxFrameBytes);
}

// The most lists that a frame can hold: refused, and what parsing them takes
// for a moment is a small multiple of the frame.
TEST(ControlMessagesTest, AFrameFullOfEmptyRecordsCostsLittle) {
  std::string records;
  while (records.size() + 2 <= kMaxFrameBytes - 8) records += {'\x1a', '\0'};
  std::string frame = {'\x2a'};  // Heartbeat, of this length:
  for (auto left = records.size(); left > 0; left >>= 7)
    frame += static_cast<char>((left & 0x7f) | (left > 0x7f ? 0x80 : 0));
  frame += records;
  ASSERT_LE(frame.size(), kMaxFrameBytes);
  const auto peak_kib = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
  };
  const auto before = peak_kib();
  EXPECT_FALSE(DecodeControl(frame));
  EXPECT_LT(peak_kib() - before, 16 << 10);
}

TEST(ControlMessagesTest, RejectsWhatIsNoMessage) {
  EXPECT_FALSE(DecodeControl(""));
  EXPECT_FALSE(DecodeControl("GET / HTTP/1.1\r\n\r\n"));
  EXPECT_FALSE(DecodeControl(std::string(1000, '\xff')));
}

bool RejectedOrWithinBounds(const std::string& bytes) {
  const auto decoded = DecodeControl(bytes);
  return !decoded || Passes(*decoded);
}

// Every truncation and random damage: rejected, or a message that is itself
// within bounds (it survives being encoded again).
TEST(ControlMessagesTest, DamageNeverGivesAMessageOutOfBounds) {
  std::mt19937_64 random(4);
  for (const auto& message : OneOfEach()) {
    const std::string good = EncodeControl(message);
    for (std::size_t cut = 0; cut < good.size(); ++cut)
      EXPECT_TRUE(RejectedOrWithinBounds(good.substr(0, cut)));
    for (int round = 0; round < 5000; ++round) {
      std::string bad = good;
      for (std::uint64_t i = 0; i <= random() % 4 && !bad.empty(); ++i)
        bad[random() % bad.size()] = static_cast<char>(random() & 0xff);
      EXPECT_TRUE(RejectedOrWithinBounds(bad));
    }
  }
}

}  // namespace
}  // namespace hearsay::transport
