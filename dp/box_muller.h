// Uniform bits to standard normals (Box and Muller 1958). Pure; inside dp/
// only. Compiled apart, so that the compiler may use the vector log, sin and
// cos of the C library (libmvec).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace hearsay::dp {

inline constexpr std::size_t kBoxMullerPairs = 1024;

// Shapes: words.size() == normals.size() == 2 n, n <= kBoxMullerPairs. Word i
// gives the radius and word n + i the angle of normals i and n + i.
// The radius is sqrt(-2 log u), u = (word + 1) 2^-64: at most 9.42, and exact
// in the tail, where u is small and keeps all its bits.
void BoxMuller(std::span<const std::uint64_t> words, std::span<double> normals);

}  // namespace hearsay::dp
