// Reads typed keys out of a TOML file, once each, and knows which were asked
// for: what was never asked for is an unknown key. config.cc says which keys
// there are; this file says how a key is read and how an error reads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daemon/config.h"

namespace hearsay::daemon {

class ConfigReader {
 public:
  // Throws: ConfigError (no such file, TOML syntax, unreadable override).
  ConfigReader(const std::filesystem::path& file, const Overrides& flags);
  ~ConfigReader();

  // Each returns the value in force (flag, else environment, else file), or
  // nothing if the key is nowhere. `key` is "section.name".
  std::optional<std::string> String(const std::string& key);
  std::optional<std::int64_t> Integer(const std::string& key, std::int64_t low,
                                      std::int64_t high);
  std::optional<double> Number(const std::string& key, double low, double high);
  std::optional<bool> Truth(const std::string& key);
  std::optional<Duration> Time(const std::string& key);
  std::optional<std::vector<std::string>> Strings(const std::string& key);
  std::optional<std::vector<double>> Numbers(const std::string& key, double low,
                                             double high);
  // A list of whole numbers, or one alone.
  std::optional<std::vector<int>> Integers(const std::string& key, int low,
                                           int high);
  std::optional<std::filesystem::path> Path(const std::string& key);
  // A path in the file is taken from the file's folder.
  std::filesystem::path Absolute(const std::filesystem::path& path) const;
  // One of `words`.
  std::optional<std::string> Word(const std::string& key,
                                  const std::vector<std::string>& words);

  // [[section.name]] tables: `read` gets one reader key prefix a table, such as
  // "model.layer[0]".
  void Tables(const std::string& key,
              const std::function<void(const std::string& prefix)>& read);

  // The keys below `prefix` ("nodes.") are for another reader to judge.
  void LeaveToOthers(const std::string& prefix);

  // Throws ConfigError for the first key in the file (or override) that nobody
  // has asked for, naming the nearest known one.
  void RefuseUnknown() const;

  // Ends reading: "FILE:LINE: key: message".
  [[noreturn]] void Fail(const std::string& key,
                         const std::string& message) const;

 private:
  struct Document;
  std::optional<std::string> Override(const std::string& key) const;
  void Know(const std::string& key);
  std::string Where(const std::string& key) const;
  template <typename T>
  std::optional<T> InRange(const std::string& key, std::optional<T> value,
                           T low, T high) const;

  std::filesystem::path file_;
  std::unique_ptr<Document> document_;
  std::map<std::string, std::string> flags_;
  std::map<std::string, std::string> environment_;
  std::set<std::string> known_;
  std::vector<std::string> left_to_others_;
};

// What was read, where it was; else the default that is there already.
template <typename T, typename U>
void Take(T& field, std::optional<U> value) {
  if (value) field = static_cast<T>(*value);
}

template <typename T>
T Required(const ConfigReader& reader, const std::string& key,
           std::optional<T> value) {
  if (!value) reader.Fail(key, "this key is required");
  return *value;
}

}  // namespace hearsay::daemon
