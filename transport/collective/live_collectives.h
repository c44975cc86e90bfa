// How groups are formed, and where the pieces that come belong.
//
//   first member                         each other
//   RoundProposal       ---->            compares it with what its own caller
//                       <----            has asked for: RoundVerdict
//   RoundVerdict        ---->            all have accepted: the group is there,
//                                        or why it is not
//
// A proposal that comes before the caller here has asked waits for it, as long
// as its limit says. Who has accepted takes pieces, within the bounds of a
// round: others may have heard the last word before it. Who waits says it again
// now and then: words are lost when one control connection replaces another.
//
// Threads: all on the network thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "transport/collective/collective.h"
#include "transport/collective/live_group.h"
#include "transport/collective/network.h"
#include "transport/collective/terms.h"

namespace hearsay::transport::collective {

class LiveCollectives final : public Collectives, public PieceSink {
 public:
  using Limits = TermsLimits;

  // Requires: `network` outlives it.
  LiveCollectives(Network& network, std::string self, Limits limits);
  // Groups that are left do nothing more; no `done` is called.
  ~LiveCollectives() override;

  void Form(const std::string& name, const Terms& terms, Milliseconds limit,
            std::function<void(Result<std::shared_ptr<Group>>)> done) override;

  void OnProposed(
      std::function<void(const std::string&, const std::vector<std::string>&)>
          told) override {
    told_ = std::move(told);
  }

  // What the network hears.
  void OnMessage(const std::string& from, const RoundMessage& message);
  std::optional<Place> OnPiece(const std::string& from, const RoundPiece& piece,
                               std::size_t length) override;
  void OnPlaced(const std::string& from, const RoundPiece& piece,
                bool ok) override;
  // No longer connected with it.
  void Lose(const std::string& member, const std::string& reason);

  // To be called often while busy(): limits are looked at here.
  void OnTime(Clock::time_point now);
  // A group is being formed, or runs a round.
  bool busy() const;
  // Everything ends with kClosed, and the network is not used any more.
  void Close();

 private:
  using FormDone = std::function<void(Result<std::shared_ptr<Group>>)>;
  struct Forming {
    Terms terms;
    Clock::time_point until;
    FormDone done;
    std::shared_ptr<LiveGroup> group;  // once proposed or accepted
    std::vector<bool> accepted;        // by rank; the first member's
    Clock::time_point again;           // say it again
  };
  struct Held {
    RoundProposal proposal;
    Clock::time_point until;
  };

  void OnProposal(const std::string& from, const RoundProposal& proposal);
  void OnVerdict(const std::string& from, const RoundVerdict& verdict);
  using FormingMap = std::map<std::string, Forming>;
  void Complete(Terms& terms) const;
  void Propose(const std::string& name, Forming& forming);
  // Says what this node has said, to those that have not answered. Nothing, or
  // who is not connected.
  std::optional<std::string> Say(const std::string& name, Forming& forming);
  void Judge(const std::string& name, Forming& forming,
             const RoundProposal& proposal);
  bool Accept(const std::string& first, std::uint64_t id);
  FormingMap::iterator FindForming(std::uint64_t id);
  void OnAccepted(std::uint64_t id, const std::string& from);
  void Refuse(const std::string& from, const RoundProposal& proposal,
              const std::string& reason);
  // The forming of `name` is over.
  void Fail(std::string name, const Error& why);
  void Succeed(const std::string& name);
  void TellAll(const LiveGroup& group, const RoundVerdict& verdict);
  std::shared_ptr<LiveGroup> Find(std::uint64_t id);

  Network& network_;
  const std::string self_;
  const Limits limits_;
  std::function<void(const std::string&, const std::vector<std::string>&)>
      told_;
  std::random_device random_;
  FormingMap forming_;  // By name.
  // By proposer and name.
  std::map<std::pair<std::string, std::string>, Held> held_;
  // Weak: the callers own them. Those that are forming are in forming_.
  std::map<std::uint64_t, std::weak_ptr<LiveGroup>> groups_;
  bool closed_ = false;
};

}  // namespace hearsay::transport::collective
