// A CSV text under any format, cut into blocks of any size.
//
// Beyond not crashing: the records are those of a parser that looks at one
// character at a time, whatever the blocks; and so are the lines they begin on,
// and where they are broken.
#include <tuple>
#include <vector>

#include "model/prep/csv.h"
#include "tests/fuzz/fuzz.h"

namespace hearsay::model::prep {
namespace {

struct Record {
  CsvCursor::Step step = CsvCursor::Step::kRecord;
  std::vector<std::string> fields;
  std::uint64_t line = 1;
  std::size_t column = 0;  // If broken.
  bool operator==(const Record&) const = default;
};

// Slow, and plain to see.
class Plain {
 public:
  Plain(std::string text, const CsvFormat& format)
      : text_(std::move(text)), format_(format) {
    if (text_.starts_with("\xef\xbb\xbf")) text_.erase(0, 3);
    if (!text_.empty() && text_.back() != '\n') text_ += '\n';
  }

  std::vector<Record> Records() {
    std::vector<Record> records;
    while (at_ < text_.size()) {
      record_ = Record();
      for (std::size_t i = 0; i < at_; ++i) record_.line += text_[i] == '\n';
      begin_ = at_;
      quoted_ = false;
      if (!format_.comment.empty() &&
          text_.compare(at_, format_.comment.size(), format_.comment) == 0) {
        while (text_[at_] != '\n') ++at_;
        ++at_;
        continue;
      }
      while (Field()) {
      }
      const bool blank = record_.fields.size() == 1 &&
                         record_.fields[0].empty() && !quoted_ &&
                         record_.step == CsvCursor::Step::kRecord;
      if (record_.step != CsvCursor::Step::kRecord) record_.fields.clear();
      if (!blank) records.push_back(record_);
    }
    return records;
  }

 private:
  bool IsBlank(char c) const {
    return (c == ' ' || c == '\t') && c != format_.separator;
  }

  // False: it was the record's last.
  bool Field() {
    std::string field;
    std::size_t first = at_;
    while (format_.trim && IsBlank(text_[first])) ++first;
    if (text_[first] == '"') {
      quoted_ = true;
      const std::size_t opened = first++;
      while (true) {
        if (first == text_.size()) {
          record_.step = CsvCursor::Step::kUnterminated;
          record_.column = opened - begin_ + 1;
          at_ = text_.size();
          return false;
        }
        if (text_[first] == '"' && text_[first + 1] != '"') break;
        if (text_[first] == '"') ++first;
        field += text_[first++];
      }
      at_ = first + 1;
      while (format_.trim && IsBlank(text_[at_])) ++at_;
      const std::size_t behind = at_;
      while (text_[at_] != format_.separator && text_[at_] != '\n') ++at_;
      const std::string rest = text_.substr(behind, at_ - behind);
      if (!rest.empty() && !(rest == "\r" && text_[at_] == '\n') &&
          record_.step == CsvCursor::Step::kRecord) {
        record_.step = CsvCursor::Step::kBroken;
        record_.column = behind - begin_ + 1;
      }
    } else {
      while (text_[at_] != format_.separator && text_[at_] != '\n')
        field += text_[at_++];
      if (text_[at_] == '\n' && field.ends_with('\r')) field.pop_back();
      const auto blank = [](char c) { return c == ' ' || c == '\t'; };
      while (format_.trim && !field.empty() && blank(field.front()))
        field.erase(0, 1);
      while (format_.trim && !field.empty() && blank(field.back()))
        field.pop_back();
    }
    record_.fields.push_back(field);
    return text_[at_++] != '\n';
  }

  std::string text_;
  const CsvFormat& format_;
  std::size_t at_ = 0;
  std::size_t begin_ = 0;
  bool quoted_ = false;
  Record record_;
};

// width 0: one by one; else many at once where they have so many fields.
std::vector<Record> InBlocks(const std::string& text, const CsvFormat& format,
                             std::size_t size, std::size_t width) {
  CsvBlocks blocks(ByteSource(text, "f"), "f", format, size);
  std::vector<Record> records;
  CsvBlock block;
  CsvCursor cursor(format);
  while (blocks.Next(block)) {
    cursor.Start(block);
    const auto take_many = [&] {
      if (width == 0) return false;
      const CsvRecords many = cursor.NextMany(width);
      for (std::size_t i = 0; i < many.size(); ++i) {
        Record& record = records.emplace_back();
        record.line = cursor.LineOf(many.records[i]);
        const auto fields = many.fields_of(i);
        record.fields.assign(fields.begin(), fields.end());
      }
      return many.size() > 0;
    };
    while (true) {
      if (take_many()) continue;
      const CsvCursor::Step step = cursor.Next();
      if (step == CsvCursor::Step::kEnd) break;
      Record& record = records.emplace_back();
      record.step = step;
      record.line = cursor.line();
      if (step == CsvCursor::Step::kRecord)
        record.fields.assign(cursor.fields().begin(), cursor.fields().end());
      else
        record.column = cursor.column();
    }
  }
  return records;
}

}  // namespace
}  // namespace hearsay::model::prep

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::model::prep;  // NOLINT(google-build-using-namespace)
  hearsay::fuzz::Input input(data, size);
  const auto flags = input.Take();
  CsvFormat format;
  format.header = false;
  format.trim = (flags & 1) != 0;
  if ((flags & 2) != 0) format.comment = "#";
  format.separator = ",;\t "[flags >> 2 & 3];
  const std::size_t block = 1 + input.Take() % 100;
  // What is packed is zlib's and zstd's, and what begins with zeros is refused;
  // here it is text.
  const std::string text = ".." + input.Rest();
  const std::vector<Record> expected = Plain(text, format).Records();
  const std::size_t width = 1 + (flags >> 4) % 4;
  hearsay::fuzz::Check(InBlocks(text, format, block, 0) == expected);
  hearsay::fuzz::Check(InBlocks(text, format, block, width) == expected);
  hearsay::fuzz::Check(InBlocks(text, format, kCsvBlockBytes, width) ==
                       expected);
  return 0;
}
