#include "model/prep/load_images.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "model/prep/idx.h"

namespace hearsay::model::prep {

namespace {

namespace fs = std::filesystem;

// Images of one pair of files, as rows.
class ImageLoad {
 public:
  ImageLoad(const LoadOptions& options, Gathering& gathering, std::size_t file)
      : options_(options), gathering_(gathering), place_{file, 0} {
    empty_rows_.value_columns = options.schema.images->bytes();
    rows_a_block_ = std::max<std::size_t>(
        1, options.block_bytes / options.schema.images->bytes());
    Begin();
  }

  void Run(const fs::path& images, const fs::path& labels) {
    IdxReader reader(images, labels, *options_.schema.images);
    if (reader.count() == 0)
      throw FileError(images.string() + ": has no images");
    std::vector<std::uint8_t> image(options_.schema.images->bytes());
    while (const auto label = reader.Next(image)) {
      Take(image, *label, reader.Place());
      if (facts_.counts.read == rows_a_block_)
        Hand(images, reader.bytes_consumed());
    }
    Hand(images, reader.bytes_consumed());
  }

  BlockPlace place() const { return place_; }

 private:
  void Begin() {
    block_ = {place_, empty_rows_, {}, {}};
    block_.rows.Reserve(rows_a_block_);
    facts_ = {};
    facts_.rows.resize(gathering_.block_strata());
  }

  void Take(std::span<const std::uint8_t> image, std::uint8_t label,
            const std::string& place) {
    ++facts_.counts.read;
    const std::size_t classes = options_.schema.label.classes.size();
    if (label >= classes) {
      const std::string what = place + ": label " + std::to_string(label) +
                               ", but the schema has classes 0 to " +
                               std::to_string(classes - 1);
      if (options_.strict) throw FileError(what);
      facts_.counts.Refuse(RowFault::kLabel, what);
      return;
    }
    // 0 and 255, the bounds of a byte, become -1 and 1.
    std::transform(
        image.begin(), image.end(),
        block_.rows.values.begin() +
            static_cast<std::ptrdiff_t>(block_.rows.size * image.size()),
        [](std::uint8_t byte) {
          return static_cast<float>(byte) / 127.5F - 1;
        });
    block_.rows.labels[block_.rows.size++] = label;
    ++facts_.rows[gathering_.StratumOf(label, 0)];
    if (options_.hashes)
      block_.hashes.push_back(
          XXH3_64bits_withSeed(image.data(), image.size(), label));
  }

  void Hand(const fs::path& file, std::uint64_t consumed) {
    block_.rows.Trim();
    const std::uint64_t read = facts_.counts.read;
    gathering_.Add(std::move(block_), std::move(facts_));
    options_.progress.Advance(file, read, consumed - consumed_);
    consumed_ = consumed;
    ++place_.index;
    Begin();
  }

  const LoadOptions& options_;
  Gathering& gathering_;
  EncodedRows empty_rows_;
  std::size_t rows_a_block_ = 1;
  BlockPlace place_;
  RowBlock block_;
  BlockFacts facts_;
  std::uint64_t consumed_ = 0;
};

}  // namespace

void LoadImages(const LoadOptions& options, Gathering& gathering) {
  for (std::size_t i = 0; i + 1 < options.files.size(); i += 2) {
    ImageLoad load(options, gathering, i / 2);
    try {
      load.Run(options.files[i], options.files[i + 1]);
    } catch (const FileError&) {
      gathering.Fail(load.place(), std::current_exception());
      return;
    }
  }
}

}  // namespace hearsay::model::prep
