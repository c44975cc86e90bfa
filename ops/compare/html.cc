#include "ops/compare/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace hearsay::ops {

std::string Escaped(std::string_view text) {
  std::string safe;
  for (const char c : text) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

std::string ScriptJson(const nlohmann::ordered_json& json) {
  std::string safe;
  // Bytes that are no UTF-8 become U+FFFD.
  for (const char c : json.dump(
           -1, ' ', true, nlohmann::ordered_json::error_handler_t::replace)) {
    if (c == '<' || c == '>' || c == '&')
      safe += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      safe += c;
  }
  return safe;
}

std::string Grouped(double count) {
  const std::string digits = fmt::format("{:.0f}", count);
  std::string text;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) text += ',';
    text += digits[i];
  }
  return text;
}

std::string TableHtml(const HtmlTable& table) {
  const auto tag = [&](const char* name, std::size_t column,
                       const std::string& text) {
    const bool is_text =
        column == 0 ||
        std::find(table.text_columns.begin(), table.text_columns.end(),
                  column) != table.text_columns.end();
    return fmt::format("<{0}{1}>{2}</{0}>", name, is_text ? "" : " class=\"n\"",
                       Escaped(text));
  };
  std::string html = "<div class=\"scroll\"><table>\n<thead><tr>";
  for (std::size_t i = 0; i < table.headers.size(); ++i)
    html += tag("th", i, table.headers[i]);
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr>";
    for (std::size_t i = 0; i < row.size(); ++i)
      html += tag(i == 0 ? "th" : "td", i, row[i]);
    html += "</tr>\n";
  }
  return html + "</tbody>\n</table></div>\n";
}

}  // namespace hearsay::ops
