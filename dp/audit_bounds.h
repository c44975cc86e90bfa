// What an experiment proves: lower bounds on epsilon from guesses at who was in
// the data. Pure; what is guessed and how is the caller's.
//
// Every canary was in with probability 1/2, by a coin of its own. With the
// confidence asked for, no mechanism of a smaller epsilon lets its canaries be
// guessed so well. A bound above what is claimed disproves the claim; one below
// proves nothing but that this attack found no more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace hearsay::dp {

// Of `canaries`, `guesses` were guessed at and `correct` guesses were right.
struct Guesses {
  std::uint64_t canaries = 0;
  std::uint64_t guesses = 0;
  std::uint64_t correct = 0;
};

// The chance, or a bound on it, that a mechanism of (epsilon, delta) lets so
// many guesses be right. Requires: correct <= guesses <= canaries.
// Source: Steinke, Nasr, Jagielski 2023 (arXiv:2305.08846), Theorem 5.2.
double OneRunPValue(const Guesses& seen, double epsilon, double delta);
// The largest epsilon that this disproves; 0 if none is.
// Requires: 0 < confidence < 1.
double OneRunEpsilon(const Guesses& seen, double delta, double confidence);

// Whether `seen` has at most the chance 1 - confidence under mu-Gaussian
// differential privacy. Source: Mahloujifar, Melis, Chaudhuri 2024
// (arXiv:2410.22235), Algorithm 3, for two alternatives.
bool OneRunDisprovesGdp(const Guesses& seen, double mu, double confidence);
// Epsilon, at delta, of the largest mu that this disproves.
double OneRunGdpEpsilon(const Guesses& seen, double delta, double confidence);

// A test that took `wrong_in` of `out` canaries for members (false positives)
// and `wrong_out` of `in` for none.
struct Errors {
  std::uint64_t out = 0, wrong_in = 0;
  std::uint64_t in = 0, wrong_out = 0;
};
// mu by Clopper and Pearson's upper bounds on both rates, each at half of what
// confidence leaves; at least 0. Assumes that canaries are scored (nearly)
// independently, as orthogonal ones are. Source: Nasr et al. 2023
// (arXiv:2302.07956), section 5.
double GdpLowerMu(const Errors& errors, double confidence);

// All canaries by their scores, higher for those more likely in.
// `included`: 1 in, 0 out.
struct Scored {
  std::span<const double> scores;
  std::span<const std::uint8_t> included;
};
// The `half` highest are guessed in, as many lowest out. Requires:
// 2 half <= scores.size().
Guesses GuessBothEnds(const Scored& canaries, std::size_t half);
// The `half` that would do best against a mechanism that is exactly
// mu-Gaussian: a choice that depends on the claim, never on the scores, so that
// it costs no confidence.
std::size_t GuessesFor(std::size_t canaries, double mu, double delta,
                       double confidence);
// The threshold is the best of the even canaries, its errors are those of the
// odd ones. Epsilon at delta.
double SplitGdpEpsilon(const Scored& canaries, double delta, double confidence);

// The mu whose epsilon at delta it is. Requires: epsilon >= 0, 0 < delta < 1.
double MuOfEpsilon(double epsilon, double delta);
// The inverse. mu >= 0.
double EpsilonOfMu(double mu, double delta);
// A standard normal is nearer to 0 than this with chance `confidence`.
double TwoSidedQuantile(double confidence);

}  // namespace hearsay::dp
