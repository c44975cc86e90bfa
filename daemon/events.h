// What happened, for people: the last events of a node, numbered, kept for
// `hearsay events` and written to the log as they happen.
//
// Egress class of every text: public. Nothing about records, batches or losses
// of private data may be put into an event.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <vector>

namespace hearsay::daemon {

enum class Level { kInfo, kWarning, kError };

struct Event {
  std::uint64_t sequence = 0;
  std::chrono::system_clock::time_point time;
  Level level = Level::kInfo;
  std::string kind;  // member, training, checkpoint, privacy, config, node
  std::string text;
};

const char* Word(Level level);

// Threads: any.
class Events {
 public:
  static constexpr std::size_t kKept = 1000;

  void Add(Level level, const std::string& kind, const std::string& text);
  // Those with a larger sequence number, oldest first.
  std::vector<Event> After(std::uint64_t sequence) const;

 private:
  mutable std::mutex mutex_;
  std::deque<Event> events_;    // Guarded by mutex_.
  std::uint64_t sequence_ = 0;  // Guarded by mutex_.
};

}  // namespace hearsay::daemon
