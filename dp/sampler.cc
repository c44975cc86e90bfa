#include "dp/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>

namespace hearsay::dp {
namespace {

constexpr std::size_t kBlock = 4096;  // rows, a random byte each
constexpr std::size_t kStride = 16;   // of them are passed over at once
constexpr std::size_t kWords = 256;
constexpr int kRestBits = 56;
constexpr std::uint64_t kRest = (std::uint64_t{1} << kRestBits) - 1;

// Room for the batches of 1e15 steps: the mean and eight standard deviations.
std::size_t UsualMost(std::size_t size, double rate) {
  const double mean = static_cast<double>(size) * rate;
  const double most = mean + 8 * std::sqrt(mean) + 64;
  return std::min(size, static_cast<std::size_t>(most));
}

}  // namespace

PoissonSampler::PoissonSampler(double sample_rate)
    : always_(sample_rate == 1), bytes_(kBlock), words_(kWords) {
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
  next_word_ = words_.size();  // Nothing of an earlier step.
  for (std::size_t first = 0; first < size; first += kBlock) {
    const std::size_t count = std::min(kBlock, size - first);
    random.Fill(std::as_writable_bytes(std::span(bytes_).first(count)));
    for (std::size_t at = 0; at < count; at += kStride) {
      const auto some =
          std::span(bytes_).subspan(at, std::min(kStride, count - at));
      if (!NoneIsIn(some)) Take(some, first + at, random, rows);
    }
  }
}

// A row's number is in if its 64 random bits are below the threshold. Its first
// eight decide nearly always.
bool PoissonSampler::NoneIsIn(std::span<const std::uint8_t> firsts) const {
  const auto most = static_cast<std::uint8_t>(threshold_ >> kRestBits);
  std::uint8_t least = 255;
  for (const std::uint8_t byte : firsts) least = std::min(least, byte);
  return least > most;
}

void PoissonSampler::Take(std::span<const std::uint8_t> firsts, std::size_t row,
                          SecureRandom& random,
                          std::vector<std::uint32_t>& rows) {
  const std::uint64_t most = threshold_ >> kRestBits;
  for (const std::uint8_t byte : firsts) {
    if (byte < most ||
        (byte == most && (NextWord(random) & kRest) < (threshold_ & kRest)) ||
        always_)
      rows.push_back(static_cast<std::uint32_t>(row));
    ++row;
  }
}

std::uint64_t PoissonSampler::NextWord(SecureRandom& random) {
  if (next_word_ == words_.size()) {
    random.Fill(std::span(words_));
    next_word_ = 0;
  }
  return words_[next_word_++];
}

}  // namespace hearsay::dp
