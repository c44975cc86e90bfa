// Two ends in memory; no sockets.
#include "transport/tls/channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include "tests/transport/tls/forge.h"

namespace hearsay::transport::tls {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using Role = Channel::Role;

std::span<const std::byte> BytesOf(std::string_view text) {
  return std::as_bytes(std::span(text));
}

// One end, and what it has heard.
struct End {
  End(std::shared_ptr<const Identity> identity, Role role)
      : channel(std::move(identity), role) {}
  bool Take(std::string_view wire) {
    const bool goes_on = channel.Advance(BytesOf(wire), plain);
    alive = alive && goes_on;
    return goes_on;
  }
  Channel channel;
  std::string plain;
  bool alive = true;
};

// Carries bytes, `piece` at a time, until neither end has anything to say.
void Talk(End& one, End& other, std::size_t piece = 100000) {
  for (bool quiet = false; !quiet;) {
    quiet = true;
    for (auto [from, to] : {std::pair(&one, &other), std::pair(&other, &one)}) {
      const std::string bytes = from->channel.TakeOutput();
      for (std::size_t at = 0; at < bytes.size(); at += piece)
        to->Take(std::string_view(bytes).substr(at, piece));
      quiet = quiet && bytes.empty();
    }
  }
}

class ChannelTest : public testing::Test {
 protected:
  std::shared_ptr<const Identity> Of(const std::string& node,
                                     const Validity& valid = Valid()) {
    return std::make_shared<const Identity>(forge_.Issue(node, valid), node);
  }
  static void Meet(End& dialler, End& acceptor, std::size_t piece = 100000) {
    dialler.Take("");
    Talk(dialler, acceptor, piece);
  }

  Forge forge_;
};

TEST_F(ChannelTest, BothEndsKnowWhoTheOtherIs) {
  End a(Of("a"), Role::kDialler);
  End b(Of("b"), Role::kAcceptor);
  Meet(a, b);
  ASSERT_TRUE(a.channel.established() && b.channel.established());
  EXPECT_TRUE(a.channel.PeerIs("b"));
  EXPECT_TRUE(b.channel.PeerIs("a"));
  EXPECT_FALSE(a.channel.PeerIs("a"));
  EXPECT_EQ(a.channel.ShowPeer(), "'b'");
  EXPECT_EQ(a.channel.Doubt(Of("a")), std::nullopt);
}

TEST_F(ChannelTest, WhoWasBelievedIsDoubtedWhenItExpires) {
  const auto self = Of("a");
  const auto soon = std::chrono::seconds(2);
  End a(self, Role::kDialler);
  End b(Of("b", {Valid().from, WallNow() + soon}), Role::kAcceptor);
  Meet(a, b);
  ASSERT_EQ(a.channel.Doubt(self), std::nullopt);
  ASSERT_EQ(b.channel.Doubt(self), std::nullopt);
  std::this_thread::sleep_for(soon + std::chrono::seconds(1));
  const auto doubt = a.channel.Doubt(self);
  ASSERT_TRUE(doubt);
  EXPECT_THAT(*doubt, HasSubstr("expired"));
  EXPECT_EQ(b.channel.Doubt(self), std::nullopt);
}

TEST_F(ChannelTest, WhatIsSaidArrivesWhateverThePieces) {
  for (const std::size_t piece : {1, 7, 1000, 100000}) {
    End a(Of("a"), Role::kDialler);
    End b(Of("b"), Role::kAcceptor);
    Meet(a, b, piece);
    const std::string much(70000, 'x');
    a.channel.Write("hello");
    a.channel.Write(much);
    b.channel.Write("yes");
    Talk(a, b, piece);
    EXPECT_EQ(b.plain, "hello" + much);
    EXPECT_EQ(a.plain, "yes");
    a.channel.Close();
    Talk(a, b, piece);
    EXPECT_FALSE(b.alive);
    EXPECT_FALSE(b.channel.refused());
    EXPECT_EQ(b.channel.error(), "it closed the connection");
  }
}

TEST_F(ChannelTest, TheSecretIsTheEndsOwnAndAnotherEachTime) {
  const auto of_a = Of("a");
  const auto of_b = Of("b");
  std::vector<std::array<std::byte, Channel::kSecretBytes>> secrets;
  for (int i = 0; i < 2; ++i) {
    End a(of_a, Role::kDialler);
    End b(of_b, Role::kAcceptor);
    Meet(a, b);
    secrets.push_back(a.channel.Export("EXPORTER-hearsay-test"));
    EXPECT_EQ(secrets.back(), b.channel.Export("EXPORTER-hearsay-test"));
    EXPECT_NE(secrets.back(), a.channel.Export("EXPORTER-hearsay-other"));
  }
  EXPECT_NE(secrets[0], secrets[1]);
}

TEST_F(ChannelTest, AnotherCaIsRefusedInWordsOnBothEnds) {
  Forge other;
  const auto stranger = std::make_shared<const Identity>(other.Issue("b"), "b");
  {
    End a(Of("a"), Role::kDialler);
    End b(stranger, Role::kAcceptor);
    Meet(a, b);
    EXPECT_TRUE(a.channel.refused());
    EXPECT_THAT(
        a.channel.error(),
        AllOf(HasSubstr("the certificate of 'b' (serial " + stranger->serial()),
              HasSubstr("is not signed by our CA")));
    EXPECT_TRUE(b.channel.refused());
    EXPECT_EQ(b.channel.error(),
              "it refused our certificate: not signed by its CA (serial " +
                  stranger->serial() + ")");
    EXPECT_TRUE(a.channel.CertifiedNames().empty());
  }
  // A CA that trusts both: only the acceptor refuses.
  auto files = other.Issue("b");
  std::ofstream(files.ca, std::ios::app) << PemOf(forge_.certificate());
  End b(std::make_shared<const Identity>(files, "b"), Role::kDialler);
  End a(Of("a"), Role::kAcceptor);
  Meet(b, a);
  EXPECT_TRUE(b.channel.established());
  EXPECT_FALSE(a.channel.established());
  EXPECT_FALSE(a.alive);
  EXPECT_FALSE(b.alive);
  EXPECT_THAT(b.channel.error(), HasSubstr("not signed by its CA"));
}

// Which of the two ends is the one with the bad certificate.
class BadCertificateTest : public ChannelTest,
                           public testing::WithParamInterface<Role> {
 protected:
  // The error of the good end, and of the bad one.
  std::pair<std::string, std::string> Errors(
      std::shared_ptr<const Identity> good,
      std::shared_ptr<const Identity> bad) {
    End a(std::move(good),
          GetParam() == Role::kDialler ? Role::kAcceptor : Role::kDialler);
    End b(std::move(bad), GetParam());
    if (GetParam() == Role::kDialler)
      Meet(b, a);
    else
      Meet(a, b);
    EXPECT_FALSE(a.channel.established());
    EXPECT_TRUE(a.channel.refused() && b.channel.refused());
    EXPECT_THAT(a.channel.CertifiedNames(), testing::ElementsAre("b"));
    return {a.channel.error(), b.channel.error()};
  }
};

TEST_P(BadCertificateTest, ThatHasExpiredIsNamed) {
  // On a busy machine a certificate may expire before it is loaded.
  Validity soon;
  std::shared_ptr<const Identity> bad;
  for (std::chrono::seconds life(1); bad == nullptr; life *= 4) {
    ASSERT_LT(life, std::chrono::minutes(5));
    soon = Valid(std::chrono::hours(-1), life);
    try {
      bad = Of("b", soon);
    } catch (const FileError&) {
    }
  }
  while (WallNow() <= soon.until) usleep(20000);
  const auto [good_says, bad_says] = Errors(Of("a"), bad);
  EXPECT_THAT(
      good_says,
      AllOf(HasSubstr("the certificate of 'b' (serial " + bad->serial()),
            HasSubstr("expired on " + ShowTime(soon.until))));
  EXPECT_THAT(bad_says, HasSubstr("it refused our certificate: expired"));
}

TEST_P(BadCertificateTest, ThatWasRevokedIsNamed) {
  hearsay::tests::TemporaryFolder folder;
  Authority::Create(folder / "tls", "t", Valid());
  Authority authority(folder / "tls");
  const auto files = [&](const std::string& node) {
    authority.Issue(node, Valid(), folder / "tls", Authority::IfThere::kRefuse);
    return Files{.ca = folder / "tls/ca.pem",
                 .cert = folder / ("tls/" + node + ".pem"),
                 .key = folder / ("tls/" + node + ".key"),
                 .crl = folder / "tls/crl.pem"};
  };
  const auto bad = std::make_shared<const Identity>(files("b"), "b");
  authority.RevokeNode("b");
  const auto good = std::make_shared<const Identity>(files("a"), "a");
  const auto [good_says, bad_says] = Errors(good, bad);
  EXPECT_THAT(good_says, AllOf(HasSubstr("'b' (serial " + bad->serial()),
                               HasSubstr("was revoked")));
  EXPECT_EQ(bad_says, "it refused our certificate: revoked (serial " +
                          bad->serial() + ")");
}

INSTANTIATE_TEST_SUITE_P(Ends, BadCertificateTest,
                         testing::Values(Role::kDialler, Role::kAcceptor));

TEST_F(ChannelTest, RevocationIsNoticedInALiveSession) {
  hearsay::tests::TemporaryFolder folder;
  Authority::Create(folder / "tls", "t", Valid());
  Authority authority(folder / "tls");
  const auto load = [&](const std::string& node) {
    return std::make_shared<const Identity>(
        Files{.ca = folder / "tls/ca.pem",
              .cert = folder / ("tls/" + node + ".pem"),
              .key = folder / ("tls/" + node + ".key"),
              .crl = folder / "tls/crl.pem"},
        node);
  };
  for (const char* node : {"a", "b"})
    authority.Issue(node, Valid(), folder / "tls", Authority::IfThere::kRefuse);
  End a(load("a"), Role::kDialler);
  End b(load("b"), Role::kAcceptor);
  Meet(a, b);
  ASSERT_TRUE(a.channel.established());
  EXPECT_EQ(a.channel.Doubt(load("a")), std::nullopt);
  authority.RevokeNode("b");
  EXPECT_THAT(a.channel.Doubt(load("a")).value_or(""),
              AllOf(HasSubstr("'b'"), HasSubstr("was revoked")));
  EXPECT_EQ(b.channel.Doubt(load("a")), std::nullopt);
}

// A client by hand, with what an honest node does not do.
struct RawClient {
  RawClient() : context(SSL_CTX_new(TLS_client_method())) {}
  ~RawClient() {
    SSL_free(ssl);
    SSL_CTX_free(context);
  }
  void Meet(End& server) {
    ssl = SSL_new(context);
    SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(ssl);
    SSL_do_handshake(ssl);
    for (int i = 0; i < 4; ++i) {
      std::string bytes(
          static_cast<std::size_t>(BIO_pending(SSL_get_wbio(ssl))), '\0');
      if (!bytes.empty())
        BIO_read(SSL_get_wbio(ssl), bytes.data(),
                 static_cast<int>(bytes.size()));
      server.Take(bytes);
      const std::string back = server.channel.TakeOutput();
      BIO_write(SSL_get_rbio(ssl), back.data(), static_cast<int>(back.size()));
      char one = 0;
      SSL_read(ssl, &one, 1);
    }
    ERR_clear_error();
  }
  SSL_CTX* context;
  SSL* ssl = nullptr;
};

TEST_F(ChannelTest, OlderVersionsAreRefused) {
  End server(Of("b"), Role::kAcceptor);
  RawClient client;
  SSL_CTX_set_max_proto_version(client.context, TLS1_2_VERSION);
  client.Meet(server);
  EXPECT_FALSE(server.alive);
  EXPECT_TRUE(server.channel.refused());
  EXPECT_EQ(server.channel.error(), "it does not speak TLS 1.3");
}

TEST_F(ChannelTest, AClientWithoutACertificateIsRefused) {
  End server(Of("b"), Role::kAcceptor);
  RawClient client;
  client.Meet(server);
  EXPECT_FALSE(server.alive);
  EXPECT_FALSE(server.channel.established());
  EXPECT_EQ(server.channel.error(), "it showed no certificate");
}

TEST_F(ChannelTest, NoSessionIsResumed) {
  End server(Of("b"), Role::kAcceptor);
  RawClient client;
  const auto files = forge_.Issue("a");
  SSL_CTX_use_certificate_file(client.context, files.cert.c_str(),
                               SSL_FILETYPE_PEM);
  SSL_CTX_use_PrivateKey_file(client.context, files.key.c_str(),
                              SSL_FILETYPE_PEM);
  int tickets = 0;
  SSL_CTX_set_session_cache_mode(
      client.context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_set_app_data(client.context, &tickets);
  SSL_CTX_sess_set_new_cb(client.context, [](SSL* ssl, SSL_SESSION*) {
    ++*static_cast<int*>(SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)));
    return 0;
  });
  client.Meet(server);
  ASSERT_TRUE(server.channel.established());
  EXPECT_EQ(tickets, 0);
  EXPECT_EQ(SSL_SESSION_is_resumable(SSL_get0_session(client.ssl)), 0);
}

TEST_F(ChannelTest, APeerInTheClearIsToldByAnAlert) {
  End server(Of("b"), Role::kAcceptor);
  EXPECT_FALSE(server.Take(std::string("\0\0\0\x05hello", 9)));
  EXPECT_TRUE(server.channel.refused());
  EXPECT_THAT(server.channel.error(), HasSubstr("speaks no TLS"));
  const auto words = server.channel.TakeOutput();
  EXPECT_EQ(words.substr(0, 3), "\x15\x03\x03");
  EXPECT_EQ(words.size(), 7U);

  End dialler(Of("a"), Role::kDialler);
  dialler.Take("");
  EXPECT_FALSE(dialler.Take(std::string("\0\0\0\x01?", 5)));
  EXPECT_THAT(dialler.channel.error(), HasSubstr("speaks no TLS"));
}

TEST_F(ChannelTest, GarbageEndsItWhereverItComes) {
  const std::string garbage = "\x16\x03\x01\x00\x20" + std::string(64, 'x');
  for (const Role role : {Role::kDialler, Role::kAcceptor}) {
    End end(Of("a"), role);
    end.Take("");
    EXPECT_FALSE(end.Take(garbage));
    EXPECT_FALSE(end.channel.established());
    EXPECT_NE(end.channel.error(), "");
    EXPECT_FALSE(end.Take(garbage));  // And stays ended.
  }
  End a(Of("a"), Role::kDialler);
  End b(Of("b"), Role::kAcceptor);
  Meet(a, b);
  ASSERT_TRUE(b.channel.established());
  EXPECT_FALSE(b.Take("\x17\x03\x03\x00\x20" + std::string(32, 'x')));
  EXPECT_NE(b.channel.error(), "");
  EXPECT_EQ(b.plain, "");
}

TEST_F(ChannelTest, AFlippedBitIsNoticed) {
  End a(Of("a"), Role::kDialler);
  End b(Of("b"), Role::kAcceptor);
  Meet(a, b);
  a.channel.Write("hello");
  std::string bytes = a.channel.TakeOutput();
  bytes[bytes.size() - 3] ^= 1;
  EXPECT_FALSE(b.Take(bytes));
  EXPECT_EQ(b.plain, "");
}

TEST_F(ChannelTest, ALongChainOfCertificatesIsNotRead) {
  const auto key = MakeKey();
  const auto own = forge_.Certify({"a"}, *key);
  const auto files = forge_.Write("a", *own, *key);
  std::ofstream chain(files.cert, std::ios::app);
  for (int i = 0; i < 200; ++i) chain << PemOf(*own);
  chain.close();
  End a(std::make_shared<const Identity>(files, "a"), Role::kDialler);
  End b(Of("b"), Role::kAcceptor);
  Meet(a, b);
  EXPECT_FALSE(b.channel.established());
  EXPECT_FALSE(b.alive);
}

}  // namespace
}  // namespace hearsay::transport::tls
