// hearsay tls, as an operator types it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/ops/program.h"

namespace hearsay {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using tests::Hearsay;
using tests::Json;
using tests::Outcome;
using tests::ReadText;
using tests::TemporaryFolder;

class TlsVerbsTest : public ::testing::Test {
 protected:
  std::string dir() const { return folder_ / "tls"; }
  Outcome Tls(std::vector<std::string> arguments) const {
    arguments.insert(arguments.begin(), "tls");
    arguments.insert(arguments.end(), {"--dir", dir()});
    return Hearsay(arguments);
  }
  Json Issue(const std::string& name,
             const std::vector<std::string>& more = {}) const {
    std::vector<std::string> arguments = {"issue", "--name", name, "-o",
                                          "json"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto issued = Tls(arguments);
    EXPECT_EQ(issued.code, 0) << issued.err;
    return issued.json()["certificates"][0];
  }

  TemporaryFolder folder_;
};

TEST_F(TlsVerbsTest, InitIssueAndShow) {
  const auto init = Tls({"init", "--name", "pums"});
  EXPECT_EQ(init.code, 0) << init.err;
  EXPECT_THAT(init.out, AllOf(HasSubstr("ca.key"), HasSubstr("tls issue")));
  const auto issued = Issue("a");
  EXPECT_EQ(issued["node"], "a");
  EXPECT_TRUE(issued["revoked"].is_null());
  const auto shown = Hearsay({"tls", "show", dir() + "/a.pem", "-o", "json"})
                         .json()["certificates"][0];
  EXPECT_EQ(shown["serial"], issued["serial"]);
  EXPECT_EQ(shown["names"], Json::array({"a"}));
  EXPECT_THAT(shown["issuer"], HasSubstr("pums CA"));
  EXPECT_EQ(Tls({"show", "-o", "json"}).json()["certificates"][0], issued);
}

TEST_F(TlsVerbsTest, ACaIsNeverOverwritten) {
  ASSERT_EQ(Tls({"init"}).code, 0);
  const auto key = ReadText(dir() + "/ca.key");
  const auto again = Tls({"init"});
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("is there already"));
  EXPECT_EQ(ReadText(dir() + "/ca.key"), key);
}

TEST_F(TlsVerbsTest, ANodesFilesAreReplacedOnlyWhenAsked) {
  ASSERT_EQ(Tls({"init"}).code, 0);
  const auto first = Issue("a");
  const auto again = Tls({"issue", "--name", "a"});
  EXPECT_EQ(again.code, 1);
  EXPECT_THAT(again.err, HasSubstr("a.pem: is there already"));
  const auto second = Issue("a", {"--renew"});
  EXPECT_NE(second["serial"], first["serial"]);
  // Both are valid until one is revoked, by its serial.
  const auto revoked =
      Tls({"revoke", "--serial", first["serial"], "-o", "json"});
  EXPECT_EQ(revoked.code, 0) << revoked.err;
  EXPECT_EQ(revoked.json()["certificates"].size(), 1u);
  EXPECT_THAT(revoked.err, HasSubstr("HUP"));
  EXPECT_EQ(Tls({"revoke", "--name", "a"}).code, 0);
  EXPECT_EQ(Tls({"revoke", "--name", "a"}).code, 1);
}

TEST_F(TlsVerbsTest, DatesAreTakenAsTheyAreWritten) {
  ASSERT_EQ(Tls({"init"}).code, 0);
  const auto issued =
      Issue("a", {"--from", "2026-01-01", "--until", "2026-01-02T03:04:05Z",
                  "--out", folder_ / "out"});
  EXPECT_EQ(issued["until"], "2026-01-02T03:04:05Z");
  EXPECT_TRUE(std::filesystem::exists(folder_ / "out" / "a.key"));
  for (const auto* bad : {"tomorrow", "2026-02-30", "2026-1-1x"})
    EXPECT_EQ(Tls({"issue", "--name", "b", "--until", bad}).code, 2) << bad;
  EXPECT_EQ(Tls({"issue", "--name", "b", "--until", "2020-01-01"}).code, 2);
  EXPECT_EQ(Tls({"issue", "--name", "b", "--days", "0"}).code, 2);
}

TEST_F(TlsVerbsTest, WhatCannotBeDoneIsSaid) {
  const auto none = Tls({"issue", "--name", "a"});
  EXPECT_EQ(none.code, 1);
  EXPECT_THAT(none.err, HasSubstr("hearsay tls init"));
  ASSERT_EQ(Tls({"init"}).code, 0);
  EXPECT_THAT(Tls({"issue", "--name", "a/../b"}).err,
              HasSubstr("is no node.name"));
  EXPECT_EQ(Tls({"revoke"}).code, 2);
  EXPECT_EQ(Tls({"revoke", "--name", "a", "--serial", "1"}).code, 2);
  EXPECT_EQ(Hearsay({"tls", "show"}).code, 2);
  EXPECT_EQ(Hearsay({"tls", "show", folder_ / "none"}).code, 1);
  EXPECT_EQ(Hearsay({"tls"}).code, 2);
}

}  // namespace
}  // namespace hearsay
