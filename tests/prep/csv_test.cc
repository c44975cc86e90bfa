#include "model/prep/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zlib.h>
#include <zstd.h>

#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include <sys/stat.h>

#include "tests/support/temporary_folder.h"

namespace hearsay::model::prep {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using tests::TemporaryFolder;
using Records = std::vector<std::vector<std::string>>;

void WriteAll(const std::filesystem::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string Gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(compressBound(text.size()) + 64, '\0');
  stream.next_in =
      reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));  // NOLINT
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string Zstd(const std::string& text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(
      ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

CsvFormat NoHeader() {
  CsvFormat format;
  format.header = false;
  format.columns = {"a", "b"};
  return format;
}

Records ReadRecords(const std::filesystem::path& path,
                    const CsvFormat& format) {
  CsvReader reader(path, format);
  Records records;
  std::vector<std::string_view> fields;
  while (reader.Next(fields))
    records.emplace_back(fields.begin(), fields.end());
  return records;
}

class CsvTest : public testing::Test {
 protected:
  Records Parse(const std::string& text, const CsvFormat& format = NoHeader()) {
    WriteAll(folder_ / "f.csv", text);
    return ReadRecords(folder_ / "f.csv", format);
  }
  std::string Error(const std::string& text,
                    const CsvFormat& format = NoHeader(),
                    const std::string& name = "f.csv") {
    WriteAll(folder_ / name, text);
    try {
      ReadRecords(folder_ / name, format);
    } catch (const FileError& error) {
      const std::string what = error.what();
      EXPECT_THAT(what, HasSubstr((folder_ / name).string() + ":"));
      return what.substr(folder_.path().string().size() + 1);
    }
    return "no error";
  }
  TemporaryFolder folder_;
};

// Sections 2.1 to 2.7 of RFC 4180, example by example.
TEST_F(CsvTest, ReadsTheExamplesOfRfc4180) {
  EXPECT_EQ(Parse("aaa,bbb,ccc\r\nzzz,yyy,xxx\r\n"),
            (Records{{"aaa", "bbb", "ccc"}, {"zzz", "yyy", "xxx"}}));
  EXPECT_EQ(Parse("aaa,bbb,ccc\r\nzzz,yyy,xxx"),
            (Records{{"aaa", "bbb", "ccc"}, {"zzz", "yyy", "xxx"}}));
  EXPECT_EQ(Parse("\"aaa\",\"bbb\",\"ccc\"\r\nzzz,yyy,xxx"),
            (Records{{"aaa", "bbb", "ccc"}, {"zzz", "yyy", "xxx"}}));
  EXPECT_EQ(Parse("\"aaa\",\"b\r\nbb\",\"ccc\"\r\nzzz,yyy,xxx"),
            (Records{{"aaa", "b\r\nbb", "ccc"}, {"zzz", "yyy", "xxx"}}));
  EXPECT_EQ(Parse("\"aaa\",\"b\"\"bb\",\"ccc\""),
            (Records{{"aaa", "b\"bb", "ccc"}}));
}

TEST_F(CsvTest, ReadsEmptyFieldsAtEveryPlace) {
  EXPECT_EQ(Parse(",\n"), (Records{{"", ""}}));
  EXPECT_EQ(Parse("a,\n,b\n\"\",\"\"\n"),
            (Records{{"a", ""}, {"", "b"}, {"", ""}}));
  EXPECT_EQ(Parse(",,,"), (Records{{"", "", "", ""}}));
}

TEST_F(CsvTest, SkipsBlankLinesCommentsAndTheByteOrderMark) {
  CsvFormat format = NoHeader();
  format.comment = "|";
  EXPECT_EQ(Parse("\xef\xbb\xbf|1x3 \"Cross\n1,2\n\n\r\n|x\n3,4\n\n", format),
            (Records{{"1", "2"}, {"3", "4"}}));
  // Without comments the same line is a record.
  EXPECT_EQ(Parse("|x,1\n"), (Records{{"|x", "1"}}));
}

TEST_F(CsvTest, TrimsOnlyIfAsked) {
  EXPECT_EQ(Parse(" a , b\t\n"), (Records{{" a ", " b\t"}}));
  CsvFormat format = NoHeader();
  format.trim = true;
  EXPECT_EQ(Parse(" a , b\t\n  \n \" c \" , d\n", format),
            (Records{{"a", "b"}, {" c ", "d"}}));
}

TEST_F(CsvTest, KeepsEmptyFieldsBetweenTabs) {
  CsvFormat format = NoHeader();
  format.separator = '\t';
  for (const bool trim : {false, true}) {
    format.trim = trim;
    EXPECT_EQ(Parse("a\tb\n\t\n\t\"x\ty\"\n", format),
              (Records{{"a", "b"}, {"", ""}, {"", "x\ty"}}))
        << trim;
  }
}

TEST_F(CsvTest, TakesAQuoteInsideAPlainFieldAsItStands) {
  EXPECT_EQ(Parse("5\" pipe,x\n"), (Records{{"5\" pipe", "x"}}));
}

// Every record straddles the end of some block of 1 MiB, plain or inflated.
TEST_F(CsvTest, ReadsAcrossBlocks) {
  std::string text;
  Records expected;
  for (int i = 0; text.size() < (5U << 20); ++i) {
    const std::string filler(static_cast<std::size_t>(i * 7919 % 300), 'x');
    const std::string n = std::to_string(i);
    text += n + ",\"" + filler + "\"\"\n\"\n";
    expected.push_back({n, filler + "\"\n"});
  }
  EXPECT_EQ(Parse(text), expected);
  WriteAll(folder_ / "f.csv.gz", Gzip(text));
  EXPECT_EQ(ReadRecords(folder_ / "f.csv.gz", NoHeader()), expected);
}

TEST_F(CsvTest, ReadsARecordLongerThanABlock) {
  const std::string large(3 << 20, 'y');
  EXPECT_EQ(Parse("a,\"" + large + "\"\nb,c\n"),
            (Records{{"a", large}, {"b", "c"}}));
}

TEST_F(CsvTest, ReadsGzipOfSeveralMembersUnderAnyName) {
  WriteAll(folder_ / "f.txt", Gzip("a,b\n") + Gzip("c,d\n"));
  EXPECT_EQ(ReadRecords(folder_ / "f.txt", NoHeader()),
            (Records{{"a", "b"}, {"c", "d"}}));
}

TEST_F(CsvTest, ReadsZstdOfSeveralFramesUnderAnyName) {
  WriteAll(folder_ / "f.txt", Zstd("a,b\n") + Zstd("c,d\n"));
  EXPECT_EQ(ReadRecords(folder_ / "f.txt", NoHeader()),
            (Records{{"a", "b"}, {"c", "d"}}));
}

TEST_F(CsvTest, NoticesDamagedZstd) {
  std::string text;
  for (int i = 0; i < 40'000; ++i) text += std::to_string(i * i) + ",x\n";
  const std::string good = Zstd(text);
  ASSERT_GT(good.size(), 1000U);
  for (const std::size_t length :
       {good.size() - 1, good.size() / 2, std::size_t{20}, std::size_t{5}})
    EXPECT_THAT(Error(good.substr(0, length), NoHeader(), "f.csv.zst"),
                HasSubstr("truncated: the zstd data end too early"))
        << length;
  EXPECT_THAT(Error(good + "tail", NoHeader(), "f.csv.zst"),
              HasSubstr("damaged zstd data"));
  EXPECT_THAT(Error(text, NoHeader(), "f.csv.zst"),
              HasSubstr("is not zstd data, although its name says so"));
}

// The text in blocks of any size comes apart as it does in one.
TEST_F(CsvTest, BlocksEndWhereRecordsDo) {
  CsvFormat format = NoHeader();
  format.comment = "#";
  const std::string text =
      "a,\"b\nc\"\n#\"d\n\ne\"f,g\r\n\"h\"\"\n\"\"\",i\n\"\",\r\n,\nj,k";
  const Records expected = {{"a", "b\nc"}, {"e\"f", "g"}, {"h\"\n\"", "i"},
                            {"", ""},      {"", ""},      {"j", "k"}};
  for (const bool trim : {false, true})
    for (std::size_t size = 1; size <= text.size() + 1; ++size) {
      format.trim = trim;
      CsvBlocks blocks(ByteSource(text, "f"), "f", format, size);
      CsvBlock block;
      CsvCursor cursor(format);
      Records records;
      std::uint64_t line = 1;
      for (std::uint64_t index = 0; blocks.Next(block); ++index) {
        EXPECT_EQ(block.index, index);
        EXPECT_EQ(block.line, line);
        line += block.lines;
        cursor.Start(block);
        while (cursor.Next() == CsvCursor::Step::kRecord)
          records.emplace_back(cursor.fields().begin(), cursor.fields().end());
      }
      EXPECT_EQ(records, expected) << "blocks of " << size;
      EXPECT_EQ(line, 11U);
    }
}

// What many at once leave out is the next that comes one by one.
TEST_F(CsvTest, ManyAtOnceAreThoseThatComeOneByOne) {
  std::string text;
  for (int i = 0; i < 2000; ++i) {
    text += std::to_string(i) + "," + std::string(i % 90, 'x') + "\n";
    if (i % 7 == 0) text += "\n\r\n";
    if (i % 300 == 0) text += "1\n1,2,3\n,\r\n";
  }
  const auto all = [](const std::string& csv, bool many) {
    const CsvFormat format = NoHeader();
    CsvBlocks blocks(ByteSource(csv, "f"), "f", format, 10'000);
    CsvBlock block;
    CsvCursor cursor(format);
    Records records;
    const auto add = [&](std::uint64_t line, const auto& fields) {
      records.emplace_back(fields.begin(), fields.end());
      records.back().push_back(std::to_string(line));
    };
    while (blocks.Next(block)) {
      cursor.Start(block);
      while (true) {
        const CsvRecords some = many ? cursor.NextMany(2) : CsvRecords();
        EXPECT_LE(some.size(), CsvCursor::kMany);
        for (std::size_t i = 0; i < some.size(); ++i)
          add(cursor.LineOf(some.records[i]), some.fields_of(i));
        if (some.size() > 0) continue;
        const CsvCursor::Step step = cursor.Next();
        if (step == CsvCursor::Step::kEnd) break;
        EXPECT_EQ(step, CsvCursor::Step::kRecord);
        add(cursor.line(), cursor.fields());
      }
    }
    return records;
  };
  EXPECT_EQ(all(text, true), all(text, false));
  const std::string quoted = text + "\"a\"\"\n\",b\n" + text;
  EXPECT_EQ(all(quoted, true), all(quoted, false));
  EXPECT_EQ(all(quoted, true).size(), 2 * all(text, true).size() + 1);
}

// A broken field costs its record, not those behind it.
TEST_F(CsvTest, GoesOnBehindABrokenQuote) {
  const CsvFormat format = NoHeader();
  CsvBlocks blocks(ByteSource("1,\"x\"y,\"\n\",2\n3,4\n", "f"), "f", format);
  CsvBlock block;
  ASSERT_TRUE(blocks.Next(block));
  CsvCursor cursor(format);
  cursor.Start(block);
  EXPECT_EQ(cursor.Next(), CsvCursor::Step::kBroken);
  EXPECT_EQ(cursor.line(), 1U);
  EXPECT_EQ(cursor.column(), 6U);
  ASSERT_EQ(cursor.Next(), CsvCursor::Step::kRecord);
  EXPECT_EQ(cursor.line(), 3U);
  EXPECT_THAT(cursor.fields(), ElementsAre("3", "4"));
  EXPECT_EQ(cursor.Next(), CsvCursor::Step::kEnd);
}

TEST_F(CsvTest, ReadsAPipe) {
  const auto path = folder_ / "pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  const std::jthread writer([&] { WriteAll(path, "a,b\nc,d\n"); });
  EXPECT_EQ(ReadRecords(path, NoHeader()), (Records{{"a", "b"}, {"c", "d"}}));
}

TEST_F(CsvTest, KnowsTheLineOfEachRecord) {
  WriteAll(folder_ / "f.csv", "a,b\n1,\"x\ny\"\n\n2,3\n");
  CsvReader reader(folder_ / "f.csv", CsvFormat());
  EXPECT_THAT(reader.header(), ElementsAre("a", "b"));
  std::vector<std::string_view> fields;
  ASSERT_TRUE(reader.Next(fields));
  EXPECT_EQ(reader.line(), 2U);
  ASSERT_TRUE(reader.Next(fields));
  EXPECT_EQ(reader.line(), 5U);
  EXPECT_EQ(reader.Place(), (folder_ / "f.csv").string() + ":5");
  EXPECT_FALSE(reader.Next(fields));
  EXPECT_FALSE(reader.Next(fields));
}

TEST_F(CsvTest, NamesThePlaceOfABrokenQuote) {
  EXPECT_EQ(Error("1,2\n3,\"x\n4,5\n"),
            "f.csv:2:3: the quote opened here is never closed");
  EXPECT_EQ(Error("1,2\n3,\"x\"y\n"),
            "f.csv:2:6: there is text behind the closing quote of a field");
  EXPECT_EQ(Error("1,\""), "f.csv:1:3: the quote opened here is never closed");
  EXPECT_EQ(Error("1,\"a\"\""),
            "f.csv:1:3: the quote opened here is never closed");
}

TEST_F(CsvTest, RefusesARecordWithoutEnd) {
  EXPECT_THAT(Error("1,2\n3,\"" + std::string(20 << 20, 'x')),
              HasSubstr("f.csv:2:1: a record of more than 16 MiB"));
}

TEST_F(CsvTest, RefusesWhatHasNoColumns) {
  EXPECT_EQ(Error(""), "f.csv: is empty");
  EXPECT_EQ(Error("", NoHeader(), "f.csv.gz"), "f.csv.gz: is empty");
  EXPECT_EQ(Error(Gzip(""), NoHeader(), "f.csv.gz"), "f.csv.gz: is empty");
  EXPECT_EQ(Error("\n\n", CsvFormat()), "f.csv: has no header line");
  EXPECT_EQ(Error("a,b,a\n", CsvFormat()),
            "f.csv:1: the header names column \"a\" twice");
}

TEST_F(CsvTest, NoticesDamagedGzip) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += std::to_string(i * i) + ",x\n";
  const std::string good = Gzip(text);
  for (const std::size_t length :
       {good.size() - 1, good.size() / 2, std::size_t{20}, std::size_t{3}})
    EXPECT_THAT(Error(good.substr(0, length), NoHeader(), "f.csv.gz"),
                HasSubstr("truncated: the gzip data end too early"));
  std::string flipped = good;
  flipped[good.size() / 2] = static_cast<char>(flipped[good.size() / 2] ^ 4);
  EXPECT_THAT(Error(flipped, NoHeader(), "f.csv.gz"),
              HasSubstr("damaged gzip data"));
  EXPECT_THAT(Error(good + "tail", NoHeader(), "f.csv.gz"),
              HasSubstr("damaged gzip data"));
  EXPECT_THAT(Error(text, NoHeader(), "f.csv.gz"),
              HasSubstr("is not gzip data, although its name says so"));
}

TEST_F(CsvTest, SaysWhatImagesNeed) {
  const std::string idx("\0\0\x08\x03\0\0\0\0", 8);
  EXPECT_THAT(Error(idx), HasSubstr("binary data"));
  EXPECT_THAT(Error(Gzip(idx), NoHeader(), "f.gz"), HasSubstr("binary data"));
  EXPECT_THAT(Error(idx, NoHeader(), "t10k-images-idx3-ubyte"),
              HasSubstr("IDX files need a schema with [images]"));
}

TEST_F(CsvTest, RefusesWhatCannotBeRead) {
  const auto error = [](const std::filesystem::path& path) -> std::string {
    try {
      CsvReader(path, NoHeader());
    } catch (const FileError& caught) {
      return caught.what();
    }
    return "no error";
  };
  EXPECT_THAT(error(folder_ / "none.csv"), HasSubstr("cannot open"));
  EXPECT_THAT(error(folder_.path()), HasSubstr("cannot read"));
}

}  // namespace
}  // namespace hearsay::model::prep
