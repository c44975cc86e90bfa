// Times of the calendar, as certificates have them: whole seconds, UTC.
#pragma once

#include <chrono>
#include <optional>
#include <string>

namespace hearsay::transport::tls {

using WallTime = std::chrono::sys_seconds;

inline WallTime WallNow() {
  return std::chrono::floor<std::chrono::seconds>(
      std::chrono::system_clock::now());
}

// "2026-01-02T03:04:05Z"; "an unreadable date" for nothing.
std::string ShowTime(const std::optional<WallTime>& time);
// That, or "2026-01-02" for its first second. Nothing if it is neither.
std::optional<WallTime> ParseTime(const std::string& text);

}  // namespace hearsay::transport::tls
