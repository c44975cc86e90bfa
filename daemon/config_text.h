// How values are written into a configuration file.
#pragma once

#include <string>

namespace hearsay::daemon {

// A TOML string of printable text.
inline std::string Quote(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

}  // namespace hearsay::daemon
