// A ledger's mark: where it stands, in words that may leave the node. Members
// keep the highest mark of each other, so that a ledger which was put back in
// time (with its checkpoints, or the disk that both were on) is noticed when
// its node comes back.
//
// Egress class: public. A mark is a count of records and hashes that tell
// nothing to whoever does not know the 128 random bits of the ledger's id,
// which never leave the node; `data_set` and `seal` are made under the node's
// own secret, without which nobody can test a guess of what the data are. That
// a node changed its data set can be seen.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "dp/ledger.h"

namespace hearsay::daemon {

// Texts are raw bytes, of kMarkBytes, or none.
inline constexpr std::size_t kMarkBytes = 16;

struct LedgerMark {
  std::string ledger;    // of its id
  std::string data_set;  // "" of a node without a secret
  std::uint64_t sequence = 0;
  std::string hash;  // of that record
  std::string seal;  // by the node itself, over the rest; "" without a secret

  bool operator==(const LedgerMark&) const = default;
};

// Of the right sizes. What it says is only believed by its own node.
bool IsWellFormed(const LedgerMark& mark);

// One node's own marks: makes them, and knows them again. Threads: one at a
// time, if `hash_at` allows it.
class MarkMaker {
 public:
  struct Ledger {
    std::string node;
    std::string id;
    std::string data_set;  // private
    std::function<std::optional<std::string>(std::uint64_t)> hash_at;
  };
  // `secret`: the node's alone, and the same after a restart; "" if there is
  // none. Then a mark cannot be told from a lie, and a new ledger of the same
  // data set not from one of another data set.
  MarkMaker(Ledger ledger, const std::string& secret);

  const std::string& node() const { return ledger_.node; }
  LedgerMark At(const dp::LedgerPosition& position) const;

  enum class Verdict {
    kAgrees,   // or is of another data set
    kForeign,  // not sealed by this node's present secret, and disagrees
    // The ledger once held this very record, and no longer does.
    kRolledBack,
    kOtherLedger,  // the data set had another ledger
  };
  // Of what another member remembers of this node.
  Verdict Compare(const LedgerMark& mark) const;

 private:
  std::string SealOf(const LedgerMark& mark) const;

  const Ledger ledger_;
  const std::string secret_;
  const std::string label_;     // of the ledger's id
  const std::string data_set_;  // of the data set's name, or ""
};

}  // namespace hearsay::daemon
