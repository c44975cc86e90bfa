#include "transport/swim/record.h"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <vector>

namespace hearsay::transport::swim {
namespace {

Record At(std::uint64_t life, std::uint32_t incarnation, State state) {
  return {.node = "x",
          .address = "h:1",
          .life = life,
          .incarnation = incarnation,
          .state = state,
          .said_by = "y"};
}

TEST(RecordTest, AGreaterLifeBeatsAnythingSaidOfTheFormer) {
  EXPECT_TRUE(Supersedes(At(2, 0, State::kAlive), At(1, 99, State::kLeft)));
  EXPECT_FALSE(Supersedes(At(1, 99, State::kLeft), At(2, 0, State::kAlive)));
}

TEST(RecordTest, WithinALifeTheGreaterIncarnationWins) {
  for (const auto bad : {State::kSuspect, State::kFailed, State::kLeft}) {
    EXPECT_TRUE(Supersedes(At(1, 1, State::kAlive), At(1, 0, bad)));
    EXPECT_FALSE(Supersedes(At(1, 0, bad), At(1, 1, State::kAlive)));
  }
}

TEST(RecordTest, WithinAnIncarnationBadNewsWins) {
  const State order[] = {State::kAlive, State::kSuspect, State::kFailed,
                         State::kLeft};
  for (const auto a : order)
    for (const auto b : order)
      EXPECT_EQ(Supersedes(At(1, 1, a), At(1, 1, b)), a > b);
}

TEST(RecordTest, LivesFollowTheClock) {
  EXPECT_GT(MakeLife(1'000'001, 0), MakeLife(1'000'000, ~std::uint64_t{0}));
  EXPECT_NE(MakeLife(5, 1), MakeLife(5, 2));
  // The year 2500.
  EXPECT_LT(MakeLife(16'725'225'600'000, ~std::uint64_t{0}), kMaxLife);
  EXPECT_GT(MakeLife(16'725'225'600'000, 0), MakeLife(1'800'000'000'000, 0));
}

// Few values, so that records meet.
Record AnyRecord() {
  auto record = At(*rc::gen::inRange<std::uint64_t>(0, 3),
                   *rc::gen::inRange<std::uint32_t>(0, 3),
                   static_cast<State>(*rc::gen::inRange(0, 4)));
  record.node = *rc::gen::element<std::string>("x", "y", "z");
  record.address = *rc::gen::element<std::string>("h:1", "h:2");
  return record;
}

using Table = std::map<std::string, Record>;

void Merge(Table& table, const Record& news) {
  const auto [found, added] = table.try_emplace(news.node, news);
  if (!added && Supersedes(news, found->second)) found->second = news;
}

Table Merged(const std::vector<Record>& all) {
  Table table;
  for (const auto& news : all) Merge(table, news);
  return table;
}

RC_GTEST_PROP(RecordProperty, MergingIsCommutativeAssociativeIdempotent, ()) {
  const auto all = *rc::gen::container<std::vector<Record>>(
      rc::gen::exec([] { return AnyRecord(); }));
  const Table table = Merged(all);
  // In another order, and some of it twice.
  auto shuffled = all;
  shuffled.insert(shuffled.end(), all.begin(),
                  all.begin() + static_cast<std::ptrdiff_t>(all.size() / 2));
  std::mt19937_64 random(*rc::gen::arbitrary<std::uint64_t>());
  std::shuffle(shuffled.begin(), shuffled.end(), random);
  RC_ASSERT(Merged(shuffled) == table);
  // In two parts that were merged on their own.
  const auto middle =
      all.begin() + static_cast<std::ptrdiff_t>(
                        *rc::gen::inRange<std::size_t>(0, all.size() + 1));
  Table parts = Merged({all.begin(), middle});
  for (const auto& [node, record] : Merged({middle, all.end()}))
    Merge(parts, record);
  RC_ASSERT(parts == table);
}

RC_GTEST_PROP(RecordProperty, TheOrderIsTotal, ()) {
  auto a = AnyRecord(), b = AnyRecord(), c = AnyRecord();
  a.node = b.node = c.node = "x";
  RC_ASSERT(!(Supersedes(a, b) && Supersedes(b, a)));
  RC_ASSERT(Supersedes(a, b) || Supersedes(b, a) || a == b);
  if (Supersedes(a, b) && Supersedes(b, c)) RC_ASSERT(Supersedes(a, c));
}

}  // namespace
}  // namespace hearsay::transport::swim
