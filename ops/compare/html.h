// Text that comes from outside (recipes, names, daemons' words) made safe to
// stand in a page.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace hearsay::ops {

// For text between tags and for attributes in quotes.
std::string Escaped(std::string_view text);

// For <script type="application/json">: no `<`, `>` or `&` is left.
std::string ScriptJson(const nlohmann::ordered_json& json);

// 57600.4 -> "57,600"
std::string Grouped(double count);

// A table of plain text: every cell is escaped here. The first column is text,
// the others are numbers and aligned so, unless `text_columns` has them.
struct HtmlTable {
  std::vector<std::string> headers;
  std::vector<std::vector<std::string>> rows;
  std::vector<std::size_t> text_columns = {};
};
std::string TableHtml(const HtmlTable& table);

}  // namespace hearsay::ops
