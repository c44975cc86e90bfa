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
// round: others may have heard the last word before it.
//
// Threads: all on the network thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "transport/collective/collective.h"
#include "transport/collective/live_group.h"
#include "transport/collective/network.h"

namespace hearsay::transport::collective {

class LiveCollectives final : public Collectives, public PieceSink {
 public:
  struct Limits {
    std::size_t array_bytes = 0;    // of the longest array
    std::size_t largest_piece = 0;  // that the network carries
  };

  // `results`: see LiveGroup. Requires: `network` outlives it and its groups'
  // last use.
  LiveCollectives(Network& network, std::shared_ptr<BufferPool> results,
                  std::string self, Limits limits);
  ~LiveCollectives() override;

  void Form(const std::string& name, const Terms& terms, Milliseconds limit,
            std::function<void(Result<std::shared_ptr<Group>>)> done) override;

  // What the network hears.
  void OnProposal(const std::string& from, const RoundProposal& proposal);
  void OnVerdict(const std::string& from, const RoundVerdict& verdict);
  std::optional<Place> OnPiece(const std::string& from, const RoundPiece& piece,
                               std::size_t length) override;
  void OnPlaced(const std::string& from, const RoundPiece& piece,
                bool ok) override;
  // No longer connected with it.
  void Lose(const std::string& member, const std::string& reason);

  // To be called often while busy(): limits are looked at here.
  void OnTime(Clock::time_point now);
  // A group is being formed, or exists.
  bool busy() const { return !forming_.empty() || !groups_.empty(); }
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
  };
  struct Held {
    RoundProposal proposal;
    Clock::time_point until;
  };

  void CheckTerms(const std::string& name, const Terms& terms) const;
  void Complete(Terms& terms) const;
  void Propose(const std::string& name, Forming& forming, Milliseconds limit);
  void Judge(const std::string& name, Forming& forming,
             const RoundProposal& proposal);
  void OnAccepted(const std::string& name, const std::string& from);
  void Refuse(const RoundProposal& proposal, const std::string& reason);
  // The forming of `name` is over.
  void Fail(const std::string& name, const Error& why);
  void Succeed(const std::string& name);
  void TellAll(const LiveGroup& group, const RoundVerdict& verdict);
  std::shared_ptr<LiveGroup> Find(std::uint64_t id);

  Network& network_;
  const std::shared_ptr<BufferPool> results_;
  const std::string self_;
  const Limits limits_;
  std::random_device random_;
  std::map<std::string, Forming> forming_;  // By name.
  std::map<std::string, Held> held_;        // By name.
  // Weak: the callers own them. Those that are forming are in forming_.
  std::map<std::uint64_t, std::weak_ptr<LiveGroup>> groups_;
  bool closed_ = false;
};

}  // namespace hearsay::transport::collective
