// Reading CSV (RFC 4180) as a stream: plain or gzip, in blocks, one record at a
// time, with the place of every error.
//
// Memory: one block and the longest record, whatever the file's size.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/safetensors.h"  // FileError

namespace hearsay::model::prep {

struct CsvFormat {
  bool header = true;                // The first record names the columns.
  std::vector<std::string> columns;  // Without a header: their names, in order.
  char separator = ',';
  std::string comment;  // Lines that begin with it are skipped; empty: none.
  bool trim = false;    // Blanks around a field are not part of it.
  std::vector<std::string> missing = {""};  // What stands for no value.
};

// A file's bytes, inflated if they are gzip (by their first two bytes, not by
// the file's name; but a name in .gz promises gzip).
class ByteSource {
 public:
  // Throws: FileError (missing, a folder, ...).
  explicit ByteSource(const std::filesystem::path& path);
  ~ByteSource();
  ByteSource(ByteSource&&) noexcept;
  ByteSource& operator=(ByteSource&&) noexcept;

  // Bytes put into `out`; 0 only at the end.
  // Throws: FileError (unreadable, damaged or truncated gzip).
  std::size_t Read(char* out, std::size_t capacity);

  // Of the file as it lies on disk, for progress; size 0: not known (a pipe).
  std::uint64_t consumed() const;
  std::uint64_t size() const;

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

class CsvReader {
 public:
  // Reads the header, if the format has one.
  // Throws: FileError (an empty file, a name used twice, ...).
  CsvReader(const std::filesystem::path& path, CsvFormat format);

  const std::vector<std::string>& header() const { return header_; }

  // The next record; false at the end. Blank lines and comments are skipped.
  // Fields are valid until the next call, and may be more or fewer than the
  // header's: the caller decides whether to skip such a record.
  // Throws: FileError for what no reader could skip: an unterminated quote,
  // text after a closing quote, a record beyond 16 MiB, broken gzip.
  bool Next(std::vector<std::string_view>& fields);

  // Line on which the current record began, from 1.
  std::uint64_t line() const { return line_; }
  // "FILE:LINE".
  std::string Place() const;
  std::uint64_t bytes_consumed() const { return source_.consumed(); }
  std::uint64_t bytes_total() const { return source_.size(); }

 private:
  // Offset just behind the record at position_, its newline included; nothing
  // if the buffer ends first.
  bool FindEnd(std::size_t& end) const;
  bool FindQuotedEnd(std::size_t& end) const;
  std::size_t SkipQuoted(std::size_t at) const;
  bool Refill();
  // Cuts buffer_[begin, end) up; unescapes in place.
  void Split(std::size_t begin, std::size_t end,
             std::vector<std::string_view>& fields);
  std::size_t SplitQuoted(std::size_t at, std::size_t begin, std::size_t end,
                          std::vector<std::string_view>& fields);
  std::string_view Trimmed(std::string_view field) const;
  std::size_t SkipBlanks(std::size_t at, std::size_t end) const;
  [[noreturn]] void FailAt(std::size_t offset_in_record,
                           const std::string& what) const;
  void ReadHeader();

  std::filesystem::path path_;
  CsvFormat format_;
  ByteSource source_;
  std::vector<std::string> header_;
  std::vector<char> buffer_;
  std::size_t position_ = 0;
  std::size_t filled_ = 0;
  bool at_end_ = false;
  std::uint64_t line_ = 0;
  std::uint64_t next_line_ = 1;
};

}  // namespace hearsay::model::prep
