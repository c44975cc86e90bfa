// Reading IDX (LeCun's format of MNIST): a file of images beside a file of
// their labels, plain or gzip.
//
//   file = 0 0 type dimensions extent* bytes     (extents: 4 bytes, high first)
//
// Of unsigned bytes (type 8) only: images (count, height, width) or (count,
// channels, height, width), labels (count).
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "model/prep/byte_source.h"

namespace hearsay::model::prep {

struct ImageFormat {
  int channels = 1;
  int height = 0;
  int width = 0;
  std::size_t bytes() const {
    return static_cast<std::size_t>(channels) *
           static_cast<std::size_t>(height) * static_cast<std::size_t>(width);
  }
};

class IdxReader {
 public:
  // Throws: FileError that names the file at fault: no IDX, images of another
  // size than `format`, more images than labels, ...
  IdxReader(const std::filesystem::path& images,
            const std::filesystem::path& labels, const ImageFormat& format);

  // The same of any two sources.
  IdxReader(ByteSource images, const std::filesystem::path& images_path,
            ByteSource labels, const std::filesystem::path& labels_path,
            const ImageFormat& format);

  // The next image, channel by channel and row by row, and its label; nothing
  // at the end of both. Throws: FileError (truncated, or longer than it says).
  std::optional<std::uint8_t> Next(std::span<std::uint8_t> image);

  std::uint64_t count() const { return count_; }
  // "LABELS: record 17", from 1, of the one that came last.
  std::string Place() const;
  std::uint64_t bytes_consumed() const {
    return images_.consumed() + labels_.consumed();
  }

 private:
  const std::filesystem::path images_path_;
  const std::filesystem::path labels_path_;
  ByteSource images_;
  ByteSource labels_;
  std::uint64_t count_ = 0;
  std::uint64_t next_ = 0;
};

}  // namespace hearsay::model::prep
