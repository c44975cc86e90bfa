// Exchanges over real UCX on loopback.
#include <gtest/gtest.h>

#include "tests/transport/node.h"

namespace hearsay::transport {
namespace {

constexpr std::size_t kChunk = std::size_t{1} << 20;

class ExchangeSizeTest : public testing::TestWithParam<std::size_t> {};

TEST_P(ExchangeSizeTest, DeliversWholeArraysBothWaysWithTheirVersions) {
  Node a(TestOptions("a", {}, GetParam()));
  Node b(TestOptions("b", {a.address()}, GetParam()));
  ASSERT_TRUE(b.Sees("a", MemberState::kAlive));
  ASSERT_TRUE(a.Sees("b", MemberState::kAlive));
  for (std::uint64_t version : {7U, 8U, 9U}) {
    auto answer = b.Ask("a", version);
    ASSERT_TRUE(answer) << answer.error().detail;
    EXPECT_EQ(answer->version, version + 1);
    ASSERT_TRUE(answer->payload);
    EXPECT_EQ(answer->payload->size(), GetParam());
    EXPECT_TRUE(HasPattern(answer->payload, version + 1));
  }
  auto answer = a.Ask("b", 20);
  ASSERT_TRUE(answer) << answer.error().detail;
  EXPECT_TRUE(HasPattern(answer->payload, 21));
  EXPECT_EQ(a.counters("b").bytes_in, 4 * GetParam());
  EXPECT_EQ(a.counters("b").bytes_out, 4 * GetParam());
}

INSTANTIATE_TEST_SUITE_P(Sizes, ExchangeSizeTest,
                         testing::Values(4, kChunk - 1, kChunk, kChunk + 1,
                                         5 * kChunk, 64 * kChunk));

}  // namespace
}  // namespace hearsay::transport
