// Groups and rounds: results against a plain sum, and one outcome for all
// whoever dies when.
#include "transport/collective/collective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "collective_scene.h"

namespace hearsay::transport::collective {
namespace {

Terms MakeTerms(const Scene& scene, std::size_t bytes,
                std::optional<Algorithm> algorithm = std::nullopt) {
  Terms terms;
  terms.members = scene.names();
  terms.bytes = bytes;
  terms.algorithm = algorithm;
  if (algorithm && IsBroadcast(*algorithm))
    terms.operation = Operation::kBroadcast;
  return terms;
}

void FormAll(Scene& scene, const Terms& terms) {
  for (const auto& name : terms.members) scene[name].Form(terms);
  scene.RunAll();
  for (const auto& name : terms.members) {
    ASSERT_TRUE(scene[name].answered);
    ASSERT_FALSE(scene[name].formed) << scene[name].formed->detail;
  }
}

void ExpectResult(Scene::Member& member, const Terms& terms,
                  std::uint32_t number) {
  ASSERT_TRUE(member.over);
  ASSERT_FALSE(member.failure) << member.failure->detail;
  ASSERT_TRUE(member.result);
  for (std::size_t i = 0; i < terms.bytes / sizeof(float); ++i) {
    float got = 0;
    std::memcpy(&got, member.result->data() + i * sizeof got, sizeof got);
    double sum = 0;
    for (const auto& name : terms.members) {
      if (terms.operation == Operation::kBroadcast &&
          name != terms.members.front())
        break;
      sum += Scene::Member::Element(
          static_cast<std::uint32_t>(std::stoul(name.substr(1))), number, i);
    }
    ASSERT_NEAR(got, sum, sum * 1e-6) << "element " << i;
  }
}

void ExpectSameBits(Scene& scene, const Terms& terms) {
  const auto& first = scene[terms.members.front()].result;
  for (const auto& name : terms.members)
    ASSERT_EQ(
        std::memcmp(scene[name].result->data(), first->data(), terms.bytes), 0)
        << name;
}

TEST(CollectiveTest, EveryAlgorithmGivesTheSumInWhateverOrderPiecesCome) {
  for (const auto algorithm : kAllReduces)
    for (Rank n = 1; n <= 9; ++n)
      for (const std::size_t count : {0U, 1U, 7U, 100U, 1024U}) {
        SCOPED_TRACE(std::string(Name(algorithm)) + " n " + std::to_string(n) +
                     " count " + std::to_string(count));
        Scene scene(n, n + static_cast<std::uint32_t>(count));
        const auto terms = MakeTerms(scene, count * 4, algorithm);
        FormAll(scene, terms);
        // The members begin a round at moments of their own.
        for (std::uint32_t round = 0; round < 3; ++round) {
          for (const auto& name : scene.names()) {
            scene[name].Run(round);
            for (std::size_t k = scene.Pick(20); k-- > 0;) scene.Step();
          }
          scene.RunAll();
          for (const auto& name : scene.names())
            ExpectResult(scene[name], terms, round);
          ExpectSameBits(scene, terms);
        }
        EXPECT_EQ(scene.dropped, 0U);
      }
}

TEST(CollectiveTest, BroadcastsGiveTheFirstMembersBytes) {
  for (const auto algorithm : {Algorithm::kBinomial, Algorithm::kChain})
    for (Rank n = 1; n <= 9; ++n)
      for (const std::size_t bytes : {0U, 4U, 400U, 4096U}) {
        Scene scene(n, n);
        const auto terms = MakeTerms(scene, bytes, algorithm);
        FormAll(scene, terms);
        for (std::uint32_t round = 0; round < 3; ++round) {
          for (const auto& name : scene.names()) scene[name].Run(round);
          scene.RunAll();
          for (const auto& name : scene.names())
            ExpectResult(scene[name], terms, round);
        }
        EXPECT_EQ(scene.dropped, 0U);
      }
}

// Without the vote some begin the next round while others are in the last one.
TEST(CollectiveTest, RoundsWithoutAVoteOverlapAndStayApart) {
  for (const auto algorithm : kAllReduces)
    for (std::uint32_t seed = 0; seed < 30; ++seed) {
      Scene scene(4, seed);
      auto terms = MakeTerms(scene, 1000, algorithm);
      terms.outcome = Round::Outcome::kOwn;
      FormAll(scene, terms);
      std::map<std::string, std::uint32_t> round;
      for (const auto& name : scene.names()) scene[name].Run(0);
      while (scene.Step()) {
        for (const auto& name : scene.names()) {
          if (!scene[name].over || round[name] == 4) continue;
          ExpectResult(scene[name], terms, round[name]);
          scene[name].Run(++round[name]);
        }
      }
      for (const auto& name : scene.names()) EXPECT_EQ(round[name], 4U);
      EXPECT_EQ(scene.dropped, 0U);
    }
}

// Runs one round in which `strike` happens before step `at`. True if there was
// such a step.
template <typename Strike>
bool RunWith(Scene& scene, const Terms& terms, std::size_t at,
             const Strike& strike) {
  FormAll(scene, terms);
  const std::size_t start = scene.steps();
  for (const auto& name : scene.names()) scene[name].Run(1);
  while (scene.steps() - start < at)
    if (!scene.Step()) return false;
  strike();
  scene.RunAll();
  return true;
}

void ExpectOneOutcome(Scene& scene, const Terms& terms, int* succeeded,
                      int* failed) {
  std::optional<bool> outcome;
  for (const auto& name : scene.names()) {
    auto& member = scene[name];
    if (!scene.alive(name)) continue;
    ASSERT_TRUE(member.over) << name;
    ASSERT_TRUE(member.InputIsUntouched());
    if (!outcome) outcome = !member.failure.has_value();
    ASSERT_EQ(!member.failure, *outcome) << name;
    if (member.failure)
      ASSERT_FALSE(member.result);
    else
      ExpectResult(member, terms, 1);
  }
  ++(*outcome ? *succeeded : *failed);
}

TEST(CollectiveTest, ADeathAtAnyStepHasOneOutcomeForAllSurvivors) {
  int succeeded = 0, failed = 0;
  for (const auto algorithm :
       {Algorithm::kRing, Algorithm::kHalvingDoubling, Algorithm::kDoubling,
        Algorithm::kDirect, Algorithm::kBinomial, Algorithm::kChain})
    for (Rank n = 2; n <= 5; ++n)
      for (std::uint32_t seed = 0; seed < 3; ++seed)
        for (std::size_t at = 0;; ++at) {
          SCOPED_TRACE(std::string(Name(algorithm)) + " n " +
                       std::to_string(n) + " seed " + std::to_string(seed) +
                       " step " + std::to_string(at));
          Scene scene(n, seed);
          const auto terms = MakeTerms(scene, 600, algorithm);
          const std::string victim = Scene::NameOf((seed + n - 1) % n);
          if (!RunWith(scene, terms, at, [&] { scene.Kill(victim); })) break;
          // Nobody had to wait for a limit.
          ASSERT_NO_FATAL_FAILURE(
              ExpectOneOutcome(scene, terms, &succeeded, &failed));
        }
  EXPECT_GT(succeeded, 100);
  EXPECT_GT(failed, 1000);
}

TEST(CollectiveTest, TwoMembersCutOffFromEachOtherAgreeThroughTheThird) {
  int succeeded = 0, failed = 0;
  for (const auto algorithm : kAllReduces)
    for (std::uint32_t seed = 0; seed < 5; ++seed)
      for (std::size_t at = 0;; ++at) {
        SCOPED_TRACE(std::string(Name(algorithm)) + " seed " +
                     std::to_string(seed) + " step " + std::to_string(at));
        Scene scene(4, seed);
        const auto terms = MakeTerms(scene, 300, algorithm);
        if (!RunWith(scene, terms, at, [&] { scene.Cut("n1", "n2"); })) break;
        scene.Pass(kLong);
        scene.Pass(2 * kLong);
        ASSERT_NO_FATAL_FAILURE(
            ExpectOneOutcome(scene, terms, &succeeded, &failed));
      }
  EXPECT_GT(succeeded, 20);
  EXPECT_GT(failed, 20);
}

TEST(CollectiveTest, AMemberThatNeverCallsFailsTheRoundAtItsLimit) {
  Scene scene(3);
  const auto terms = MakeTerms(scene, 64);
  FormAll(scene, terms);
  scene[0].Run(1, Milliseconds(1000));
  scene[1].Run(1, kLong);
  scene.RunAll();
  EXPECT_FALSE(scene[0].over);
  scene.Pass(Milliseconds(900));
  ASSERT_TRUE(scene[0].over);
  EXPECT_EQ(scene[0].failure->code, ErrorCode::kTimeout);
  ASSERT_TRUE(scene[1].over);
  EXPECT_THAT(scene[1].failure->detail, testing::HasSubstr("n0: it has given"));
  // Too late: the group is over, here too.
  scene[2].Run(1);
  scene.RunAll();
  ASSERT_TRUE(scene[2].over);
  EXPECT_TRUE(scene[2].failure);
}

TEST(CollectiveTest, WhatComesBeforeARoundHasBegunIsBoundedByTheWindow) {
  for (const auto algorithm : kAllReduces) {
    Scene scene(3);
    const auto terms = MakeTerms(scene, Scene::kArrayBytes, algorithm);
    FormAll(scene, terms);
    const auto start = scene.steps();
    scene[0].Run(1);
    scene[2].Run(1);
    scene.RunAll();
    // At most three events for each piece of two windows of two members, and
    // the credits that these two give each other.
    EXPECT_GT(scene.steps(), start);
    EXPECT_FALSE(scene[0].over);
    EXPECT_EQ(scene.dropped, 0U);
    scene[1].Run(1);
    scene.RunAll();
    for (const auto& name : scene.names()) ExpectResult(scene[name], terms, 1);
  }
}

TEST(CollectiveTest, AStalledGroupDoesNotHoldUpAnotherWithACommonMember) {
  Scene scene(3);
  Terms left = MakeTerms(scene, 2000), right = left;
  left.members = {"n0", "n1"};
  right.members = {"n1", "n2"};
  for (const auto& name : left.members) scene[name].Form(left, "left");
  scene.RunAll();
  const auto stalled = scene[1].group;
  for (const auto& name : right.members) scene[name].Form(right, "right");
  scene.RunAll();
  // n0 never calls for its round.
  const Buffer input = scene[1].pool()->Take();
  bool left_over = false;
  stalled->Run(input, kLong, [&](const Result<Buffer>&) { left_over = true; });
  for (std::uint32_t round = 0; round < 5; ++round) {
    for (const auto& name : right.members) scene[name].Run(round);
    scene.RunAll();
    for (const auto& name : right.members)
      ExpectResult(scene[name], right, round);
  }
  EXPECT_FALSE(left_over);
  scene[0].Run(0);
  scene.RunAll();
  EXPECT_TRUE(left_over);
}

TEST(CollectiveTest, ADamagedPieceFailsTheRoundForAll) {
  Scene scene(3);
  const auto terms = MakeTerms(scene, 1200, Algorithm::kRing);
  FormAll(scene, terms);
  scene.damaged = Header{.sequence = 0, .detail = 1, .offset = 64};
  for (const auto& name : scene.names()) scene[name].Run(1);
  scene.RunAll();
  for (const auto& name : scene.names()) {
    ASSERT_TRUE(scene[name].over);
    EXPECT_TRUE(scene[name].failure);
    EXPECT_TRUE(scene[name].InputIsUntouched());
  }
}

TEST(CollectiveTest, LeavingAGroupFailsTheOthersNextRound) {
  Scene scene(3);
  FormAll(scene, MakeTerms(scene, 64));
  scene[2].group.reset();
  scene[0].Run(1);
  scene.RunAll();
  ASSERT_TRUE(scene[0].over);
  EXPECT_THAT(scene[0].failure->detail, testing::HasSubstr("n2"));
}

TEST(CollectiveTest, LeavingAGroupInTheMiddleOfARoundFailsItForAll) {
  for (std::size_t steps = 0; steps < 40; ++steps) {
    Scene scene(3);
    FormAll(scene, MakeTerms(scene, 600, Algorithm::kRing));
    for (const auto& name : scene.names()) scene[name].Run(1);
    for (std::size_t k = 0; k < steps; ++k) scene.Step();
    ASSERT_FALSE(scene[2].over);
    scene[2].group.reset();
    scene.RunAll();
    EXPECT_TRUE(scene[0].failure);
    EXPECT_TRUE(scene[1].failure);
    EXPECT_FALSE(scene[2].over);
  }
}

TEST(CollectiveTest, NothingIsKeptOnceARoundIsOver) {
  Scene scene(4);
  FormAll(scene, MakeTerms(scene, 2048, Algorithm::kHalvingDoubling));
  for (std::uint32_t round = 0; round < 200; ++round) {
    for (const auto& name : scene.names()) scene[name].Run(round);
    scene.RunAll();
    for (const auto& name : scene.names())
      ASSERT_EQ(scene[name].pool()->taken(), 1U);  // the input
  }
}

TEST(CollectiveTest, TheOneShotCallsFormAndRun) {
  Scene scene(3);
  std::vector<Buffer> inputs, sums, copies;
  for (const auto& name : scene.names()) {
    auto& member = scene[name];
    inputs.push_back(member.pool()->Take());
    member.FillInput(*inputs.back(), 5);
    member.collectives().AllReduce(
        "sum", scene.names(), inputs.back(), 400, kLong,
        [&](const Result<Buffer>& result) { sums.push_back(*result); });
    member.collectives().Broadcast(
        "copy", scene.names(), name == "n0" ? inputs.back() : nullptr, 400,
        kLong,
        [&](const Result<Buffer>& result) { copies.push_back(*result); });
  }
  scene.RunAll();
  ASSERT_EQ(sums.size(), 3U);
  ASSERT_EQ(copies.size(), 3U);
  for (const auto& copy : copies)
    EXPECT_EQ(std::memcmp(copy->data(), inputs[0]->data(), 400), 0);
  for (const auto& sum : sums)
    EXPECT_EQ(std::memcmp(sum->data(), sums[0]->data(), 400), 0);
}

// The only one that could tell two others, who lose each other, that the round
// counts leaves as soon as it knows.
TEST(CollectiveTest, WhoLeavesHasSaidThatItsLastRoundCounts) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Scene scene(3, seed);
    const auto terms = MakeTerms(scene, 1000, Algorithm::kRing);
    FormAll(scene, terms);
    for (const auto& name : scene.names()) scene[name].Run(0);
    while (!scene["n1"].over) ASSERT_TRUE(scene.Step());
    ASSERT_FALSE(scene["n1"].failure);
    scene["n1"].group.reset();
    scene.Cut("n0", "n2");
    scene.RunAll();
    for (const auto* name : {"n0", "n2"}) ExpectResult(scene[name], terms, 0);
  }
}

}  // namespace
}  // namespace hearsay::transport::collective
