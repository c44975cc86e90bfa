#include "transport/collective/schedule.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace hearsay::transport::collective {
namespace {

// Part `index` of `count` elements cut into `parts`: the first have one more if
// it does not divide.
Range Segment(std::size_t count, std::size_t parts, std::size_t index) {
  const auto cut = [&](std::size_t at) {
    return count / parts * at + std::min(at, count % parts);
  };
  return {cut(index), cut(index + 1)};
}

class Builder {
 public:
  Builder(Rank n, Rank rank, std::size_t count)
      : n_(n), rank_(rank), count_(count) {}

  Schedule Ring();
  Schedule HalvingDoubling() {
    return Folded(2 * Rounds(), &Builder::HalveAndDouble);
  }
  Schedule Doubling() { return Folded(Rounds(), &Builder::Double); }
  Schedule Direct();
  Schedule Binomial();
  Schedule Chain();

 private:
  // One of the largest power of two of members, which sum among themselves.
  struct Core {
    Rank power = 0, extra = 0;
    Rank self = 0;        // among them
    bool summed = false;  // its result has its input and another's already
    Rank RankOf(Rank participant) const {
      return participant < extra ? 2 * participant + 1 : participant + extra;
    }
  };
  // `work`, of so many steps, among those; the others' inputs before, their
  // results after.
  Schedule Folded(std::uint32_t steps, void (Builder::*work)(const Core&));
  void HalveAndDouble(const Core& core);
  void Double(const Core& core);
  std::uint32_t Rounds() const {
    return static_cast<std::uint32_t>(std::bit_width(n_) - 1);
  }

  Range Part(Rank index) const { return Segment(count_, n_, index); }
  Range Whole() const { return {0, count_}; }
  void Send(std::uint32_t step, Rank to, Range range, From from) {
    if (range.size() > 0) schedule_.sends.push_back({step, to, range, from});
  }
  void Receive(std::uint32_t step, Rank from, Range range, Action action) {
    if (range.size() > 0)
      schedule_.receives.push_back({step, from, range, action});
  }

  const Rank n_;
  const Rank rank_;
  const std::size_t count_;
  Schedule schedule_;
};

// In step k of either half, segment (rank - k) moves on; in the second half,
// counted from the segment that the first has left complete here.
Schedule Builder::Ring() {
  const Rank next = (rank_ + 1) % n_;
  const Rank previous = (rank_ + n_ - 1) % n_;
  const auto back = [&](Rank from, Rank k) {
    return Part((from + n_ - k) % n_);
  };
  for (Rank k = 0; k + 1 < n_; ++k) {
    Send(k, next, back(rank_, k), k == 0 ? From::kInput : From::kResult);
    Receive(k, previous, back(previous, k), Action::kAddInput);
  }
  for (Rank k = 0; k + 1 < n_; ++k) {
    Send(n_ - 1 + k, next, back(next, k), From::kResult);
    Receive(n_ - 1 + k, previous, back(rank_, k), Action::kCopy);
  }
  return std::move(schedule_);
}

// Of the first 2 * extra ranks the even ones hand their input to their odd
// neighbour before, and get the result after.
Schedule Builder::Folded(std::uint32_t steps,
                         void (Builder::*work)(const Core&)) {
  const Rank power = std::bit_floor(n_);
  const Rank extra = n_ - power;
  const std::uint32_t last = steps + 1;
  const bool paired = rank_ < 2 * extra;
  if (paired && rank_ % 2 == 0) {
    Send(0, rank_ + 1, Whole(), From::kInput);
    Receive(last, rank_ + 1, Whole(), Action::kCopy);
    return std::move(schedule_);
  }
  if (paired) Receive(0, rank_ - 1, Whole(), Action::kAddInput);
  (this->*work)({.power = power,
                 .extra = extra,
                 .self = paired ? rank_ / 2 : rank_ - extra,
                 .summed = paired});
  if (paired) Send(last, rank_ - 1, Whole(), From::kResult);
  return std::move(schedule_);
}

void Builder::HalveAndDouble(const Core& core) {
  struct Halving {
    Rank peer;
    Range kept, given;  // in parts of the array
  };
  std::vector<Halving> halvings;
  Range held{0, core.power};
  for (Rank distance = 1; distance < core.power; distance *= 2) {
    const Range low{held.begin, held.begin + held.size() / 2};
    const Range high{low.end, held.end};
    const bool upper = (core.self & distance) != 0;
    halvings.push_back({core.RankOf(core.self ^ distance), upper ? high : low,
                        upper ? low : high});
    held = halvings.back().kept;
  }
  const auto elements = [&](const Range& parts) {
    return Range{Segment(count_, core.power, parts.begin).begin,
                 Segment(count_, core.power, parts.end - 1).end};
  };
  std::uint32_t step = 1;
  bool summed = core.summed;
  for (const auto& halving : halvings) {
    Send(step, halving.peer, elements(halving.given),
         summed ? From::kResult : From::kInput);
    Receive(step++, halving.peer, elements(halving.kept),
            summed ? Action::kAdd : Action::kAddInput);
    summed = true;
  }
  for (auto halving = halvings.rbegin(); halving != halvings.rend();
       ++halving) {
    Send(step, halving->peer, elements(halving->kept), From::kResult);
    Receive(step++, halving->peer, elements(halving->given), Action::kCopy);
  }
}

void Builder::Double(const Core& core) {
  std::uint32_t step = 1;
  bool summed = core.summed;
  for (Rank distance = 1; distance < core.power; distance *= 2) {
    const Rank peer = core.RankOf(core.self ^ distance);
    Send(step, peer, Whole(), summed ? From::kResult : From::kInput);
    Receive(step++, peer, Whole(), summed ? Action::kAdd : Action::kAddInput);
    summed = true;
  }
}

// Peers in the order rank + 1, rank + 2, ...: not everybody sends to rank 0
// first.
Schedule Builder::Direct() {
  if (n_ == 2) {
    Send(0, 1 - rank_, Whole(), From::kInput);
    Receive(0, 1 - rank_, Whole(), Action::kAddInput);
    return std::move(schedule_);
  }
  for (Rank k = 1; k < n_; ++k) {
    const Rank peer = (rank_ + k) % n_;
    Send(0, peer, Part(peer), From::kInput);
    Receive(0, peer, Part(rank_), k == 1 ? Action::kAddInput : Action::kAdd);
  }
  for (Rank k = 1; k < n_; ++k) {
    const Rank peer = (rank_ + k) % n_;
    Send(1, peer, Part(rank_), From::kResult);
    Receive(1, peer, Part(peer), Action::kCopy);
  }
  return std::move(schedule_);
}

// A rank's parent is itself without its lowest bit; the farthest child, whose
// subtree is the largest, is served first.
Schedule Builder::Binomial() {
  const auto depth = static_cast<std::uint32_t>(std::bit_width(n_ - 1));
  const std::uint32_t bit =
      rank_ == 0 ? depth : static_cast<std::uint32_t>(std::countr_zero(rank_));
  if (rank_ != 0)
    Receive(depth - 1 - bit, rank_ - (Rank{1} << bit), Whole(), Action::kCopy);
  for (std::uint32_t child = bit; child-- > 0;)
    if (rank_ + (Rank{1} << child) < n_)
      Send(depth - 1 - child, rank_ + (Rank{1} << child), Whole(),
           rank_ == 0 ? From::kInput : From::kResult);
  return std::move(schedule_);
}

Schedule Builder::Chain() {
  if (rank_ > 0) Receive(rank_ - 1, rank_ - 1, Whole(), Action::kCopy);
  if (rank_ + 1 < n_)
    Send(rank_, rank_ + 1, Whole(), rank_ == 0 ? From::kInput : From::kResult);
  return std::move(schedule_);
}

}  // namespace

std::string_view Name(Algorithm algorithm) {
  switch (algorithm) {
    case Algorithm::kRing:
      return "ring";
    case Algorithm::kHalvingDoubling:
      return "halving-doubling";
    case Algorithm::kDoubling:
      return "doubling";
    case Algorithm::kDirect:
      return "direct";
    case Algorithm::kBinomial:
      return "binomial";
    case Algorithm::kChain:
      return "chain";
  }
  return "";
}

std::optional<Algorithm> AllReduceNamed(std::string_view name) {
  for (const auto algorithm : kAllReduces)
    if (name == Name(algorithm)) return algorithm;
  return std::nullopt;
}

bool IsBroadcast(Algorithm algorithm) {
  return algorithm == Algorithm::kBinomial || algorithm == Algorithm::kChain;
}

Schedule MakeSchedule(Algorithm algorithm, Rank n, Rank rank,
                      std::size_t count) {
  assert(rank < n);
  Builder builder(n, rank, count);
  if (n == 1) return {};
  switch (algorithm) {
    case Algorithm::kRing:
      return builder.Ring();
    case Algorithm::kHalvingDoubling:
      return builder.HalvingDoubling();
    case Algorithm::kDoubling:
      return builder.Doubling();
    case Algorithm::kDirect:
      return builder.Direct();
    case Algorithm::kBinomial:
      return builder.Binomial();
    case Algorithm::kChain:
      return builder.Chain();
  }
  return {};
}

}  // namespace hearsay::transport::collective
