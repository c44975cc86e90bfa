#include "daemon/ledger_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

namespace hearsay::daemon {
namespace {

using MarksJson = nlohmann::ordered_json;

std::string HexOf(const std::string& bytes) {
  std::string hex;
  for (const char c : bytes)
    hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

// Throws: std::invalid_argument.
std::string BytesOfHex(const std::string& hex) {
  const auto digit = [](char c) {
    constexpr std::string_view kDigits = "0123456789abcdef";
    const auto at = kDigits.find(c);
    if (at == std::string_view::npos)
      throw std::invalid_argument("not hexadecimal");
    return static_cast<int>(at);
  };
  if (hex.size() % 2 != 0) throw std::invalid_argument("half a byte");
  std::string bytes;
  for (std::size_t i = 0; i < hex.size(); i += 2)
    bytes += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  return bytes;
}

MarksJson ToJson(const std::string& node, const LedgerMark& mark) {
  return {{"node", node},
          {"ledger", HexOf(mark.ledger)},
          {"data_set", HexOf(mark.data_set)},
          {"sequence", mark.sequence},
          {"hash", HexOf(mark.hash)},
          {"seal", HexOf(mark.seal)}};
}

// Throws: nlohmann's exceptions, std::invalid_argument.
LedgerMark FromJson(const MarksJson& json) {
  LedgerMark mark{BytesOfHex(json.at("ledger")),
                  BytesOfHex(json.at("data_set")),
                  json.at("sequence").get<std::uint64_t>(),
                  BytesOfHex(json.at("hash")), BytesOfHex(json.at("seal"))};
  if (!IsWellFormed(mark)) throw std::invalid_argument("not a mark");
  return mark;
}

}  // namespace

LedgerWatch::LedgerWatch(std::filesystem::path file,
                         std::optional<MarkMaker> own,
                         std::function<void(const std::string&)> warn)
    : file_(std::move(file)), own_(std::move(own)), warn_(std::move(warn)) {
  Load();
}

void LedgerWatch::Load() {
  std::error_code ignored;
  if (!std::filesystem::exists(file_, ignored)) return;
  try {
    std::ifstream in(file_);
    const std::string text((std::istreambuf_iterator<char>(in)), {});
    const auto json = MarksJson::parse(text);
    for (const auto& entry : json.at("marks"))
      Note(entry.at("node").get<std::string>(), FromJson(entry));
  } catch (const std::exception& error) {
    marks_.clear();
    warn_(
        fmt::format("{}: holds no marks of other members' ledgers ({}), so "
                    "one that is put back in time now is noticed only by "
                    "others; it is written anew",
                    file_.string(), error.what()));
  }
  changed_ = false;
}

std::optional<LedgerMark> LedgerWatch::Own(
    const dp::LedgerPosition& position) const {
  if (!own_) return std::nullopt;
  return own_->At(position);
}

std::optional<LedgerMark> LedgerWatch::Note(const std::string& member,
                                            const LedgerMark& mark) {
  auto& marks = marks_[member];
  const auto same = std::find_if(
      marks.begin(), marks.end(),
      [&](const LedgerMark& known) { return known.ledger == mark.ledger; });
  if (same == marks.end()) {
    if (marks.size() == kMostLedgers) marks.erase(marks.begin());
    marks.push_back(mark);
    changed_ = true;
    return std::nullopt;
  }
  // At one place the one from before stays, but for a new seal.
  if (mark.sequence < same->sequence || mark == *same ||
      (mark.sequence == same->sequence && mark.hash != same->hash))
    return std::nullopt;
  changed_ = true;
  return std::exchange(*same, mark);
}

std::vector<MemberMark> LedgerWatch::Remembered(Clock::time_point now) const {
  std::vector<MemberMark> told;
  for (const auto& [node, marks] : marks_) {
    const auto said = said_.find(node);
    for (const auto& mark : marks)
      if (said == said_.end() || said->second != mark)
        told.push_back({node, mark});
  }
  for (const auto& [node, held] : held_)
    if (now < held.until) told.push_back({node, held.mark});
  if (told.size() > kMostMarks) told.resize(kMostMarks);
  return told;
}

std::optional<std::string> LedgerWatch::Hear(const std::string& member,
                                             const NodeReport& report,
                                             Clock::time_point now) {
  std::optional<std::string> trouble;
  if (own_)
    for (const auto& remembered : report.marks)
      if (!trouble) trouble = Judge(member, remembered);
  // What it remembers is heard first: it may be of this very mark.
  if (report.ledger) {
    const auto before = Note(member, *report.ledger);
    const auto heard = heard_.find(member);
    if (before && (heard == heard_.end() || now - heard->second > kSilence))
      held_[member] = {*before, now + kTold};
    said_[member] = *report.ledger;
    heard_[member] = now;
  }
  return trouble;
}

std::optional<std::string> LedgerWatch::Judge(const std::string& member,
                                              const MemberMark& remembered) {
  const auto& mark = remembered.mark;
  if (remembered.node != own_->node()) return std::nullopt;
  switch (own_->Compare(mark)) {
    case MarkMaker::Verdict::kAgrees:
      return std::nullopt;
    case MarkMaker::Verdict::kForeign:
      if (!std::exchange(warned_[member], true))
        warn_(fmt::format(
            "{} says that this node's ledger was once at record {}, which is "
            "not so, but the key of tls.key has not sealed that: not believed",
            member, mark.sequence));
      return std::nullopt;
    case MarkMaker::Verdict::kRolledBack:
      return fmt::format(
          "does not contain record {}, which {} remembers: the ledger was "
          "rolled back (training on would undercount what was released); "
          "restore it, and the state folder, from a copy that is no older",
          mark.sequence, member);
    case MarkMaker::Verdict::kOtherLedger:
      return fmt::format(
          "is not the ledger of this data set that {} remembers, of {} "
          "records: it was lost or replaced (training on would undercount "
          "what was released); restore it",
          member, mark.sequence);
  }
  return std::nullopt;
}

std::optional<std::string> LedgerWatch::TakeChanges() {
  if (!std::exchange(changed_, false)) return std::nullopt;
  MarksJson json = {{"schema", 1}, {"marks", MarksJson::array()}};
  for (const auto& [node, marks] : marks_)
    for (const auto& mark : marks) json["marks"].push_back(ToJson(node, mark));
  return json.dump(1) + "\n";
}

}  // namespace hearsay::daemon
