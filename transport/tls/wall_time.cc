#include "transport/tls/wall_time.h"

#include <array>
#include <ctime>

namespace hearsay::transport::tls {

std::string ShowTime(const std::optional<WallTime>& time) {
  constexpr const char* kUnreadable = "an unreadable date";
  if (!time) return kUnreadable;
  const std::time_t seconds = std::chrono::system_clock::to_time_t(*time);
  std::tm parts{};
  std::array<char, 32> text{};
  if (gmtime_r(&seconds, &parts) == nullptr ||
      std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts) ==
          0)
    return kUnreadable;
  return text.data();
}

std::optional<WallTime> ParseTime(const std::string& text) {
  for (const char* format : {"%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ"}) {
    std::tm parts{};
    const char* end = strptime(text.c_str(), format, &parts);
    if (end == nullptr || *end != '\0') continue;
    const WallTime time(std::chrono::seconds(timegm(&parts)));
    // strptime takes the 31st of February for a day in March.
    if (ShowTime(time).starts_with(text.substr(0, 10))) return time;
  }
  return std::nullopt;
}

}  // namespace hearsay::transport::tls
