// The difference of two arrays, made in the place of the one and judged, block
// by block, in any order: so that an array can be worked on while it arrives,
// and what is left when it is whole is to say whether it is fit.
//
// The blocks' sums are added in the order of the blocks, and so are those of
// vet.h: in which pieces an array came makes no difference to the last bit.
//
// Pure. Threads: one at a time.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace hearsay::mixing {

class Difference {
 public:
  enum class Distance { kWanted, kUnwanted };

  // Shapes: equal. Both must outlive this, `mine` unchanged.
  Difference(std::span<float> theirs, std::span<const float> mine,
             Distance distance);

  // [begin, end) of `theirs` is there: its whole blocks become theirs - mine.
  void Make(std::size_t begin, std::size_t end);
  // And what is left.
  void MakeRest();

  // Requires, of all that follows: MakeRest.
  std::span<const float> span() const { return theirs_; }
  // Was `theirs`?
  bool finite() const { return finite_; }
  // Euclidean, as Distance of vet.h. Requires: wanted, finite.
  double distance() const;

 private:
  void MakeBlock(std::size_t block);

  const std::span<float> theirs_;
  const std::span<const float> mine_;
  const bool wants_distance_;
  bool finite_ = true;
  std::vector<bool> made_;       // by block
  std::vector<double> squares_;  // by block; empty if unwanted
};

}  // namespace hearsay::mixing
