// Standard normals from a 256-bit key: ChaCha20 and Box-Muller, the same on the
// device as on the host, where tests hold them against OpenSSL.
//
// Word pairs of block i, under counter i and nonce 0, give the normals 8 i to
// 8 i + 7. A key serves one step, so counter and nonce need never be told.
// Exact noise has nonces of its own (model/cuda/exact_noise.h).
// Sources: RFC 8439 2.3; Box and Muller 1958; dp/box_muller.h for the uniform.
#pragma once

#include <cmath>
#include <cstdint>

#ifdef __CUDACC__
#define HEARSAY_ANYWHERE __host__ __device__ __forceinline__
#define HEARSAY_UNROLL _Pragma("unroll")
#else
#define HEARSAY_ANYWHERE inline
#define HEARSAY_UNROLL
#endif

namespace hearsay::model::cuda {

inline constexpr int kNormalsPerBlock = 8;

struct ChaChaKey {
  std::uint32_t words[8];
};
struct ChaChaNonce {
  std::uint32_t words[3];
};

HEARSAY_ANYWHERE std::uint32_t RotateLeft(std::uint32_t x, int bits) {
  return (x << bits) | (x >> (32 - bits));
}

HEARSAY_ANYWHERE void QuarterRound(std::uint32_t& a, std::uint32_t& b,
                                   std::uint32_t& c, std::uint32_t& d) {
  a += b;
  d = RotateLeft(d ^ a, 16);
  c += d;
  b = RotateLeft(b ^ c, 12);
  a += b;
  d = RotateLeft(d ^ a, 8);
  c += d;
  b = RotateLeft(b ^ c, 7);
}

HEARSAY_ANYWHERE void ChaCha20Block(const ChaChaKey& key,
                                    const ChaChaNonce& nonce,
                                    std::uint32_t counter,
                                    std::uint32_t (&out)[16]) {
  const std::uint32_t start[16] = {
      0x61707865,   0x3320646e,     0x79622d32,     0x6b206574,
      key.words[0], key.words[1],   key.words[2],   key.words[3],
      key.words[4], key.words[5],   key.words[6],   key.words[7],
      counter,      nonce.words[0], nonce.words[1], nonce.words[2]};
  HEARSAY_UNROLL
  for (int i = 0; i < 16; ++i) out[i] = start[i];
  HEARSAY_UNROLL
  for (int round = 0; round < 10; ++round) {
    QuarterRound(out[0], out[4], out[8], out[12]);
    QuarterRound(out[1], out[5], out[9], out[13]);
    QuarterRound(out[2], out[6], out[10], out[14]);
    QuarterRound(out[3], out[7], out[11], out[15]);
    QuarterRound(out[0], out[5], out[10], out[15]);
    QuarterRound(out[1], out[6], out[11], out[12]);
    QuarterRound(out[2], out[7], out[8], out[13]);
    QuarterRound(out[3], out[4], out[9], out[14]);
  }
  HEARSAY_UNROLL
  for (int i = 0; i < 16; ++i) out[i] += start[i];
}

// Of nonce 0.
HEARSAY_ANYWHERE void ChaCha20Block(const ChaChaKey& key, std::uint32_t counter,
                                    std::uint32_t (&out)[16]) {
  ChaCha20Block(key, ChaChaNonce{}, counter, out);
}

// Two normals from two 64-bit words. u = (word + 1) 2^-64 is in (0, 1], and
// keeps all its bits where it is small: radii reach 9.42.
HEARSAY_ANYWHERE void BoxMullerPair(std::uint64_t radius_word,
                                    std::uint64_t angle_word, double& first,
                                    double& second) {
  const double u = (static_cast<double>(radius_word) + 1.0) * 0x1p-64;
  const double radius = sqrt(-2.0 * log(u));
#ifdef __CUDA_ARCH__  // Half the time: there is no range to reduce to.
  double sine = 0, cosine = 0;
  sincospi(static_cast<double>(angle_word) * 0x1p-63, &sine, &cosine);
#else
  const double angle =
      static_cast<double>(angle_word) * (0x1p-63 * 3.14159265358979323846);
  const double sine = sin(angle), cosine = cos(angle);
#endif
  first = radius * cosine;
  second = radius * sine;
}

// Of a block's words: its normals 2 pair and 2 pair + 1.
HEARSAY_ANYWHERE void NormalPair(const std::uint32_t (&words)[16], int pair,
                                 double& first, double& second) {
  std::uint64_t radius = 0, angle = 0;
  // By comparison: what is indexed at run time does not stay in registers.
  HEARSAY_UNROLL
  for (int i = 0; i < kNormalsPerBlock / 2; ++i) {
    if (i != pair) continue;
    radius = words[4 * i] | std::uint64_t{words[4 * i + 1]} << 32;
    angle = words[4 * i + 2] | std::uint64_t{words[4 * i + 3]} << 32;
  }
  BoxMullerPair(radius, angle, first, second);
}

// The normals 8 block to 8 block + 7 of a key.
HEARSAY_ANYWHERE void NormalsOfBlock(const ChaChaKey& key, std::uint32_t block,
                                     double (&normals)[kNormalsPerBlock]) {
  std::uint32_t words[16];
  ChaCha20Block(key, block, words);
  HEARSAY_UNROLL
  for (int pair = 0; pair < kNormalsPerBlock / 2; ++pair)
    NormalPair(words, pair, normals[2 * pair], normals[2 * pair + 1]);
}

}  // namespace hearsay::model::cuda
