// A peer's list of wire addresses.
#include <utility>
#include <vector>

#include "tests/fuzz/fuzz.h"
#include "transport/wires.h"

namespace hearsay::transport {
namespace {

using fuzz::Check;

constexpr std::size_t kMostEntries = 16;

std::string Listed(const std::string& name, const std::string& address) {
  std::string text(1, static_cast<char>(name.size()));
  text += name;
  text += static_cast<char>(address.size() % 256);
  text += static_cast<char>(address.size() / 256);
  return text + address;
}

// Any bytes: an address found lies within them, after its own name.
void LookIn(const std::string& addresses, const std::string& name) {
  const auto found = AddressOfWire(addresses, name);
  if (found) Check(addresses.find(Listed(name, *found)) != std::string::npos);
}

// A true list: every wire's first address is found, no other's, and no part of
// the list passes for the whole.
void LookInList(fuzz::Input& input, const std::string& name) {
  std::vector<std::pair<std::string, std::string>> entries;
  std::string list;
  while (!input.empty() && entries.size() < kMostEntries) {
    entries.emplace_back(input.Text(1 + input.Take() % 8),
                         input.Text(input.Take<std::uint16_t>() % 512));
    list += Listed(entries.back().first, entries.back().second);
  }
  const auto listed =
      std::find_if(entries.begin(), entries.end(),
                   [&name](const auto& entry) { return entry.first == name; });
  const auto found = AddressOfWire(list, name);
  Check(found.has_value() == (listed != entries.end()));
  if (!found) return;
  Check(*found == listed->second);
  Check(!AddressOfWire(list + '\1', name));
  Check(!AddressOfWire(list.substr(0, list.size() - 1), name) ||
        entries.size() > 1);
}

}  // namespace
}  // namespace hearsay::transport

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size) {
  using namespace hearsay::transport;  // NOLINT(google-build-using-namespace)
  hearsay::fuzz::Input input(data, size);
  const bool list = input.Take() % 2 == 0;
  const std::string name = input.Text(1 + input.Take() % 8);
  if (list)
    LookInList(input, name);
  else
    LookIn(input.Rest(), name);
  return 0;
}
