#include "dp/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

namespace hearsay::dp {
namespace {

constexpr std::size_t kBlockWords = 4096;

// Room for the batches of 1e15 steps: the mean and eight standard deviations.
std::size_t UsualMost(std::size_t size, double rate) {
  const double mean = static_cast<double>(size) * rate;
  const double most = mean + 8 * std::sqrt(mean) + 64;
  return std::min(size, static_cast<std::size_t>(most));
}

}  // namespace

PoissonSampler::PoissonSampler(double sample_rate)
    : always_(sample_rate == 1), words_(kBlockWords) {
  if (!(sample_rate >= 0 && sample_rate <= 1))
    throw std::invalid_argument("sample rate " + std::to_string(sample_rate) +
                                " is not in [0, 1]");
  // Rounded up, so that the rate accounted for is never below the one used. A
  // rate of 2^-11 or more is a multiple of 2^-64 already, and a smaller one has
  // fewer bits than a double after rounding, so all of this is exact.
  const double scaled = std::ceil(std::ldexp(sample_rate, 64));
  threshold_ = always_ ? std::numeric_limits<std::uint64_t>::max()
                       : static_cast<std::uint64_t>(scaled);
  effective_rate_ = std::ldexp(scaled, -64);
}

void PoissonSampler::Sample(std::size_t size, SecureRandom& random,
                            std::vector<std::uint32_t>& rows) {
  if (size > std::size_t{std::numeric_limits<std::uint32_t>::max()} + 1)
    throw std::invalid_argument("a shard of more than 2^32 rows");
  rows.clear();
  rows.reserve(UsualMost(size, effective_rate_));
  for (std::size_t first = 0; first < size; first += kBlockWords) {
    const std::size_t count = std::min(kBlockWords, size - first);
    random.Fill(std::span(words_).first(count));
    for (std::size_t i = 0; i < count; ++i)
      if (words_[i] < threshold_ || always_)
        rows.push_back(static_cast<std::uint32_t>(first + i));
  }
}

}  // namespace hearsay::dp
