#include "daemon/mixing/difference.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "daemon/mixing/vet.h"

namespace hearsay::mixing {

Difference::Difference(std::span<float> theirs, std::span<const float> mine,
                       Distance distance)
    : theirs_(theirs),
      mine_(mine),
      wants_distance_(distance == Distance::kWanted),
      made_((theirs.size() + kVetBlock - 1) / kVetBlock),
      squares_(wants_distance_ ? made_.size() : 0) {
  assert(theirs.size() == mine.size());
}

void Difference::Make(std::size_t begin, std::size_t end) {
  const std::size_t size = theirs_.size();
  const std::size_t last = end >= size ? made_.size() : end / kVetBlock;
  for (std::size_t block = (begin + kVetBlock - 1) / kVetBlock; block < last;
       ++block)
    if (!made_[block]) MakeBlock(block);
}

void Difference::MakeRest() { Make(0, theirs_.size()); }

// Three loops over what the first has brought into the innermost cache.
void Difference::MakeBlock(std::size_t block) {
  const std::size_t begin = block * kVetBlock;
  const std::size_t size = std::min(kVetBlock, theirs_.size() - begin);
  const auto theirs = theirs_.subspan(begin, size);
  const auto mine = mine_.subspan(begin, size);
  finite_ = AllFinite(theirs) && finite_;
  if (wants_distance_) squares_[block] = BlockSquares(theirs, mine);
  float* a = theirs.data();
  const float* b = mine.data();
  for (std::size_t i = 0; i < size; ++i) a[i] -= b[i];
  made_[block] = true;
}

double Difference::distance() const {
  double sum = 0;
  for (const double squares : squares_) sum += squares;
  return std::sqrt(sum);
}

}  // namespace hearsay::mixing
