// A topology that is written down.
#include <algorithm>
#include <map>
#include <set>

#include "daemon/mixing/topology.h"

namespace hearsay::mixing {

namespace {

constexpr std::string_view kBlank = " \t\r";

[[noreturn]] void Fail(std::size_t line, const std::string& what) {
  throw std::invalid_argument(std::to_string(line) + ": " + what);
}

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t at = text.find_first_not_of(kBlank);
       at != std::string_view::npos; at = text.find_first_not_of(kBlank, at)) {
    const auto end = std::min(text.find_first_of(kBlank, at), text.size());
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

}  // namespace

Adjacency ParseAdjacency(std::string_view text) {
  Adjacency adjacency;
  std::set<std::string> known;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = line.substr(0, line.find('#'));
    if (line.find_first_not_of(kBlank) == std::string_view::npos) continue;
    const auto colon = line.find(':');
    if (colon == std::string_view::npos)
      Fail(number, "no colon: a line is NAME: PEER PEER ...");
    const auto names = Words(line.substr(0, colon));
    if (names.size() != 1) Fail(number, "one name belongs before the colon");
    const auto peers = Words(line.substr(colon + 1));
    if (peers.empty()) Fail(number, names[0] + " has no peer");
    if (!known.insert(names[0]).second)
      Fail(number, names[0] + " has a line already");
    for (const auto& peer : peers) {
      if (peer == names[0]) Fail(number, peer + " cannot ask itself");
      if (std::count(peers.begin(), peers.end(), peer) > 1)
        Fail(number, peer + " stands there twice");
    }
    adjacency.lines.push_back({names[0], peers});
  }
  if (adjacency.lines.empty()) Fail(1, "there is no line: NAME: PEER PEER ...");
  return adjacency;
}

std::vector<std::vector<std::size_t>> Resolve(
    const Adjacency& adjacency, const std::vector<std::string>& names) {
  std::map<std::string, std::size_t> index;
  for (std::size_t i = 0; i < names.size(); ++i) index[names[i]] = i;
  std::vector<std::vector<std::size_t>> peers(names.size());
  for (const auto& line : adjacency.lines) {
    const auto self = index.find(line.name);
    if (self == index.end()) continue;
    for (const auto& name : line.peers)
      if (const auto peer = index.find(name); peer != index.end())
        peers[self->second].push_back(peer->second);
  }
  return peers;
}

}  // namespace hearsay::mixing
