// Prints the records of a CSV file, for csv_differential.py: a line each, its
// fields in hexadecimal between commas.
#include <cstdio>
#include <exception>
#include <string>

#include "model/prep/csv.h"

int main(int argc, char** argv) {
  namespace prep = hearsay::model::prep;
  if (argc != 3) {
    std::fprintf(stderr, "usage: csv_dump FILE BLOCK_BYTES\n");
    return 2;
  }
  try {
    prep::CsvFormat format;
    format.header = false;
    prep::CsvBlocks blocks(prep::ByteSource(argv[1]), argv[1], format,
                           std::stoul(argv[2]));
    prep::CsvBlock block;
    prep::CsvCursor cursor(format);
    std::string line;
    while (blocks.Next(block)) {
      cursor.Start(block);
      prep::CsvCursor::Step step = cursor.Next();
      for (; step == prep::CsvCursor::Step::kRecord; step = cursor.Next()) {
        line.clear();
        for (std::size_t i = 0; i < cursor.fields().size(); ++i) {
          if (i > 0) line += ',';
          for (const char c : cursor.fields()[i]) {
            constexpr char kDigits[] = "0123456789abcdef";
            const auto byte = static_cast<unsigned char>(c);
            line += kDigits[byte >> 4];
            line += kDigits[byte & 15];
          }
        }
        std::puts(line.c_str());
      }
      if (step != prep::CsvCursor::Step::kEnd) {
        std::fprintf(stderr, "line %llu: %s\n",
                     static_cast<unsigned long long>(cursor.line()),
                     prep::Describe(step));
        return 1;
      }
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
