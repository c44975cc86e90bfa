// Peers that lie, on either plane: what they send is dropped and counted, and
// nobody else notices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <random>

#include "tests/transport/impostor.h"

namespace hearsay::transport {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr std::size_t kSmall = 4096;                  // sent eagerly
constexpr std::size_t kLarge = std::size_t{1} << 21;  // by rendezvous

class HostileDataTest : public testing::TestWithParam<std::size_t> {
 protected:
  HostileDataTest()
      : options_(Halves()),
        victim_(options_, [this](Node&, const std::string&, Message,
                                 Respond) { ++requests_; }),
        impostor_(victim_, "x", options_),
        payload_(GetParam() / 2, std::byte{7}) {}
  static Options Halves() {
    auto options = TestOptions("a", {}, GetParam());
    options.chunk_bytes = GetParam() / 2;  // Two pieces an array.
    return options;
  }
  ChunkHeader Half(std::uint64_t exchange, std::size_t which) {
    auto header = impostor_.Piece(exchange, payload_, GetParam());
    header.offset = which * payload_.size();
    return header;
  }
  // After everything else: a good request, so that the bad is behind us.
  void ExpectOnlyTheGoodOne(std::uint64_t exchange) {
    impostor_.Send(Half(exchange, 0), payload_);
    impostor_.Send(Half(exchange, 1), payload_);
    EXPECT_TRUE(impostor_.RunUntil([&] { return requests_ == 1; }));
    EXPECT_TRUE(
        impostor_.RunUntil([&] { return victim_.pool()->taken() == 0; }));
    EXPECT_EQ(victim_.counters("x").requests_in, 1U);
    EXPECT_EQ(victim_.member("x")->state, MemberState::kAlive);
  }

  std::atomic<int> requests_ = 0;
  Options options_;
  Node victim_;
  Impostor impostor_;
  std::vector<std::byte> payload_;
};

TEST_P(HostileDataTest, AFlippedBitCostsTheWholeArray) {
  auto bad = payload_;
  bad[100] ^= std::byte{1};
  impostor_.Send(Half(1, 0), payload_);
  impostor_.Send(Half(1, 1), bad);
  ExpectOnlyTheGoodOne(2);
  EXPECT_EQ(victim_.counters("x").dropped_checksum, 1U);
}

TEST_P(HostileDataTest, AStrangersTokenIsDropped) {
  auto header = Half(1, 0);
  header.token ^= 1;
  impostor_.Send(header, payload_);
  ExpectOnlyTheGoodOne(2);
  EXPECT_EQ(victim_.counters("").dropped_stranger, 1U);
  EXPECT_EQ(victim_.counters("x").dropped_stranger, 0U);
}

TEST_P(HostileDataTest, PiecesOutsideTheArrayAreDropped) {
  const auto send = [&](const std::function<void(ChunkHeader&)>& change) {
    auto header = Half(1, 0);
    change(header);
    impostor_.Send(header, payload_);
  };
  send([](ChunkHeader& h) { h.total += 1; });
  send([](ChunkHeader& h) { h.total = UINT64_MAX; });
  send([](ChunkHeader& h) { h.total = 0; });
  send([](ChunkHeader& h) { h.offset = 1; });
  send([](ChunkHeader& h) { h.offset = h.total; });
  send([](ChunkHeader& h) { h.offset = UINT64_MAX - h.length + 1; });
  ExpectOnlyTheGoodOne(2);
  EXPECT_EQ(victim_.counters("x").dropped_size, 6U);
}

TEST_P(HostileDataTest, MoreOrLessThanAHeaderSaysIsDropped) {
  std::uint64_t dropped = 0;
  const auto send = [&](std::uint32_t length, std::size_t bytes) {
    auto header = Half(1, 0);
    header.length = length;
    impostor_.Send(header, std::span(payload_).first(bytes));
    ++dropped;
    EXPECT_TRUE(impostor_.RunUntil(
        [&] { return victim_.counters("x").dropped_size == dropped; }));
    // A socket ends over it, and its dialler has to hear of that first.
    const auto later = Clock::now() + Milliseconds(50);
    EXPECT_TRUE(impostor_.RunUntil([&] { return Clock::now() > later; }));
  };
  // A socket that ends with more on its way is broken for good to its dialler:
  // no more than the kernel takes at once.
  const std::size_t some = WireUnderTest() == WireKind::kSocket
                               ? std::min(payload_.size(), kSmall)
                               : payload_.size();
  const auto whole = static_cast<std::uint32_t>(payload_.size());
  send(whole + 1, some);
  send(UINT32_MAX, some);
  send(whole, 10);
  ExpectOnlyTheGoodOne(2);
}

TEST_P(HostileDataTest, NoiseInPlaceOfAHeaderIsDropped) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 50; ++round) {
    std::vector<std::byte> noise(random() % 128);
    for (auto& byte : noise) byte = static_cast<std::byte>(random() & 0xff);
    impostor_.SendRaw(noise, payload_);
  }
  ExpectOnlyTheGoodOne(1);
  EXPECT_EQ(victim_.counters("").dropped_checksum, 50U);
}

TEST_P(HostileDataTest, RepeatedAndReplayedPiecesAreDropped) {
  impostor_.Send(Half(1, 0), payload_);
  impostor_.Send(Half(1, 0), payload_);  // Repeated.
  impostor_.Send(Half(1, 1), payload_);
  EXPECT_TRUE(impostor_.RunUntil([&] { return requests_ == 1; }));
  impostor_.Send(Half(1, 0), payload_);  // Of a finished exchange.
  impostor_.Send(Half(1, 1), payload_);
  EXPECT_TRUE(impostor_.RunUntil(
      [&] { return victim_.counters("x").dropped_late == 3; }));
  EXPECT_EQ(requests_, 1);
  EXPECT_EQ(victim_.pool()->taken(), 0U);
}

TEST_P(HostileDataTest, AnAnswerThatNobodyAskedForIsDropped) {
  auto header = Half(1, 0);
  header.kind = ChunkKind::kAnswer;
  impostor_.Send(header, payload_);
  ExpectOnlyTheGoodOne(2);
  EXPECT_EQ(victim_.counters("x").dropped_late, 1U);
}

TEST_P(HostileDataTest, HalfARequestIsForgottenAfterItsDeadline) {
  auto header = Half(1, 0);
  header.deadline_ms = 100;
  impostor_.Send(header, payload_);
  EXPECT_TRUE(impostor_.RunUntil([&] { return victim_.pool()->taken() == 1; }));
  EXPECT_TRUE(impostor_.RunUntil([&] { return victim_.pool()->taken() == 0; }));
  ExpectOnlyTheGoodOne(2);
}

TEST_P(HostileDataTest, UnfinishedRequestsHoldOneBufferInTheEnd) {
  // Many more than the pool has.
  for (std::uint64_t exchange = 1; exchange < 50; ++exchange)
    impostor_.Send(Half(exchange, 0), payload_);
  // A burst takes what there is, for a moment; then all but the last are free.
  EXPECT_TRUE(impostor_.RunUntil([&] {
    return victim_.counters("x").bytes_in == 49 * payload_.size() &&
           victim_.pool()->taken() <= 1;
  }));
  ExpectOnlyTheGoodOne(50);
}

TEST_P(HostileDataTest, ADamagedAnswerIsMalformedAtOnce) {
  auto asked = std::async(std::launch::async,
                          [&] { return victim_.Ask("x", 1, false); });
  ASSERT_TRUE(
      impostor_.RunUntil([&] { return !impostor_.received().empty(); }));
  auto header = Half(impostor_.received()[0].exchange, 0);
  header.kind = ChunkKind::kAnswer;
  header.check[0] ^= std::byte{1};
  impostor_.Send(header, payload_);
  const auto answer = asked.get();
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::kMalformed);
  EXPECT_EQ(victim_.counters("x").dropped_checksum, 1U);
  EXPECT_EQ(victim_.pool()->taken(), 0U);
}

INSTANTIATE_TEST_SUITE_P(EagerAndRendezvous, HostileDataTest,
                         testing::Values(kSmall, kLarge));

class HostileControlTest : public testing::Test {
 protected:
  HostileControlTest()
      : victim_(Impatient()), friend_(TestOptions("b", {address()})) {}
  static Options Impatient() {
    auto options = TestOptions("a");
    options.timing.handshake = Milliseconds(300);
    return options;
  }
  void SetUp() override {
    ASSERT_TRUE(victim_.Sees("b", MemberState::kAlive));
    ASSERT_TRUE(friend_.Sees("a", MemberState::kAlive));
  }
  void TearDown() override {
    // Whatever happened, the two never lost each other.
    EXPECT_TRUE(friend_.Ask("a", 1));
    EXPECT_EQ(victim_.states_of("b"), std::vector{MemberState::kAlive});
    EXPECT_EQ(friend_.states_of("a"), std::vector{MemberState::kAlive});
  }
  std::string address() { return victim_.address(); }
  Hello Good() { return HelloFrom("x", TestOptions("x")); }

  Node victim_;
  Node friend_;
};

TEST_F(HostileControlTest, FramesOverTheBoundCloseTheConnection) {
  for (const std::string& header :
       {std::string("\xff\xff\xff\xff", 4), std::string("\0\1\0\1", 4),
        std::string("\0\0\0\0", 4), std::string("GET / HTTP/1.1\r\n\r\n")}) {
    RawControl raw(address());
    raw.SendBytes(header);
    EXPECT_TRUE(raw.IsClosed());
  }
}

TEST_F(HostileControlTest, MalformedMessagesCloseTheConnection) {
  for (const std::string& body : {std::string("x"), std::string(60000, '\xff'),
                                  std::string("\x0a\xff\xff\xff\x7f", 5)}) {
    RawControl raw(address());
    raw.SendBytes(EncodeFrame(body));
    EXPECT_TRUE(raw.IsClosed());
  }
}

TEST_F(HostileControlTest, MessagesOutOfTurnCloseTheConnection) {
  const Grant grant{.data_token = 1, .worker_address = "x"};
  const std::vector<ControlMessage> wrong = {
      Heartbeat{}, Leave{}, Ready{.grant = grant},
      Welcome{.hello = Good(), .grant = grant}};
  for (const auto& message : wrong) {
    RawControl raw(address());
    raw.Send(message);
    EXPECT_TRUE(raw.IsClosed()) << message.index();
  }
  for (const auto& message : wrong) {
    if (std::holds_alternative<Ready>(message)) continue;
    RawControl raw(address());
    raw.Send(Good());
    raw.Send(message);
    EXPECT_TRUE(raw.IsClosed()) << message.index();
  }
}

TEST_F(HostileControlTest, ASecondHelloEndsAnEstablishedSession) {
  Impostor impostor(victim_, "x", TestOptions("x"));
  EXPECT_TRUE(victim_.Sees("x", MemberState::kAlive));
  impostor.control().Send(Good());
  EXPECT_TRUE(impostor.control().IsClosed());
  EXPECT_TRUE(victim_.Sees("x", MemberState::kSuspect));
  EXPECT_EQ(victim_.member("x")->edge, EdgeState::kBroken);
}

TEST_F(HostileControlTest, HalfAHelloIsGivenTheHandshakeTimeOnly) {
  RawControl raw(address());
  raw.SendBytes(EncodeFrame(EncodeControl(Good())).substr(0, 20));
  const auto start = Clock::now();
  EXPECT_TRUE(raw.IsClosed());
  EXPECT_LT(Clock::now() - start, kPatience);
}

TEST_F(HostileControlTest, AFloodOfGarbageDisturbsNobody) {
  std::mt19937_64 random(6);
  std::vector<std::unique_ptr<RawControl>> open;
  for (int round = 0; round < 200; ++round) {
    open.push_back(std::make_unique<RawControl>(address()));
    std::string garbage(random() % 5000, '\0');
    for (auto& c : garbage) c = static_cast<char>(random() & 0xff);
    // Some of it in frames, and some in messages that were good once.
    if (round % 3 == 1 && !garbage.empty()) garbage = EncodeFrame(garbage);
    if (round % 3 == 2) {
      garbage = EncodeControl(Good());
      garbage[random() % garbage.size()] ^=
          static_cast<char>(1 + random() % 255);
      garbage = EncodeFrame(garbage);
    }
    open.back()->SendBytes(garbage);
    if (round % 20 == 0) {
      EXPECT_TRUE(friend_.Ask("a", 1));
    }
  }
  open.clear();
  EXPECT_TRUE(friend_.Ask("a", 1));
}

TEST_F(HostileControlTest, IdleConnectionsDoNotKeepAMemberOutForEver) {
  std::vector<std::unique_ptr<RawControl>> idle;
  for (int i = 0; i < 100; ++i)
    idle.push_back(std::make_unique<RawControl>(address()));
  Node c(TestOptions("c", {address()}));
  EXPECT_TRUE(c.Sees("a", MemberState::kAlive));
}

TEST_F(HostileControlTest, AnotherProtocolVersionIsToldBothVersions) {
  Hello hello = Good();
  hello.protocol = 99;
  RawControl raw(address());
  raw.Send(hello);
  const auto refuse = raw.ReadUntil<Refuse>();
  ASSERT_TRUE(refuse);
  EXPECT_EQ(refuse->kind, Refuse::Kind::kProtocol);
  EXPECT_EQ(refuse->hello.protocol, kProtocolVersion);
  EXPECT_TRUE(raw.IsClosed());
  ASSERT_TRUE(victim_.Sees("x", MemberState::kRefused));
  EXPECT_THAT(victim_.member("x")->last_error,
              HasSubstr("its protocol version is 99, ours is 2"));
}

TEST(HostileAcceptorTest, ARefusalOfOurVersionIsShownWithBoth) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor acceptor(
      io, {boost::asio::ip::make_address("127.0.0.1"), 0});
  const std::string address =
      "127.0.0.1:" + std::to_string(acceptor.local_endpoint().port());
  Node a(TestOptions("a", {address}));
  RawControl raw(acceptor);
  ASSERT_TRUE(raw.ReadUntil<Hello>());
  Hello newer = HelloFrom("x", TestOptions("x"));
  newer.protocol = 99;
  raw.Send(Refuse{.kind = Refuse::Kind::kProtocol,
                  .hello = newer,
                  .other_address = {},
                  .newcomer = true});
  ASSERT_TRUE(a.Sees("x", MemberState::kRefused));
  EXPECT_THAT(a.member("x")->last_error,
              AllOf(HasSubstr("refused this node"),
                    HasSubstr("its protocol version is 99, ours is 2")));
  ASSERT_EQ(a.refusals().size(), 1U);
  EXPECT_EQ(a.refusals()[0].second, RefusalKind::kProtocol);
}

TEST(HostileAcceptorTest, OneThatNeverAnswersIsRetried) {
  boost::asio::io_context io;
  boost::asio::ip::tcp::acceptor acceptor(
      io, {boost::asio::ip::make_address("127.0.0.1"), 0});
  auto options = TestOptions(
      "a", {"127.0.0.1:" + std::to_string(acceptor.local_endpoint().port())});
  options.timing.handshake = Milliseconds(100);
  Node a(options);
  for (int attempt = 0; attempt < 3; ++attempt) {
    RawControl raw(acceptor);
    EXPECT_TRUE(raw.ReadUntil<Hello>());
    EXPECT_TRUE(raw.IsClosed());
  }
  EXPECT_TRUE(Node::Eventually([&] {
    return a.members().at(0).last_error.find("no handshake within 100 ms") !=
           std::string::npos;
  }));
}

// Else any member could have any other stopped.
TEST(HostileNameTest, AnothersWordThatANameIsTakenStopsNobody) {
  const auto options = TestOptions("a");
  Node a(options);
  RawControl liar(a.address());
  const Hello hello = HelloFrom("b", options);
  liar.Send(hello);
  liar.Send(Refuse{.kind = Refuse::Kind::kDuplicateName,
                   .hello = hello,
                   .other_address = "127.0.0.1:2",
                   .newcomer = true});
  // It looks there itself, and finds nobody.
  EXPECT_TRUE(Node::Eventually([&] {
    const auto members = a.members();
    return std::any_of(members.begin(), members.end(), [](const auto& member) {
      return member.address == "127.0.0.1:2" && !member.last_error.empty();
    });
  }));
  EXPECT_TRUE(a.refusals().empty());
}

}  // namespace
}  // namespace hearsay::transport
