// Codes as they come to an embedding, among the float32 inputs.
#pragma once

#include <cstdint>

namespace hearsay::model::cpu {

inline constexpr std::int32_t kNoCode = -1;

// A whole number from 0 to below `vocabulary`, else kNoCode, also for NaN.
// Requires: vocabulary <= 2^24.
inline std::int32_t CodeOf(float value, int vocabulary) {
  if (!(value >= 0 && value < static_cast<float>(vocabulary))) return kNoCode;
  const auto code = static_cast<std::int32_t>(value);
  return static_cast<float>(code) == value ? code : kNoCode;
}

}  // namespace hearsay::model::cpu
