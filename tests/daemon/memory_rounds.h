// Groups made of memory: the calls of all members meet in one room, and arrays
// are summed when all are in. Rounds can be failed, or held until they are let
// go, so that a test chooses what happens meanwhile.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tests/daemon/quiet_transport.h"
#include "transport/collective/collective.h"

namespace hearsay::daemon {

class Room {
 public:
  using Terms = transport::collective::Terms;
  using Group = transport::collective::Group;
  using Formed = std::function<void(transport::Result<std::shared_ptr<Group>>)>;
  using Summed = std::function<void(transport::Result<transport::Buffer>)>;
  using Told = std::function<void(const std::string& name,
                                  const std::vector<std::string>& members)>;

  explicit Room(boost::asio::io_context& io) : io_(io) {}

  std::string fail;              // if not "": how every round ends
  bool hold = false;             // each round that is whole, until Release
  std::string late;              // hears of its outcome at HearLate
  std::vector<Terms> proposals;  // in their order

  boost::asio::io_context& io() const { return io_; }
  std::size_t held() const { return held_.size(); }
  void Release() {
    hold = false;
    for (auto& round : std::exchange(held_, {})) Settle(round);
  }

  void HearLate() {
    late.clear();
    for (const auto& hear : std::exchange(unheard_, {})) hear();
  }

  void Listen(const std::string& self, Told told) {
    told_[self] = std::move(told);
  }

  void Form(const std::string& self, const std::string& name,
            const Terms& terms, transport::Milliseconds limit, Formed formed) {
    auto& asked = asked_[name];
    asked[self] = std::make_shared<Ask>(Ask{terms, std::move(formed)});
    if (terms.members.front() == self) {
      proposals.push_back(terms);
      for (const auto& other : terms.members)
        if (!asked.contains(other))
          boost::asio::post(
              io_, [told = told_.at(other), name, members = terms.members] {
                told(name, members);
              });
    }
    for (const auto& member : terms.members)
      if (!asked.contains(member)) return Expire(self, name, limit);
    for (const auto& [member, ask] : std::exchange(asked, {}))
      boost::asio::post(io_, [formed = std::move(ask->formed),
                              seat = std::make_shared<Seat>(*this, member, name,
                                                            ask->terms)] {
        formed(std::shared_ptr<Group>(seat));
      });
  }

 private:
  struct Ask {
    Terms terms;
    Formed formed;
  };
  struct Entry {
    transport::Buffer input;
    std::size_t bytes = 0;
    Summed done;
  };
  using Round = std::map<std::string, Entry>;

  // One member's reference to a group.
  class Seat final : public Group {
   public:
    Seat(Room& room, std::string self, std::string name, Terms terms)
        : room_(room),
          self_(std::move(self)),
          name_(std::move(name)),
          terms_(std::move(terms)) {}
    void Run(transport::Buffer input, transport::Milliseconds,
             Summed done) override {
      room_.Enter(name_, terms_, self_, std::move(input), std::move(done));
    }
    const Terms& terms() const override { return terms_; }

   private:
    Room& room_;
    const std::string self_, name_;
    const Terms terms_;
  };

  // Nobody is waited for longer than that.
  void Expire(const std::string& self, const std::string& name,
              transport::Milliseconds limit) {
    auto timer = std::make_shared<boost::asio::steady_timer>(io_, limit);
    timer->async_wait(
        [this, timer, self, name, ask = asked_[name][self]](const auto& error) {
          if (error) return;
          const auto found = asked_[name].find(self);
          if (found == asked_[name].end() || found->second != ask) return;
          asked_[name].erase(found);
          ask->formed(transport::Error{transport::ErrorCode::kTimeout,
                                       "somebody has not come"});
        });
  }

  void Enter(const std::string& name, const Terms& terms,
             const std::string& self, transport::Buffer input, Summed done) {
    auto& round = rounds_[name];
    round[self] = {std::move(input), terms.bytes, std::move(done)};
    if (round.size() < terms.members.size()) return;
    held_.push_back(std::exchange(round, {}));
    if (!hold) Release();
  }

  void Settle(Round& round) {
    for (auto& [self, entry] : round) {
      auto hear = [done = entry.done, outcome = Outcome(round)] {
        done(outcome);
      };
      if (self == late)
        unheard_.push_back(std::move(hear));
      else
        boost::asio::post(io_, std::move(hear));
    }
  }

  transport::Result<transport::Buffer> Outcome(const Round& round) const {
    if (!fail.empty())
      return transport::Error{transport::ErrorCode::kPeerGone, fail};
    const auto bytes = round.begin()->second.bytes;
    auto sum = transport::BufferPool::Make(bytes, 1)->Take();
    const auto total = Floats(sum, bytes);
    std::fill(total.begin(), total.end(), 0.0F);
    for (const auto& [self, entry] : round)
      for (std::size_t i = 0; i < total.size(); ++i)
        total[i] += Floats(entry.input, bytes)[i];
    return sum;
  }

  static std::span<float> Floats(const transport::Buffer& buffer,
                                 std::size_t bytes) {
    return {reinterpret_cast<float*>(buffer->data()), bytes / sizeof(float)};
  }

  boost::asio::io_context& io_;
  std::map<std::string, Told> told_;
  std::map<std::string, std::map<std::string, std::shared_ptr<Ask>>> asked_;
  std::map<std::string, Round> rounds_;
  std::vector<Round> held_;
  std::vector<std::function<void()>> unheard_;
};

// A member's door to the room, in which nobody answers an exchange.
class RoomTransport final : public QuietTransport,
                            private transport::collective::Collectives {
 public:
  RoomTransport(Room& room, std::string self)
      : room_(room), self_(std::move(self)) {}

  transport::collective::Collectives& collectives() override { return *this; }
  void Exchange(const std::string&, transport::Message, transport::Milliseconds,
                std::function<void(transport::Result<transport::Message>)> done,
                transport::OnAnswerBegin) override {
    boost::asio::post(room_.io(), [done = std::move(done)] {
      done(transport::Error{transport::ErrorCode::kTimeout, "late"});
    });
  }

 private:
  void Form(const std::string& name, const Room::Terms& terms,
            transport::Milliseconds limit, Room::Formed done) override {
    room_.Form(self_, name, terms, limit, std::move(done));
  }
  void OnProposed(Room::Told told) override {
    room_.Listen(self_, std::move(told));
  }

  Room& room_;
  const std::string self_;
};

}  // namespace hearsay::daemon
