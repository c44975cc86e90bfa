#include "daemon/events.h"

#include <spdlog/spdlog.h>

namespace hearsay::daemon {

const char* Word(Level level) {
  switch (level) {
    case Level::kInfo:
      return "info";
    case Level::kWarning:
      return "warning";
    case Level::kError:
      return "error";
  }
  return "";
}

void Events::Add(Level level, const std::string& kind,
                 const std::string& text) {
  switch (level) {
    case Level::kInfo:
      spdlog::info("{}: {}", kind, text);
      break;
    case Level::kWarning:
      spdlog::warn("{}: {}", kind, text);
      break;
    case Level::kError:
      spdlog::error("{}: {}", kind, text);
      break;
  }
  const std::lock_guard lock(mutex_);
  events_.push_back(
      {++sequence_, std::chrono::system_clock::now(), level, kind, text});
  if (events_.size() > kKept) events_.pop_front();
}

std::vector<Event> Events::After(std::uint64_t sequence) const {
  const std::lock_guard lock(mutex_);
  std::vector<Event> found;
  for (const auto& event : events_)
    if (event.sequence > sequence) found.push_back(event);
  return found;
}

}  // namespace hearsay::daemon
