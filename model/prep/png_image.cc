#include "model/prep/png_image.h"

#include <png.h>

#include <cassert>
#include <string>
#include <vector>

#include "model/prep/byte_source.h"

namespace hearsay::model::prep {

namespace {

// libpng's own limit is by width and height; this is of a file that decodes to
// no more than 65536 bytes.
constexpr std::size_t kMaxFile = std::size_t{16} << 20;

std::string Extent(std::uint32_t height, std::uint32_t width) {
  return std::to_string(height) + " x " + std::to_string(width);
}

}  // namespace

void DecodePng(std::span<const std::byte> bytes,
               const std::filesystem::path& path, const ImageFormat& format,
               std::span<std::uint8_t> image) {
  assert(format.channels == 1 || format.channels == 3);
  assert(image.size() == format.bytes());
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  const auto check = [&](int good) {
    if (good != 0) return;
    const std::string why = png.message;
    png_image_free(&png);
    Fail(path, "is not PNG, or damaged: " + why);
  };
  check(png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()));
  if (png.height != static_cast<std::uint32_t>(format.height) ||
      png.width != static_cast<std::uint32_t>(format.width)) {
    png_image_free(&png);
    Fail(path, "is " + Extent(png.height, png.width) +
                   " pixels (height, width), but the schema's images are " +
                   Extent(static_cast<std::uint32_t>(format.height),
                          static_cast<std::uint32_t>(format.width)));
  }
  png.format = format.channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
  const png_color black{0, 0, 0};
  const auto channels = static_cast<std::size_t>(format.channels);
  std::vector<std::uint8_t> pixels(image.size());
  check(png_image_finish_read(&png, &black, pixels.data(), 0, nullptr));
  const std::size_t count = image.size() / channels;
  for (std::size_t i = 0; i < pixels.size(); ++i)
    image[i % channels * count + i / channels] = pixels[i];
}

void ReadPng(const std::filesystem::path& path, const ImageFormat& format,
             std::span<std::uint8_t> image) {
  ByteSource source(path);
  std::string bytes;
  char block[16384];
  while (const std::size_t count = source.Read(block, sizeof block)) {
    bytes.append(block, count);
    if (bytes.size() > kMaxFile) Fail(path, "is too large for such an image");
  }
  DecodePng(std::as_bytes(std::span(bytes)), path, format, image);
}

}  // namespace hearsay::model::prep
