#include "model/prep/load_texts.h"

#include <xxhash.h>

#include <algorithm>
#include <string>
#include <utility>

#include "model/prep/byte_source.h"
#include "model/prep/class_folders.h"
#include "model/prep/parallel.h"
#include "model/prep/text.h"

namespace hearsay::model::prep {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t kTextsABlock = 1024;

// What of the file a row has room for, or looks for duplicates by.
std::string ReadText(const fs::path& path, const TextFormat& format,
                     bool whole) {
  std::string text;
  ByteSource source(path);
  char block[16384];
  while (const std::size_t count = source.Read(block, sizeof block)) {
    text.append(block, count);
    if (whole) continue;
    if (format.cut == TextFormat::End::kEnd) {
      if (text.size() >= format.length) break;
    } else if (text.size() > format.length) {
      text.erase(0, text.size() - format.length);
    }
  }
  return text;
}

void LoadBlock(const LoadOptions& options, Gathering& gathering,
               std::span<const LabelledFile> files, BlockPlace place) {
  const TextFormat& format = *options.schema.text;
  RowBlock block{place, {}, {}, {}};
  block.rows.code_columns = format.length;
  block.rows.Reserve(files.size());
  BlockFacts facts;
  facts.rows.resize(gathering.block_strata());
  std::uint64_t bytes = 0;
  for (const LabelledFile& file : files) {
    ++facts.counts.read;
    std::string text;
    try {
      text = ReadText(file.path, format, options.hashes);
    } catch (const FileError& error) {
      if (options.strict) throw;
      facts.counts.Refuse(RowFault::kFile, error.what());
      continue;
    }
    bytes += text.size();
    EncodedRows& rows = block.rows;
    EncodeText(text, format,
               {rows.codes.data() + rows.size * format.length, format.length});
    rows.labels[rows.size++] = file.label;
    ++facts.rows[gathering.StratumOf(file.label, 0)];
    if (!options.hashes) continue;
    // As a seed the label would cancel a bit of a text of three bytes.
    text += static_cast<char>(file.label);
    block.hashes.push_back(XXH3_64bits(text.data(), text.size()));
  }
  block.rows.Trim();
  gathering.Add(block, std::move(facts));
  options.progress.Advance(files.front().path, files.size(), bytes);
}

}  // namespace

void LoadTexts(const LoadOptions& options, Gathering& gathering) {
  for (std::size_t i = 0; i < options.files.size(); ++i) {
    BlockPlace place{i, 0};
    try {
      const auto files =
          FilesByClass(options.files[i], options.schema.label.classes);
      const std::size_t blocks =
          (files.size() + kTextsABlock - 1) / kTextsABlock;
      ForEach(blocks, options.threads, [&](std::size_t index) {
        const std::size_t begin = index * kTextsABlock;
        LoadBlock(options, gathering,
                  std::span(files).subspan(
                      begin, std::min(kTextsABlock, files.size() - begin)),
                  {i, index});
      });
    } catch (const FileError&) {
      gathering.Fail(place, std::current_exception());
      return;
    }
  }
}

}  // namespace hearsay::model::prep
