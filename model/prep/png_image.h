// Reads PNG through libpng, as bytes of the schema's channels.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "model/prep/idx.h"  // ImageFormat

namespace hearsay::model::prep {

// One channel is grey, three are red, green and blue; a palette, 16 bits and
// transparency (over black) are reduced to that. `image` is overwritten,
// channel by channel and row by row. Requires: format.channels 1 or 3;
// image.size() == format.bytes(). Throws: FileError that names `path`: no PNG,
// damaged, or of another size.
void ReadPng(const std::filesystem::path& path, const ImageFormat& format,
             std::span<std::uint8_t> image);
// The same of bytes in memory.
void DecodePng(std::span<const std::byte> bytes,
               const std::filesystem::path& path, const ImageFormat& format,
               std::span<std::uint8_t> image);

}  // namespace hearsay::model::prep
