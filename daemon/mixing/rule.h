// A mixing rule: what an exchange carries and what each side adds.
//
// Pure: no I/O, no clock, no state shared with anybody; the daemon and the
// simulator drive the same code. An exchange of node i with its neighbour j:
//   1. i snapshots S_i, asks j (sending S_i if AskCarriesSnapshot);
//   2. j snapshots S_j, adds answer_gain * (S_i - S_j), answers with S_j;
//   3. i adds ask_gain * (S_j - S_i), whatever its weights have become.
// Both corrections are differences of snapshots of one moment, so no step is
// undone however old they are. Source: mixing.md 3.
#pragma once

#include <memory>
#include <span>
#include <string>

namespace hearsay::mixing {

class Rule {
 public:
  virtual ~Rule() = default;
  virtual std::string name() const = 0;
  // Does a node with this rule start exchanges at all?
  virtual bool Asks() const = 0;
  virtual bool AskCarriesSnapshot() const = 0;
  virtual float ask_gain() const = 0;
  // 0: the answering node adds nothing.
  virtual float answer_gain() const = 0;
  // True if the weights of the mean depend on the nodes' intervals, so that
  // all must use the same: the largest proposed in the cluster.
  virtual bool NeedsCommonInterval() const = 0;
};

// One file each.
std::unique_ptr<Rule> MakePairwise();
std::unique_ptr<Rule> MakeOneWay();
std::unique_ptr<Rule> MakeNone();

}  // namespace hearsay::mixing
