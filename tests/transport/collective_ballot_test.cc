// Whatever is lost and in whatever order notes come: survivors agree.
#include "transport/collective/ballot.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

namespace hearsay::transport::collective {
namespace {

using State = Ballot::State;

// Members whose notes travel in any order, one at a time. A member that dies
// has its last notes delivered to some only.
class World {
 public:
  World(Rank n, std::uint32_t seed) : random_(seed), alive_(n, true) {
    for (Rank self = 0; self < n; ++self)
      ballots_.push_back(std::make_unique<Ballot>(
          n, self, [this, self, n](Note note, Rank about) {
            for (Rank to = 0; to < n; ++to)
              if (to != self) notes_.push_back({self, to, note, about});
          }));
  }

  Rank Pick(std::size_t below) {
    return std::uniform_int_distribution<Rank>(
        0, static_cast<Rank>(below - 1))(random_);
  }
  Ballot& ballot(Rank rank) { return *ballots_[rank]; }
  bool alive(Rank rank) const { return alive_[rank]; }
  bool quiet() const { return notes_.empty() && losses_.empty(); }

  void Kill(Rank dead) {
    if (!alive_[dead]) return;
    alive_[dead] = false;
    std::erase_if(notes_, [&](const Sent& sent) {
      return sent.to == dead || (sent.from == dead && Pick(2) == 0);
    });
    for (Rank rank = 0; rank < ballots_.size(); ++rank)
      if (alive_[rank]) losses_.push_back({rank, dead});
  }
  // Delivers one note, or lets one member notice a death whose notes are all
  // there, as a connection does.
  void Step() {
    if (notes_.empty() || (!losses_.empty() && Pick(4) == 0)) {
      const auto loss = losses_.begin() + Pick(losses_.size());
      const auto [who, dead] = *loss;
      losses_.erase(loss);
      std::vector<Sent> last;
      std::erase_if(notes_, [&, at = who, from = dead](const Sent& sent) {
        if (sent.to != at || sent.from != from) return false;
        last.push_back(sent);
        return true;
      });
      for (const auto& sent : last)
        ballots_[who]->Hear(dead, sent.note, sent.about);
      ballots_[who]->Lose(dead);
      return;
    }
    const auto at = notes_.begin() + Pick(notes_.size());
    const Sent sent = *at;
    notes_.erase(at);
    if (alive_[sent.to])
      ballots_[sent.to]->Hear(sent.from, sent.note, sent.about);
  }

 private:
  struct Sent {
    Rank from, to;
    Note note;
    Rank about;
  };
  struct Loss {
    Rank who, dead;
  };
  std::mt19937 random_;
  std::vector<bool> alive_;
  std::vector<std::unique_ptr<Ballot>> ballots_;
  std::vector<Sent> notes_;
  std::vector<Loss> losses_;
};

TEST(BallotTest, CommitsEverywhereWhenAllAreReady) {
  for (Rank n = 1; n <= 6; ++n)
    for (std::uint32_t seed = 0; seed < 50; ++seed) {
      World world(n, seed);
      for (Rank rank = 0; rank < n; ++rank) world.ballot(rank).Complete();
      while (!world.quiet()) world.Step();
      for (Rank rank = 0; rank < n; ++rank)
        EXPECT_EQ(world.ballot(rank).state(), State::kCommitted);
    }
}

// Notes that are still on their way to and from a member when it is lost to
// another are heard first or not at all, at each member as it likes.
TEST(BallotTest, SurvivorsOfAnyDeathsAreOfOneMindWithoutWaitingForTheGrace) {
  int committed = 0, failed = 0;
  for (std::uint32_t seed = 0; seed < 20000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Rank n = 2 + seed % 5;
    World world(n, seed);
    std::vector<bool> completed(n);
    int deaths = 1 + static_cast<int>(world.Pick(2));
    // Some die before everybody is ready, some while votes travel.
    for (int step = 0; step < 400; ++step) {
      const Rank rank = world.Pick(n);
      const Rank what = world.Pick(12);
      if (what == 0 && deaths > 0) {
        world.Kill(rank);
        --deaths;
      } else if (what < 6 && !completed[rank] && world.alive(rank)) {
        completed[rank] = true;
        world.ballot(rank).Complete();
      } else if (!world.quiet()) {
        world.Step();
      }
    }
    while (!world.quiet()) world.Step();
    std::vector<State> states;
    for (Rank rank = 0; rank < n; ++rank)
      if (world.alive(rank)) states.push_back(world.ballot(rank).state());
    for (const State state : states) {
      ASSERT_TRUE(state == State::kCommitted || state == State::kFailed);
      ASSERT_EQ(state, states.front());
    }
    if (!states.empty())
      ++(states.front() == State::kCommitted ? committed : failed);
  }
  // The test is worth something only if it has seen both, often.
  EXPECT_GT(committed, 2000);
  EXPECT_GT(failed, 2000);
}

TEST(BallotTest, MembersThatRunOutOfTimeAgreeToo) {
  int committed = 0, failed = 0;
  for (std::uint32_t seed = 0; seed < 20000; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    const Rank n = 2 + seed % 5;
    World world(n, seed);
    for (int step = 0; step < 200; ++step) {
      const Rank rank = world.Pick(n);
      const Rank what = world.Pick(40);
      if (what == 0)
        world.ballot(rank).Doubt();
      else if (what < 20)
        world.ballot(rank).Complete();
      else if (!world.quiet())
        world.Step();
    }
    while (!world.quiet()) world.Step();
    for (Rank rank = 0; rank < n; ++rank) world.ballot(rank).Doubt();
    while (!world.quiet()) world.Step();
    for (Rank rank = 0; rank < n; ++rank) {
      ASSERT_TRUE(world.ballot(rank).over());
      ASSERT_EQ(world.ballot(rank).state(), world.ballot(0).state());
    }
    ++(world.ballot(0).state() == State::kCommitted ? committed : failed);
  }
  EXPECT_GT(committed, 1000);
  EXPECT_GT(failed, 1000);
}

TEST(BallotTest, AMemberThatOnlyOneHasLostIsHeardByTheOthersFirst) {
  // 0 has lost 2; 1 has not, and 2 has committed: 0 must not fail on 1's
  // promise alone.
  std::vector<Note> said;
  Ballot zero(3, 0, [&said](Note note, Rank) { said.push_back(note); });
  zero.Complete();
  zero.Lose(2);
  zero.Hear(1, Note::kReady, 1);
  zero.Hear(1, Note::kDoubt, 1);
  EXPECT_EQ(zero.state(), State::kDoubting);
  zero.Hear(2, Note::kCommit, 2);  // from whom it has lost: not listened to
  EXPECT_EQ(zero.state(), State::kDoubting);
  zero.Hear(1, Note::kCommit, 1);
  EXPECT_EQ(zero.state(), State::kCommitted);
  EXPECT_EQ(said, (std::vector{Note::kReady, Note::kDoubt, Note::kCommit}));
}

TEST(BallotTest, NoNoteFromOutsideCommitsAMemberThatIsNotReady) {
  Ballot ballot(3, 0, [](Note, Rank) {});
  ballot.Hear(1, Note::kCommit, 1);
  ballot.Hear(1, static_cast<Note>(99), 1);
  ballot.Hear(1, Note::kReady, 77);
  EXPECT_EQ(ballot.state(), State::kMoving);
  ballot.Hear(2, Note::kDoubt, 1000000);
  EXPECT_EQ(ballot.state(), State::kFailed);
}

}  // namespace
}  // namespace hearsay::transport::collective
