#include "dp/discrete_gaussian.h"

#include <openssl/crypto.h>

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace hearsay::dp {
namespace {

__extension__ typedef unsigned __int128 Wide;

// Where the alternating series is cut off. It gets there once in 10^213 draws.
constexpr std::uint64_t kLongest = 127;

}  // namespace

DiscreteGaussian::DiscreteGaussian(int log_sigma) : log_sigma_(log_sigma) {
  if (log_sigma < 0 || log_sigma > kMostLogSigma)
    throw std::invalid_argument("a discrete Gaussian's log sigma is 0 to " +
                                std::to_string(kMostLogSigma) + ", not " +
                                std::to_string(log_sigma));
}

void DiscreteGaussian::AddTo(SecureRandom& random,
                             std::span<std::int64_t> sum) {
  random_ = &random;
  next_ = words_.size();  // Nothing of an earlier call.
  for (std::int64_t& value : sum) value += Draw();
  // The object outlives the key; the ratchet must be the only way back.
  OPENSSL_cleanse(words_.data(), sizeof words_);
  random_ = nullptr;
}

std::uint64_t DiscreteGaussian::Word() {
  if (next_ == words_.size()) {
    random_->Fill(std::span(words_));
    next_ = 0;
  }
  return words_[next_++];
}

// True with probability numerator / denominator < 1: a uniform number is
// compared with the fraction, 64 bits at a time until they differ.
bool DiscreteGaussian::Bernoulli(std::uint64_t numerator,
                                 std::uint64_t denominator) {
  for (;;) {
    const Wide scaled = Wide{numerator} << 64;
    const auto bits = static_cast<std::uint64_t>(scaled / denominator);
    const std::uint64_t word = Word();
    if (word != bits) return word < bits;
    numerator = static_cast<std::uint64_t>(scaled % denominator);
  }
}

// With probability exp(-x), x = numerator / 2^log_denominator in [0, 1]: a
// chain that goes on with probability x / k at its k-th link is of odd length
// with that probability (Algorithm 1).
bool DiscreteGaussian::BernoulliExp(std::uint64_t numerator,
                                    int log_denominator) {
  if (numerator == 0) return true;
  if (numerator >> log_denominator != 0) return BernoulliExpOfOne();
  // The first link: x has log_denominator bits, so 64 of them are exact.
  const std::uint64_t bits = numerator << (64 - log_denominator);
  if (Word() >= bits) return true;
  for (std::uint64_t k = 2; k < kLongest; ++k) {
    // x / k = (bits / k + (bits % k) / k) 2^-64
    const std::uint64_t word = Word();
    const std::uint64_t whole = bits / k;
    const bool goes_on = word != whole ? word < whole : Bernoulli(bits % k, k);
    if (!goes_on) return k % 2 == 1;
  }
  return true;
}

bool DiscreteGaussian::BernoulliExpOfOne() {
  for (std::uint64_t k = 2; k < kLongest; ++k)
    if (!Bernoulli(1, k)) return k % 2 == 1;
  return true;
}

// Probability proportional to exp(-|x| / sigma) (Algorithm 2).
std::int64_t DiscreteGaussian::Laplace() {
  for (;;) {
    const std::uint64_t low = log_sigma_ == 0 ? 0 : Word() >> (64 - log_sigma_);
    if (!BernoulliExp(low, log_sigma_)) continue;
    std::uint64_t high = 0;
    while (BernoulliExpOfOne()) ++high;
    const auto size = static_cast<std::int64_t>(low + (high << log_sigma_));
    const bool negative = Word() >> 63 != 0;
    if (negative && size == 0) continue;  // Zero once, not twice.
    return negative ? -size : size;
  }
}

// A Laplace draw is kept with probability
// exp(-(|x| - sigma)^2 / (2 sigma^2)) (Algorithm 3, with t = sigma).
std::int64_t DiscreteGaussian::Draw() {
  const int log_twice_variance = 2 * log_sigma_ + 1;
  const std::int64_t sigma = std::int64_t{1} << log_sigma_;
  for (;;) {
    const std::int64_t x = Laplace();
    const auto distance =
        static_cast<std::uint64_t>(std::abs(std::abs(x) - sigma));
    const Wide squared = Wide{distance} * distance;
    auto ones = static_cast<std::uint64_t>(squared >> log_twice_variance);
    const auto rest = static_cast<std::uint64_t>(
        squared & ((Wide{1} << log_twice_variance) - 1));
    bool keep = true;
    while (keep && ones > 0) {
      keep = BernoulliExpOfOne();
      --ones;
    }
    if (keep && BernoulliExp(rest, log_twice_variance)) return x;
  }
}

}  // namespace hearsay::dp
