// How groups are agreed, what callers and other members may get wrong, and
// what a member that means harm can do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <stdexcept>

#include "collective_scene.h"
#include "transport/collective/collective.h"

namespace hearsay::transport::collective {
namespace {

using testing::HasSubstr;

Terms MakeTerms(const Scene& scene, std::size_t bytes) {
  Terms terms;
  terms.members = scene.names();
  terms.bytes = bytes;
  return terms;
}

void FormAll(Scene& scene, const Terms& terms) {
  for (const auto& name : terms.members) scene[name].Form(terms);
  scene.RunAll();
  for (const auto& name : terms.members) ASSERT_TRUE(scene[name].group);
}

TEST(CollectiveGroupTest, TheFirstMemberDecidesWhatTheOthersLeaveOpen) {
  Scene scene(3);
  Terms terms = MakeTerms(scene, 512);
  for (const auto& name : {"n2", "n1"}) scene[name].Form(terms);
  terms.algorithm = Algorithm::kRing;
  terms.piece_bytes = 32;
  scene["n0"].Form(terms);
  scene.RunAll();
  for (const auto& name : scene.names()) {
    ASSERT_TRUE(scene[name].group);
    EXPECT_EQ(scene[name].group->terms().algorithm, Algorithm::kRing);
    EXPECT_EQ(scene[name].group->terms().piece_bytes, 32U);
  }
}

TEST(CollectiveGroupTest, AProposalWaitsForACallerThatComesLater) {
  Scene scene(2);
  const auto terms = MakeTerms(scene, 64);
  scene["n0"].Form(terms);
  scene.RunAll();
  EXPECT_FALSE(scene["n0"].answered);
  scene["n1"].Form(terms);
  scene.RunAll();
  EXPECT_TRUE(scene["n0"].group);
  EXPECT_TRUE(scene["n1"].group);
}

struct Disagreement {
  const char* what;
  void (*change)(Terms&);
  const char* both;
};

class DisagreementTest : public testing::TestWithParam<Disagreement> {};
INSTANTIATE_TEST_SUITE_P(
    Terms, DisagreementTest,
    testing::Values(
        Disagreement{"bytes", [](Terms& terms) { terms.bytes = 128; },
                     "bytes: proposed 64, here 128"},
        Disagreement{"members",
                     [](Terms& terms) {
                       terms.members = {"n0", "n2", "n1"};
                     },
                     "members: proposed n0,n1,n2, here n0,n2,n1"},
        Disagreement{
            "operation",
            [](Terms& terms) { terms.operation = Operation::kBroadcast; },
            "operation: proposed all-reduce, here broadcast"},
        Disagreement{"vote",
                     [](Terms& terms) { terms.outcome = Round::Outcome::kOwn; },
                     "vote: proposed yes, here no"}),
    [](const auto& tested) { return tested.param.what; });

TEST_P(DisagreementTest, IsRefusedAtAllMembersWithBothValues) {
  Scene scene(3);
  const Terms terms = MakeTerms(scene, 64);
  Terms other = terms;
  GetParam().change(other);
  scene["n0"].Form(terms);
  scene["n1"].Form(terms);
  scene["n2"].Form(other);
  scene.RunAll();
  for (const auto& name : scene.names()) {
    ASSERT_TRUE(scene[name].answered) << name;
    ASSERT_TRUE(scene[name].formed) << name;
    EXPECT_EQ(scene[name].formed->code, ErrorCode::kRefused);
    EXPECT_THAT(scene[name].formed->detail, HasSubstr(GetParam().both));
    EXPECT_FALSE(scene[name].collectives().busy());
  }
}

TEST(CollectiveGroupTest, AMemberThatDoesNotAskFailsTheOthersAtTheirLimit) {
  Scene scene(3);
  const auto terms = MakeTerms(scene, 64);
  scene["n0"].Form(terms);
  scene["n2"].Form(terms);
  scene.RunAll();
  scene.Pass(2 * kLong);
  for (const auto* name : {"n0", "n2"}) {
    ASSERT_TRUE(scene[name].formed);
    EXPECT_FALSE(scene[name].collectives().busy());
  }
  EXPECT_EQ(scene["n0"].formed->code, ErrorCode::kTimeout);
  EXPECT_THAT(scene["n0"].formed->detail, HasSubstr("n1"));
}

TEST(CollectiveGroupTest, ADeathAtAnyStepOfFormingLeavesNothingBehind) {
  for (const Rank victim : {0U, 1U})
    for (std::size_t at = 0; at < 40; ++at) {
      Scene scene(3, static_cast<std::uint32_t>(at));
      const auto terms = MakeTerms(scene, 64);
      for (const auto& name : scene.names()) scene[name].Form(terms);
      for (std::size_t k = 0; k < at && scene.Step(); ++k) {
      }
      scene.Kill(Scene::NameOf(victim));
      scene.RunAll();
      scene.Pass(2 * kLong);
      for (const auto& name : scene.names()) {
        if (!scene.alive(name)) continue;
        auto& member = scene[name];
        ASSERT_TRUE(member.answered);
        // Who had the group already finds out with its first round.
        if (member.group) {
          member.Run(1);
          scene.RunAll();
          scene.Pass(2 * kLong);
          EXPECT_TRUE(member.failure);
          member.group.reset();
          scene.Pass(Milliseconds(0));
        }
        EXPECT_FALSE(member.collectives().busy());
      }
    }
}

TEST(CollectiveGroupTest, TermsThatCannotBeMetAreTheCallersMistake) {
  Scene scene(2);
  auto& member = scene["n0"];
  const Terms good = MakeTerms(scene, 64);
  const auto refuses = [&](const auto& change, const char* why) {
    Terms terms = good;
    change(terms);
    try {
      member.Form(terms);
      ADD_FAILURE() << "accepted: " << why;
    } catch (const std::invalid_argument& error) {
      EXPECT_THAT(error.what(), HasSubstr(why));
    }
  };
  refuses([](Terms& t) { t.members.clear(); }, "0 members");
  refuses([](Terms& t) { t.members = {"n0", "n1", "n0"}; }, "twice");
  refuses([](Terms& t) { t.members = {"n1", "n2"}; }, "not among");
  refuses(
      [](Terms& t) {
        t.members.clear();
        for (Rank rank = 0; rank <= kMaxMembers; ++rank)
          t.members.push_back(Scene::NameOf(rank));
      },
      "allowed are 1 to 64");
  refuses([](Terms& t) { t.bytes = 65; }, "no float32");
  refuses([](Terms& t) { t.bytes = Scene::kArrayBytes + 4; }, "allowed are");
  refuses([](Terms& t) { t.piece_bytes = 6; }, "multiples of 4");
  refuses([](Terms& t) { t.piece_bytes = 1 << 20; }, "up to 64");
  refuses([](Terms& t) { t.algorithm = Algorithm::kChain; }, "algorithm");
  refuses(
      [](Terms& t) {
        t.operation = Operation::kBroadcast;
        t.outcome = Round::Outcome::kOwn;
      },
      "vote");
  EXPECT_THROW(member.Form(good, ""), std::invalid_argument);
  EXPECT_FALSE(member.collectives().busy());
  scene["n0"].Form(good);
  scene["n0"].answered = false;
  scene["n0"].Form(good);  // while it is being formed
  scene.RunAll();
  ASSERT_TRUE(scene["n0"].formed);
  EXPECT_THAT(scene["n0"].formed->detail, HasSubstr("being formed already"));
}

TEST(CollectiveGroupTest, InputsThatAreNoneAreTheCallersMistake) {
  Scene scene(2);
  FormAll(scene, MakeTerms(scene, 64));
  const auto ignore = [](const Result<Buffer>&) {};
  auto& group = *scene["n0"].group;
  EXPECT_THROW(group.Run(nullptr, kLong, ignore), std::invalid_argument);
  const auto small = BufferPool::Make(60, 1)->Take();
  EXPECT_THROW(group.Run(small, kLong, ignore), std::invalid_argument);
  scene["n0"].Run(1);
  EXPECT_THROW(scene["n0"].Run(1), std::logic_error);
}

// n2 speaks in pieces and words of its own choice.
class HostileMemberTest : public testing::Test {
 protected:
  HostileMemberTest() : scene_(3) {
    Terms terms = MakeTerms(scene_, 2048);
    terms.algorithm = Algorithm::kDirect;
    FormAll(scene_, terms);
    id_ = IdOf();
  }
  // As its own messages have it.
  std::uint64_t IdOf() {
    return std::static_pointer_cast<LiveGroup>(scene_["n1"].group)->id();
  }
  // True if n1 gives it a place.
  bool Offer(const std::string& from, const Header& header,
             std::size_t length) {
    auto& sink = scene_["n1"].collectives();
    const auto place = sink.OnPiece(from, Encode(id_, header), length);
    EXPECT_EQ(place ? place->into.size() : length, length);
    return place.has_value();
  }
  Scene scene_;
  std::uint64_t id_ = 0;
};

TEST_F(HostileMemberTest, GetsNoPlaceForWhatIsNotPlanned) {
  const Plan plan(Algorithm::kDirect, 3, 1, 512, 4, 64);
  const auto& receive = plan.receives().front();
  ASSERT_EQ(receive.peer, 2U);
  const Header good{.detail = receive.step, .offset = receive.bytes.begin};
  const auto length = plan.PieceOf(receive, receive.first_cell).size();
  for (const std::size_t bad :
       {std::size_t{0}, length - 1, length + 1, std::size_t{1} << 40})
    EXPECT_FALSE(Offer("n2", good, bad));
  const auto with = [&good](const auto& change) {
    Header header = good;
    change(header);
    return header;
  };
  EXPECT_FALSE(Offer("n2", with([](Header& h) { h.offset += 4; }), length));
  EXPECT_FALSE(Offer("n2", with([](Header& h) { h.offset = ~0ULL; }), length));
  EXPECT_FALSE(Offer("n2", with([](Header& h) { h.detail = 7; }), length));
  EXPECT_FALSE(Offer("n2", with([](Header& h) { h.sequence = 1; }), length));
  EXPECT_FALSE(Offer("n2", with([](Header& h) { h.sequence = ~0U; }), length));
  EXPECT_FALSE(Offer(
      "n2", with([](Header& h) { h.kind = static_cast<Header::Kind>(9); }),
      length));
  EXPECT_FALSE(Offer("n1", good, length));  // this member itself
  EXPECT_FALSE(Offer("n7", good, length));  // no member
  id_ ^= 1;
  EXPECT_FALSE(Offer("n2", good, length));  // no group
  id_ ^= 1;
  EXPECT_TRUE(Offer("n2", good, length));
  EXPECT_FALSE(Offer("n2", good, length));  // a second time
}

TEST_F(HostileMemberTest, GetsNoMoreThanItsWindowBeforeTheRoundBegins) {
  const Plan plan(Algorithm::kDirect, 3, 1, 512, 4, 64);
  std::size_t places = 0;
  for (const auto& receive : plan.receives())
    for (std::size_t c = 0; c < receive.cells; ++c) {
      const auto bytes = plan.PieceOf(receive, receive.first_cell + c);
      if (receive.peer == 2 &&
          Offer("n2", {.detail = receive.step, .offset = bytes.begin},
                bytes.size()))
        ++places;
    }
  EXPECT_EQ(places, Round::kWindow);
}

TEST_F(HostileMemberTest, WordsOutOfPlaceDoNotEndOrStopARound) {
  for (const auto& name : scene_.names()) scene_[name].Run(1);
  auto& n1 = scene_["n1"].collectives();
  const auto say = [&](Header header) {
    const auto piece = Encode(id_, header);
    ASSERT_TRUE(n1.OnPiece("n2", piece, 0));
    n1.OnPlaced("n2", piece, true);
  };
  using Kind = Header::Kind;
  const auto note = [](Note which) {
    return static_cast<std::uint32_t>(which);
  };
  say({.kind = Kind::kCredit, .offset = ~0ULL});
  say({.kind = Kind::kNote, .detail = note(Note::kCommit)});
  say({.kind = Kind::kNote, .detail = 0xffffff, .offset = ~0ULL});
  say({.sequence = 99, .kind = Kind::kNote, .detail = note(Note::kAbort)});
  EXPECT_FALSE(n1.OnPiece("n2", Encode(id_, {.kind = Kind::kNote}), 1 << 20));
  n1.OnMessage(
      "n2", RoundVerdict{.round = id_ + 1, .accepted = false, .reason = "x"});
  n1.OnMessage("n2",
               RoundVerdict{.round = id_, .accepted = true, .reason = ""});
  EXPECT_FALSE(scene_["n1"].over);
  scene_.RunAll();
  for (const auto& name : scene_.names()) EXPECT_FALSE(scene_[name].failure);
}

TEST(CollectiveGroupTest, ProposalsThatNobodyAskedForAreBounded) {
  Scene scene(3);
  auto& n1 = scene["n1"].collectives();
  RoundProposal proposal{.round = 1,
                         .name = "x",
                         .members = {"n2", "n1"},
                         .operation = 1,
                         .algorithm = 1,
                         .bytes = std::numeric_limits<std::uint64_t>::max(),
                         .piece_bytes = 64,
                         .voted = true,
                         .limit_ms = 0xffffffff};
  for (std::uint64_t i = 0; i < 1000; ++i) {
    proposal.round = i + 1;
    proposal.name = "x" + std::to_string(i);
    n1.OnMessage("n2", proposal);
  }
  // Another member's proposals still find room.
  EXPECT_FALSE(n1.busy());
  Terms terms;
  terms.members = {"n0", "n1"};
  terms.bytes = 64;
  scene["n0"].Form(terms, "honest");
  scene.RunAll();
  scene["n1"].Form(terms, "honest");
  scene.RunAll();
  EXPECT_TRUE(scene["n0"].group);
  EXPECT_TRUE(scene["n1"].group);
}

TEST(CollectiveGroupTest, AProposalInAnothersNameIsRefused) {
  Scene scene(3);
  Terms terms;
  terms.members = {"n0", "n1"};
  terms.bytes = 64;
  scene["n1"].Form(terms);
  scene["n1"].collectives().OnMessage("n2",
                                      RoundProposal{.round = 5,
                                                    .name = "g",
                                                    .members = {"n0", "n1"},
                                                    .operation = 1,
                                                    .algorithm = 1,
                                                    .bytes = 64,
                                                    .piece_bytes = 64,
                                                    .voted = true,
                                                    .limit_ms = 1000});
  scene.RunAll();
  EXPECT_FALSE(scene["n1"].answered);
  scene["n0"].Form(terms);
  scene.RunAll();
  EXPECT_TRUE(scene["n1"].group);
}

// One control connection replaces another, and what was on the first is lost.
TEST(CollectiveGroupTest, AnyOneWordOfTheFormingMayBeLost) {
  constexpr std::size_t kWords = 6;  // proposal, answer, last word, for two
  for (std::size_t word = 0; word < kWords; ++word) {
    Scene scene(3, static_cast<std::uint32_t>(word));
    scene.words_before_lost = word;
    for (const auto& name : scene.names())
      scene[name].Form(MakeTerms(scene, 64));
    scene.RunAll();
    EXPECT_FALSE(scene.words_before_lost) << "word " << word << " was not said";
    scene.Pass(Milliseconds(1000));
    for (const auto& name : scene.names()) {
      ASSERT_TRUE(scene[name].group) << name << " at word " << word;
      scene[name].Run(0);
    }
    scene.RunAll();
    for (const auto& name : scene.names()) {
      EXPECT_TRUE(scene[name].over);
      EXPECT_FALSE(scene[name].failure);
    }
  }
}

TEST(CollectiveGroupTest, AProposalThatWasGivenUpIsForgotten) {
  Scene scene(2);
  scene[0].Form(MakeTerms(scene, 64), "g", Milliseconds(100));
  scene.RunAll();
  scene.Pass(Milliseconds(200));
  ASSERT_TRUE(scene[0].formed);
  EXPECT_EQ(scene[0].formed->code, ErrorCode::kTimeout);
  scene[1].Form(MakeTerms(scene, 64));
  scene.RunAll();
  scene[0].Form(MakeTerms(scene, 64));
  scene.RunAll();
  for (const auto& name : scene.names()) EXPECT_TRUE(scene[name].group) << name;
}

}  // namespace
}  // namespace hearsay::transport::collective
