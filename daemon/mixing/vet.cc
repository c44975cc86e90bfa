#include "daemon/mixing/vet.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>

#include "daemon/mixing/difference.h"

namespace hearsay::mixing {

namespace {

// Sums of squares are taken in independent lanes, so that they vectorise, and
// in double, so that no finite float overflows them.
constexpr std::size_t kLanes = 8;

template <typename Value>
double Squares(std::size_t size, Value value) {
  double sums[kLanes] = {};
  const std::size_t whole = size - size % kLanes;
  for (std::size_t i = 0; i < whole; i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const double x = value(i + lane);
      sums[lane] += x * x;
    }
  double sum = 0;
  for (const double lane : sums) sum += lane;
  for (std::size_t i = whole; i < size; ++i) sum += value(i) * value(i);
  return sum;
}

std::optional<Fault> Judge(double distance, float gain, double clip) {
  if (clip > 0 && static_cast<double>(gain) * distance > clip)
    return Fault::kBeyondClip;
  return std::nullopt;
}

float Clipped(double distance, float gain, double clip) {
  if (clip <= 0 || static_cast<double>(gain) * distance <= clip) return gain;
  // So far off that the difference of two weights may not be a float.
  if (distance > std::numeric_limits<float>::max()) return 0;
  const auto clipped = static_cast<float>(clip / distance);
  // Near 0, where floats are sparse, the nearest may be several times as much.
  return static_cast<double>(clipped) * distance > clip
             ? std::nextafter(clipped, 0.0F)
             : clipped;
}

}  // namespace

const char* Word(Fault fault) {
  switch (fault) {
    case Fault::kNotFinite:
      return "not_finite";
    case Fault::kBeyondClip:
      return "beyond_clip";
    case Fault::kStale:
      return "stale";
    case Fault::kMalformed:
      return "malformed";
  }
  return "";
}

std::optional<Fault> Vet(std::span<const float> theirs,
                         std::span<const float> mine, float gain, double clip) {
  if (!AllFinite(theirs)) return Fault::kNotFinite;
  return Judge(clip > 0 ? Distance(theirs, mine) : 0, gain, clip);
}

std::optional<Fault> Vet(const Difference& difference, float gain,
                         double clip) {
  if (!difference.finite()) return Fault::kNotFinite;
  return Judge(clip > 0 ? difference.distance() : 0, gain, clip);
}

float ClippedGain(std::span<const float> theirs, std::span<const float> mine,
                  float gain, double clip) {
  return Clipped(clip > 0 ? Distance(theirs, mine) : 0, gain, clip);
}

float ClippedGain(const Difference& difference, float gain, double clip) {
  return Clipped(clip > 0 ? difference.distance() : 0, gain, clip);
}

std::optional<Fault> VetVersion(std::uint64_t version, std::uint64_t newest,
                                std::uint64_t bound) {
  if (bound == 0 || version >= newest || newest - version <= bound)
    return std::nullopt;
  return Fault::kStale;
}

bool AllFinite(std::span<const float> values) {
  constexpr std::uint32_t kExponent = 0x7f800000U;
  std::uint32_t unfit = 0;
  for (const float value : values)
    unfit |= (std::bit_cast<std::uint32_t>(value) & kExponent) == kExponent
                 ? 1U
                 : 0U;
  return unfit == 0;
}

double Norm(std::span<const float> values) {
  return std::sqrt(Squares(values.size(), [&](std::size_t i) {
    return static_cast<double>(values[i]);
  }));
}

double Distance(std::span<const float> a, std::span<const float> b) {
  assert(a.size() == b.size());
  double sum = 0;
  for (std::size_t at = 0; at < a.size(); at += kVetBlock) {
    const std::size_t size = std::min(kVetBlock, a.size() - at);
    sum += BlockSquares(a.subspan(at, size), b.subspan(at, size));
  }
  return std::sqrt(sum);
}

double BlockSquares(std::span<const float> a, std::span<const float> b) {
  assert(a.size() == b.size() && a.size() <= kVetBlock);
  return Squares(a.size(), [&](std::size_t i) {
    return static_cast<double>(a[i]) - static_cast<double>(b[i]);
  });
}

}  // namespace hearsay::mixing
