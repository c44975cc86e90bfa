// What verbs print: aligned columns for people, and the small formats of their
// cells. Plain ASCII, no colour: a table reads the same in a file.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace hearsay::ops {

enum class Align { kLeft, kRight };

struct Column {
  std::string header;
  Align align = Align::kLeft;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns);
  // Requires: one cell a column.
  void Add(std::vector<std::string> cells);
  // A header line, then a line a row, none with trailing spaces.
  std::string Text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// On stdout: for a person, and for a program.
void Print(const Table& table);
void Print(const nlohmann::ordered_json& document);

// Cells. "-" for null and for what is not of the type.
std::string Cell(const nlohmann::ordered_json& text_or_whole_number);
std::string FixedCell(const nlohmann::ordered_json& number, int digits);
std::string PercentCell(const nlohmann::ordered_json& fraction);  // "79.1%"
std::string SecondsCell(const nlohmann::ordered_json& seconds);   // "4.0 ms"
std::string RateCell(const nlohmann::ordered_json& bytes_per_second);

// A member that may be absent: null then, so that a document of another release
// costs a "-" and not an exception.
const nlohmann::ordered_json& At(const nlohmann::ordered_json& object,
                                 const std::string& key);

}  // namespace hearsay::ops
