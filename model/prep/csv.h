// Reading CSV (RFC 4180): CsvBlocks cuts a file into blocks of whole records,
// which is quick and has to be done in order; CsvCursor takes a block apart,
// which any number of threads may do at once, a block each. CsvReader is both,
// for who has one thread.
//
// What is a record: fields between separators, up to a newline that no quote
// protects; a carriage return before it is not part of it. A field is quoted if
// its first character is a quote; any other quote is text as it stands. Blank
// lines and comments are skipped.
//
// Memory: a block, and the longest record, whatever the file's size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/prep/byte_source.h"
#include "model/prep/csv_marks.h"

namespace hearsay::model::prep {

struct CsvFormat {
  bool header = true;                // The first record names the columns.
  std::vector<std::string> columns;  // Without a header: their names, in order.
  char separator = ',';
  std::string comment;  // Lines that begin with it are skipped; empty: none.
  bool trim = false;    // Blanks around a field are not part of it.
  std::vector<std::string> missing = {""};  // What stands for no value.
};

// Whole records; the last byte of a text is a newline.
struct CsvBlock {
  std::string_view text() const { return {bytes.data() + begin, end - begin}; }

  std::vector<char> bytes;  // At least kCsvMargin more than `end`.
  std::size_t begin = 0;
  std::size_t end = 0;
  std::uint64_t line = 1;   // On which it begins, from 1.
  std::uint64_t lines = 0;  // At least as many as it has records.
  std::uint64_t index = 0;  // In its file.
};

// Bytes behind a block that may be read, whatever they are.
inline constexpr std::size_t kCsvMargin = 64;
inline constexpr std::size_t kCsvBlockBytes = std::size_t{1} << 20;

class CsvBlocks {
 public:
  // Reads the header, if the format has one.
  // Throws: FileError (an empty file, a name used twice, ...).
  CsvBlocks(ByteSource source, const std::filesystem::path& path,
            CsvFormat format, std::size_t block_bytes = kCsvBlockBytes);

  const std::vector<std::string>& header() const { return header_; }
  const CsvFormat& format() const { return format_; }

  // The next block, in the room that `block` has; false at the end.
  // Throws: FileError: unreadable, or a record beyond 16 MiB.
  bool Next(CsvBlock& block);

  // Of the block that comes next.
  std::uint64_t index() const { return index_; }
  std::uint64_t bytes_consumed() const { return source_.consumed(); }
  std::uint64_t bytes_total() const { return source_.size(); }

 private:
  bool Fill(CsvBlock& block);
  std::size_t LastRecordEnd(std::string_view text) const;
  void ReadHeader();

  std::filesystem::path path_;
  CsvFormat format_;
  ByteSource source_;
  std::size_t block_bytes_;
  std::vector<std::string> header_;
  CsvBlock first_;  // What follows the header; empty once it was handed over.
  std::vector<char> carry_;  // Read, but behind the last whole record.
  bool is_first_ = true;     // The block that comes next.
  bool at_end_ = false;
  std::uint64_t next_line_ = 1;
  std::uint64_t index_ = 0;
};

// Records of one width that follow each other in a block.
struct CsvRecords {
  std::size_t size() const { return records.size(); }
  std::span<const std::string_view> fields_of(std::size_t record) const {
    return fields.subspan(record * width, width);
  }

  std::size_t width = 0;
  std::span<const std::string_view> fields;   // (records, width)
  std::span<const std::string_view> records;  // As they stand in the file.
};

class CsvCursor {
 public:
  static constexpr std::size_t kMany = 64;
  static constexpr std::size_t kManyFields = 2048;  // Stay in the cache.

  enum class Step {
    kRecord,
    kBroken,        // Text behind a closing quote, at column().
    kUnterminated,  // The quote at column() is never closed; the end.
    kEnd,
  };

  // Requires: `format` outlives the cursor.
  explicit CsvCursor(const CsvFormat& format) : format_(format) {}

  // Requires: `block` stays as it is meanwhile.
  void Start(const CsvBlock& block);
  Step Next();
  // The records that come next, kMany at most, up to one that has not `width`
  // fields or is broken: that one is for Next(). None: it has come. Valid until
  // the next call.
  CsvRecords NextMany(std::size_t width);

  // Of the record that came last; valid until the next call. kCsvMargin bytes
  // behind each may be read.
  std::span<const std::string_view> fields() const {
    return {fields_.data() + first_, count_};
  }
  // As it stands in the file, its newline included.
  std::string_view record() const { return {text_ + record_, at_ - record_}; }
  // On which it begins.
  std::uint64_t line() { return LineOf(record()); }
  // Counts on from where it counted last. Requires: not before that.
  std::uint64_t LineOf(std::string_view record);
  std::size_t column() const { return broken_ - record_ + 1; }
  // Where its first field ends in the text.
  std::size_t offset() const { return at_; }

 private:
  Step Advance();
  void TakePlain(std::size_t width, std::size_t most);
  Step Split();
  std::size_t Quoted(std::size_t at, std::string_view& field);
  std::string_view Unescaped(std::size_t begin, std::size_t end);
  std::size_t SkipBlanks(std::size_t at) const;
  std::string_view Trimmed(std::string_view field) const;

  const CsvFormat& format_;
  const char* text_ = nullptr;
  std::size_t end_ = 0;
  std::size_t at_ = 0;
  std::size_t record_ = 0;
  std::size_t broken_ = 0;
  bool quoted_ = false;
  CsvMarks marks_;
  bool plain_ = false;  // The block has no quotes, nor need blanks be skipped.
  std::vector<std::string_view> fields_;
  std::size_t first_ = 0;  // Of this record.
  std::size_t count_ = 0;
  std::vector<std::string_view> records_;
  bool is_pending_ = false;  // This record is one that NextMany() came to.
  Step pending_ = Step::kEnd;
  std::vector<char> unescaped_;  // Fields of this block that had "" in them.
  std::size_t unescaped_used_ = 0;
  std::size_t counted_ = 0;  // Text whose lines line_ has counted.
  std::uint64_t line_ = 1;
};

class CsvReader {
 public:
  // As CsvBlocks.
  CsvReader(const std::filesystem::path& path, const CsvFormat& format);
  CsvReader(const CsvReader&) = delete;
  CsvReader& operator=(const CsvReader&) = delete;

  const std::vector<std::string>& header() const { return blocks_.header(); }

  // The next record; false at the end. Fields are valid until the next call,
  // and may be more or fewer than the header's.
  // Throws: FileError for what CsvBlocks and CsvCursor find broken.
  bool Next(std::vector<std::string_view>& fields);

  // Line on which the current record began, from 1.
  std::uint64_t line() { return cursor_.line(); }
  // "FILE:LINE".
  std::string Place();

 private:
  std::filesystem::path path_;
  CsvBlocks blocks_;
  CsvBlock block_;
  CsvCursor cursor_;
  bool started_ = false;
};

// What is wrong, for people.
// Requires: kBroken or kUnterminated.
const char* Describe(CsvCursor::Step step);

}  // namespace hearsay::model::prep
