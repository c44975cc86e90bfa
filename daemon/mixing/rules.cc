// The rules by name.
#include <array>
#include <utility>

#include "daemon/mixing/rule.h"

namespace hearsay::mixing {

namespace {

constexpr std::array<std::pair<RuleKind, const char*>, 9> kWords = {{
    {RuleKind::kPairwise, "pairwise"},
    {RuleKind::kOneWay, "one_way"},
    {RuleKind::kPushSum, "push_sum"},
    {RuleKind::kNone, "none"},
    {RuleKind::kLocalSgd, "local_sgd"},
    {RuleKind::kAllReduce, "all_reduce"},
    {RuleKind::kParameterServer, "parameter_server"},
    {RuleKind::kSymmetricBlocking, "symmetric_blocking"},
    {RuleKind::kNaiveNewest, "naive_newest"},
}};

}  // namespace

std::optional<RuleKind> ParseRule(std::string_view word) {
  for (const auto& [kind, name] : kWords)
    if (word == name) return kind;
  return std::nullopt;
}

const char* Word(RuleKind kind) {
  for (const auto& [known, name] : kWords)
    if (kind == known) return name;
  return "";
}

std::vector<std::string> RuleWords() {
  std::vector<std::string> words;
  words.reserve(kWords.size());
  for (const auto& [kind, name] : kWords) words.emplace_back(name);
  return words;
}

std::unique_ptr<Rule> MakeRule(RuleKind kind, const Place& place) {
  switch (kind) {
    case RuleKind::kPairwise:
      return place.momentum == Momentum::kAcid ? MakePairwiseAcid()
                                               : MakePairwise();
    case RuleKind::kOneWay:
      return MakeOneWay();
    case RuleKind::kPushSum:
      return MakePushSum();
    case RuleKind::kNone:
      return MakeNone();
    case RuleKind::kNaiveNewest:
      return MakeNaiveNewest();
    case RuleKind::kSymmetricBlocking:
      return MakeSymmetricBlocking();
    case RuleKind::kAllReduce:
      return MakeAllReduce();
    case RuleKind::kLocalSgd:
      return MakeLocalSgd(place.meet_every);
    case RuleKind::kParameterServer:
      return MakeParameterServer(place.seat);
  }
  return nullptr;
}

}  // namespace hearsay::mixing
