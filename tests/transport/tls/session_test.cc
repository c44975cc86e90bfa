// Two sessions with each other, and what they agree on for their arrays.
#include "transport/session.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/ip/tcp.hpp>

#include "tests/transport/node.h"
#include "tests/transport/tls/forge.h"

namespace hearsay::transport {
namespace {

using boost::asio::ip::tcp;
using testing::HasSubstr;

// Accepts everybody, and remembers how it ended.
class Host final : public Session::Owner {
 public:
  explicit Host(std::string node) : node_(std::move(node)) {}

  Hello OurHello() override {
    return {.protocol = kProtocolVersion,
            .cluster = "test",
            .node = node_,
            .incarnation = 1,
            .model = "m",
            .address = "127.0.0.1:9",
            .age_ms = 0,
            .array_bytes = 64,
            .chunk_bytes = 64,
            .attempt = 1};
  }
  std::optional<Refuse> Examine(Session&, const Hello&) override {
    return std::nullopt;
  }
  Grant GrantTo(const Hello&) override {
    return {.data_token = 7, .worker_address = "somewhere"};
  }
  void OnGranted(Session&) override {}
  void OnEstablished(Session& session) override {
    terms = session.terms();
    session.Send(Heartbeat{.report = "", .updates = {}});
  }
  void OnHeartbeat(Session&, Heartbeat) override {}
  void OnLeave(Session&) override {}
  void OnProbe(Session&, swim::Message) override {}
  void OnRound(Session&, RoundMessage) override {}
  void OnRefuse(Session&, const Refuse& refuse) override { refused = refuse; }
  void OnEnd(Session&, const std::string& reason) override { end = reason; }

  std::optional<LaneTerms> terms;
  std::optional<Refuse> refused;
  std::string end;

 private:
  const std::string node_;
};

// From the dialler `a` and the acceptor `b`.
class Meeting {
 public:
  Meeting(Session::Credentials of_a, Session::Credentials of_b,
          const std::string& dialler = "a")
      : a(dialler),
        acceptor_(io_, {boost::asio::ip::address_v4::loopback(), 0}) {
    constexpr std::chrono::milliseconds kLimit{5000};
    dialler_ = Session::Dial(
        io_, a, std::move(of_a),
        "127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port()),
        kLimit);
    acceptor_.async_accept([this, of_b](const auto& error, tcp::socket socket) {
      ASSERT_FALSE(error);
      accepted_ = Session::Accept(io_, b, of_b, std::move(socket), kLimit);
    });
    const auto over = [](const Host& host) {
      return host.terms || !host.end.empty();
    };
    EXPECT_TRUE(Node::Eventually([&] {
      io_.restart();
      io_.run_for(std::chrono::milliseconds(1));
      return over(a) && over(b);
    }));
  }
  ~Meeting() {
    dialler_->Abandon();
    if (accepted_) accepted_->Abandon();
  }
  Session& dialler() { return *dialler_; }
  Session& accepted() { return *accepted_; }

  Host a;
  Host b{"b"};

 private:
  boost::asio::io_context io_;
  tcp::acceptor acceptor_;
  std::shared_ptr<Session> dialler_;
  std::shared_ptr<Session> accepted_;
};

class TlsSessionTest : public testing::Test {
 protected:
  Session::Credentials Of(const std::string& node) {
    return std::make_shared<tls::Credentials>(forge_.Issue(node), node);
  }
  tls::Forge forge_;
};

TEST_F(TlsSessionTest, BothEndsKnowASecretThatIsNewEachTime) {
  const auto of_a = Of("a");
  const auto of_b = Of("b");
  std::vector<EdgeSecret> secrets;
  for (int i = 0; i < 2; ++i) {
    Meeting meeting(of_a, of_b);
    ASSERT_TRUE(meeting.a.terms && meeting.b.terms)
        << meeting.a.end << " / " << meeting.b.end;
    ASSERT_TRUE(meeting.a.terms->secret && meeting.b.terms->secret);
    EXPECT_EQ(meeting.a.terms->secret->bytes, meeting.b.terms->secret->bytes);
    EXPECT_TRUE(meeting.a.terms->secret->dialler);
    EXPECT_FALSE(meeting.b.terms->secret->dialler);
    EXPECT_EQ(meeting.dialler().certified_name(), "b");
    EXPECT_EQ(meeting.accepted().certified_name(), "a");
    secrets.push_back(*meeting.a.terms->secret);
  }
  EXPECT_NE(secrets[0].bytes, secrets[1].bytes);
}

TEST_F(TlsSessionTest, InTheClearThereIsNone) {
  Meeting meeting(nullptr, nullptr);
  ASSERT_TRUE(meeting.a.terms && meeting.b.terms);
  EXPECT_EQ(meeting.a.terms->secret, std::nullopt);
  EXPECT_EQ(meeting.accepted().certified_name(), "");
}

TEST_F(TlsSessionTest, WhoGivesAnotherNameIsNotExamined) {
  Meeting meeting(Of("a"), Of("b"), "c");
  EXPECT_EQ(meeting.b.terms, std::nullopt);
  EXPECT_EQ(meeting.b.end,
            "it calls itself 'c', but its certificate is of 'a'");
  EXPECT_FALSE(meeting.accepted().knows_peer());
  EXPECT_TRUE(meeting.accepted().refused());
  ASSERT_TRUE(meeting.a.refused);
  EXPECT_EQ(meeting.a.refused->kind, Refuse::Kind::kIdentity);
}

TEST_F(TlsSessionTest, OneEndInTheClearIsToldAndSaysSo) {
  {
    Meeting meeting(Of("a"), nullptr);
    EXPECT_THAT(meeting.a.end, HasSubstr("it speaks no TLS"));
    EXPECT_THAT(meeting.b.end, HasSubstr("it speaks TLS"));
  }
  Meeting meeting(nullptr, Of("b"));
  EXPECT_THAT(meeting.a.end, HasSubstr("it speaks TLS"));
  EXPECT_THAT(meeting.b.end, HasSubstr("it speaks no TLS"));
  EXPECT_TRUE(meeting.dialler().refused() && meeting.accepted().refused());
}

}  // namespace
}  // namespace hearsay::transport
