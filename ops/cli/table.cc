#include "ops/cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

namespace hearsay::ops {

using Json = nlohmann::ordered_json;

namespace {
constexpr const char* kNone = "-";
constexpr const char* kGap = "  ";
}  // namespace

Table::Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

void Table::Add(std::vector<std::string> cells) {
  assert(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::Text() const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = columns_[i].header.size();
    for (const auto& row : rows_) width = std::max(width, row[i].size());
    widths.push_back(width);
  }
  std::string text;
  const auto line = [&](const auto& cell) {
    for (std::size_t i = 0; i < columns_.size(); ++i)
      text += columns_[i].align == Align::kRight
                  ? fmt::format("{:>{}}{}", cell(i), widths[i], kGap)
                  : fmt::format("{:<{}}{}", cell(i), widths[i], kGap);
    text.erase(text.find_last_not_of(' ') + 1);
    text += '\n';
  };
  line([&](std::size_t i) { return columns_[i].header; });
  for (const auto& row : rows_) line([&](std::size_t i) { return row[i]; });
  return text;
}

void Print(const Table& table) { std::fputs(table.Text().c_str(), stdout); }

void Print(const Json& document) { std::puts(document.dump(2).c_str()); }

std::string Cell(const Json& value) {
  if (value.is_string()) {
    const auto& text = value.get_ref<const std::string&>();
    return text.empty() ? kNone : text;
  }
  return value.is_number_integer() ? value.dump() : kNone;
}

std::string FixedCell(const Json& number, int digits) {
  if (!number.is_number()) return kNone;
  return fmt::format("{:.{}f}", number.get<double>(), digits);
}

std::string PercentCell(const Json& fraction) {
  if (!fraction.is_number()) return kNone;
  return fmt::format("{:.1f}%", 100 * fraction.get<double>());
}

std::string SecondsCell(const Json& value) {
  if (!value.is_number()) return kNone;
  const double seconds = value;
  if (seconds >= 120) return fmt::format("{:.0f} min", seconds / 60);
  if (seconds >= 1) return fmt::format("{:.1f} s", seconds);
  return fmt::format("{:.1f} ms", seconds * 1e3);
}

std::string RateCell(const Json& value) {
  if (!value.is_number()) return kNone;
  constexpr std::array kUnits = {"B/s", "kB/s", "MB/s", "GB/s"};
  double rate = value;
  std::size_t unit = 0;
  for (; rate >= 1000 && unit + 1 < kUnits.size(); ++unit) rate /= 1000;
  return fmt::format("{:.1f} {}", rate, kUnits[unit]);
}

const Json& At(const Json& object, const std::string& key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

}  // namespace hearsay::ops
