// Two exchange loops back to back over a transport made of memory, with answers
// lost, delayed or spoilt at will.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "daemon/exchange_loop.h"
#include "tests/daemon/quiet_transport.h"

namespace hearsay::daemon {

inline constexpr std::size_t kLength = 64;

inline std::span<float> Floats(const transport::Buffer& buffer) {
  return {reinterpret_cast<float*>(buffer->data()), kLength};
}

// Delivers to the peer's loop after `delay`, unless told otherwise.
class MemoryTransport final : public QuietTransport {
 public:
  MemoryTransport(boost::asio::io_context& io, std::string self)
      : io_(io), self_(std::move(self)) {
    pool = transport::BufferPool::Make(kLength * sizeof(float), 8);
  }

  void Exchange(const std::string&, transport::Message request,
                transport::Milliseconds deadline,
                std::function<void(transport::Result<transport::Message>)> done,
                transport::OnAnswerBegin on_answer) override {
    ++requests;
    last_carried = request.payload != nullptr;
    if (lose) {
      After(deadline, [done] {
        done(transport::Error{transport::ErrorCode::kTimeout, "late"});
      });
      return;
    }
    const auto ahead = std::make_shared<transport::Buffer>();
    const auto answered = [this, done, deadline, on_answer,
                           ahead](const transport::Message& answer) {
      EXPECT_TRUE(!*ahead || *ahead == answer.payload);
      if (lose_answers)
        return After(deadline, [done] {
          done(transport::Error{transport::ErrorCode::kTimeout, "late"});
        });
      if (spoil)
        Floats(answer.payload)[3] = std::numeric_limits<float>::infinity();
      After(delay, [=, this] { Arrive(answer, on_answer, done); });
    };
    After(delay, [=, this] {
      Arrive(
          request,
          [=, this](const transport::Message& begun) {
            return peer->OnRequestBegin(
                self_, begun, [this, ahead](const transport::Message& early) {
                  ++answers_ahead;
                  *ahead = early.payload;
                });
          },
          [=, this](const transport::Message& whole) {
            peer->OnRequest(self_, whole, answered);
          });
    });
  }

  ExchangeLoop* peer = nullptr;
  bool lose = false;
  bool spoil = false;
  bool last_carried = false;
  std::chrono::milliseconds delay{0};
  int requests = 0;
  int answers_ahead = 0;
  bool lose_answers = false;
  // Of arrays that arrive in memory of their own, in pieces, as over a network;
  // 0: what was sent is what arrives.
  std::size_t piece_bytes = 0;

 private:
  using OnWhole = std::function<void(const transport::Message&)>;

  void Arrive(const transport::Message& sent,
              const transport::OnAnswerBegin& on_begin, const OnWhole& whole) {
    if (piece_bytes == 0 || !sent.payload) return whole(sent);
    if (!inbox_) inbox_ = transport::BufferPool::Make(pool->bytes_each(), 8);
    const transport::Message begun{sent.version, inbox_->Take()};
    std::ranges::copy(*sent.payload, begun.payload->begin());
    Place(begun, on_begin ? on_begin(begun) : nullptr, 0, whole);
  }
  void Place(const transport::Message& begun,
             const transport::OnPiece& on_piece, std::size_t offset,
             const OnWhole& whole) {
    After(std::chrono::milliseconds(1), [=, this] {
      const std::size_t bytes =
          std::min(piece_bytes, begun.payload->size() - offset);
      if (bytes == 0) return whole(begun);
      if (on_piece) on_piece(offset, bytes);
      Place(begun, on_piece, offset + bytes, whole);
    });
  }
  void After(std::chrono::milliseconds wait, std::function<void()> action) {
    auto timer = std::make_shared<boost::asio::steady_timer>(io_, wait);
    timer->async_wait([timer, action](const auto& error) {
      if (!error) action();
    });
  }

  boost::asio::io_context& io_;
  const std::string self_;
  std::shared_ptr<transport::BufferPool> inbox_;
};

struct LoopSide {
  LoopSide(boost::asio::io_context& io, const std::string& name,
           const std::string& peer, mixing::Rule& rule, float value,
           const ExchangeOptions& options)
      : weights(kLength, rule.habits().has_twin ? mixing::Momentum::kAcid
                                                : mixing::Momentum::kOff),
        transport(io, name),
        neighbours(name, [](const auto&) {}),
        loop(io, transport, rule, weights, neighbours, options,
             [this] { return step; }) {
    transport.pool = transport::BufferPool::Make(
        MessageBytes(rule.habits(), options.passes.wire, kLength), 8);
    neighbours.Update({{.name = peer, .reachable = true, .mixes = true}},
                      transport::Clock::now());
    const std::vector<float> start(kLength, value);
    weights.Assign(start);
  }

  float value() const {
    std::vector<float> seen(kLength);
    weights.Snapshot(seen);
    return seen[0];
  }

  // The weights, and the twin: the first of each.
  std::pair<float, float> both() const {
    std::vector<float> seen(kLength), twin(kLength);
    weights.SnapshotBoth(seen, twin);
    return {seen[0], twin[0]};
  }

  LiveWeights weights;
  std::uint64_t step = 5;
  MemoryTransport transport;
  Neighbours neighbours;
  ExchangeLoop loop;
};

class ExchangeScene : public testing::Test {
 protected:
  // Each side has a rule of its own, as its state is one node's.
  void Make(std::unique_ptr<mixing::Rule> at_a,
            std::unique_ptr<mixing::Rule> at_b = nullptr) {
    rule_a_ = std::move(at_a);
    rule_b_ =
        at_b ? std::move(at_b)
             : mixing::MakeRule(*mixing::ParseRule(rule_a_->name()),
                                {.momentum = rule_a_->habits().has_twin
                                                 ? mixing::Momentum::kAcid
                                                 : mixing::Momentum::kOff});
    a = std::make_unique<LoopSide>(io, "a", "b", *rule_a_, 0, options);
    b = std::make_unique<LoopSide>(io, "b", "a", *rule_b_, 8, options);
    a->transport.peer = &b->loop;
    b->transport.peer = &a->loop;
  }

  // Only a asks; b answers.
  void StartAsking() {
    Answers(*b);
    a->loop.Start();
  }
  static void Answers(LoopSide& side) {
    side.neighbours.Update({}, transport::Clock::now());
    side.loop.Start();
  }

  void RunFor(std::chrono::milliseconds time) { io.run_for(time); }
  static ExchangeCounters Of(const LoopSide& side, const std::string& peer) {
    const auto found = side.loop.counters().find(peer);
    return found == side.loop.counters().end() ? ExchangeCounters{}
                                               : found->second;
  }
  // A busy machine takes longer than the clock of the exchange.
  template <typename Condition>
  void RunUntil(Condition condition) {
    const auto end = transport::Clock::now() + std::chrono::seconds(5);
    while (!condition() && transport::Clock::now() < end)
      RunFor(std::chrono::milliseconds(5));
  }

  ExchangeOptions options{.interval = Duration(std::chrono::milliseconds(2)),
                          .deadline = transport::Milliseconds(50)};
  boost::asio::io_context io;
  // run_for lasts its time, even while only the worker has something to do.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      open_ = boost::asio::make_work_guard(io);
  std::unique_ptr<mixing::Rule> rule_a_, rule_b_;
  std::unique_ptr<LoopSide> a, b;
};

}  // namespace hearsay::daemon
