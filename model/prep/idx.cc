#include "model/prep/idx.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

namespace hearsay::model::prep {

namespace {

namespace fs = std::filesystem;

constexpr std::uint8_t kUnsignedByte = 8;

// False if the file ends first.
bool ReadAll(ByteSource& source, std::span<std::uint8_t> into) {
  while (!into.empty()) {
    const auto count =
        source.Read(reinterpret_cast<char*>(into.data()), into.size());
    if (count == 0) return false;
    into = into.subspan(count);
  }
  return true;
}

std::vector<std::uint64_t> ReadExtents(ByteSource& source,
                                       const fs::path& path) {
  std::array<std::uint8_t, 4> head{};
  if (!ReadAll(source, head) || head[0] != 0 || head[1] != 0)
    throw FileError(path.string() + ": is not IDX");
  if (head[2] != kUnsignedByte)
    throw FileError(path.string() + ": holds values of IDX type " +
                    std::to_string(head[2]) +
                    "; only unsigned bytes (type 8) are read");
  std::vector<std::uint64_t> extents(head[3]);
  for (auto& extent : extents) {
    std::array<std::uint8_t, 4> bytes{};
    if (!ReadAll(source, bytes))
      throw FileError(path.string() + ": ends within its header");
    for (const auto byte : bytes) extent = extent << 8 | byte;
  }
  return extents;
}

std::string Text(const std::vector<std::uint64_t>& extents) {
  std::string text;
  for (const auto extent : extents)
    text += (text.empty() ? "" : " x ") + std::to_string(extent);
  return text;
}

void RequireEnd(ByteSource& source, const fs::path& path) {
  std::array<std::uint8_t, 1> more{};
  if (ReadAll(source, more))
    throw FileError(path.string() + ": goes on after the last record");
}

}  // namespace

IdxReader::IdxReader(const fs::path& images, const fs::path& labels,
                     const ImageFormat& format)
    : IdxReader(ByteSource(images), images, ByteSource(labels), labels,
                format) {}

IdxReader::IdxReader(ByteSource image_source, const fs::path& images,
                     ByteSource label_source, const fs::path& labels,
                     const ImageFormat& format)
    : images_path_(images),
      labels_path_(labels),
      images_(std::move(image_source)),
      labels_(std::move(label_source)) {
  auto extents = ReadExtents(images_, images);
  const auto count = extents.empty() ? 0 : extents.front();
  // (count, height, width) is one channel.
  if (extents.size() == 3) extents.insert(extents.begin() + 1, 1);
  const std::vector<std::uint64_t> expected = {
      count, static_cast<std::uint64_t>(format.channels),
      static_cast<std::uint64_t>(format.height),
      static_cast<std::uint64_t>(format.width)};
  if (extents != expected)
    throw FileError(images.string() + ": holds " + Text(extents) +
                    " bytes, but the schema's images are " +
                    Text({expected.begin() + 1, expected.end()}) +
                    " (channels, height, width); images come first, then the "
                    "file of their labels");
  const auto label_extents = ReadExtents(labels_, labels);
  if (label_extents.size() != 1)
    throw FileError(labels.string() + ": holds " + Text(label_extents) +
                    " bytes, but labels are one for each image");
  if (label_extents[0] != count)
    throw FileError(labels.string() + ": has " +
                    std::to_string(label_extents[0]) + " labels for the " +
                    std::to_string(count) + " images of " + images.string());
  count_ = count;
}

std::optional<std::uint8_t> IdxReader::Next(std::span<std::uint8_t> image) {
  std::array<std::uint8_t, 1> label{};
  if (next_ == count_) {
    RequireEnd(images_, images_path_);
    RequireEnd(labels_, labels_path_);
    return std::nullopt;
  }
  const auto take = [this](ByteSource& source, const fs::path& path,
                           std::span<std::uint8_t> into) {
    if (!ReadAll(source, into))
      throw FileError(path.string() + ": ends after " + std::to_string(next_) +
                      " of " + std::to_string(count_) + " records");
  };
  take(images_, images_path_, image);
  take(labels_, labels_path_, label);
  ++next_;
  return label[0];
}

std::string IdxReader::Place() const {
  return labels_path_.string() + ": record " + std::to_string(next_);
}

}  // namespace hearsay::model::prep
