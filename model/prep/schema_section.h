// One table of a schema's file, with typed look-ups whose errors know the line.
// Private to schema_toml.cc.
//
// Threads: one. Errors: FileError, "PATH:LINE: title what".
#pragma once

#include <toml++/toml.h>
#include <filesystem>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "model/prep/expression.h"

namespace hearsay::model::prep {

class Section {
 public:
  // References must outlive this. `title`: "column AGEP: ", or nothing.
  Section(const toml::table& table, const std::filesystem::path& path,
          std::string title)
      : table_(table), path_(path), title_(std::move(title)) {}

  [[noreturn]] void Fail(const toml::source_region& where,
                         const std::string& what) const;
  [[noreturn]] void Fail(const std::string& what) const {
    Fail(table_.source(), what);
  }
  // Requires: Has(key).
  [[noreturn]] void FailAt(const char* key, const std::string& what) const;

  // Any other key is an error that names the nearest of these.
  void Allow(std::initializer_list<std::string_view> known) const;

  bool Has(const char* key) const { return table_.contains(key); }

  std::string String(const char* key) const;
  std::string String(const char* key, const std::string& absent) const {
    return Has(key) ? String(key) : absent;
  }
  std::string Name(const char* key) const;  // not empty
  bool Bool(const char* key, bool absent) const;
  double Number(const char* key) const;  // finite
  const toml::array& Array(const char* key) const;

  // A raw value: text, or a whole number written without quotes.
  std::string Raw(const char* key, const toml::node& node) const;
  // Requires: Has(key).
  std::string RawAt(const char* key) const {
    return Raw(key, *table_.get(key));
  }
  std::vector<std::string> Raws(const char* key) const;

  // An expression of one of the schema's languages.
  template <typename Language>
  Language Parsed(const char* key) const {
    try {
      return Language::Parse(String(key));
    } catch (const std::invalid_argument& error) {
      FailAt(key, error.what());
    }
  }
  Expression Condition(const char* key) const {
    return Parsed<Expression>(key);
  }

  // A table inside an array of this one.
  Section Inner(const toml::node& node, const std::string& title) const;

 private:
  const toml::node& Required(const char* key) const;

  const toml::table& table_;
  const std::filesystem::path& path_;
  std::string title_;
};

}  // namespace hearsay::model::prep
