// Poisson sampling: every record is in the step's batch with the same
// probability, independently of all others and of all other steps. The sample
// is secret. Accounting for anything else (shuffling, fixed batch sizes) as if
// it were this understates epsilon by up to 10x (Chua et al. 2024).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dp/random.h"

namespace hearsay::dp {

class PoissonSampler {
 public:
  // Requires: 0 <= sample_rate <= 1.
  // Throws: std::invalid_argument.
  explicit PoissonSampler(double sample_rate);

  // The probability actually used, a multiple of 2^-64 not below the one asked
  // for: what the accountant must be given.
  double sample_rate() const { return effective_rate_; }

  // Overwrites `rows` with the sampled subset of 0..size-1, ascending.
  // Units: `rows` keeps its capacity, so that steps do not allocate.
  void Sample(std::size_t size, SecureRandom& random,
              std::vector<std::uint32_t>& rows);

 private:
  bool NoneIsIn(std::span<const std::uint8_t> firsts) const;
  // `row`: of the first of them.
  void Take(std::span<const std::uint8_t> firsts, std::size_t row,
            SecureRandom& random, std::vector<std::uint32_t>& rows);
  std::uint64_t NextWord(SecureRandom& random);

  double effective_rate_;
  std::uint64_t threshold_;
  bool always_;
  std::vector<std::uint8_t> bytes_;
  std::vector<std::uint64_t> words_;
  std::size_t next_word_ = 0;
};

}  // namespace hearsay::dp
