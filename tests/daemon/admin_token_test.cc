#include "daemon/admin_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>

#include "daemon/config.h"
#include "tests/support/temporary_folder.h"

namespace hearsay::daemon {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using tests::TemporaryFolder;

std::filesystem::path Write(const std::filesystem::path& file,
                            const std::string& text, mode_t mode = 0600) {
  std::ofstream(file) << text;
  chmod(file.c_str(), mode);
  return file;
}

std::string MessageOf(const std::filesystem::path& file) {
  try {
    ReadOrMakeAdminToken(file);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(AdminTokenTest, MakesASecretOnceThatOnlyItsOwnerReads) {
  const TemporaryFolder folder;
  const auto file = folder / "token";
  const std::string token = ReadOrMakeAdminToken(file);
  EXPECT_EQ(token.size(), 64u);
  struct stat status {};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
  EXPECT_EQ(ReadOrMakeAdminToken(file), token);
  EXPECT_NE(ReadOrMakeAdminToken(folder / "other"), token);
  std::set<std::string> left;
  for (const auto& entry :
       std::filesystem::directory_iterator(file.parent_path()))
    left.insert(entry.path().filename());
  EXPECT_EQ(left, (std::set<std::string>{"token", "other"}));
}

TEST(AdminTokenTest, TakesAnOperatorsToken) {
  const TemporaryFolder folder;
  const auto file = Write(folder / "token", "correct-horse-battery\n");
  EXPECT_EQ(ReadOrMakeAdminToken(file), "correct-horse-battery");
}

TEST(AdminTokenTest, RefusesFilesThatAreNoSecret) {
  const TemporaryFolder folder;
  const std::string good(32, 'a');
  for (const mode_t mode : {0640, 0604, 0620, 0666})
    EXPECT_THAT(MessageOf(Write(folder / "open", good, mode)),
                AllOf(HasSubstr("admin.token_file"), HasSubstr("open"),
                      HasSubstr("chmod 600")));
  for (const std::string& bad :
       {std::string(), std::string("short"), good + " b", good + "\n" + good,
        good + "\r\n", std::string(513, 'a'), std::string(100000, 'a'),
        std::string(16, '\0'), std::string(16, '\xff')})
    EXPECT_THAT(MessageOf(Write(folder / "bad", bad)), HasSubstr("one line"));
  EXPECT_THAT(MessageOf(folder / "no" / "folder"), HasSubstr("cannot make it"));
  std::filesystem::create_directory(folder / "is_folder");
  EXPECT_THAT(MessageOf(folder / "is_folder"), HasSubstr("is not a file"));
  std::filesystem::create_symlink("nowhere", folder / "dangling");
  EXPECT_THAT(MessageOf(folder / "dangling"), HasSubstr("cannot read it"));
}

}  // namespace
}  // namespace hearsay::daemon
