#include "transport/swim/gossip.h"

#include <algorithm>
#include <cmath>

namespace hearsay::transport::swim {

void Gossip::Add(const Record& record) {
  news_[record.node] = {.record = record, .sent = 0};
}

std::vector<Record> Gossip::Take(std::size_t most, std::size_t members) {
  std::vector<News*> order;
  order.reserve(news_.size());
  for (auto& [node, news] : news_) order.push_back(&news);
  std::stable_sort(
      order.begin(), order.end(),
      [](const News* a, const News* b) { return a->sent < b->sent; });
  std::vector<Record> taken;
  for (News* news : order) {
    if (taken.size() >= most) break;
    ++news->sent;
    taken.push_back(news->record);
  }
  const int limit =
      multiplier_ *
      static_cast<int>(std::ceil(std::log10(static_cast<double>(members + 1))));
  std::erase_if(news_,
                [limit](const auto& one) { return one.second.sent >= limit; });
  return taken;
}

}  // namespace hearsay::transport::swim
