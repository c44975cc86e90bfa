// What one node sees of another through the exchanges alone: information, never
// a claim. The claim is what holds if everybody colludes (privacy.md 1).
//
// As long as nodes only add noised gradients and average, all that a viewer
// hears is a linear map of the noised gradients of the others: their sum with
// the noise. Of a node's gradients it learns what the projection onto the rows
// of that map leaves of them, so that projection's block, one row a round, is
// the exact loss of the pair: the identity where the viewer can solve for every
// noised gradient, zero where it hears nothing.
//
// Pure. Sources: Cyffers, Even, Bellet, Massoulie 2022, arXiv:2206.05091
// (pairwise network privacy; their sum counts each message by itself); Koskela,
// Kulkarni 2025, arXiv:2505.19969 (the view as one linear system).
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "daemon/mixing/topology.h"

namespace hearsay::ops {

// Rounds in step: every node adds its noised gradients, then all exchanges are
// of the weights as they are then.
struct MixingRecord {
  std::size_t nodes = 0;
  bool both_move = true;  // pairwise; else the asker alone hears and moves
  // Of each node's updates: v = momentum v + g, and v, or g + momentum v.
  double momentum = 0;
  bool nesterov = false;
  // The rounds with gradients and noise; only averaging after them.
  std::size_t noisy_rounds = 0;
  std::vector<std::vector<std::pair<std::size_t, std::size_t>>>
      rounds;  // who asks whom
};

// As the topology has it, noise in each round.
MixingRecord MixingRecordOf(mixing::TopologyKind kind, std::size_t nodes,
                            std::size_t rounds, bool both_move);

// The work is about (nodes * noisy rounds) * (messages heard)^2.
inline constexpr std::size_t kMostUnknowns = 4096;
inline constexpr std::size_t kMostHeard = 512;

class NetworkView {
 public:
  // Requires: viewer < nodes, exchanges among the nodes, nobody with itself,
  // noisy_rounds <= rounds. Throws: std::invalid_argument (those; beyond
  // kMostUnknowns or kMostHeard).
  NetworkView(const MixingRecord& record, std::size_t viewer);

  // Of `node`'s gradients: element [s][t] of the projection, s and t rounds.
  // Requires: node != viewer.
  std::vector<std::vector<double>> Seen(std::size_t node) const;

  // No record of `node` loses more to the viewer than if it saw the gradients
  // of round t under noise that is 1 / sqrt(share[t]) times as large, each by
  // itself, whichever rounds the record is in. In [0, 1]; 1 hides nothing.
  std::vector<double> Shares(std::size_t node) const;

  // The sum of Cyffers et al., Theorem 1, of a gradient of round 0: the squared
  // length of what messages show of it, each by itself, over their noise. As
  // the theorem has it the viewer's own noise hides too. No bound on what the
  // messages tell together: see ops/decisions/0023.
  double MessageByMessage(std::size_t node) const;

  std::size_t heard() const { return heard_.size(); }

 private:
  std::size_t Column(std::size_t node, std::size_t round) const {
    return node * noisy_rounds_ + round;
  }

  std::size_t nodes_;
  std::size_t noisy_rounds_;
  std::size_t viewer_;
  std::vector<std::vector<double>> heard_;  // a message each, all columns
  std::vector<std::vector<double>> basis_;  // without the viewer's own
};

// How many exchanges what `node` has takes to reach each of the others at
// least; nodes + 1: never.
std::vector<std::size_t> DistancesFrom(const MixingRecord& record,
                                       std::size_t node);

}  // namespace hearsay::ops
