#include "model/prep/load_images.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "model/prep/class_folders.h"
#include "model/prep/idx.h"
#include "model/prep/parallel.h"
#include "model/prep/png_image.h"

namespace hearsay::model::prep {

namespace {

namespace fs = std::filesystem;

// A block of images, as rows.
class ImageBlock {
 public:
  ImageBlock(const LoadOptions& options, Gathering& gathering, BlockPlace place,
             std::size_t room)
      : options_(options), gathering_(gathering), block_{place, {}, {}, {}} {
    block_.rows.value_columns = options.schema.images->bytes();
    block_.rows.Reserve(room);
    facts_.rows.resize(gathering.block_strata());
  }

  std::uint64_t read() const { return facts_.counts.read; }

  void Add(std::span<const std::uint8_t> image, std::uint8_t label) {
    ++facts_.counts.read;
    EncodedRows& rows = block_.rows;
    // 0 and 255, the bounds of a byte, become -1 and 1.
    std::transform(image.begin(), image.end(),
                   rows.values.begin() +
                       static_cast<std::ptrdiff_t>(rows.size * image.size()),
                   [](std::uint8_t byte) {
                     return static_cast<float>(byte) / 127.5F - 1;
                   });
    rows.labels[rows.size++] = label;
    ++facts_.rows[gathering_.StratumOf(label, 0)];
    if (options_.hashes)
      block_.hashes.push_back(
          XXH3_64bits_withSeed(image.data(), image.size(), label));
  }

  void Refuse(RowFault fault, const std::string& what) {
    if (options_.strict) throw FileError(what);
    ++facts_.counts.read;
    facts_.counts.Refuse(fault, what);
  }

  // It is done.
  void Hand(const fs::path& file, std::uint64_t bytes) {
    const std::uint64_t read = facts_.counts.read;
    block_.rows.Trim();
    gathering_.Add(block_, std::move(facts_));
    options_.progress.Advance(file, read, bytes);
  }

 private:
  const LoadOptions& options_;
  Gathering& gathering_;
  RowBlock block_;
  BlockFacts facts_;
};

std::size_t ImagesABlock(const LoadOptions& options) {
  return std::max<std::size_t>(
      1, options.block_bytes / options.schema.images->bytes());
}

void LoadIdx(const LoadOptions& options, Gathering& gathering,
             const ImageFiles& files, BlockPlace& place) {
  const ImageFormat& format = *options.schema.images;
  IdxReader reader(files.images, files.labels, format);
  if (reader.count() == 0) Fail(files.images, "has no images");
  const std::size_t classes = options.schema.label.classes.size();
  std::vector<std::uint8_t> image(format.bytes());
  std::uint64_t consumed = 0;
  for (auto label = reader.Next(image); label; ++place.index) {
    ImageBlock block(options, gathering, place, ImagesABlock(options));
    for (; label && block.read() < ImagesABlock(options);
         label = reader.Next(image)) {
      if (*label < classes)
        block.Add(image, *label);
      else
        block.Refuse(RowFault::kLabel,
                     reader.Place() + ": label " + std::to_string(*label) +
                         ", but the schema has classes 0 to " +
                         std::to_string(classes - 1));
    }
    block.Hand(files.images,
               reader.bytes_consumed() -
                   std::exchange(consumed, reader.bytes_consumed()));
  }
}

void LoadPng(const LoadOptions& options, Gathering& gathering,
             const fs::path& folder, std::size_t source) {
  const ImageFormat& format = *options.schema.images;
  if (format.channels != 1 && format.channels != 3)
    Fail(folder, "images of " + std::to_string(format.channels) +
                     " channels cannot come from PNG: 1 or 3 can");
  const auto files = FilesByClass(folder, options.schema.label.classes);
  const std::size_t at_once = ImagesABlock(options);
  const std::size_t blocks = (files.size() + at_once - 1) / at_once;
  ForEach(blocks, options.threads, [&](std::size_t index) {
    ImageBlock block(options, gathering, {source, index}, at_once);
    std::vector<std::uint8_t> image(format.bytes());
    std::uint64_t bytes = 0;
    const std::size_t end = std::min(files.size(), (index + 1) * at_once);
    for (std::size_t i = index * at_once; i < end; ++i) {
      std::error_code unknown;
      bytes += fs::file_size(files[i].path, unknown);
      try {
        ReadPng(files[i].path, format, image);
      } catch (const FileError& error) {
        block.Refuse(RowFault::kFile, error.what());
        continue;
      }
      block.Add(image, files[i].label);
    }
    block.Hand(folder, bytes);
  });
}

}  // namespace

std::vector<ImageFiles> PairImages(const std::vector<fs::path>& files) {
  std::vector<ImageFiles> found;
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::error_code unknown;
    if (fs::is_directory(files[i], unknown)) {
      found.push_back({files[i], {}});
      continue;
    }
    if (i + 1 == files.size() || fs::is_directory(files[i + 1], unknown))
      throw std::invalid_argument(
          "images come in pairs of files, images, then their labels; or in a "
          "folder that has one of PNG files for each class");
    found.push_back({files[i], files[i + 1]});
    ++i;
  }
  return found;
}

void LoadImages(const LoadOptions& options, Gathering& gathering) {
  const auto sources = PairImages(options.files);
  for (std::size_t i = 0; i < sources.size(); ++i) {
    BlockPlace place{i, 0};
    try {
      if (sources[i].labels.empty())
        LoadPng(options, gathering, sources[i].images, i);
      else
        LoadIdx(options, gathering, sources[i], place);
    } catch (const FileError&) {
      gathering.Fail(place, std::current_exception());
      return;
    }
  }
}

}  // namespace hearsay::model::prep
