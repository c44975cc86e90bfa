#include "ops/cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>

namespace hearsay::ops {
namespace {

// A log file gets no more than this, however often the text changes, and
// nothing of what is done sooner.
constexpr auto kPlainLineEvery = std::chrono::seconds(2);

std::size_t TerminalWidth() {
  constexpr std::size_t kUsual = 80;
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
    return kUsual;
  return size.ws_col;
}

}  // namespace

Progress::Progress() : terminal_(isatty(STDERR_FILENO) == 1) {}

Progress::~Progress() { Clear(); }

void Progress::Show(const std::string& text) {
  if (terminal_) {
    const std::string fits = text.substr(0, TerminalWidth() - 1);
    std::fputs(("\r\x1b[K" + fits).c_str(), stderr);
    shown_ = true;
    return;
  }
  const auto now = std::chrono::steady_clock::now();
  if (text == last_ || now - last_time_ < kPlainLineEvery) return;
  last_ = text;
  last_time_ = now;
  std::fputs((text + "\n").c_str(), stderr);
}

void Progress::Say(const std::string& text) {
  Clear();
  std::fputs((text + "\n").c_str(), stderr);
}

void Progress::Clear() {
  if (shown_) std::fputs("\r\x1b[K", stderr);
  shown_ = false;
}

}  // namespace hearsay::ops
