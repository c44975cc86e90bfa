#include "model/prep/text.h"

#include <algorithm>

namespace hearsay::model::prep {

void EncodeText(std::string_view text, const TextFormat& format,
                std::span<std::uint8_t> codes) {
  using End = TextFormat::End;
  if (text.size() > codes.size())
    text = format.cut == End::kEnd ? text.substr(0, codes.size())
                                   : text.substr(text.size() - codes.size());
  std::fill(codes.begin(), codes.end(), std::uint8_t{0});
  const std::size_t first =
      format.padding == End::kEnd ? 0 : codes.size() - text.size();
  constexpr std::uint8_t kMost = kMaxCategories - 1;
  for (std::size_t i = 0; i < text.size(); ++i)
    codes[first + i] = std::min(static_cast<std::uint8_t>(text[i]), kMost);
}

std::vector<ShardColumn> TextColumns(const TextFormat& format,
                                     const std::string& prefix) {
  ShardColumn place;
  place.categories.emplace_back("padding");
  for (std::size_t byte = 1; byte < kMaxCategories; ++byte)
    place.categories.push_back(std::to_string(byte));
  std::vector<ShardColumn> columns(format.length, place);
  for (std::size_t i = 0; i < columns.size(); ++i)
    columns[i].name = prefix + std::to_string(i);
  return columns;
}

}  // namespace hearsay::model::prep
