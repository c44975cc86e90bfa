// Taking apart: a mask of 64 bytes says where separators and newlines are, so
// that text between them is never looked at; only a field that begins with a
// quote is, for its end.
#include <algorithm>
#include <bit>
#include <cstring>

#include "model/prep/byte_mask.h"
#include "model/prep/csv.h"

namespace hearsay::model::prep {

namespace {

static_assert(kCsvMargin >= kMaskBytes);

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

inline std::uint64_t CsvCursor::Scan::Look(std::size_t at) const {
  return ByteMask(text + at, separator) | ByteMask(text + at, '\n');
}

inline std::size_t CsvCursor::Scan::Next() {
  while (mask == 0) {
    base += kMaskBytes;
    mask = Look(base);
  }
  const std::size_t found =
      base + static_cast<std::size_t>(std::countr_zero(mask));
  mask &= mask - 1;
  return found;
}

// The first at or behind `at`, to which a quote has led.
inline std::size_t CsvCursor::Scan::NextFrom(std::size_t at) {
  if (at - base < kMaskBytes) {
    mask &= ~std::uint64_t{0} << (at - base);
  } else {
    base = at;
    mask = Look(base);
  }
  return Next();
}

void CsvCursor::Start(const CsvBlock& block) {
  text_ = block.text().data();
  end_ = block.text().size();
  at_ = record_ = counted_ = 0;
  line_ = block.line;
  count_ = 0;
  unescaped_.clear();
  scan_ = {text_, 0, 0, format_.separator};
  if (end_ > 0) scan_.mask = scan_.Look(0);
}

CsvCursor::Step CsvCursor::Next() {
  while (at_ != end_) {
    record_ = at_;
    if (!format_.comment.empty() && std::string_view(text_ + at_, end_ - at_)
                                        .starts_with(format_.comment)) {
      do {
        at_ = scan_.NextFrom(at_) + 1;
      } while (text_[at_ - 1] != '\n');
      continue;
    }
    const Step step = Split();
    const bool blank = count_ == 1 && fields_[0].empty() && !quoted_;
    if (step != Step::kRecord || !blank) return step;
  }
  record_ = at_;
  count_ = 0;
  return Step::kEnd;
}

CsvCursor::Step CsvCursor::Split() {
  Scan scan = scan_;  // The compiler may keep this one in registers.
  Step step = Step::kRecord;
  std::size_t begin = at_;
  count_ = 0;
  quoted_ = false;
  unescaped_used_ = 0;
  while (true) {
    if (count_ == fields_.size()) fields_.resize(2 * count_ + 16);
    std::string_view& field = fields_[count_];
    const std::size_t first = format_.trim ? SkipBlanks(begin) : begin;
    std::size_t end = 0;
    if (text_[first] == '"') {
      quoted_ = true;
      std::size_t closed = Quoted(first, field);
      if (closed == 0) {
        broken_ = first;
        at_ = end_;
        return Step::kUnterminated;
      }
      if (format_.trim) closed = SkipBlanks(closed);
      end = scan.NextFrom(closed);
      const bool carriage_return =
          end - closed == 1 && text_[closed] == '\r' && text_[end] == '\n';
      if (end != closed && !carriage_return && step == Step::kRecord) {
        step = Step::kBroken;
        broken_ = closed;
      }
    } else {
      end = scan.Next();
      field = {text_ + begin, end - begin};
      if (text_[end] == '\n' && field.ends_with('\r')) field.remove_suffix(1);
      if (format_.trim) field = Trimmed(field);
    }
    ++count_;
    begin = end + 1;
    if (text_[end] == '\n') break;
  }
  at_ = begin;
  scan_ = scan;
  return step;
}

// The field whose opening quote is at `at`, and where its closing one ends; 0
// if there is none.
std::size_t CsvCursor::Quoted(std::size_t at, std::string_view& field) {
  const std::size_t begin = ++at;
  bool escaped = false;
  while (true) {
    const auto* quote =
        static_cast<const char*>(std::memchr(text_ + at, '"', end_ - at));
    if (quote == nullptr) return 0;
    at = static_cast<std::size_t>(quote - text_);
    if (text_[at + 1] != '"') break;  // A text ends in a newline.
    escaped = true;
    at += 2;
  }
  field = escaped ? Unescaped(begin, at)
                  : std::string_view(text_ + begin, at - begin);
  return at + 1;
}

std::string_view CsvCursor::Unescaped(std::size_t begin, std::size_t end) {
  // All of the fields of a record fit where all of the text does, so that
  // nothing moves while it is pointed at.
  if (unescaped_.empty()) unescaped_.resize(end_ + kCsvMargin);
  char* const to = unescaped_.data() + unescaped_used_;
  char* last = to;
  for (std::size_t at = begin; at < end; ++at) {
    *last++ = text_[at];
    at += text_[at] == '"' ? 1 : 0;
  }
  const auto size = static_cast<std::size_t>(last - to);
  unescaped_used_ += size;
  return {to, size};
}

std::size_t CsvCursor::SkipBlanks(std::size_t at) const {
  while (IsBlank(text_[at]) && text_[at] != format_.separator) ++at;
  return at;
}

std::string_view CsvCursor::Trimmed(std::string_view field) const {
  while (!field.empty() && IsBlank(field.front())) field.remove_prefix(1);
  while (!field.empty() && IsBlank(field.back())) field.remove_suffix(1);
  return field;
}

std::uint64_t CsvCursor::line() {
  line_ += static_cast<std::uint64_t>(
      std::count(text_ + counted_, text_ + record_, '\n'));
  counted_ = record_;
  return line_;
}

const char* Describe(CsvCursor::Step step) {
  return step == CsvCursor::Step::kUnterminated
             ? "the quote opened here is never closed"
             : "there is text behind the closing quote of a field";
}

CsvReader::CsvReader(const std::filesystem::path& path, const CsvFormat& format)
    : path_(path),
      blocks_(ByteSource(path), path, format),
      cursor_(blocks_.format()) {}

bool CsvReader::Next(std::vector<std::string_view>& fields) {
  while (true) {
    if (started_) {
      const CsvCursor::Step step = cursor_.Next();
      if (step == CsvCursor::Step::kRecord) {
        fields.assign(cursor_.fields().begin(), cursor_.fields().end());
        return true;
      }
      if (step != CsvCursor::Step::kEnd)
        throw FileError(Place() + ":" + std::to_string(cursor_.column()) +
                        ": " + Describe(step));
    }
    if (!blocks_.Next(block_)) return false;
    started_ = true;
    cursor_.Start(block_);
  }
}

std::string CsvReader::Place() {
  return path_.string() + ":" + std::to_string(cursor_.line());
}

}  // namespace hearsay::model::prep
