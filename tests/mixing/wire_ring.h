// Nodes on a ring that exchange by a wire format, with delay and loss: what the
// daemon's exchange loop does, without a clock. Live weights are double, so
// that what is seen is the format's rounding and not the weights' own.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "daemon/mixing/wire.h"

namespace hearsay::mixing {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;
using Bytes = std::vector<std::byte>;

inline Floats Rounded(const Doubles& values) {
  return {values.begin(), values.end()};
}

class WireRing {
 public:
  enum class Fate { kArrives, kAskIsLost, kAnswerIsLost };

  // `make` gives each node a format of its own; `seed` is of its rounding.
  template <typename Make>
  WireRing(std::vector<Doubles> start, Make make, std::uint64_t seed = 1)
      : w_(std::move(start)) {
    for (std::size_t i = 0; i < w_.size(); ++i) {
      formats_.push_back(make());
      randoms_.emplace_back(1000 * seed + i);
    }
    memories_.resize(w_.size());
  }

  std::size_t nodes() const { return w_.size(); }
  std::size_t size() const { return w_[0].size(); }
  std::vector<Doubles>& w() { return w_; }

  // Node i asks its successor, which answers at once; the answer is there after
  // `delay` more exchanges.
  void Exchange(std::size_t i, Fate fate = Fate::kArrives, int delay = 0) {
    const std::size_t j = (i + 1) % nodes();
    Flight flight{i, Rounded(w_[i]), {}, {}, {}, now_ + delay};
    flight.ask.resize(formats_[i]->Bytes(size()));
    formats_[i]->EncodeAsk(flight.mine, memories_[i], randoms_[i], flight.ask);
    EXPECT_FALSE(formats_[i]->Decode(flight.ask, flight.mine));
    if (fate != Fate::kAskIsLost) {
      Answer(j, flight);
      if (fate == Fate::kArrives)
        flying_.push_back(std::move(flight));
      else
        for (std::size_t k = 0; k < size(); ++k)
          one_sided_[k] += static_cast<double>(flight.correction[k]);
    }
    ++now_;
    Land(now_);
  }
  void LandAll() { Land(now_ + 1000000); }

  // Of all nodes, without the corrections whose counterpart was lost.
  double Mean(std::size_t k) const {
    double sum = -one_sided_[k];
    for (const auto& node : w_) sum += node[k];
    return sum / static_cast<double>(nodes());
  }
  // Mean over nodes and weights of the squared distance to the nodes' mean.
  double Variance() const {
    double total = 0;
    for (std::size_t k = 0; k < size(); ++k) {
      double sum = 0, squares = 0;
      for (const auto& node : w_) sum += node[k];
      const double mean = sum / static_cast<double>(nodes());
      for (const auto& node : w_)
        squares += (node[k] - mean) * (node[k] - mean);
      total += squares;
    }
    return total / static_cast<double>(nodes() * size());
  }

 private:
  struct Flight {
    std::size_t to;
    Floats mine;  // of `to`, as decoded
    Bytes ask, answer;
    Floats correction;  // that the other end has made
    int due;
  };

  static constexpr float kGain = 0.5F;

  Floats Correct(std::size_t node, const Floats& theirs, const Floats& mine) {
    Floats correction(size());
    for (std::size_t k = 0; k < size(); ++k) {
      correction[k] = kGain * (theirs[k] - mine[k]);
      w_[node][k] += static_cast<double>(correction[k]);
    }
    return correction;
  }

  void Answer(std::size_t j, Flight& flight) {
    Floats theirs(size());
    Floats mine = Rounded(w_[j]);
    ASSERT_FALSE(formats_[j]->Decode(flight.ask, theirs));
    flight.answer.resize(flight.ask.size());
    ASSERT_FALSE(formats_[j]->EncodeAnswer(flight.ask, mine, randoms_[j],
                                           flight.answer));
    ASSERT_FALSE(formats_[j]->Decode(flight.answer, mine));
    flight.correction = Correct(j, theirs, mine);
  }

  void Land(int now) {
    for (std::size_t at = flying_.size(); at-- > 0;) {
      if (flying_[at].due >= now) continue;
      const Flight flight = std::move(flying_[at]);
      flying_.erase(flying_.begin() + static_cast<std::ptrdiff_t>(at));
      const std::size_t i = flight.to;
      Floats theirs(size());
      ASSERT_FALSE(formats_[i]->DecodeAnswer(flight.ask, flight.answer,
                                             memories_[i], theirs));
      const Floats correction = Correct(i, theirs, flight.mine);
      for (std::size_t k = 0; k < size(); ++k)
        ASSERT_EQ(correction[k], -flight.correction[k]) << "not opposite";
    }
  }

  std::vector<Doubles> w_;
  std::vector<std::unique_ptr<WireFormat>> formats_;
  std::vector<Random> randoms_;
  std::vector<Memory> memories_;
  std::deque<Flight> flying_;
  Doubles one_sided_ = Doubles(w_[0].size());
  int now_ = 0;
};

inline std::vector<Doubles> RandomStart(std::size_t nodes, std::size_t size,
                                        std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<Doubles> start(nodes, Doubles(size));
  for (auto& node : start)
    for (double& w : node) w = normal(random);
  return start;
}

}  // namespace hearsay::mixing
