// Members that form groups over a network of the tests' own: everything that
// travels waits in one bag, and comes out in an order drawn from a seed.
// Members die, are cut off from each other, and time passes, when a test says
// so.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "transport/collective/header.h"
#include "transport/collective/live_collectives.h"

namespace hearsay::transport::collective {

// The only thing tests wait for: limits that a test does not mean to reach.
inline constexpr Milliseconds kLong{60000};

class Scene {
 public:
  static constexpr std::size_t kArrayBytes = 4096;

  class Member;

  explicit Scene(Rank n, std::uint32_t seed = 1) : random_(seed) {
    for (Rank rank = 0; rank < n; ++rank) names_.push_back(NameOf(rank));
    for (const auto& name : names_)
      members_[name] = std::make_unique<Member>(*this, name);
  }
  ~Scene() { ended_ = true; }

  static std::string NameOf(Rank rank) { return "n" + std::to_string(rank); }
  const std::vector<std::string>& names() const { return names_; }
  Member& operator[](const std::string& name) { return *members_.at(name); }
  Member& operator[](Rank rank) { return *members_.at(NameOf(rank)); }
  bool alive(const std::string& name) const { return !dead_.contains(name); }

  // What travels, to or from one member or within it.
  struct Event {
    std::string from, to;
    std::function<void()> run;
  };
  void Add(Event event) { events_.push_back(std::move(event)); }
  std::size_t steps() const { return steps_; }

  // Takes one thing out of the bag. False if there is nothing that may come
  // out.
  bool Step() {
    std::vector<std::size_t> free;
    for (std::size_t i = 0; i < events_.size(); ++i)
      if (!held_.contains(events_[i].from) || events_[i].from == events_[i].to)
        free.push_back(i);
    if (free.empty()) return false;
    const auto at = free[Pick(free.size())];
    const Event event = std::move(events_[at]);
    events_.erase(events_.begin() + static_cast<long>(at));
    ++steps_;
    event.run();
    return true;
  }
  void RunAll() {
    while (Step()) {
    }
  }
  std::size_t Pick(std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_);
  }

  // What it sends stays in the bag.
  void Hold(const std::string& name) { held_.insert(name); }
  void Release(const std::string& name) { held_.erase(name); }

  // What it has sent comes to some and not to others, who notice its death some
  // time after.
  void Kill(const std::string& name);
  // The two do not hear each other any more.
  void Cut(const std::string& one, const std::string& other);
  bool connected(const std::string& one, const std::string& other) const {
    return alive(one) && alive(other) &&
           !cuts_.contains(std::minmax(one, other));
  }

  // Everybody's clock is `later` ahead of ours.
  void Pass(Milliseconds later);

  // Once a piece with this sequence and step arrives, it is damaged.
  std::optional<Header> damaged;
  // So many words on control connections arrive, and the one after is lost.
  std::optional<std::size_t> words_before_lost;
  std::size_t dropped = 0;  // pieces that an honest member did not want

 private:
  friend class Member;
  void Disconnect(const std::string& one, const std::string& other);

  std::mt19937 random_;
  std::vector<std::string> names_;
  std::map<std::string, std::unique_ptr<Member>> members_;
  std::vector<Event> events_;
  std::set<std::string> dead_, held_;
  std::set<std::pair<std::string, std::string>> cuts_;
  std::size_t steps_ = 0;
  bool ended_ = false;
};

class Scene::Member final : public Network {
 public:
  Member(Scene& scene, std::string name)
      : scene_(scene),
        name_(std::move(name)),
        pool_(BufferPool::Make(kArrayBytes, 64)),
        collectives_(std::make_unique<LiveCollectives>(
            *this, name_,
            LiveCollectives::Limits{.array_bytes = kArrayBytes,
                                    .largest_piece = 64})) {}

  LiveCollectives& collectives() { return *collectives_; }
  const std::shared_ptr<BufferPool>& pool() const { return pool_; }

  // Asks for a group; what has come of it.
  void Form(const Terms& terms, const std::string& name = "g",
            Milliseconds limit = kLong) {
    formed.reset();
    collectives_->Form(
        name, terms, limit, [this](Result<std::shared_ptr<Group>> outcome) {
          formed = outcome ? std::nullopt : std::optional(outcome.error());
          answered = true;
          if (outcome) group = *outcome;
        });
  }
  bool answered = false;
  std::optional<Error> formed;  // why not
  std::shared_ptr<Group> group;

  // A round with array number `number` of this member.
  void Run(std::uint32_t number, Milliseconds limit = kLong) {
    const Terms& terms = group->terms();
    input.reset();
    if (terms.operation == Operation::kSum || terms.members.front() == name_) {
      input = pool_->Take();
      FillInput(*input, number);
    }
    result.reset();
    over = false;
    number_ = number;
    group->Run(input, limit, [this](Result<Buffer> outcome) {
      over = true;
      failure = outcome ? std::nullopt : std::optional(outcome.error());
      if (outcome) result = *outcome;
    });
  }
  bool over = false;
  std::optional<Error> failure;
  Buffer input, result;

  static float Element(std::uint32_t rank, std::uint32_t number,
                       std::size_t i) {
    return (1.0F + 0.37F * static_cast<float>((i + 31 * number) % 101)) /
           (3.0F + static_cast<float>(rank));
  }
  void FillInput(std::span<std::byte> bytes, std::uint32_t number) const {
    const auto rank = static_cast<std::uint32_t>(std::stoul(name_.substr(1)));
    for (std::size_t i = 0; i < bytes.size() / sizeof(float); ++i) {
      const float element = Element(rank, number, i);
      std::memcpy(bytes.data() + i * sizeof(float), &element, sizeof element);
    }
  }
  bool InputIsUntouched() const {
    if (!input) return true;
    std::vector<std::byte> expected(input->size());
    FillInput(expected, number_);
    return std::equal(expected.begin(), expected.end(), input->begin());
  }

  // Network
  void SendPiece(const std::string& to, const RoundPiece& piece,
                 std::span<const std::byte> bytes, std::shared_ptr<void> keep,
                 std::function<void(bool)> done) override;
  bool Tell(const std::string& to, const RoundMessage& message) override {
    if (!scene_.connected(name_, to)) return false;
    if (scene_.words_before_lost && (*scene_.words_before_lost)-- == 0) {
      scene_.words_before_lost.reset();
      return true;
    }
    scene_.Add({name_, to, [this, to, message] {
                  if (scene_.connected(name_, to))
                    scene_[to].collectives().OnMessage(name_, message);
                }});
    return true;
  }
  void StartClock() override {}
  void Post(std::function<void()> call) override {
    scene_.Add({name_, name_, std::move(call)});
  }

 private:
  void Carry(const std::string& to, const RoundPiece& piece,
             std::vector<std::byte> bytes);

  Scene& scene_;
  const std::string name_;
  const std::shared_ptr<BufferPool> pool_;
  std::unique_ptr<LiveCollectives> collectives_;
  std::uint32_t number_ = 0;
};

inline void Scene::Member::SendPiece(const std::string& to,
                                     const RoundPiece& piece,
                                     std::span<const std::byte> bytes,
                                     std::shared_ptr<void> keep,
                                     std::function<void(bool)> done) {
  if (scene_.ended_) return;
  // As the network may: the bytes are read some time later, and only then is it
  // done, whether they have arrived or not.
  Post(
      [this, to, piece, bytes, keep = std::move(keep), done = std::move(done)] {
        const bool sent = scene_.connected(name_, to);
        if (sent) Carry(to, piece, {bytes.begin(), bytes.end()});
        Post([done, sent] { done(sent); });
      });
}

inline void Scene::Member::Carry(const std::string& to, const RoundPiece& piece,
                                 std::vector<std::byte> bytes) {
  scene_.Add(
      {name_, to, [this, to, piece, bytes = std::move(bytes)] {
         if (!scene_.connected(name_, to)) return;
         auto& sink = scene_[to].collectives();
         const auto place = sink.OnPiece(name_, piece, bytes.size());
         if (!place) {
           ++scene_.dropped;
           return;
         }
         ASSERT_EQ(place->into.size(), bytes.size());
         std::copy(bytes.begin(), bytes.end(), place->into.begin());
         const bool ok = !scene_.damaged || Decode(piece) != scene_.damaged;
         scene_.Add({name_, to, [this, to, piece, ok, place] {
                       if (scene_.connected(name_, to))
                         scene_[to].collectives().OnPlaced(name_, piece, ok);
                     }});
       }});
}

inline void Scene::Disconnect(const std::string& one,
                              const std::string& other) {
  Add({one, one, [this, one, other] {
         if (alive(one)) (*this)[one].collectives().Lose(other, "cut off");
       }});
}

inline void Scene::Kill(const std::string& name) {
  std::vector<Event> last;
  std::erase_if(events_, [&](Event& event) {
    if (event.from != name && event.to != name) return false;
    if (event.from == name && event.to != name && Pick(2) == 0)
      last.push_back(std::move(event));
    return true;
  });
  for (const auto& event : last) event.run();
  dead_.insert(name);
  std::erase_if(events_, [&](const Event& event) { return event.to == name; });
  for (const auto& other : names_)
    if (alive(other)) Disconnect(other, name);
}

inline void Scene::Cut(const std::string& one, const std::string& other) {
  cuts_.insert(std::minmax(one, other));
  Disconnect(one, other);
  Disconnect(other, one);
}

inline void Scene::Pass(Milliseconds later) {
  for (const auto& name : names_)
    if (alive(name)) (*this)[name].collectives().OnTime(Clock::now() + later);
  RunAll();
}

}  // namespace hearsay::transport::collective
