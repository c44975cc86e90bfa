#include "transport/tls/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <set>
#include <sstream>

#include "tests/support/temporary_folder.h"
#include "tests/transport/tls/forge.h"

namespace hearsay::transport::tls {
namespace {

using testing::AllOf;
using testing::HasSubstr;

template <typename F>
std::string Error(const F& work) {
  try {
    work();
    return "";
  } catch (const AuthorityError& error) {
    return error.what();
  }
}

mode_t ModeOf(const std::filesystem::path& file) {
  struct stat facts {};
  EXPECT_EQ(stat(file.c_str(), &facts), 0) << file;
  return facts.st_mode & 0777;
}

class AuthorityTest : public testing::Test {
 protected:
  AuthorityTest() { Authority::Create(dir_, "pums", Valid()); }
  Issued Issue(const std::string& node,
               Authority::IfThere if_there = Authority::IfThere::kRefuse) {
    return Authority(dir_).Issue(node, Valid(), dir_, if_there);
  }
  Files FilesOf(const std::string& node) const {
    return {.ca = dir_ / "ca.pem",
            .cert = dir_ / (node + ".pem"),
            .key = dir_ / (node + ".key"),
            .crl = dir_ / "crl.pem"};
  }

  hearsay::tests::TemporaryFolder folder_;
  const std::filesystem::path dir_ = folder_ / "tls";
};

TEST_F(AuthorityTest, WhatItIssuesIsGood) {
  const auto issued = Issue("a");
  const Credentials credentials(FilesOf("a"), "a");
  EXPECT_EQ(credentials.current()->serial(), issued.serial);
  EXPECT_EQ(Authority(dir_).issued().size(), 1U);
  EXPECT_THAT(Describe(dir_ / "a.pem")[0].names, testing::ElementsAre("a"));
  EXPECT_THAT(Describe(dir_ / "ca.pem")[0].subject, HasSubstr("pums CA"));
}

TEST_F(AuthorityTest, KeysAreForTheirOwnerOnly) {
  Issue("a");
  EXPECT_EQ(ModeOf(dir_ / "ca.key"), 0600U);
  EXPECT_EQ(ModeOf(dir_ / "a.key"), 0600U);
  EXPECT_EQ(ModeOf(dir_ / "a.pem"), 0644U);
}

TEST_F(AuthorityTest, NothingThatIsThereIsOverwritten) {
  EXPECT_THAT(Error([&] { Authority::Create(dir_, "x", Valid()); }),
              AllOf(HasSubstr("ca.key"), HasSubstr("is there already")));
  const auto first = Issue("a");
  EXPECT_THAT(Error([&] { Issue("a"); }), HasSubstr("is there already"));
  const auto second = Issue("a", Authority::IfThere::kReplace);
  EXPECT_NE(second.serial, first.serial);
  EXPECT_EQ(Credentials(FilesOf("a"), "a").current()->serial(), second.serial);
}

TEST_F(AuthorityTest, SerialsAreLongAndNeverTheSame) {
  std::set<std::string> serials;
  for (int i = 0; i < 20; ++i)
    serials.insert(Issue("n" + std::to_string(i)).serial);
  EXPECT_EQ(serials.size(), 20U);
  for (const auto& serial : serials) EXPECT_EQ(serial.size(), 40U);
}

TEST_F(AuthorityTest, ARevokedOneIsNamedAndTheOthersStay) {
  Issue("a");
  Issue("b");
  EXPECT_EQ(Authority(dir_).RevokeNode("a").size(), 1U);
  try {
    const Credentials credentials(FilesOf("a"), "a");
    FAIL() << "it is accepted";
  } catch (const FileError& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("'a'"), HasSubstr("was revoked")));
  }
  EXPECT_THAT(Credentials(FilesOf("b"), "b").current()->summary(),
              HasSubstr("1 revoked"));
  EXPECT_THAT(Error([&] { Authority(dir_).RevokeNode("a"); }),
              HasSubstr("no certificate of 'a'"));
}

TEST_F(AuthorityTest, ARenewedNodeOutlivesItsOldCertificate) {
  const auto old = Issue("a");
  Issue("a", Authority::IfThere::kReplace);
  const auto revoked = Authority(dir_).RevokeSerial(old.serial);
  ASSERT_EQ(revoked.size(), 1U);
  EXPECT_EQ(revoked[0].node, "a");
  EXPECT_NO_THROW(Credentials(FilesOf("a"), "a"));
  EXPECT_THAT(Error([&] { Authority(dir_).RevokeSerial("77"); }),
              HasSubstr("serial 77"));
}

TEST_F(AuthorityTest, NothingIsValidLongerThanItsCa) {
  const auto until = Authority(dir_).until();
  const auto issued =
      Authority(dir_).Issue("a", Valid({}, std::chrono::hours(9999)), dir_,
                            Authority::IfThere::kRefuse);
  EXPECT_EQ(issued.until, until);
}

TEST_F(AuthorityTest, WhatIsNoNameIsRefused) {
  for (const char* name :
       {"", "a b", "*", "../a", ".a", "a/b", "a,DNS:b", "\xc3\xa4", "a\n"})
    EXPECT_THAT(Error([&] { Issue(name); }), HasSubstr("is no node.name"))
        << name;
  EXPECT_NE(Error([&] { Issue(std::string(65, 'x')); }), "");
}

TEST_F(AuthorityTest, ADamagedFolderIsSaidSo) {
  EXPECT_THAT(Error([&] { Authority(folder_ / "none"); }),
              HasSubstr("holds no CA"));
  Issue("a");
  std::ofstream(dir_ / "issued", std::ios::app) << "77 b never -\n";
  EXPECT_THAT(Error([&] { Authority{dir_}; }),
              AllOf(HasSubstr("issued"), HasSubstr("line 2")));
  chmod((dir_ / "ca.key").c_str(), 0644);
  EXPECT_THAT(Error([&] { Authority{dir_}; }), HasSubstr("chmod 600"));
}

TEST_F(AuthorityTest, AListOfRevokedOnesOfAnotherCaIsNoticed) {
  Issue("a");
  Authority::Create(folder_ / "other", "pums", Valid());
  auto files = FilesOf("a");
  files.crl = folder_ / "other" / "crl.pem";
  try {
    const Credentials credentials(files, "a");
    FAIL() << "it is accepted";
  } catch (const FileError& error) {
    EXPECT_EQ(error.key(), "crl");
  }
}

TEST(WallTimeTest, ReadsWhatItWrites) {
  const auto now = WallNow();
  EXPECT_EQ(ParseTime(ShowTime(now)), now);
  EXPECT_EQ(ShowTime(ParseTime("2026-01-31")), "2026-01-31T00:00:00Z");
  for (const char* text : {"", "2026", "2026-02-31", "2026-01-31T12:00:00",
                           "2026-01-31 12:00", "31.1.2026", "2026-01-31x"})
    EXPECT_EQ(ParseTime(text), std::nullopt) << text;
}

}  // namespace
}  // namespace hearsay::transport::tls
