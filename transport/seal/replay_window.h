// Which of the last counters have been seen: pieces may come in another order
// than they were sent in, but each only once. What is too old to tell counts as
// seen. Source: RFC 6479, with its ring of bits.
#pragma once

#include <bitset>
#include <cstdint>

namespace hearsay::transport::seal {

class ReplayWindow {
 public:
  // Counters this far behind the highest can still be told apart.
  static constexpr std::uint64_t kSpan = 1024;

  enum class Verdict { kFresh, kSeen, kTooOld };

  Verdict Look(std::uint64_t counter) const {
    if (counter == UINT64_MAX) return Verdict::kTooOld;  // The ring's end.
    if (counter >= end_) return Verdict::kFresh;
    if (end_ - counter > kSpan) return Verdict::kTooOld;
    return bits_[counter % kSpan] ? Verdict::kSeen : Verdict::kFresh;
  }

  // Requires: Look(counter) is kFresh.
  void Mark(std::uint64_t counter) {
    if (counter >= end_) {
      if (counter - end_ >= kSpan)
        bits_.reset();
      else
        for (auto next = end_; next <= counter; ++next)
          bits_.reset(next % kSpan);
      end_ = counter + 1;
    }
    bits_.set(counter % kSpan);
  }

 private:
  std::uint64_t end_ = 0;  // one past the highest seen
  std::bitset<kSpan> bits_;
};

}  // namespace hearsay::transport::seal
