#include <gtest/gtest.h>

#include "tests/ops/program.h"

namespace hearsay {
namespace {

using tests::Hearsay;

// What was typed is named before what is missing: it may only be misspelt.
TEST(UsageTest, OneLineNamesWhatIsWrongAndWhereToReadOn) {
  const struct {
    std::vector<std::string> arguments;
    std::string said;
  } rows[] = {
      {{}, "A subcommand is required (hearsay --help"},
      {{"upp"}, "unknown verb 'upp' (hearsay --help"},
      {{"up", "--nodez", "3"}, "unknown argument '--nodez' (hearsay up --help"},
      {{"plan", "--confg", "a.toml"},
       "unknown argument '--confg' (hearsay plan --help"},
      {{"plan"}, "--config is required (hearsay plan --help"},
      {{"tls", "isue"}, "unknown verb 'isue' (hearsay tls --help"},
      {{"up", "--nodes", "three"},
       "--nodes: Value three not in range 1 to 64 (hearsay up --help"},
  };
  for (const auto& row : rows) {
    const auto got = Hearsay(row.arguments);
    EXPECT_EQ(got.code, 2) << row.said;
    EXPECT_EQ(got.out, "");
    EXPECT_EQ(got.err, "hearsay: " + row.said + " says what there is)\n");
  }
}

TEST(UsageTest, HelpIsNoError) {
  const auto got = Hearsay({"up", "--help"});
  EXPECT_EQ(got.code, 0);
  EXPECT_EQ(got.err, "");
  EXPECT_NE(got.out.find("--nodes"), std::string::npos);
}

}  // namespace
}  // namespace hearsay
