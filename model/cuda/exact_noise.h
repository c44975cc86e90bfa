// Exact discrete Gaussian noise from a 256-bit key, the same on the device as
// on the host: integers x with probability proportional to exp(-x^2 / (2
// sigma^2)), by comparisons of uniform bits with rational numbers alone.
// dp/discrete_gaussian.h says why, and draws the CPU's by the same algorithm.
//
// Every element has a ChaCha20 stream of its own, under the nonce (1, its
// number), so that it does not matter who draws it when. The normals of
// model/cuda/noise.h have nonce 0: even of one key no block would serve both,
// and a key serves one step, whose noise is of one kind.
// Source: Canonne, Kamath, Steinke 2020 (arXiv:2004.00010), Algorithms 1 to 3,
// with sigma a power of two and the Laplace of the same scale.
#pragma once

#include <cstdint>

#include "model/cuda/noise.h"

// Not inlined: a block of ChaCha20 at every use would not fit the cache.
#ifdef __CUDACC__
#define HEARSAY_CALLED __host__ __device__ __noinline__
#else
#define HEARSAY_CALLED
#endif

namespace hearsay::model::cuda {

inline constexpr int kMostLogSigma = 30;

// The 64-bit words of one element's stream, in order.
class ElementStream {
 public:
  // `key` must outlive it.
  HEARSAY_ANYWHERE ElementStream(const ChaChaKey& key, std::uint64_t element)
      : key_(key),
        nonce_{{1, static_cast<std::uint32_t>(element),
                static_cast<std::uint32_t>(element >> 32)}} {}

  HEARSAY_ANYWHERE std::uint64_t Word() {
    if (next_ == kWords) Refill();
    const std::uint64_t low = words_[next_], high = words_[next_ + 1];
    next_ += 2;
    return low | high << 32;
  }

 private:
  static constexpr int kWords = 16;

  HEARSAY_CALLED void Refill() {
    ChaCha20Block(key_, nonce_, block_++, words_);
    next_ = 0;
  }

  const ChaChaKey& key_;
  const ChaChaNonce nonce_;
  std::uint32_t block_ = 0;
  int next_ = kWords;
  std::uint32_t words_[kWords];
};

// True with probability numerator / denominator < 1: a uniform number is
// compared with the fraction, 64 bits at a time until they differ.
HEARSAY_ANYWHERE bool Bernoulli(ElementStream& stream, std::uint32_t numerator,
                                std::uint32_t denominator) {
  for (;;) {
    // Two digits of 32 bits each, by long division.
    const std::uint64_t first = std::uint64_t{numerator} << 32;
    const std::uint64_t second = first % denominator << 32;
    const std::uint64_t bits = first / denominator << 32 | second / denominator;
    const std::uint64_t word = stream.Word();
    if (word != bits) return word < bits;
    numerator = static_cast<std::uint32_t>(second % denominator);
  }
}

// Where the alternating series is cut off. It gets there once in 10^213 draws.
inline constexpr std::uint32_t kLongestChain = 127;

// With probability exp(-x), x = numerator / 2^log_denominator in [0, 1): a
// chain that goes on with probability x / k at its k-th link is of odd length
// with that probability (Algorithm 1). Requires: log_denominator <= 63.
HEARSAY_CALLED inline bool BernoulliExp(ElementStream& stream,
                                        std::uint64_t numerator,
                                        int log_denominator) {
  if (numerator == 0) return true;
  // The first link: x has log_denominator bits, so 64 of them are exact.
  const std::uint64_t bits = numerator << (64 - log_denominator);
  if (stream.Word() >= bits) return true;
  for (std::uint32_t k = 2; k < kLongestChain; ++k) {
    // x / k = (bits / k + (bits % k) / k) 2^-64
    const std::uint64_t word = stream.Word();
    const std::uint64_t whole = bits / k;
    const bool goes_on =
        word != whole
            ? word < whole
            : Bernoulli(stream, static_cast<std::uint32_t>(bits % k), k);
    if (!goes_on) return k % 2 == 1;
  }
  return true;
}

HEARSAY_CALLED inline bool BernoulliExpOfOne(ElementStream& stream) {
  for (std::uint32_t k = 2; k < kLongestChain; ++k)
    if (!Bernoulli(stream, 1, k)) return k % 2 == 1;
  return true;
}

// Probability proportional to exp(-|x| / sigma) (Algorithm 2).
HEARSAY_ANYWHERE std::int64_t DiscreteLaplace(ElementStream& stream,
                                              int log_sigma) {
  for (;;) {
    const std::uint64_t low =
        log_sigma == 0 ? 0 : stream.Word() >> (64 - log_sigma);
    if (!BernoulliExp(stream, low, log_sigma)) continue;
    std::uint64_t high = 0;
    while (BernoulliExpOfOne(stream)) ++high;
    const auto size = static_cast<std::int64_t>(low + (high << log_sigma));
    const bool negative = stream.Word() >> 63 != 0;
    if (negative && size == 0) continue;  // Zero once, not twice.
    return negative ? -size : size;
  }
}

// The noise of one element, sigma = 2^log_sigma. A Laplace draw is kept with
// probability exp(-(|x| - sigma)^2 / (2 sigma^2)) (Algorithm 3, with t =
// sigma). Requires: 0 <= log_sigma <= kMostLogSigma.
HEARSAY_ANYWHERE std::int64_t DiscreteGaussianOf(const ChaChaKey& key,
                                                 std::uint64_t element,
                                                 int log_sigma) {
  __extension__ typedef unsigned __int128 Wide;
  ElementStream stream(key, element);
  const int log_twice_variance = 2 * log_sigma + 1;
  const std::int64_t sigma = std::int64_t{1} << log_sigma;
  for (;;) {
    const std::int64_t x = DiscreteLaplace(stream, log_sigma);
    const std::int64_t beyond = (x < 0 ? -x : x) - sigma;
    const auto distance =
        static_cast<std::uint64_t>(beyond < 0 ? -beyond : beyond);
    const Wide squared = Wide{distance} * distance;
    auto ones = static_cast<std::uint64_t>(squared >> log_twice_variance);
    const auto rest = static_cast<std::uint64_t>(
        squared & ((Wide{1} << log_twice_variance) - 1));
    bool keep = true;
    while (keep && ones > 0) {
      keep = BernoulliExpOfOne(stream);
      --ones;
    }
    if (keep && BernoulliExp(stream, rest, log_twice_variance)) return x;
  }
}

}  // namespace hearsay::model::cuda
