// Cutting: where a block of whole records ends. Without a quote in the block
// that is its last newline. With quotes it is the last newline that has an even
// number of them before it, as long as each that opens stands where a field
// begins; else the records are walked.
#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "model/prep/byte_mask.h"
#include "model/prep/csv.h"

namespace hearsay::model::prep {

namespace {

constexpr std::size_t kMaxRecord = std::size_t{16} << 20;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// A vector of bytes, as GCC and clang have them for every processor.
using Bytes [[gnu::vector_size(16)]] = unsigned char;

std::uint64_t CountLines(std::string_view text) {
  std::uint64_t lines = 0;
  Bytes newlines;
  std::memset(&newlines, '\n', sizeof newlines);
  const char* at = text.data();
  const char* const end = at + text.size();
  while (static_cast<std::size_t>(end - at) >= sizeof(Bytes)) {
    Bytes found{};
    // So often does a byte count without wrapping.
    for (int i = 0;
         i < 255 && static_cast<std::size_t>(end - at) >= sizeof(Bytes);
         ++i, at += sizeof(Bytes)) {
      Bytes here;
      std::memcpy(&here, at, sizeof here);
      found -= static_cast<Bytes>(here == newlines);
    }
    for (std::size_t i = 0; i < sizeof(Bytes); ++i) lines += found[i];
  }
  return lines + static_cast<std::uint64_t>(std::count(at, end, '\n'));
}

// Offset just behind the last record, 0 if none ends; nothing if some quote
// that opens by its number is text by its place. Requires: a record begins
// here; 64 readable bytes behind the text.
std::optional<std::size_t> LastEndByParity(std::string_view text,
                                           char separator) {
  std::size_t last = 0;
  std::uint64_t inside = 0;    // All ones: the window begins in quotes.
  std::uint64_t may_open = 1;  // Bit 0: so may the window's first byte.
  for (std::size_t base = 0; base < text.size(); base += kMaskBytes) {
    const std::size_t left = text.size() - base;
    const std::uint64_t valid =
        left < kMaskBytes ? (std::uint64_t{1} << left) - 1 : ~std::uint64_t{0};
    const char* const at = text.data() + base;
    const std::uint64_t quotes = ByteMask(at, '"') & valid;
    const std::uint64_t newlines = ByteMask(at, '\n') & valid;
    const std::uint64_t before = quotes | newlines | ByteMask(at, separator);
    const std::uint64_t quoted = Parities(quotes) ^ inside;
    // A quote behind a closing one is an escaped one: it opens again.
    if ((quotes & quoted & ~(before << 1 | may_open)) != 0) return std::nullopt;
    if (const std::uint64_t ends = newlines & ~quoted; ends != 0)
      last = base + static_cast<std::size_t>(std::bit_width(ends));
    inside = std::uint64_t{0} - (quoted >> 63);
    may_open = before >> 63;
  }
  return last;
}

// Walks over records without taking them apart, as CsvCursor would.
class Walk {
 public:
  Walk(std::string_view text, const CsvFormat& format)
      : text_(text), format_(format) {}

  // Offset just behind the record at `begin`; nothing if the text ends first.
  std::optional<std::size_t> End(std::size_t begin) const {
    const std::size_t newline = text_.find('\n', begin);
    if (newline == std::string_view::npos) return std::nullopt;
    const std::string_view line = text_.substr(begin, newline - begin);
    if (line.find('"') == std::string_view::npos ||
        (!format_.comment.empty() && line.starts_with(format_.comment)))
      return newline + 1;
    return QuotedEnd(begin);
  }

 private:
  std::optional<std::size_t> QuotedEnd(std::size_t at) const {
    while (true) {
      if (format_.trim) at = SkipBlanks(at);
      if (at < text_.size() && text_[at] == '"') at = SkipQuoted(at + 1);
      while (at < text_.size() && text_[at] != format_.separator &&
             text_[at] != '\n')
        ++at;
      if (at == text_.size()) return std::nullopt;
      if (text_[at++] == '\n') return at;
    }
  }

  // From inside a quoted field to behind its closing quote, or to the end: the
  // last byte may be half of an escaped quote, so that is no answer yet.
  std::size_t SkipQuoted(std::size_t at) const {
    while (true) {
      at = text_.find('"', at);
      if (at == std::string_view::npos || at + 1 == text_.size())
        return text_.size();
      if (text_[at + 1] != '"') return at + 1;
      at += 2;
    }
  }

  std::size_t SkipBlanks(std::size_t at) const {
    while (at < text_.size() && (text_[at] == ' ' || text_[at] == '\t') &&
           text_[at] != format_.separator)
      ++at;
    return at;
  }

  std::string_view text_;
  const CsvFormat& format_;
};

}  // namespace

CsvBlocks::CsvBlocks(ByteSource source, const std::filesystem::path& path,
                     CsvFormat format, std::size_t block_bytes)
    : path_(path),
      format_(std::move(format)),
      source_(std::move(source)),
      block_bytes_(block_bytes) {
  if (!Fill(first_)) throw FileError(path_.string() + ": is empty");
  const std::string_view text = first_.text();
  // A word of its own, and then numbers in binary.
  constexpr std::string_view kParquet = "PAR1";
  if (text.starts_with(kParquet) && text.size() > kParquet.size() &&
      static_cast<unsigned char>(text[kParquet.size()]) < ' ' &&
      std::string_view("\t\r\n").find(text[kParquet.size()]) ==
          std::string_view::npos)
    throw FileError(
        path_.string() +
        ": is Parquet, which prep does not read: ops/spark/prep.py makes the "
        "same shards of it by Spark; or make it CSV, by DuckDB: duckdb -c "
        "\"COPY (SELECT * FROM '" +
        path_.string() + "') TO '" +
        std::filesystem::path(path_).replace_extension(".csv").string() +
        "'\"");
  // Text has no zero bytes; IDX images begin with two, UTF-16 has many.
  if (text[0] == '\0' || (text.size() > 1 && text[1] == '\0'))
    throw FileError(path_.string() +
                    ": is binary data, not CSV (IDX files need a schema with "
                    "[images]; UTF-16 is not read)");
  if (format_.header)
    ReadHeader();
  else
    header_ = format_.columns;
}

void CsvBlocks::ReadHeader() {
  CsvCursor cursor(format_);
  cursor.Start(first_);
  CsvCursor::Step step = cursor.Next();
  // A comment may fill all of the first block.
  while (step == CsvCursor::Step::kEnd && Fill(first_)) {
    cursor.Start(first_);
    step = cursor.Next();
  }
  if (step == CsvCursor::Step::kEnd)
    throw FileError(path_.string() + ": has no header line");
  const std::string place =
      path_.string() + ":" + std::to_string(cursor.line());
  if (step != CsvCursor::Step::kRecord)
    throw FileError(place + ":" + std::to_string(cursor.column()) + ": " +
                    Describe(step));
  std::set<std::string_view> names;
  for (const std::string_view name : cursor.fields()) {
    if (!names.insert(name).second)
      throw FileError(place + ": the header names column \"" +
                      std::string(name) + "\" twice");
    header_.emplace_back(name);
  }
  const std::uint64_t lines =
      CountLines(first_.text().substr(0, cursor.offset()));
  first_.begin += cursor.offset();
  first_.line += lines;
  first_.lines -= lines;
}

bool CsvBlocks::Next(CsvBlock& block) {
  if (first_.begin != first_.end) {
    std::swap(block, first_);
    first_.begin = first_.end;
  } else if (!Fill(block)) {
    return false;
  }
  block.index = index_++;
  return true;
}

bool CsvBlocks::Fill(CsvBlock& block) {
  std::size_t filled = carry_.size();
  // Room for a newline of our own, should the last one be missing.
  const auto make_room = [&block](std::size_t size) {
    if (block.bytes.size() < size + 1 + kCsvMargin)
      block.bytes.resize(size + 1 + kCsvMargin);
  };
  std::size_t room = std::max(block_bytes_, 2 * filled);
  make_room(room);
  std::copy(carry_.begin(), carry_.end(), block.bytes.begin());
  carry_.clear();
  block.line = next_line_;
  while (true) {
    while (filled < room && !at_end_) {
      const std::size_t count =
          source_.Read(block.bytes.data() + filled, room - filled);
      at_end_ = count == 0;
      filled += count;
    }
    if (filled == 0) return false;
    const std::string_view text(block.bytes.data(), filled);
    block.begin = is_first_ && text.starts_with(kByteOrderMark)
                      ? kByteOrderMark.size()
                      : 0;
    block.end = at_end_ ? filled
                        : block.begin + LastRecordEnd(text.substr(block.begin));
    if (block.end > block.begin) break;
    if (at_end_) return false;  // A mark, and nothing behind it.
    if (filled >= kMaxRecord)
      throw FileError(path_.string() + ":" + std::to_string(next_line_) +
                      ":1: a record of more than 16 MiB begins here (a quote "
                      "that is never closed?)");
    room = std::min(2 * room, kMaxRecord);
    make_room(room);
  }
  carry_.assign(block.bytes.begin() + static_cast<std::ptrdiff_t>(block.end),
                block.bytes.begin() + static_cast<std::ptrdiff_t>(filled));
  if (block.bytes[block.end - 1] != '\n') block.bytes[block.end++] = '\n';
  block.lines = CountLines(block.text());
  next_line_ += block.lines;
  is_first_ = false;
  return true;
}

// 0: none ends here.
std::size_t CsvBlocks::LastRecordEnd(std::string_view text) const {
  if (text.find('"') == std::string_view::npos)
    return text.rfind('\n') + 1;  // npos + 1 is 0.
  // A comment's quotes count for nothing, and blanks may stand before one.
  if (format_.comment.empty() && !format_.trim)
    if (const auto last = LastEndByParity(text, format_.separator))
      return *last;
  const Walk walk(text, format_);
  std::size_t last = 0;
  while (const auto end = walk.End(last)) last = *end;
  return last;
}

}  // namespace hearsay::model::prep
