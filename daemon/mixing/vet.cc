#include "daemon/mixing/vet.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>

namespace hearsay::mixing {

namespace {

// Sums of squares are taken in independent lanes, so that they vectorise, and
// in double, so that no finite float overflows them.
constexpr std::size_t kLanes = 8;

template <typename Value>
double RootOfSquares(std::size_t size, Value value) {
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
  return std::sqrt(sum);
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
  if (clip > 0 && static_cast<double>(gain) * Distance(theirs, mine) > clip)
    return Fault::kBeyondClip;
  return std::nullopt;
}

float ClippedGain(std::span<const float> theirs, std::span<const float> mine,
                  float gain, double clip) {
  const double distance = Distance(theirs, mine);
  if (clip <= 0 || static_cast<double>(gain) * distance <= clip) return gain;
  // So far off that the difference of two weights may not be a float.
  if (distance > std::numeric_limits<float>::max()) return 0;
  const auto clipped = static_cast<float>(clip / distance);
  // Near 0, where floats are sparse, the nearest may be several times as much.
  return static_cast<double>(clipped) * distance > clip
             ? std::nextafter(clipped, 0.0F)
             : clipped;
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
  return RootOfSquares(values.size(), [&](std::size_t i) {
    return static_cast<double>(values[i]);
  });
}

double Distance(std::span<const float> a, std::span<const float> b) {
  assert(a.size() == b.size());
  return RootOfSquares(a.size(), [&](std::size_t i) {
    return static_cast<double>(a[i]) - static_cast<double>(b[i]);
  });
}

}  // namespace hearsay::mixing
