// Which arrays may be let in: an array is used whole or not at all.
//
// Pure, streaming, without a branch in the loops. What is dropped here was
// delivered intact: its sender made it so, by a fault or on purpose.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace hearsay::mixing {

// What is wrong with an array.
enum class Fault {
  kNotFinite,   // holds a NaN or an infinity
  kBeyondClip,  // would move the weights by more than mixing.clip
  kStale,       // is older than what its sender has shown before
  kMalformed,   // is not what an honest node could have made
};

// In the words of the metrics: not_finite, beyond_clip, stale, malformed.
const char* Word(Fault fault);

class Difference;  // difference.h

// Is `gain * (theirs - mine)` fit to be added? `clip` bounds its Euclidean
// norm; 0 = no bound. Shapes: equal.
std::optional<Fault> Vet(std::span<const float> theirs,
                         std::span<const float> mine, float gain, double clip);
// The same of a difference that is made. Requires: its distance is wanted if
// there is a bound.
std::optional<Fault> Vet(const Difference& difference, float gain, double clip);

// The gain at which `theirs` moves the weights by no more than `clip`: `gain`
// itself if that is so, else what makes it exactly as much (to the precision of
// a float, rounded down; 0 if they are farther apart than floats go). Both ends
// of an exchange find the same number, so their corrections stay opposite.
// 0 = no bound.
// Shapes: equal.
// Requires: both finite, gain not negative.
// Source: ClippedGossip (He, Karimireddy, Jaggi 2022, arXiv:2202.01545).
float ClippedGain(std::span<const float> theirs, std::span<const float> mine,
                  float gain, double clip);
float ClippedGain(const Difference& difference, float gain, double clip);

// Nothing if `version` (its sender's step) is at most `bound` steps behind the
// `newest` that the same process has shown. A bound of 0 = none.
std::optional<Fault> VetVersion(std::uint64_t version, std::uint64_t newest,
                                std::uint64_t bound);

bool AllFinite(std::span<const float> values);
// Euclidean; infinite or NaN if a value is.
double Norm(std::span<const float> values);
// Sums of squares are made for each block of so many values and then added.
double Distance(std::span<const float> a, std::span<const float> b);
inline constexpr std::size_t kVetBlock = std::size_t{1} << 14;
// Of the difference within one block. Requires: no longer than that.
double BlockSquares(std::span<const float> a, std::span<const float> b);

}  // namespace hearsay::mixing
