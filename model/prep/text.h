// Text as bytes, a code each: what an embedding takes, of as many places as a
// schema says.
//
// A byte is its own code, so that no vocabulary is private. Code 0, which no
// text has, fills the places that are left over. A shard has 255 codes; byte
// 255, which is in no UTF-8, counts as 254, which is not either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/shard.h"

namespace hearsay::model::prep {

struct TextFormat {
  enum class End { kStart, kEnd };
  std::size_t length = 0;   // Places.
  End padding = End::kEnd;  // Where places are left over.
  End cut = End::kEnd;      // Which end a longer text loses.
};

// Requires: as many codes as the format has places.
void EncodeText(std::string_view text, const TextFormat& format,
                std::span<std::uint8_t> codes);

// A column for each place, called PREFIX0, PREFIX1 ...; its categories are
// "padding" and the bytes as numbers.
std::vector<ShardColumn> TextColumns(const TextFormat& format,
                                     const std::string& prefix);

}  // namespace hearsay::model::prep
