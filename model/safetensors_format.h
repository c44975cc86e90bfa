// What the reader and the writer of safetensors files must agree on. Private to
// the two .cc files.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/safetensors.h"

namespace hearsay::model::format {

struct DTypeWord {
  DType dtype;
  const char* word;
  std::size_t size;
};
inline constexpr std::array<DTypeWord, 5> kDTypes{{{DType::kU8, "U8", 1},
                                                   {DType::kI32, "I32", 4},
                                                   {DType::kI64, "I64", 8},
                                                   {DType::kF32, "F32", 4},
                                                   {DType::kF64, "F64", 8}}};

inline constexpr std::size_t kLengthBytes = 8;
// The reference implementation's own limit.
inline constexpr std::uint64_t kMaxHeader = 100'000'000;
inline constexpr const char* kMetadataKey = "__metadata__";
inline constexpr const char* kChecksumKey = "hearsay.checksum";
// Marks a file as ours, so that a file whose checksum *key* was damaged is not
// taken for somebody else's file without one.
inline constexpr const char* kFormatKey = "hearsay.format";
inline constexpr const char* kChecksumText = "\"hearsay.checksum\":\"";

inline const DTypeWord& Describe(DType dtype) {
  for (const DTypeWord& known : kDTypes)
    if (known.dtype == dtype) return known;
  return kDTypes.front();
}

// Bytes of a tensor; nothing if negative or beyond 2^63.
inline std::optional<std::uint64_t> SizeInBytes(
    DType dtype, const std::vector<std::int64_t>& shape) {
  std::int64_t bytes = static_cast<std::int64_t>(Describe(dtype).size);
  for (const std::int64_t extent : shape)
    if (extent < 0 || __builtin_mul_overflow(bytes, extent, &bytes))
      return std::nullopt;
  return static_cast<std::uint64_t>(bytes);
}

}  // namespace hearsay::model::format
