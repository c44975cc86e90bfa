// Collectives over real transports on loopback: sums, broadcasts, deaths.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <ctime>

#include "tests/transport/party.h"

namespace hearsay::transport::collective {
namespace {

using testing::HasSubstr;

class LiveCollectiveTest : public testing::TestWithParam<Rank> {};

TEST_P(LiveCollectiveTest, EveryAlgorithmSumsArraysOfAnyLength) {
  Party party(GetParam());
  int groups = 0;
  for (const auto algorithm :
       {std::optional<Algorithm>(), std::optional(Algorithm::kRing),
        std::optional(Algorithm::kHalvingDoubling),
        std::optional(Algorithm::kDoubling), std::optional(Algorithm::kDirect)})
    for (const std::size_t count :
         {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{1001},
          Party::kArrayBytes / sizeof(float)}) {
      const auto terms = party.MakeTerms(count * sizeof(float), algorithm);
      SCOPED_TRACE((algorithm ? std::string(Name(*algorithm)) : "auto") +
                   " count " + std::to_string(count));
      const auto name = "g" + std::to_string(groups++);
      const auto refused = party.Form(name, terms);
      ASSERT_FALSE(refused) << refused->detail;
      for (std::uint32_t round = 0; round < 2; ++round)
        Party::ExpectSuccess(party.Run(name, terms), terms, round);
    }
}

TEST_P(LiveCollectiveTest, BroadcastsGiveTheFirstMembersBytes) {
  Party party(GetParam());
  for (const auto algorithm : {Algorithm::kBinomial, Algorithm::kChain})
    for (const std::size_t bytes :
         {std::size_t{0}, std::size_t{4}, Party::kArrayBytes}) {
      const auto terms = party.MakeTerms(bytes, algorithm);
      const auto name =
          std::string(Name(algorithm)) + "-" + std::to_string(bytes);
      ASSERT_FALSE(party.Form(name, terms));
      for (std::uint32_t round = 0; round < 2; ++round)
        Party::ExpectSuccess(party.Run(name, terms), terms, round);
    }
}

INSTANTIATE_TEST_SUITE_P(Members, LiveCollectiveTest,
                         testing::Values(1, 2, 3, 4, 5, 6, 7, 8),
                         testing::PrintToStringParamName());

TEST(LiveRoundTest, TwoGroupsDoNotWaitForEachOther) {
  Party party(3);
  const auto terms = party.MakeTerms(Party::kArrayBytes, Algorithm::kRing);
  ASSERT_FALSE(party.Form("slow", terms));
  ASSERT_FALSE(party.Form("quick", terms));
  // Two of three are in the middle of a round of "slow".
  constexpr Milliseconds kPatience{300000};
  auto first = party.RunOn(0, "slow", kPatience);
  auto second = party.RunOn(1, "slow", kPatience);
  for (std::uint32_t round = 0; round < 5; ++round)
    Party::ExpectSuccess(party.Run("quick", terms), terms, round);
  EXPECT_EQ(first.wait_for(Milliseconds(0)), std::future_status::timeout);
  auto third = party.RunOn(2, "slow", kPatience);
  Party::ExpectSuccess({first.get(), second.get(), third.get()}, terms, 0);
}

TEST(LiveRoundTest, AnExchangeAndARoundShareTheLane) {
  Party party(2);
  const auto terms = party.MakeTerms(Party::kArrayBytes, Algorithm::kRing);
  ASSERT_FALSE(party.Form("g", terms));
  std::thread asker([&] {
    for (std::uint64_t version = 0; version < 50; ++version)
      EXPECT_TRUE(party[0].Ask("n1", version));
  });
  for (std::uint32_t round = 0; round < 50; ++round)
    Party::ExpectSuccess(party.Run("g", terms), terms, round);
  asker.join();
}

TEST(LiveRoundTest, AMemberThatDoesNotCallFailsTheRoundWithinItsLimit) {
  Party party(3);
  const auto terms = party.MakeTerms(Party::kArrayBytes, Algorithm::kRing);
  ASSERT_FALSE(party.Form("g", terms));
  constexpr Milliseconds kLimit{400};
  auto first = party.RunOn(0, "g", kLimit);
  auto second = party.RunOn(1, "g", kLimit);
  for (auto* future : {&first, &second}) {
    const auto outcome = future->get();
    ASSERT_TRUE(outcome.error);
    EXPECT_TRUE(outcome.input_untouched);
    EXPECT_LE(outcome.took, kLimit + Milliseconds(300));
  }
}

// Awake for a moment after something has come or gone, but not for longer.
TEST(LiveRoundTest, AMemberThatWaitsLeavesTheProcessorToOthers) {
  Party party(2);
  const auto terms = party.MakeTerms(Party::kArrayBytes, Algorithm::kRing);
  ASSERT_FALSE(party.Form("g", terms));
  const auto busy = [&] {
    return party[0].Run([] {
      timespec time{};
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      return static_cast<double>(time.tv_sec) +
             1e-9 * static_cast<double>(time.tv_nsec);
    });
  };
  const double before = busy();
  EXPECT_TRUE(party.RunOn(0, "g", Milliseconds(1000)).get().error);
  EXPECT_LT(busy() - before, 0.3);
}

TEST(LiveRoundTest, WhoLeavesEndsItsOwnRoundAndFailsThatOfTheOthers) {
  Party party(3);
  const auto terms = party.MakeTerms(Party::kArrayBytes, Algorithm::kRing);
  ASSERT_FALSE(party.Form("g", terms));
  auto first = party.RunOn(0, "g");
  auto second = party.RunOn(1, "g");
  party[0].Leave();
  const auto left = first.get();
  ASSERT_TRUE(left.error);
  EXPECT_EQ(left.error->code, ErrorCode::kClosed);
  const auto stayed = second.get();
  ASSERT_TRUE(stayed.error);
  EXPECT_EQ(stayed.error->code, ErrorCode::kPeerGone);
  EXPECT_THAT(stayed.error->detail, HasSubstr("n0"));
  EXPECT_LT(stayed.took, Party::kPlenty / 2);
}

TEST(LiveRoundTest, AGroupWithOneWhoIsNotThereIsNotFormed) {
  Party party(2);
  auto terms = party.MakeTerms(4096, std::nullopt);
  terms.members.push_back("n7");
  const auto error = party.FormOn(0, "g", terms).get();
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::kPeerGone);
  EXPECT_THAT(error->detail, HasSubstr("n7"));
}

TEST(LiveRoundTest, MembersThatWantDifferentThingsAreToldBoth) {
  Party party(2);
  auto first = party.FormOn(0, "g", party.MakeTerms(4096, std::nullopt));
  auto second = party.FormOn(1, "g", party.MakeTerms(2048, std::nullopt));
  for (auto* answer : {&first, &second}) {
    const auto error = answer->get();
    ASSERT_TRUE(error);
    EXPECT_EQ(error->code, ErrorCode::kRefused);
    EXPECT_THAT(error->detail, HasSubstr("4096"));
    EXPECT_THAT(error->detail, HasSubstr("2048"));
  }
}

// Between two things that a node does it dies: after so much of its traffic,
// in percent of a round's.
class LiveDeathTest
    : public testing::TestWithParam<std::tuple<Algorithm, std::uint64_t>> {};

std::uint64_t Traffic(const Transport& transport, Rank self, Rank n) {
  std::uint64_t bytes = 0;
  for (Rank other = 0; other < n; ++other) {
    if (other == self) continue;
    const auto counters = transport.counters(Party::NameOf(other));
    bytes += counters.bytes_in + counters.bytes_out;
  }
  return bytes;
}

TEST_P(LiveDeathTest, FailsTheRoundAtAllSurvivorsOrAtNone) {
  const auto [algorithm, percent] = GetParam();
  constexpr Rank kMembers = 4;
  constexpr Rank kVictim = 2;
  constexpr Milliseconds kLimit{10000};
  Party party(kMembers);
  const auto terms = party.MakeTerms(Party::kArrayBytes, algorithm);
  ASSERT_FALSE(party.Form("g", terms));
  Party::ExpectSuccess(party.Run("g", terms), terms, 0);
  const auto before = party[kVictim].Run(
      [&] { return Traffic(party[kVictim].transport(), kVictim, kMembers); });
  const std::uint64_t mark = before + before * percent / 100;

  std::vector<std::future<Outcome>> futures;
  const auto victims_own = party.RunOn(kVictim, "g", kLimit);
  std::atomic<std::uint64_t> traffic = 0;
  const auto dead =
      party[kVictim].KillWhen([mark, &traffic](const Transport& transport) {
        traffic = Traffic(transport, kVictim, kMembers);
        return traffic >= mark;
      });
  for (const Rank rank : {0U, 1U, 3U})
    futures.push_back(party.RunOn(rank, "g", kLimit));
  std::vector<Outcome> outcomes;
  for (auto& future : futures) outcomes.push_back(future.get());
  dead.wait();
  Party::ExpectOneOutcome(outcomes, kLimit);
  // It cannot have voted before all of its pieces had come and gone.
  if (percent <= 1 || traffic < 2 * before) {
    EXPECT_TRUE(outcomes.front().error);
  }

  // Everything is usable again: by those that are left, and with a newcomer.
  outcomes.clear();
  auto left = terms;
  std::erase(left.members, Party::NameOf(kVictim));
  ASSERT_FALSE(party.Form("survivors", left));
  Party::ExpectSuccess(party.Run("survivors", left), left, 0);
  party.Restart(kVictim);
  const auto refused = party.Form("again", terms);
  ASSERT_FALSE(refused) << refused->detail;
  Party::ExpectSuccess(party.Run("again", terms), terms, 0);
  for (const Rank rank : {0U, 1U, 3U})
    EXPECT_TRUE(
        Node::Eventually([&] { return party[rank].pool()->taken() == 0; }));
}

INSTANTIATE_TEST_SUITE_P(
    Phases, LiveDeathTest,
    testing::Combine(testing::Values(Algorithm::kRing,
                                     Algorithm::kHalvingDoubling,
                                     Algorithm::kDoubling),
                     testing::Values(0, 1, 20, 50, 80, 99, 100)));

}  // namespace
}  // namespace hearsay::transport::collective
