// Whole nodes that meet, or do not, by their certificates.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/transport/impostor.h"
#include "tests/transport/tls/forge.h"

namespace hearsay::transport {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using tls::Authority;
using tls::Credentials;
using tls::Files;
using tls::Valid;

class TlsMembershipTest : public testing::Test {
 protected:
  TlsMembershipTest() { Authority::Create(dir_, "test", Valid()); }

  Files Issue(const std::string& name,
              const tls::Validity& valid = Valid()) const {
    Authority(dir_).Issue(name, valid, dir_, Authority::IfThere::kReplace);
    return {.ca = dir_ / "ca.pem",
            .cert = dir_ / (name + ".pem"),
            .key = dir_ / (name + ".key"),
            .crl = dir_ / "crl.pem"};
  }
  Options OptionsOf(const std::string& name,
                    std::vector<std::string> peers = {},
                    const tls::Validity& valid = Valid()) const {
    auto options = TestOptions(name, std::move(peers));
    options.tls = std::make_shared<Credentials>(Issue(name, valid), name);
    return options;
  }
  // Of the member, or of the address, that is not let in.
  static std::string ErrorAt(Node& node) {
    for (const auto& member : node.members())
      if (member.state == MemberState::kRefused) return member.last_error;
    return "";
  }
  static bool Says(Node& node, const std::string& words) {
    return Node::Eventually(
        [&] { return ErrorAt(node).find(words) != std::string::npos; });
  }

  hearsay::tests::TemporaryFolder folder_;
  const std::filesystem::path dir_ = folder_ / "tls";
};

TEST_F(TlsMembershipTest, MembersMeetAndExchange) {
  Node a(OptionsOf("a"));
  Node b(OptionsOf("b", {a.address()}));
  Node c(OptionsOf("c", {a.address()}));
  EXPECT_TRUE(b.Meets("c"));
  EXPECT_TRUE(c.Meets("b"));
  const auto answer = b.Ask("c", 1);
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_TRUE(HasPattern(answer->payload, 2));
  c.Leave();
  EXPECT_TRUE(b.Sees("c", MemberState::kLeft));
}

TEST_F(TlsMembershipTest, ManyThatDialEachOtherAtOnceMeet) {
  // Ports that are known before the nodes are.
  std::vector<std::string> addresses;
  {
    boost::asio::io_context io;
    std::vector<boost::asio::ip::tcp::acceptor> held;
    for (int i = 0; i < 5; ++i) {
      held.emplace_back(io, boost::asio::ip::tcp::endpoint(
                                boost::asio::ip::address_v4::loopback(), 0));
      addresses.push_back("127.0.0.1:" +
                          std::to_string(held.back().local_endpoint().port()));
    }
  }
  std::vector<std::unique_ptr<Node>> nodes;
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    auto options = OptionsOf("n" + std::to_string(i), addresses);
    options.listen = addresses[i];
    nodes.push_back(std::make_unique<Node>(options));
  }
  for (auto& node : nodes)
    for (std::size_t i = 0; i < nodes.size(); ++i)
      EXPECT_TRUE(nodes[i] == node || node->Meets("n" + std::to_string(i)));
  const auto answer = nodes[0]->Ask("n4", 1);
  EXPECT_TRUE(answer) << answer.error().detail;
}

TEST_F(TlsMembershipTest, AnotherCasNodeIsRefusedOnBothSides) {
  Node a(OptionsOf("a"));
  tls::Forge other;
  auto options = TestOptions("b", {a.address()});
  options.tls = std::make_shared<Credentials>(other.Issue("b"), "b");
  Node b(options);
  EXPECT_TRUE(Says(b, "the certificate of 'a'")) << ErrorAt(b);
  EXPECT_THAT(ErrorAt(b),
              AllOf(HasSubstr("not signed by our CA"), HasSubstr(a.address())));
  EXPECT_TRUE(Says(a, "it refused our certificate: not signed by its CA"))
      << ErrorAt(a);
}

TEST_F(TlsMembershipTest, ACertificateThatExpiresEndsItsSessions) {
  const auto soon = Valid(std::chrono::hours(-1), std::chrono::seconds(3));
  Node a(OptionsOf("a"));
  Node b(OptionsOf("b", {a.address()}, soon));
  Node c(OptionsOf("c", {a.address()}));
  ASSERT_TRUE(a.Meets("b"));
  ASSERT_TRUE(c.Meets("b"));
  EXPECT_TRUE(a.Sees("b", MemberState::kRefused));
  EXPECT_TRUE(Says(a, "the certificate of 'b' (serial "));
  EXPECT_THAT(ErrorAt(a), HasSubstr("expired on " + tls::ShowTime(soon.until)));
  EXPECT_TRUE(Says(b, "it refused our certificate: expired")) << ErrorAt(b);
  EXPECT_EQ(a.member("c")->state, MemberState::kAlive);
}

TEST_F(TlsMembershipTest, ARevokedOneIsPutOutAndMayComeBackWithANewOne) {
  const auto of_a = std::make_shared<Credentials>(Issue("a"), "a");
  const auto of_b = std::make_shared<Credentials>(Issue("b"), "b");
  auto options = TestOptions("a");
  options.tls = of_a;
  Node a(options);
  options = TestOptions("b", {a.address()});
  options.tls = of_b;
  Node b(options);
  ASSERT_TRUE(a.Meets("b"));
  Authority(dir_).RevokeNode("b");
  const Files files{dir_ / "ca.pem", dir_ / "a.pem", dir_ / "a.key",
                    dir_ / "crl.pem"};
  a.Run([&] { of_a->Reload(files); });
  EXPECT_TRUE(a.Sees("b", MemberState::kRefused));
  EXPECT_TRUE(Says(a, "was revoked"));
  EXPECT_TRUE(Says(b, "it refused our certificate: revoked")) << ErrorAt(b);
  const auto renewed = Issue("b");
  b.Run([&] { of_b->Reload(renewed); });
  EXPECT_TRUE(a.Meets("b"));
  EXPECT_TRUE(b.Meets("a"));
  EXPECT_EQ(ErrorAt(a), "");
}

TEST_F(TlsMembershipTest, AnotherNameThanTheCertificatesIsRefused) {
  auto options = TestOptions("a");
  options.tls = std::make_shared<Credentials>(Issue("a"), "a");
  Node a(options);
  // Calls itself c, with the certificate of b.
  auto liar = TestOptions("c", {a.address()});
  liar.tls = std::make_shared<Credentials>(Issue("b"), "b");
  Node c(liar);
  EXPECT_TRUE(Says(a, "it calls itself 'c', but its certificate is of 'b'"))
      << ErrorAt(a);
  EXPECT_TRUE(Says(c, "our certificate is not of the name 'c'")) << ErrorAt(c);
  EXPECT_EQ(a.member("c"), std::nullopt);
}

TEST_F(TlsMembershipTest, TheSameCaMakesNoTwoClustersOne) {
  Node a(OptionsOf("a"));
  auto options = OptionsOf("b", {a.address()});
  options.cluster = "other";
  Node b(options);
  EXPECT_TRUE(Says(a, "its cluster is 'other'")) << ErrorAt(a);
  EXPECT_TRUE(Says(b, "its cluster is 'test'")) << ErrorAt(b);
}

TEST_F(TlsMembershipTest, APeerInTheClearAndOneInTlsAreToldEach) {
  Node secure(OptionsOf("a"));
  Node open(TestOptions("b", {secure.address()}));
  EXPECT_TRUE(Says(open, "it speaks TLS, which is off here")) << ErrorAt(open);
  Node secure_dialler(OptionsOf("c", {open.address()}));
  EXPECT_TRUE(Says(secure_dialler, "it speaks no TLS"))
      << ErrorAt(secure_dialler);
  EXPECT_EQ(secure.member("b"), std::nullopt);
  EXPECT_EQ(open.member("c"), std::nullopt);
}

TEST_F(TlsMembershipTest, GarbageAndSilenceCostNobodyAnything) {
  auto options = OptionsOf("a");
  options.timing.handshake = Milliseconds(300);
  Node a(options);
  std::vector<std::unique_ptr<RawControl>> strangers;
  for (const auto& words :
       {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(5000, '\x16'),
        "\x16\x03\x01\x40\x00\x01" + std::string(9000, '\0'),
        std::string("\x16\x03\x01\x00\xff", 5), std::string("\x16")}) {
    strangers.push_back(std::make_unique<RawControl>(a.address()));
    strangers.back()->SendBytes(words);
  }
  Node b(OptionsOf("b", {a.address()}));
  EXPECT_TRUE(b.Meets("a"));
  for (auto& stranger : strangers) EXPECT_TRUE(stranger->IsClosed());
  EXPECT_EQ(a.members().size(), 1U);
}

}  // namespace
}  // namespace hearsay::transport
