// The event queue: what happens next, and at the same moment what was put in
// first.
//
// A calendar (Brown 1988, "Calendar queues: a fast O(1) priority queue
// implementation for the simulation event set problem"): time is cut into days,
// a page holds the events of every day that falls on it, and only today's are
// sorted. Putting in and taking out cost the same for ten events and for a
// million, where a heap pays its depth in missed cache lines.
#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hearsay::sim {

struct Event {
  double at = 0;
  std::uint64_t order = 0;  // of being put in
  std::uint32_t subject = 0;
  std::uint32_t kind = 0;

  bool operator<(const Event& other) const {
    return at < other.at || (at == other.at && order < other.order);
  }
};

class Calendar {
 public:
  // For about `pending` events at a time, `rate` a second of virtual time.
  Calendar(std::size_t pending, double rate)
      : day_(kADay / rate),
        pages_(std::bit_ceil(std::max<std::size_t>(pending / 2, 1024)), kNone) {
    nodes_.reserve(pending);
  }

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }

  // Requires: at >= the time of the last event taken.
  void Put(double at, std::uint32_t kind, std::uint32_t subject) {
    const Event event{at, order_++, subject, kind};
    ++size_;
    if (DayOf(at) <= today_) {
      events_.insert(
          std::upper_bound(events_.begin() + static_cast<std::ptrdiff_t>(next_),
                           events_.end(), event),
          event);
      return;
    }
    std::uint32_t slot = free_;
    if (slot == kNone) {
      slot = static_cast<std::uint32_t>(nodes_.size());
      nodes_.emplace_back();
    } else {
      free_ = nodes_[slot].next;
    }
    auto& page = pages_[PageOf(DayOf(at))];
    nodes_[slot] = {event, page};
    page = slot;
  }

  // Requires: not empty.
  Event Take() {
    assert(size_ > 0);
    while (next_ == events_.size()) TurnThePage();
    --size_;
    return events_[next_++];
  }

 private:
  static constexpr double kADay = 8;  // events, if they come as expected
  static constexpr std::uint32_t kNone = 0xffffffffU;

  struct Node {
    Event event;
    std::uint32_t next = kNone;
  };

  std::uint64_t DayOf(double at) const {
    return static_cast<std::uint64_t>(at / day_);
  }
  std::size_t PageOf(std::uint64_t day) const {
    return day & (pages_.size() - 1);
  }

  void TurnThePage() {
    events_.clear();
    next_ = 0;
    ++today_;
    // Of other years' days the events stay where they are.
    std::uint32_t* link = &pages_[PageOf(today_)];
    while (*link != kNone) {
      const std::uint32_t slot = *link;
      if (DayOf(nodes_[slot].event.at) > today_) {
        link = &nodes_[slot].next;
        continue;
      }
      events_.push_back(nodes_[slot].event);
      *link = nodes_[slot].next;
      nodes_[slot].next = free_;
      free_ = slot;
    }
    std::sort(events_.begin(), events_.end());
  }

  const double day_;  // seconds
  std::uint64_t today_ = 0;
  std::uint64_t order_ = 0;
  std::size_t size_ = 0;
  std::vector<std::uint32_t> pages_;
  std::vector<Node> nodes_;
  std::uint32_t free_ = kNone;
  std::vector<Event> events_;  // today's, in order
  std::size_t next_ = 0;       // of today's
};

}  // namespace hearsay::sim
