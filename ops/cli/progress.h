// Tells on stderr how long work is going: one line that is rewritten on a
// terminal, and otherwise a plain line whenever there is something new to say.
#pragma once

#include <chrono>
#include <string>

namespace hearsay::ops {

class Progress {
 public:
  Progress();
  ~Progress();  // removes the line from a terminal
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void Show(const std::string& text);
  // A line that stays.
  void Say(const std::string& text);

 private:
  void Clear();

  const bool terminal_;
  bool shown_ = false;
  std::string last_;
  std::chrono::steady_clock::time_point last_time_ =
      std::chrono::steady_clock::now();
};

}  // namespace hearsay::ops
