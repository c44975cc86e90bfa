// Uniform bits to standard normals (Box and Muller 1958). Pure; inside dp/
// only.
//
// Word i gives the radius and word n + i the angle of normals i and n + i, of
// 2 n. The radius is sqrt(-2 log u), u = (word + 1) 2^-64: at most 9.42, and as
// exact in the tail, where u is small, as where it is next to 1. The angle is
// one of 2^53, evenly spaced, 7e-16 apart and none on an axis. A normal is
// within 3 * 2^-52 of itself of what its words say.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace hearsay::dp {

inline constexpr std::size_t kBoxMullerPairs = 1024;

// What BoxMuller leaves behind: for the caller to cleanse, after many calls.
struct BoxMullerScratch {
  alignas(64) std::array<double, 128> quotients;
  alignas(64) std::array<double, 128> exponents;
  float dropped;
};

// Shapes: words.size() == normals.size() == 2 n, n <= kBoxMullerPairs.
void BoxMuller(std::span<const std::uint64_t> words, std::span<double> normals,
               BoxMullerScratch& scratch);

// Adds stddev times those normals to `sum`, in double, rounded once: the noise
// of a large stddev loses no bits before it meets the sum.
// Shapes: as above, but the last normal is dropped where sum.size() is odd.
void AddBoxMuller(std::span<const std::uint64_t> words, double stddev,
                  std::span<float> sum, BoxMullerScratch& scratch);

}  // namespace hearsay::dp
