#include "transport/tls/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/transport/tls/forge.h"

namespace hearsay::transport::tls {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

// What loading says; "" if it loads.
std::string Error(const Files& files, const std::string& node = "a") {
  try {
    const Credentials credentials(files, node);
    return "";
  } catch (const FileError& error) {
    return error.key() + ": " + error.what();
  }
}

class IdentityTest : public testing::Test {
 protected:
  Forge forge_;
  Files files_ = forge_.Issue("a");
};

TEST_F(IdentityTest, GoodFilesAreGood) {
  EXPECT_EQ(Error(files_), "");
  const Credentials credentials(files_, "a");
  EXPECT_THAT(credentials.current()->summary(),
              AllOf(StartsWith("the certificate of 'a' (serial "),
                    HasSubstr("0 revoked")));
}

TEST_F(IdentityTest, EachMissingFileIsNamed) {
  auto files = files_;
  files.ca = forge_ / "none";
  EXPECT_THAT(Error(files), AllOf(StartsWith("ca: "), HasSubstr("none")));
  files = files_;
  files.cert = forge_ / "none";
  EXPECT_THAT(Error(files), AllOf(StartsWith("cert: "), HasSubstr("none")));
  files = files_;
  files.key = forge_ / "none";
  EXPECT_THAT(Error(files), AllOf(StartsWith("key: "), HasSubstr("none")));
  files = files_;
  files.crl = forge_ / "none";
  EXPECT_THAT(Error(files), AllOf(StartsWith("crl: "), HasSubstr("none")));
  files.crl = forge_ / ".";
  EXPECT_THAT(Error(files), HasSubstr("is not a file"));
}

TEST_F(IdentityTest, WhatIsNoPemIsNamed) {
  for (auto Files::*const file : {&Files::ca, &Files::cert, &Files::key}) {
    Files files = forge_.Issue("a");
    files.*file = forge_ / "text";
    WriteFile(forge_ / "text", "not PEM\n");
    chmod((forge_ / "text").c_str(), 0600);
    EXPECT_THAT(Error(files), AllOf(HasSubstr("holds no"), HasSubstr("PEM")));
    WriteFile(forge_ / "text", std::string(2 << 20, 'x'));
    EXPECT_THAT(Error(files), HasSubstr("too long"));
  }
  WriteFile(files_.cert,
            "-----BEGIN CERTIFICATE-----\nAAAA\n"
            "-----END CERTIFICATE-----\n");
  EXPECT_THAT(Error(files_), StartsWith("cert: "));
}

TEST_F(IdentityTest, ADamagedSecondCertificateIsNoticed) {
  std::ofstream(files_.ca, std::ios::app)
      << "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  EXPECT_THAT(Error(files_), HasSubstr("damaged certificate"));
}

TEST_F(IdentityTest, AKeyThatOthersMayReadIsRefused) {
  for (const mode_t mode : {0640, 0604, 0620, 0666}) {
    chmod(files_.key.c_str(), mode);
    EXPECT_THAT(Error(files_),
                AllOf(StartsWith("key: "), HasSubstr("chmod 600")))
        << mode;
  }
  chmod(files_.key.c_str(), 0400);
  EXPECT_EQ(Error(files_), "");
}

TEST_F(IdentityTest, AnEncryptedKeyIsNotAskedFor) {
  const BioPtr bio(BIO_new(BIO_s_mem()));
  WriteFile(files_.key,
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"
            "-----END ENCRYPTED PRIVATE KEY-----\n");
  EXPECT_THAT(Error(files_), HasSubstr("is encrypted"));
}

TEST_F(IdentityTest, AKeyOfAnotherCertificateIsNoticed) {
  files_.key = forge_.Issue("b").key;
  EXPECT_THAT(Error(files_),
              AllOf(StartsWith("key: "), HasSubstr("is not the key of"),
                    HasSubstr("a.pem")));
}

TEST_F(IdentityTest, ACertificateOfAnotherCaIsNoticed) {
  Forge other;  // Of the same name, too.
  files_.ca = other / "ca.pem";
  EXPECT_THAT(Error(files_), AllOf(StartsWith("cert: "), HasSubstr("'a'"),
                                   HasSubstr("not signed by our CA")));
}

TEST_F(IdentityTest, ACertificateThatSignedItselfIsNoticed) {
  const auto key = MakeKey();
  const auto certificate = MakeCertificate({.common_name = "a",
                                            .dns_names = {"a"},
                                            .not_before = Valid().from,
                                            .not_after = Valid().until},
                                           *key, nullptr, *key);
  EXPECT_THAT(Error(forge_.Write("a", *certificate, *key)),
              HasSubstr("not signed by our CA"));
}

TEST_F(IdentityTest, ACertificateIsNoCa) {
  // Signed by a node that has a certificate of the CA.
  const auto key = MakeKey();
  const auto middle = forge_.Certify({"m"}, *key);
  const auto own = MakeKey();
  const auto certificate = MakeCertificate({.common_name = "a",
                                            .dns_names = {"a"},
                                            .not_before = Valid().from,
                                            .not_after = Valid().until},
                                           *own, middle.get(), *key);
  const auto files = forge_.Write("a", *certificate, *own);
  std::ofstream(files.cert, std::ios::app) << PemOf(*middle);
  EXPECT_NE(Error(files), "");
}

TEST_F(IdentityTest, DatesAreSaid) {
  using std::chrono::hours;
  const auto past = Valid(hours(-48), hours(-24));
  EXPECT_THAT(Error(forge_.Issue("a", past)),
              AllOf(HasSubstr("the certificate of 'a' (serial "),
                    HasSubstr("expired on " + ShowTime(past.until))));
  const auto future = Valid(hours(24), hours(48));
  EXPECT_THAT(Error(forge_.Issue("a", future)),
              HasSubstr("is not valid before " + ShowTime(future.from)));
}

TEST_F(IdentityTest, ItsNameMustBeTheNodes) {
  EXPECT_THAT(Error(files_, "b"), AllOf(StartsWith("cert: "), HasSubstr("'a'"),
                                        HasSubstr("not for node.name 'b'")));
}

TEST_F(IdentityTest, ACertificateForServersOnlyWillNotDo) {
  const auto key = MakeKey();
  const auto certificate = forge_.Certify({"a"}, *key);
  using ExtensionPtr =
      std::unique_ptr<X509_EXTENSION, Freer<X509_EXTENSION_free>>;
  const ExtensionPtr both(X509_delete_ext(
      certificate.get(),
      X509_get_ext_by_NID(certificate.get(), NID_ext_key_usage, -1)));
  const ExtensionPtr only(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_ext_key_usage, "serverAuth"));
  X509_add_ext(certificate.get(), only.get(), -1);
  X509_sign(certificate.get(), &forge_.key(), EVP_sha256());
  EXPECT_THAT(Error(forge_.Write("a", *certificate, *key)),
              HasSubstr("clientAuth and serverAuth"));
}

TEST_F(IdentityTest, AWeakKeyIsRefused) {
  const KeyPtr key(EVP_RSA_gen(1024));
  const auto certificate = forge_.Certify({"a"}, *key);
  EXPECT_THAT(Error(forge_.Write("a", *certificate, *key)),
              AllOf(StartsWith("cert: "), HasSubstr("key too small")));
}

TEST(CredentialsTest, WhatIsBadIsNotTakenOver) {
  Forge forge;
  const auto good = forge.Issue("a");
  Credentials credentials(good, "a");
  const auto first = credentials.current();
  EXPECT_THROW(credentials.Reload(forge.Issue("b")), FileError);
  EXPECT_EQ(credentials.current(), first);
  credentials.Reload(forge.Issue("a"));
  EXPECT_NE(credentials.current()->serial(), first->serial());
}

}  // namespace
}  // namespace hearsay::transport::tls
