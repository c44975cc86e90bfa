#include "ops/plan/network_privacy.h"

#include <Eigen/Dense>
#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>

namespace hearsay::ops {
namespace {

using Vector = std::vector<double>;

void AddTo(Vector& to, double gain, const Vector& what) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += gain * what[i];
}

void Check(const MixingRecord& record, std::size_t viewer) {
  if (viewer >= record.nodes || record.noisy_rounds > record.rounds.size())
    throw std::invalid_argument(
        "a viewer is one of the nodes, and no more rounds have noise than "
        "there are");
  for (const auto& round : record.rounds)
    for (const auto& [asker, peer] : round)
      if (asker >= record.nodes || peer >= record.nodes || asker == peer)
        throw std::invalid_argument("an exchange is between two of the nodes");
  if (record.nodes * record.noisy_rounds > kMostUnknowns)
    throw std::invalid_argument(
        std::to_string(record.nodes) + " nodes in " +
        std::to_string(record.noisy_rounds) +
        " rounds are too many for an exact view; nodes times rounds may be " +
        std::to_string(kMostUnknowns));
}

// An orthonormal basis of what the rows span.
std::vector<Vector> BasisOf(const std::vector<Vector>& rows) {
  if (rows.empty() || rows[0].empty()) return {};
  const auto size = static_cast<Eigen::Index>(rows[0].size());
  Eigen::MatrixXd columns(size, static_cast<Eigen::Index>(rows.size()));
  for (std::size_t i = 0; i < rows.size(); ++i)
    columns.col(static_cast<Eigen::Index>(i)) =
        Eigen::Map<const Eigen::VectorXd>(rows[i].data(), size);
  const Eigen::ColPivHouseholderQR<Eigen::MatrixXd> qr(columns);
  const Eigen::MatrixXd thin =
      qr.householderQ() * Eigen::MatrixXd::Identity(size, qr.rank());
  std::vector<Vector> basis;
  for (Eigen::Index i = 0; i < thin.cols(); ++i)
    basis.emplace_back(thin.col(i).data(), thin.col(i).data() + size);
  return basis;
}

}  // namespace

MixingRecord MixingRecordOf(mixing::TopologyKind kind, std::size_t nodes,
                            std::size_t rounds, bool both_move) {
  MixingRecord record{.nodes = nodes,
                      .both_move = both_move,
                      .noisy_rounds = rounds,
                      .rounds = {}};
  record.rounds.resize(rounds);
  const auto topology = mixing::MakeTopology(kind, {.count = nodes, .seed = 1});
  for (std::size_t t = 0; t < rounds; ++t)
    for (std::size_t i = 0; i < nodes; ++i)
      if (const auto peer = topology->Peer(i, t))
        record.rounds[t].emplace_back(i, *peer);
  return record;
}

NetworkView::NetworkView(const MixingRecord& record, std::size_t viewer)
    : nodes_(record.nodes),
      noisy_rounds_(record.noisy_rounds),
      viewer_(viewer) {
  Check(record, viewer);
  // Of each node: what its weights, and its momentum, are of all gradients.
  const std::size_t columns = nodes_ * noisy_rounds_;
  std::vector<Vector> weights(nodes_, Vector(columns));
  std::vector<Vector> velocity = weights;
  for (std::size_t t = 0; t < record.rounds.size(); ++t) {
    for (std::size_t i = 0; t < noisy_rounds_ && i < nodes_; ++i) {
      for (double& value : velocity[i]) value *= record.momentum;
      velocity[i][Column(i, t)] += 1;
      AddTo(weights[i], record.nesterov ? record.momentum : 1, velocity[i]);
      if (record.nesterov) weights[i][Column(i, t)] += 1;
    }
    const std::vector<Vector> before = weights;
    for (const auto& [asker, peer] : record.rounds[t]) {
      const auto hear = [&](std::size_t who, std::size_t whom) {
        if (who == viewer) heard_.push_back(before[whom]);
        AddTo(weights[who], 0.5, before[whom]);
        AddTo(weights[who], -0.5, before[who]);
      };
      hear(asker, peer);
      if (record.both_move) hear(peer, asker);
    }
    if (heard_.size() > kMostHeard)
      throw std::invalid_argument(
          "more than " + std::to_string(kMostHeard) +
          " messages to one node are too many for an exact view; look at fewer "
          "rounds");
  }
  // The viewer knows its own gradients and its own noise.
  std::vector<Vector> unknown = heard_;
  for (Vector& row : unknown)
    std::fill_n(row.begin() + static_cast<std::ptrdiff_t>(Column(viewer, 0)),
                noisy_rounds_, 0.0);
  basis_ = BasisOf(unknown);
}

std::vector<Vector> NetworkView::Seen(std::size_t node) const {
  std::vector<Vector> seen(noisy_rounds_, Vector(noisy_rounds_));
  for (const Vector& direction : basis_)
    for (std::size_t s = 0; s < noisy_rounds_; ++s)
      AddTo(seen[s], direction[Column(node, s)],
            {direction.begin() + static_cast<std::ptrdiff_t>(Column(node, 0)),
             direction.begin() +
                 static_cast<std::ptrdiff_t>(Column(node, noisy_rounds_))});
  return seen;
}

Vector NetworkView::Shares(std::size_t node) const {
  const auto seen = Seen(node);
  Vector shares;
  for (const Vector& row : seen)
    // A diagonal that dominates the rest: the difference is positive. The whole
    // is no more than the identity, as a projection's block.
    shares.push_back(std::accumulate(
        row.begin(), row.end(), 0.0,
        [](double sum, double value) { return sum + std::abs(value); }));
  // Where a row has more than 1, that diagonal may not be cut to 1 in this row
  // alone, only in all; nor is any needed above the largest eigenvalue.
  double all = 0;
  if (!seen.empty()) {
    const auto size = static_cast<Eigen::Index>(seen.size());
    Eigen::MatrixXd matrix(size, size);
    for (Eigen::Index s = 0; s < size; ++s)
      for (Eigen::Index t = 0; t < size; ++t)
        matrix(s, t) =
            seen[static_cast<std::size_t>(s)][static_cast<std::size_t>(t)];
    all = std::clamp(Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(
                         matrix, Eigen::EigenvaluesOnly)
                         .eigenvalues()
                         .maxCoeff(),
                     0.0, 1.0);
  }
  const double total = std::accumulate(shares.begin(), shares.end(), 0.0);
  if (total > all * static_cast<double>(shares.size()) ||
      *std::max_element(shares.begin(), shares.end()) > 1)
    std::fill(shares.begin(), shares.end(), all);
  return shares;
}

double NetworkView::MessageByMessage(std::size_t node) const {
  double sum = 0;
  for (const Vector& message : heard_) {
    const double length = std::inner_product(message.begin(), message.end(),
                                             message.begin(), 0.0);
    const double own = message[Column(node, 0)];
    if (length > 0) sum += own * own / length;
  }
  return sum;
}

std::vector<std::size_t> DistancesFrom(const MixingRecord& record,
                                       std::size_t node) {
  std::vector<std::size_t> distances(record.nodes, record.nodes + 1);
  distances[node] = 0;
  for (bool nearer = true; nearer;) {
    nearer = false;
    for (const auto& round : record.rounds)
      for (const auto& [asker, peer] : round) {
        const auto reach = [&](std::size_t from, std::size_t to) {
          if (distances[from] + 1 >= distances[to]) return;
          distances[to] = distances[from] + 1;
          nearer = true;
        };
        reach(peer, asker);
        if (record.both_move) reach(asker, peer);
      }
  }
  return distances;
}

}  // namespace hearsay::ops
