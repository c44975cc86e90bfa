#include "model/prep/csv.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

namespace hearsay::model::prep {

namespace {

constexpr std::size_t kFirstBuffer = std::size_t{1} << 20;
constexpr std::size_t kMaxRecord = std::size_t{16} << 20;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

CsvReader::CsvReader(const std::filesystem::path& path, CsvFormat format)
    : path_(path),
      format_(std::move(format)),
      source_(path),
      buffer_(kFirstBuffer) {
  Refill();
  if (filled_ == 0) throw FileError(path_.string() + ": is empty");
  // Text has no zero bytes; IDX images begin with two, UTF-16 has many.
  if (buffer_[0] == '\0' || (filled_ > 1 && buffer_[1] == '\0'))
    throw FileError(path_.string() +
                    ": is binary data, not CSV (IDX files need a schema with "
                    "[images]; UTF-16 is not read)");
  if (std::string_view(buffer_.data(), filled_).starts_with(kByteOrderMark))
    position_ = kByteOrderMark.size();
  ReadHeader();
}

void CsvReader::ReadHeader() {
  if (!format_.header) {
    header_ = format_.columns;
    return;
  }
  std::vector<std::string_view> fields;
  if (!Next(fields)) throw FileError(path_.string() + ": has no header line");
  std::set<std::string_view> names;
  for (const std::string_view name : fields) {
    if (!names.insert(name).second)
      throw FileError(Place() + ": the header names column \"" +
                      std::string(name) + "\" twice");
    header_.emplace_back(name);
  }
}

std::string CsvReader::Place() const {
  return path_.string() + ":" + std::to_string(line_);
}

bool CsvReader::Next(std::vector<std::string_view>& fields) {
  while (true) {
    std::size_t end = 0;
    line_ = next_line_;
    while (!FindEnd(end)) Refill();
    if (end == position_) return false;
    const std::string_view record(buffer_.data() + position_, end - position_);
    next_line_ += static_cast<std::uint64_t>(
        std::count(record.begin(), record.end(), '\n'));
    std::size_t size = record.size();
    if (size > 0 && record[size - 1] == '\n') --size;
    if (size > 0 && record[size - 1] == '\r') --size;
    const std::size_t begin = std::exchange(position_, end);
    const bool comment =
        !format_.comment.empty() && record.starts_with(format_.comment);
    const bool blank =
        size == 0 ||
        (format_.trim && SkipBlanks(begin, begin + size) == begin + size);
    if (comment || blank) continue;
    Split(begin, begin + size, fields);
    return true;
  }
}

bool CsvReader::FindEnd(std::size_t& end) const {
  const char* begin = buffer_.data() + position_;
  const std::size_t size = filled_ - position_;
  const auto* newline =
      static_cast<const char*>(std::memchr(begin, '\n', size));
  if (newline == nullptr && !at_end_) return false;
  end = newline == nullptr
            ? filled_
            : static_cast<std::size_t>(newline - buffer_.data()) + 1;
  const std::string_view line(begin, end - position_);
  if (line.find('"') == std::string_view::npos) return true;
  if (!format_.comment.empty() && line.starts_with(format_.comment))
    return true;
  return FindQuotedEnd(end);
}

// The same walk as Split's, but only looking for the newline that no quote
// protects: Split changes the buffer, so it must see a whole record.
bool CsvReader::FindQuotedEnd(std::size_t& end) const {
  std::size_t at = position_;
  while (true) {
    if (format_.trim) at = SkipBlanks(at, filled_);
    if (at < filled_ && buffer_[at] == '"') at = SkipQuoted(at);
    while (at < filled_ && buffer_[at] != format_.separator &&
           buffer_[at] != '\n')
      ++at;
    if (at >= filled_) {
      end = filled_;
      return at_end_;
    }
    if (buffer_[at++] == '\n') {
      end = at;
      return true;
    }
  }
}

// From an opening quote to behind its closing one, or to where the buffer ends:
// its last byte may be half of an escaped quote, so that is no answer yet.
std::size_t CsvReader::SkipQuoted(std::size_t at) const {
  const std::size_t opened = at++;
  while (at < filled_) {
    if (buffer_[at] != '"') {
      ++at;
    } else if (at + 1 < filled_ && buffer_[at + 1] == '"') {
      at += 2;
    } else {
      return at + 1;
    }
  }
  if (at_end_)
    FailAt(opened - position_, "the quote opened here is never closed");
  return filled_;
}

// More bytes behind filled_, making room first.
bool CsvReader::Refill() {
  if (position_ > 0) {
    std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(position_),
              buffer_.begin() + static_cast<std::ptrdiff_t>(filled_),
              buffer_.begin());
    filled_ -= position_;
    position_ = 0;
  }
  if (filled_ == buffer_.size()) {
    if (filled_ >= kMaxRecord)
      FailAt(0,
             "a record of more than 16 MiB begins here (a quote that is "
             "never closed?)");
    buffer_.resize(buffer_.size() * 2);
  }
  const std::size_t count =
      source_.Read(buffer_.data() + filled_, buffer_.size() - filled_);
  filled_ += count;
  at_end_ = count == 0;
  return !at_end_;
}

void CsvReader::Split(std::size_t begin, std::size_t end,
                      std::vector<std::string_view>& fields) {
  fields.clear();
  std::size_t at = begin;
  while (true) {
    const std::size_t first = format_.trim ? SkipBlanks(at, end) : at;
    if (first < end && buffer_[first] == '"') {
      at = SplitQuoted(first, begin, end, fields);
    } else {
      const auto* separator = static_cast<const char*>(
          std::memchr(buffer_.data() + at, format_.separator, end - at));
      const std::size_t stop =
          separator == nullptr
              ? end
              : static_cast<std::size_t>(separator - buffer_.data());
      fields.push_back(Trimmed({buffer_.data() + at, stop - at}));
      at = stop;
    }
    if (at == end) return;
    ++at;  // The separator; behind the last one is one more, empty field.
  }
}

// `at` is an opening quote; returns where its separator or the end is.
std::size_t CsvReader::SplitQuoted(std::size_t at, std::size_t begin,
                                   std::size_t end,
                                   std::vector<std::string_view>& fields) {
  const std::size_t first = ++at;
  std::size_t written = first;
  while (at < end) {
    if (buffer_[at] == '"') {
      if (at + 1 == end || buffer_[at + 1] != '"') break;
      ++at;
    }
    buffer_[written++] = buffer_[at++];
  }
  fields.emplace_back(buffer_.data() + first, written - first);
  if (at < end) ++at;  // The closing quote.
  if (format_.trim) at = SkipBlanks(at, end);
  if (at < end && buffer_[at] != format_.separator)
    FailAt(at - begin, "there is text behind the closing quote of a field");
  return at;
}

std::string_view CsvReader::Trimmed(std::string_view field) const {
  if (!format_.trim) return field;
  while (!field.empty() && IsBlank(field.front())) field.remove_prefix(1);
  while (!field.empty() && IsBlank(field.back())) field.remove_suffix(1);
  return field;
}

std::size_t CsvReader::SkipBlanks(std::size_t at, std::size_t end) const {
  while (at < end && IsBlank(buffer_[at]) && buffer_[at] != format_.separator)
    ++at;
  return at;
}

void CsvReader::FailAt(std::size_t offset_in_record,
                       const std::string& what) const {
  throw FileError(Place() + ":" + std::to_string(offset_in_record + 1) + ": " +
                  what);
}

}  // namespace hearsay::model::prep
