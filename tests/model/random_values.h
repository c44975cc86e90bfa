// Floats of ordinary sizes, from a seed.
#pragma once

#include <cstddef>
#include <random>
#include <vector>

namespace hearsay::model {

using Values = std::vector<float>;

inline Values Random(std::size_t n, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  Values values(n);
  for (float& value : values) value = normal(engine);
  return values;
}

}  // namespace hearsay::model
