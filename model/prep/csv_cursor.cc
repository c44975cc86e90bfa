// Taking apart: text between separators and newlines is never looked at; only a
// field that begins with a quote is, for its end.
#include <algorithm>
#include <cstring>
#include <utility>

#include "model/prep/byte_mask.h"  // kMaskBytes
#include "model/prep/csv.h"

namespace hearsay::model::prep {

namespace {

static_assert(kCsvMargin >= kMaskBytes);

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

void CsvCursor::Start(const CsvBlock& block) {
  text_ = block.text().data();
  end_ = block.text().size();
  at_ = record_ = counted_ = 0;
  line_ = block.line;
  count_ = 0;
  unescaped_.clear();
  unescaped_used_ = 0;
  is_pending_ = false;
  marks_.Start(text_, end_, format_.separator);
  plain_ = !format_.trim && format_.comment.empty() &&
           block.text().find('"') == std::string_view::npos;
}

CsvCursor::Step CsvCursor::Next() {
  if (std::exchange(is_pending_, false)) return pending_;
  first_ = 0;
  return Advance();
}

CsvRecords CsvCursor::NextMany(std::size_t width) {
  if (is_pending_) return {};
  first_ = 0;
  records_.clear();
  const std::size_t most = std::clamp<std::size_t>(
      kManyFields / std::max<std::size_t>(width, 1), 1, kMany);
  while (true) {
    TakePlain(width, most);
    if (records_.size() == most) break;
    const Step step = Advance();
    if (step != Step::kRecord || count_ != width) {
      is_pending_ = true;
      pending_ = step;
      break;
    }
    records_.push_back(record());
    first_ += width;
  }
  return {width, {fields_.data(), first_}, records_};
}

// What most of most files is: records in which nothing is quoted, and none is a
// blank line, which a single field might be.
void CsvCursor::TakePlain(std::size_t width, std::size_t most) {
  if (!plain_ || width < 2) return;
  if (fields_.size() < most * width) fields_.resize(most * width);
  while (records_.size() < most) {
    const std::uint32_t* const ends = marks_.TakeRecord(width);
    if (ends == nullptr) return;
    std::string_view* const fields = fields_.data() + first_;
    const char* begin = text_ + at_;
    const char* const text = text_;
    for (std::size_t i = 0; i < width; ++i) {
      const char* const end = text + ends[i];
      fields[i] = {begin, static_cast<std::size_t>(end - begin)};
      begin = end + 1;
    }
    if (fields[width - 1].ends_with('\r')) fields[width - 1].remove_suffix(1);
    record_ = std::exchange(at_, static_cast<std::size_t>(begin - text));
    records_.push_back(record());
    first_ += width;
  }
}

CsvCursor::Step CsvCursor::Advance() {
  while (at_ != end_) {
    record_ = at_;
    if (!format_.comment.empty() && std::string_view(text_ + at_, end_ - at_)
                                        .starts_with(format_.comment)) {
      do {
        at_ = marks_.NextFrom(at_) + 1;
      } while (text_[at_ - 1] != '\n');
      continue;
    }
    const Step step = Split();
    const bool blank = count_ == 1 && fields_[first_].empty() && !quoted_;
    if (step != Step::kRecord || !blank) return step;
  }
  record_ = at_;
  count_ = 0;
  return Step::kEnd;
}

CsvCursor::Step CsvCursor::Split() {
  Step step = Step::kRecord;
  std::size_t begin = at_;
  count_ = 0;
  quoted_ = false;
  while (true) {
    const std::size_t used = first_ + count_;
    if (used == fields_.size()) fields_.resize(2 * used + 16);
    std::string_view& field = fields_[used];
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
      end = marks_.NextFrom(closed);
      const bool carriage_return =
          end - closed == 1 && text_[closed] == '\r' && text_[end] == '\n';
      if (end != closed && !carriage_return && step == Step::kRecord) {
        step = Step::kBroken;
        broken_ = closed;
      }
    } else {
      end = marks_.Next();
      field = {text_ + begin, end - begin};
      if (text_[end] == '\n' && field.ends_with('\r')) field.remove_suffix(1);
      if (format_.trim) field = Trimmed(field);
    }
    ++count_;
    begin = end + 1;
    if (text_[end] == '\n') break;
  }
  at_ = begin;
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
  // All of the fields fit where all of the text does, so that nothing moves
  // while it is pointed at.
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

std::uint64_t CsvCursor::LineOf(std::string_view record) {
  line_ += static_cast<std::uint64_t>(
      std::count(text_ + counted_, record.data(), '\n'));
  counted_ = static_cast<std::size_t>(record.data() - text_);
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
