// Nodes "n0", "n1", ... that are all connected, and their rounds: for tests of
// collectives over the real planes. Groups live on the threads of their nodes.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/transport/node.h"
#include "transport/collective/collective.h"

namespace hearsay::transport::collective {

struct Outcome {
  std::optional<Error> error;
  Buffer result;
  bool input_untouched = false;
  Milliseconds took{0};
};

class Party {
 public:
  static constexpr std::size_t kArrayBytes = std::size_t{1} << 20;
  static constexpr std::size_t kPieceBytes = std::size_t{16} << 10;
  static constexpr Milliseconds kPlenty{15000};

  explicit Party(Rank n) : groups_(n), numbers_(n) {
    for (Rank rank = 0; rank < n; ++rank) Add(rank);
    for (Rank rank = 0; rank < n; ++rank) AwaitAll(rank);
  }
  ~Party() {
    for (Rank rank = 0; rank < nodes_.size(); ++rank) Forget(rank);
  }
  Party(const Party&) = delete;
  Party& operator=(const Party&) = delete;

  static std::string NameOf(Rank rank) { return "n" + std::to_string(rank); }
  Rank size() const { return static_cast<Rank>(nodes_.size()); }
  Node& operator[](Rank rank) { return *nodes_[rank]; }

  Terms MakeTerms(std::size_t bytes, std::optional<Algorithm> algorithm) const {
    Terms terms;
    for (Rank rank = 0; rank < size(); ++rank)
      terms.members.push_back(NameOf(rank));
    terms.bytes = bytes;
    terms.algorithm = algorithm;
    terms.piece_bytes = kPieceBytes;
    if (algorithm && IsBroadcast(*algorithm))
      terms.operation = Operation::kBroadcast;
    return terms;
  }

  // On all of its members at once; the first failure.
  std::optional<Error> Form(const std::string& name, const Terms& terms) {
    std::vector<std::future<std::optional<Error>>> answers;
    for (const auto rank : RanksOf(terms))
      answers.push_back(FormOn(rank, name, terms));
    std::optional<Error> failure;
    for (auto& answer : answers)
      if (auto error = answer.get(); error && !failure) failure = error;
    return failure;
  }
  std::future<std::optional<Error>> FormOn(Rank rank, const std::string& name,
                                           const Terms& terms) {
    const auto promise = std::make_shared<std::promise<std::optional<Error>>>();
    nodes_[rank]->Run([&] {
      nodes_[rank]->transport().collectives().Form(
          name, terms, kPlenty,
          [this, promise, rank, name](Result<std::shared_ptr<Group>> formed) {
            if (!formed) return promise->set_value(formed.error());
            groups_[rank][name] = *formed;
            promise->set_value(std::nullopt);
          });
    });
    return promise->get_future();
  }

  // Array number `number` of that member, once more than any before it.
  std::future<Outcome> RunOn(Rank rank, const std::string& name,
                             Milliseconds limit = kPlenty) {
    const auto promise = std::make_shared<std::promise<Outcome>>();
    nodes_[rank]->Run([&] {
      const auto& group = groups_[rank].at(name);
      const bool has_input = group->terms().operation == Operation::kSum ||
                             group->terms().members.front() == NameOf(rank);
      Buffer input;
      if (has_input) input = nodes_[rank]->pool()->Take();
      const auto number = numbers_[rank][name]++;
      if (input) Fill(*input, rank, number);
      const auto start = Clock::now();
      group->Run(input, limit, [=](Result<Buffer> result) {
        Outcome outcome;
        outcome.took = std::chrono::ceil<Milliseconds>(Clock::now() - start);
        if (!result) outcome.error = result.error();
        if (result) outcome.result = *result;
        outcome.input_untouched = !input || IsFilled(*input, rank, number);
        promise->set_value(std::move(outcome));
      });
    });
    return promise->get_future();
  }
  std::vector<Outcome> Run(const std::string& name, const Terms& terms,
                           Milliseconds limit = kPlenty) {
    std::vector<std::future<Outcome>> futures;
    for (const auto rank : RanksOf(terms))
      futures.push_back(RunOn(rank, name, limit));
    std::vector<Outcome> outcomes;
    for (auto& future : futures) outcomes.push_back(future.get());
    return outcomes;
  }

  // A round that has succeeded, as round `number` of the group must.
  static void ExpectSuccess(const std::vector<Outcome>& outcomes,
                            const Terms& terms, std::uint32_t number) {
    for (const auto& outcome : outcomes) {
      ASSERT_FALSE(outcome.error) << outcome.error->detail;
      EXPECT_TRUE(outcome.input_untouched);
      ASSERT_EQ(std::memcmp(outcome.result->data(),
                            outcomes.front().result->data(), terms.bytes),
                0);
    }
    const auto givers = terms.operation == Operation::kBroadcast
                            ? std::vector{RankOf(terms.members.front())}
                            : RanksOf(terms);
    for (std::size_t i = 0; i < terms.bytes / sizeof(float); ++i) {
      float got = 0;
      std::memcpy(&got, outcomes.front().result->data() + i * sizeof got,
                  sizeof got);
      double sum = 0;
      for (const auto rank : givers) sum += Element(rank, number, i);
      if (std::abs(got - sum) > sum * 1e-6)
        FAIL() << "element " << i << " is " << got << ", not " << sum;
    }
  }
  // The same error or success at all, and nobody's input changed.
  static void ExpectOneOutcome(const std::vector<Outcome>& outcomes,
                               Milliseconds limit) {
    for (const auto& outcome : outcomes) {
      EXPECT_EQ(outcome.error.has_value(), outcomes.front().error.has_value())
          << (outcome.error ? outcome.error : outcomes.front().error)->detail;
      EXPECT_TRUE(outcome.input_untouched);
      EXPECT_LE(outcome.took, limit);
    }
  }

  void AwaitAll(Rank rank) {
    for (Rank other = 0; other < size(); ++other) {
      if (other == rank) continue;
      ASSERT_TRUE(nodes_[rank]->Meets(NameOf(other)));
    }
  }
  // A node with the same name, as if its process had been started again.
  void Restart(Rank rank) {
    Forget(rank);
    nodes_[rank].reset();
    Start(rank);
    for (Rank other = 0; other < size(); ++other) AwaitAll(other);
  }
  void Forget(Rank rank) {
    if (nodes_[rank]) nodes_[rank]->Run([&] { groups_[rank].clear(); });
  }

 private:
  static Rank RankOf(const std::string& name) {
    return static_cast<Rank>(std::stoul(name.substr(1)));
  }
  static std::vector<Rank> RanksOf(const Terms& terms) {
    std::vector<Rank> ranks;
    for (const auto& name : terms.members) ranks.push_back(RankOf(name));
    return ranks;
  }
  void Add(Rank rank) {
    nodes_.emplace_back();
    Start(rank);
  }
  void Start(Rank rank) {
    std::vector<std::string> peers;
    for (Rank other = 0; other < nodes_.size(); ++other)
      if (other != rank) peers.push_back(nodes_[other]->address());
    auto options = TestOptions(NameOf(rank), peers, kArrayBytes);
    options.chunk_bytes = std::size_t{64} << 10;
    nodes_[rank] = std::make_unique<Node>(options);
  }
  static float Element(Rank rank, std::uint32_t number, std::size_t i) {
    return (1.0F + 0.37F * static_cast<float>((i + 31 * number) % 101)) /
           (3.0F + static_cast<float>(rank));
  }
  static void Fill(std::span<std::byte> bytes, Rank rank,
                   std::uint32_t number) {
    for (std::size_t i = 0; i < bytes.size() / sizeof(float); ++i) {
      const float element = Element(rank, number, i);
      std::memcpy(bytes.data() + i * sizeof element, &element, sizeof element);
    }
  }
  static bool IsFilled(std::span<const std::byte> bytes, Rank rank,
                       std::uint32_t number) {
    std::vector<std::byte> expected(bytes.size());
    Fill(expected, rank, number);
    return std::memcmp(bytes.data(), expected.data(), bytes.size()) == 0;
  }

  std::vector<std::unique_ptr<Node>> nodes_;
  // By rank, each touched on that node's thread only.
  std::vector<std::map<std::string, std::shared_ptr<Group>>> groups_;
  std::vector<std::map<std::string, std::uint32_t>> numbers_;
};

}  // namespace hearsay::transport::collective
