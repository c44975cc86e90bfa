// Asks one daemon's admin API, over its unix socket or TCP, and turns what can
// go wrong into the exit codes of interface.md.
#pragma once

#include <chrono>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "ops/cli/verbs.h"

namespace hearsay::ops {

using Json = nlohmann::ordered_json;  // keeps the daemon's order of keys

// Nobody answers at the address. Ends the program with code 5, unless caught
// by a verb that goes on to the next node.
class Unreachable : public Exit {
 public:
  explicit Unreachable(const std::string& message)
      : Exit(kUnreachable, message) {}
};

struct Answer {
  int status = 0;
  std::string body;
};

inline constexpr std::chrono::seconds kPatience{5};

// A daemon, and how it lets us in.
struct NodeAddress {
  std::string name;     // "" if only the address is known
  std::string address;  // HOST:PORT or unix:PATH
  std::string token;    // of HOST:PORT; "" if none is known
  // For messages.
  const std::string& label() const { return name.empty() ? address : name; }
};

// `target` is /path?query.
// Throws: Unreachable; Exit(kUsage) if the address is none.
Answer Ask(const NodeAddress& node, const std::string& method,
           const std::string& target,
           std::chrono::milliseconds patience = kPatience);

// The same for an answer that must be a good JSON document.
// Throws also: Exit(kUnauthorised) on 401 and 403, Exit(kError) with the
// daemon's own words on any other refusal or if it is no hearsayd.
Json AskJson(const NodeAddress& node, const std::string& method,
             const std::string& target,
             std::chrono::milliseconds patience = kPatience);

}  // namespace hearsay::ops
