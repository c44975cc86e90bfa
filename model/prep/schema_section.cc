#include "model/prep/schema_section.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/safetensors.h"

namespace hearsay::model::prep {

namespace {

// Levenshtein 1966: insertions, deletions and substitutions.
std::size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i] != b[j]);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

void Section::Fail(const toml::source_region& where,
                   const std::string& what) const {
  throw FileError(path_.string() + ":" + std::to_string(where.begin.line) +
                  ": " + title_ + what);
}

void Section::FailAt(const char* key, const std::string& what) const {
  Fail(table_.get(key)->source(), std::string(key) + ": " + what);
}

void Section::Allow(std::initializer_list<std::string_view> known) const {
  for (const auto& entry : table_) {
    const toml::key& key = entry.first;
    if (std::find(known.begin(), known.end(), key.str()) != known.end())
      continue;
    const auto* nearest = std::min_element(
        known.begin(), known.end(),
        [&](std::string_view a, std::string_view b) {
          return EditDistance(key.str(), a) < EditDistance(key.str(), b);
        });
    Fail(key.source(), "unknown key \"" + std::string(key.str()) +
                           "\"; the nearest known key is \"" +
                           std::string(*nearest) + "\"");
  }
}

const toml::node& Section::Required(const char* key) const {
  const auto* node = table_.get(key);
  if (node == nullptr) Fail(std::string("needs the key \"") + key + "\"");
  return *node;
}

std::string Section::String(const char* key) const {
  const toml::node& node = Required(key);
  if (!node.is_string()) FailAt(key, "must be text in quotes");
  return node.as_string()->get();
}

std::string Section::Name(const char* key) const {
  std::string name = String(key);
  if (name.empty()) FailAt(key, "must not be empty");
  return name;
}

bool Section::Bool(const char* key, bool absent) const {
  if (!Has(key)) return absent;
  if (!table_.get(key)->is_boolean()) FailAt(key, "must be true or false");
  return table_.get(key)->as_boolean()->get();
}

double Section::Number(const char* key) const {
  const toml::node& node = Required(key);
  const auto number = node.value<double>();
  if (!node.is_number() || !number || !std::isfinite(*number))
    FailAt(key, "must be a finite number");
  return *number;
}

const toml::array& Section::Array(const char* key) const {
  const toml::node& node = Required(key);
  if (!node.is_array()) FailAt(key, "must be an array: [...]");
  return *node.as_array();
}

std::string Section::Raw(const char* key, const toml::node& node) const {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* number = node.as_integer())
    return std::to_string(number->get());
  Fail(node.source(),
       std::string(key) + ": needs text in quotes or whole numbers");
}

std::vector<std::string> Section::Raws(const char* key) const {
  std::vector<std::string> values;
  for (const toml::node& node : Array(key)) values.push_back(Raw(key, node));
  return values;
}

Section Section::Inner(const toml::node& node, const std::string& title) const {
  if (!node.is_table()) Fail(node.source(), title + "must be a table: { ... }");
  return {*node.as_table(), path_, title};
}

}  // namespace hearsay::model::prep
