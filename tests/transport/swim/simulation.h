// A cluster of Swims in virtual time: messages take a moment or get lost, nodes
// crash, freeze, are slow, links are cut. The same seed gives the same run.
//
// Connections are modelled as TCP's: a cut link swallows what is sent until the
// connection is given up, then sending fails, and a healed link reconnects.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <queue>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "transport/swim/swim.h"

namespace hearsay::transport::swim {

class Simulation {
 public:
  struct Options {
    int nodes = 8;
    Settings settings{};
    std::uint64_t seed = 1;
    Milliseconds heartbeat{250};  // 0: none, gossip goes with probes only
    Milliseconds give_up{3000};   // connections on which nothing arrives
    Milliseconds reconnect{200};  // after a link is there again
    double loss = 0;              // of every message
  };
  struct Verdict {
    Milliseconds at;
    int by;
    std::string of;
    State state;
  };

  explicit Simulation(const Options& options)
      : options_(options), random_(options.seed) {
    for (int i = 0; i < options.nodes; ++i) {
      nodes_.push_back(std::make_unique<Node>(*this, i));
      Start(i, MakeLife(1000, static_cast<std::uint64_t>(i)));
    }
  }

  static std::string Name(int i) {
    return "n" + std::string(i < 10 ? "0" : "") + std::to_string(i);
  }
  Swim& operator[](int i) { return *Of(i).swim; }
  Milliseconds now() const { return now_; }
  const std::vector<Verdict>& verdicts() const { return verdicts_; }
  std::mt19937_64& random() { return random_; }

  // A new process under the node's name.
  void Start(int i, std::uint64_t life, const std::string& address = {}) {
    Node& node = Of(i);
    node.address = address.empty() ? Name(i) + ":1" : address;
    node.life = life;
    node.swim = std::make_unique<Swim>(
        options_.settings,
        Record{.node = Name(i),
               .address = node.address,
               .life = life,
               .incarnation = 0,
               .state = State::kAlive,
               .said_by = Name(i)},
        options_.seed + static_cast<std::uint64_t>(i), node);
    node.running = true;
    node.frozen_until = Milliseconds(0);
  }
  // The kernel closes its connections.
  void Kill(int i) {
    Of(i).running = false;
    for (int j = 0; j < size(); ++j) Disconnect(i, j);
  }
  // Silent, and its connections stay.
  void Vanish(int i) { Of(i).running = false; }
  void Leave(int i) {
    Of(i).swim->Leave();
    Of(i).running = false;
    for (int j = 0; j < size(); ++j) {
      if (j != i && Of(j).running && Connected(i, j))
        Of(j).swim->OnLeft(Name(i), Time());
      edges_.erase(Edge(i, j));
    }
  }
  // Neither reads nor ticks, for so long.
  void Freeze(int i, Milliseconds span) { Of(i).frozen_until = now_ + span; }
  // Its timers run, but what it sends and receives waits, for so long.
  void Block(int i, Milliseconds span) { Of(i).blocked_until = now_ + span; }
  // What `from` sends does not arrive at `to`.
  void Cut(int from, int to) { cut_.insert({from, to}); }
  void CutBoth(int i, int j) { Cut(i, j), Cut(j, i); }
  void Heal() { cut_.clear(); }

  void Run(Milliseconds span, const std::function<void()>& each = {}) {
    const auto until = now_ + span;
    while (now_ < until) {
      now_ += kStep;
      if (each) each();
      KeepConnections();
      Deliver();
      for (auto& node : nodes_) {
        if (!node->running || node->frozen_until > now_) continue;
        node->swim->Tick(Time());
        Beat(*node);
      }
    }
  }
  // False if it did not come true within `limit` of virtual time.
  bool RunUntil(const std::function<bool()>& condition, Milliseconds limit) {
    for (const auto until = now_ + limit; now_ < until; Run(kStep))
      if (condition()) return true;
    return condition();
  }

  State StateAt(int by, int of) {
    const Member* member = Of(by).swim->Find(Name(of));
    return member == nullptr ? State::kLeft : member->record.state;
  }
  // Every running node holds every running node alive.
  bool AllAlive() {
    for (int i = 0; i < size(); ++i)
      for (int j = 0; j < size(); ++j)
        if (i != j && Of(i).running && Of(j).running &&
            StateAt(i, j) != State::kAlive)
          return false;
    return true;
  }
  bool AllSay(int of, State state) {
    for (int i = 0; i < size(); ++i)
      if (i != of && Of(i).running && StateAt(i, of) != state) return false;
    return true;
  }
  std::size_t Count(State state,
                    const std::function<bool(const Verdict&)>& of) {
    std::size_t count = 0;
    for (const auto& verdict : verdicts_)
      if (verdict.state == state && of(verdict)) ++count;
    return count;
  }
  void ForgetVerdicts() { verdicts_.clear(); }
  int size() const { return static_cast<int>(nodes_.size()); }

 private:
  static constexpr Milliseconds kStep{10};

  struct Node final : Swim::World {
    Node(Simulation& simulation, int number)
        : simulation_of(simulation), index(number) {}
    bool Send(const std::string& to, Message message) override {
      return simulation_of.Transmit(index, std::stoi(to.substr(1)),
                                    std::move(message), false);
    }
    void OnVerdict(const Member& member) override {
      simulation_of.verdicts_.push_back(
          {simulation_of.now_, index, member.record.node, member.record.state});
    }
    void OnRefuted() override { next_beat = Milliseconds(0); }

    Simulation& simulation_of;
    int index;
    std::unique_ptr<Swim> swim;
    std::string address;
    std::uint64_t life = 0;
    bool running = false;
    Milliseconds frozen_until{0};
    Milliseconds blocked_until{0};
    Milliseconds next_beat{0};
  };
  struct Packet {
    Milliseconds at;
    std::uint64_t order;
    int from;
    int to;
    bool heartbeat;
    Message message;
    bool operator>(const Packet& other) const {
      return std::pair(at, order) > std::pair(other.at, other.order);
    }
  };

  Node& Of(int i) { return *nodes_.at(static_cast<std::size_t>(i)); }
  Clock::time_point Time() const {
    return Clock::time_point() + std::chrono::hours(1) + now_;
  }
  static std::pair<int, int> Edge(int i, int j) {
    return {std::min(i, j), std::max(i, j)};
  }
  bool Connected(int i, int j) const { return edges_.contains(Edge(i, j)); }
  bool Linked(int i, int j) const {
    return !cut_.contains({i, j}) && !cut_.contains({j, i});
  }

  void Disconnect(int i, int j) {
    if (edges_.erase(Edge(i, j)) == 0) return;
    if (Of(i).running) Of(i).swim->OnCut(Name(j), Time());
    if (Of(j).running) Of(j).swim->OnCut(Name(i), Time());
  }

  // TCP needs both directions.
  void KeepConnections() {
    for (int i = 0; i < size(); ++i) {
      for (int j = i + 1; j < size(); ++j) {
        const auto edge = Edge(i, j);
        if (Linked(i, j)) {
          unlinked_since_.erase(edge);
          const bool both = Of(i).running && Of(j).running &&
                            Of(i).frozen_until <= now_ &&
                            Of(j).frozen_until <= now_;
          if (!both || Connected(i, j)) {
            linked_since_.erase(edge);
          } else if (now_ -
                         linked_since_.try_emplace(edge, now_).first->second >=
                     options_.reconnect) {
            edges_.insert(edge);
            Of(i).swim->OnConnected(Name(j), Of(j).address, Of(j).life, Time());
            Of(j).swim->OnConnected(Name(i), Of(i).address, Of(i).life, Time());
            Of(i).next_beat = Of(j).next_beat = Milliseconds(0);
          }
        } else if (now_ -
                       unlinked_since_.try_emplace(edge, now_).first->second >=
                   options_.give_up) {
          Disconnect(i, j);
        }
      }
    }
  }

  bool Transmit(int from, int to, Message message, bool heartbeat) {
    if (!Connected(from, to)) return false;
    std::uniform_real_distribution<double> uniform;
    const bool lost = uniform(random_) < options_.loss || !Linked(from, to);
    if (!lost)
      packets_.push({now_ + Milliseconds(1 + random_() % 10), ++sent_, from, to,
                     heartbeat, std::move(message)});
    return true;
  }

  void Deliver() {
    std::vector<Packet> held;
    while (!packets_.empty() && packets_.top().at <= now_) {
      Packet packet = packets_.top();
      packets_.pop();
      Node& node = Of(packet.to);
      if (!node.running) continue;
      const auto waits = std::max({node.frozen_until, node.blocked_until,
                                   Of(packet.from).blocked_until});
      if (waits > now_) {  // In a socket.
        packet.at = waits;
        held.push_back(std::move(packet));
      } else if (packet.heartbeat) {
        node.swim->Learn(packet.message.updates, Time());
      } else {
        node.swim->Receive(Name(packet.from), packet.message, Time());
      }
    }
    for (auto& packet : held) packets_.push(std::move(packet));
  }

  void Beat(Node& node) {
    if (options_.heartbeat.count() == 0 || now_ < node.next_beat) return;
    node.next_beat = now_ + options_.heartbeat;
    for (int j = 0; j < size(); ++j)
      if (j != node.index && Connected(node.index, j))
        Transmit(node.index, j,
                 {.kind = Message::Kind::kPing,
                  .probe = 0,
                  .target = {},
                  .updates = node.swim->Updates(Name(j), 16)},
                 true);
  }

  const Options options_;
  std::mt19937_64 random_;
  Milliseconds now_{0};
  std::vector<std::unique_ptr<Node>> nodes_;
  std::set<std::pair<int, int>> edges_;
  std::set<std::pair<int, int>> cut_;
  std::map<std::pair<int, int>, Milliseconds> linked_since_;
  std::map<std::pair<int, int>, Milliseconds> unlinked_since_;
  std::priority_queue<Packet, std::vector<Packet>, std::greater<>> packets_;
  std::uint64_t sent_ = 0;
  std::vector<Verdict> verdicts_;
};

}  // namespace hearsay::transport::swim
