// What members remember of each other's ledgers, and what they say of this
// node's (daemon/ledger_mark.h).
//
// Each keeps the highest mark that every other has shown of each of its
// ledgers, in a file of its state folder, and tells it in its reports, but for
// what the other has said itself since it was greeted: where all are well,
// nothing. A node that comes back is greeted, so it hears what is remembered of
// it before it takes a step, and
// does not train on a ledger that is behind: steps were released which it no
// longer counts. One that went on while nobody heard it, past the mark that is
// remembered, may have done so on another way: it is told the mark from before
// its silence for a while, too. Only marks that the node itself once sealed are
// believed, so a liar stops nobody.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "daemon/ledger_mark.h"
#include "daemon/report.h"

namespace hearsay::daemon {

// Threads: one at a time.
class LedgerWatch {
 public:
  using Clock = std::chrono::steady_clock;
  // Who was not heard for so long was silent; and how long it is told then.
  static constexpr std::chrono::seconds kSilence{3};
  static constexpr std::chrono::seconds kTold{60};

  // `own` is empty where nothing is spent (a probe). `warn` gets one line.
  // A file that cannot be read, or holds no marks, is warned of and replaced.
  LedgerWatch(std::filesystem::path file, std::optional<MarkMaker> own,
              std::function<void(const std::string&)> warn);

  // Of this node's ledger, for its report.
  std::optional<LedgerMark> Own(const dp::LedgerPosition& position) const;
  // A session with `member` begins, perhaps with another process of it.
  // To be called before a report is made that it will hear first.
  void Greet(const std::string& member) { said_.erase(member); }
  // Of the others, for its report: as many as it may hold.
  std::vector<MemberMark> Remembered(
      Clock::time_point now = Clock::now()) const;

  // A report of `member`. Why this node must not train, if so.
  std::optional<std::string> Hear(const std::string& member,
                                  const NodeReport& report,
                                  Clock::time_point now = Clock::now());

  // The content of the file, if it has changed since the last call.
  std::optional<std::string> TakeChanges();
  const std::filesystem::path& file() const { return file_; }

 private:
  // More ledgers of one node than anybody has; the oldest is forgotten.
  static constexpr std::size_t kMostLedgers = 8;

  struct Held {
    LedgerMark mark;
    Clock::time_point until;
  };

  void Load();
  // The mark that gave way to this one, if one did.
  std::optional<LedgerMark> Note(const std::string& member,
                                 const LedgerMark& mark);
  std::optional<std::string> Judge(const std::string& member,
                                   const MemberMark& remembered);

  const std::filesystem::path file_;
  const std::optional<MarkMaker> own_;
  const std::function<void(const std::string&)> warn_;
  std::map<std::string, std::vector<LedgerMark>> marks_;  // by node
  std::map<std::string, LedgerMark> said_;  // by node, since it was greeted
  std::map<std::string, Clock::time_point> heard_;
  std::map<std::string, Held> held_;    // from before a silence
  std::map<std::string, bool> warned_;  // of marks that are not believed
  bool changed_ = false;
};

}  // namespace hearsay::daemon
