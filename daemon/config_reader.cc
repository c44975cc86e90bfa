#include "daemon/config_reader.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numeric>
#include <system_error>

extern char** environ;

namespace hearsay::daemon {

struct ConfigReader::Document {
  toml::table root;
};

namespace {

std::size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substitute = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({substitute, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

// "model.layer[1].units" and "model.layer[0].units" are one key to a reader.
std::string WithoutIndices(std::string key) {
  for (auto open = key.find('['); open != std::string::npos;
       open = key.find('['))
    key.erase(open, key.find(']') - open + 1);
  return key;
}

std::string EnvironmentName(const std::string& key) {
  std::string name = "HEARSAY_";
  for (const char c : key)
    name += c == '.' ? '_' : static_cast<char>(std::toupper(c));
  return name;
}

template <typename T>
std::optional<T> Parse(const std::string& text) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::string Quoted(const std::vector<std::string>& words) {
  std::string list;
  for (const auto& word : words)
    list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", word);
  return list;
}

std::map<std::string, std::string> Environment() {
  std::map<std::string, std::string> found;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const auto equals = text.find('=');
    if (text.starts_with("HEARSAY_") && equals != std::string::npos)
      found[text.substr(0, equals)] = text.substr(equals + 1);
  }
  return found;
}

// Appends "section.key" for every leaf of `table`.
void ListKeys(const toml::table& table, const std::string& prefix,
              std::vector<std::string>& keys) {
  for (const auto& [name, node] : table) {
    const std::string key = prefix + std::string(name.str());
    if (const auto* inner = node.as_table()) {
      ListKeys(*inner, key + ".", keys);
    } else if (const auto* array = node.as_array();
               array != nullptr && array->is_array_of_tables()) {
      for (std::size_t i = 0; i < array->size(); ++i)
        ListKeys(*array->get(i)->as_table(), fmt::format("{}[{}].", key, i),
                 keys);
    } else {
      keys.push_back(key);
    }
  }
}

// As a whole and once, so that a pipe will do: hearsayd --config <(...).
std::string ReadText(const std::filesystem::path& file) {
  const auto fail = [&](int why) {
    throw ConfigError(fmt::format("{}: cannot read this file: {}",
                                  file.string(),
                                  std::generic_category().message(why)));
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) fail(EISDIR);
  std::ifstream stream(file);
  if (!stream) fail(errno);
  const std::string text{std::istreambuf_iterator<char>(stream), {}};
  if (stream.bad()) fail(EIO);
  return text;
}

}  // namespace

ConfigReader::ConfigReader(const std::filesystem::path& file,
                           const Overrides& flags)
    : file_(file),
      document_(std::make_unique<Document>()),
      flags_(flags),
      environment_(Environment()) {
  const std::string text = ReadText(file);
  try {
    document_->root = toml::parse(text, file.string());
  } catch (const toml::parse_error& error) {
    throw ConfigError(fmt::format("{}:{}: not TOML: {}", file.string(),
                                  error.source().begin.line,
                                  error.description()));
  }
}

ConfigReader::~ConfigReader() = default;

std::string ConfigReader::Where(const std::string& key) const {
  if (flags_.contains(key)) return fmt::format("--set {}", key);
  if (const auto name = EnvironmentName(key); environment_.contains(name))
    return name;
  const auto node = document_->root.at_path(key);
  if (!node) return file_.string();
  return fmt::format("{}:{}", file_.string(), node.node()->source().begin.line);
}

void ConfigReader::Fail(const std::string& key,
                        const std::string& message) const {
  throw ConfigError(fmt::format("{}: {}: {}", Where(key), key, message));
}

void ConfigReader::Know(const std::string& key) { known_.insert(key); }

std::optional<std::string> ConfigReader::Override(
    const std::string& key) const {
  if (const auto flag = flags_.find(key); flag != flags_.end())
    return flag->second;
  const auto variable = environment_.find(EnvironmentName(key));
  if (variable != environment_.end()) return variable->second;
  return std::nullopt;
}

std::optional<std::string> ConfigReader::String(const std::string& key) {
  Know(key);
  if (auto text = Override(key)) return text;
  const auto node = document_->root.at_path(key);
  if (!node) return std::nullopt;
  if (!node.is_string()) Fail(key, "must be a string, in quotes");
  return node.value<std::string>();
}

template <typename T>
std::optional<T> ConfigReader::InRange(const std::string& key,
                                       std::optional<T> value, T low,
                                       T high) const {
  // Written so that NaN is out of range.
  if (value && !(*value >= low && *value <= high))
    Fail(key, fmt::format("{} is out of range; allowed: {} to {}", *value, low,
                          high));
  return value;
}

std::optional<std::int64_t> ConfigReader::Integer(const std::string& key,
                                                  std::int64_t low,
                                                  std::int64_t high) {
  Know(key);
  std::optional<std::int64_t> value;
  if (const auto text = Override(key)) {
    value = Parse<std::int64_t>(*text);
    if (!value) Fail(key, fmt::format("\"{}\" is not a whole number", *text));
  } else if (const auto node = document_->root.at_path(key)) {
    if (!node.is_integer()) Fail(key, "must be a whole number");
    value = node.value<std::int64_t>();
  }
  return InRange(key, value, low, high);
}

std::optional<double> ConfigReader::Number(const std::string& key, double low,
                                           double high) {
  Know(key);
  std::optional<double> value;
  if (const auto text = Override(key)) {
    value = Parse<double>(*text);
    if (!value) Fail(key, fmt::format("\"{}\" is not a number", *text));
  } else if (const auto node = document_->root.at_path(key)) {
    if (!node.is_number()) Fail(key, "must be a number");
    value = node.value<double>();
  }
  return InRange(key, value, low, high);
}

std::optional<bool> ConfigReader::Truth(const std::string& key) {
  Know(key);
  if (const auto text = Override(key)) {
    if (*text != "true" && *text != "false")
      Fail(key, fmt::format("must be true or false, not \"{}\"", *text));
    return *text == "true";
  }
  const auto node = document_->root.at_path(key);
  if (!node) return std::nullopt;
  if (!node.is_boolean()) Fail(key, "must be true or false, without quotes");
  return node.value<bool>();
}

std::optional<Duration> ConfigReader::Time(const std::string& key) {
  const auto text = String(key);
  if (!text) return std::nullopt;
  try {
    return ParseDuration(*text);
  } catch (const std::invalid_argument& error) {
    Fail(key, error.what());
  }
}

std::optional<std::vector<std::string>> ConfigReader::Strings(
    const std::string& key) {
  Know(key);
  std::vector<std::string> values;
  if (const auto text = Override(key)) {  // comma-separated
    std::size_t begin = 0;
    while (begin < text->size()) {
      const auto end = std::min(text->find(',', begin), text->size());
      values.push_back(text->substr(begin, end - begin));
      begin = end + 1;
    }
    return values;
  }
  const auto node = document_->root.at_path(key);
  if (!node) return std::nullopt;
  const auto* array = node.as_array();
  if (array == nullptr) Fail(key, "must be a list of strings");
  for (const auto& element : *array) {
    const auto value = element.value_exact<std::string>();
    if (!value) Fail(key, "must be a list of strings");
    values.push_back(*value);
  }
  return values;
}

std::optional<std::vector<double>> ConfigReader::Numbers(const std::string& key,
                                                         double low,
                                                         double high) {
  Know(key);
  const auto node = document_->root.at_path(key);
  if (!node) return std::nullopt;
  const auto* array = node.as_array();
  if (array == nullptr) Fail(key, "must be a list of numbers");
  std::vector<double> values;
  for (const auto& element : *array) {
    if (!element.is_number()) Fail(key, "must be a list of numbers");
    values.push_back(*InRange(key, element.value<double>(), low, high));
  }
  return values;
}

std::optional<std::vector<int>> ConfigReader::Integers(const std::string& key,
                                                       int low, int high) {
  Know(key);
  std::vector<int> values;
  const auto add = [&](std::optional<std::int64_t> value) {
    if (!value) Fail(key, "must be a whole number, or a list of them");
    values.push_back(
        static_cast<int>(*InRange<std::int64_t>(key, value, low, high)));
  };
  if (Override(key)) {
    const auto texts = Strings(key);
    for (const auto& text : *texts) add(Parse<std::int64_t>(text));
    return values;
  }
  const auto node = document_->root.at_path(key);
  if (!node) return std::nullopt;
  if (const auto* array = node.as_array())
    for (const auto& element : *array) add(element.value_exact<std::int64_t>());
  else
    add(node.value_exact<std::int64_t>());
  return values;
}

std::optional<std::filesystem::path> ConfigReader::Path(
    const std::string& key) {
  const auto text = String(key);
  if (!text) return std::nullopt;
  if (text->empty()) return std::filesystem::path();
  return Absolute(*text);
}

std::filesystem::path ConfigReader::Absolute(
    const std::filesystem::path& path) const {
  if (path.is_absolute()) return path;
  return std::filesystem::absolute(file_).parent_path() / path;
}

std::optional<std::string> ConfigReader::Word(
    const std::string& key, const std::vector<std::string>& words) {
  const auto word = String(key);
  if (word && std::find(words.begin(), words.end(), *word) == words.end())
    Fail(key, fmt::format("\"{}\" is not allowed; allowed: {}", *word,
                          Quoted(words)));
  return word;
}

void ConfigReader::Tables(
    const std::string& key,
    const std::function<void(const std::string& prefix)>& read) {
  const auto node = document_->root.at_path(key);
  if (!node) return;
  const auto* array = node.as_array();
  if (array == nullptr || !array->is_array_of_tables())
    Fail(key, fmt::format("must be tables: write [[{}]]", key));
  for (std::size_t i = 0; i < array->size(); ++i)
    read(fmt::format("{}[{}]", key, i));
}

void ConfigReader::LeaveToOthers(const std::string& prefix) {
  left_to_others_.push_back(prefix);
}

void ConfigReader::RefuseUnknown() const {
  std::vector<std::string> keys;
  ListKeys(document_->root, "", keys);
  for (const auto& prefix : left_to_others_)
    std::erase_if(keys,
                  [&](const auto& key) { return key.starts_with(prefix); });
  for (const auto& [key, text] : flags_) keys.push_back(key);
  // The environment may hold other HEARSAY_ names (HEARSAY_ADDR), but a name
  // of one of our sections that is no key is a misspelling.
  std::set<std::string> sections;
  std::set<std::string> names;
  for (const auto& key : known_) {
    names.insert(EnvironmentName(key));
    sections.insert(EnvironmentName(key.substr(0, key.find('.'))) + "_");
  }
  for (const auto& [name, text] : environment_) {
    const bool ours = std::any_of(sections.begin(), sections.end(),
                                  [&name = name](const auto& section) {
                                    return name.starts_with(section);
                                  });
    if (ours && !names.contains(name))
      throw ConfigError(name + ": there is no such key");
  }
  for (const auto& key : keys) {
    if (known_.contains(key)) continue;
    std::string nearest;
    std::size_t best = std::string::npos;
    for (const auto& known : known_) {
      const auto distance =
          EditDistance(WithoutIndices(key), WithoutIndices(known));
      if (distance < best) {
        best = distance;
        nearest = WithoutIndices(known);
      }
    }
    Fail(key, fmt::format("there is no such key; did you mean {}?", nearest));
  }
}

Duration ParseDuration(const std::string& text) {
  static const std::map<std::string, double> kUnits = {
      {"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}, {"m", 60.0}, {"h", 3600.0}};
  std::size_t digits = 0;
  while (digits < text.size() &&
         (std::isdigit(static_cast<unsigned char>(text[digits])) != 0 ||
          text[digits] == '.'))
    ++digits;
  const auto number = Parse<double>(text.substr(0, digits));
  const auto unit = kUnits.find(text.substr(digits));
  if (!number || unit == kUnits.end() || *number * unit->second > 1e7)
    throw std::invalid_argument(fmt::format(
        "\"{}\" is not a duration; write \"500ms\", \"2s\" or \"1m\"", text));
  return Duration(std::llround(*number * unit->second * 1e6));
}

std::string FormatDuration(Duration duration) {
  const auto us = duration.count();
  if (us % 1000000 == 0) return fmt::format("{}s", us / 1000000);
  if (us % 1000 == 0) return fmt::format("{}ms", us / 1000);
  return fmt::format("{}us", us);
}

}  // namespace hearsay::daemon
