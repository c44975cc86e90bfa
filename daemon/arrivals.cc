#include "daemon/arrivals.h"

#include <algorithm>
#include <utility>

namespace hearsay::daemon {

bool Arrivals::Has(const std::string& from) {
  std::erase_if(arrivals_, [](const auto& one) { return one.expired(); });
  return std::ranges::any_of(
      arrivals_, [&](const auto& one) { return one.lock()->from == from; });
}

void Arrivals::Add(const std::shared_ptr<Arrival>& arrival) {
  arrivals_.push_back(arrival);
}

std::shared_ptr<Arrival> Arrivals::Of(const transport::Message& request) const {
  for (const auto& one : arrivals_)
    if (const auto arrival = one.lock();
        arrival && request.payload &&
        arrival->payload.lock() == request.payload)
      return arrival;
  return nullptr;
}

// Bytes of a message to the weights that lie whole within them.
transport::OnPiece MadeOf(std::shared_ptr<mixing::Difference> difference,
                          transport::Buffer mine) {
  return [difference = std::move(difference), mine = std::move(mine)](
             std::size_t offset, std::size_t bytes) {
    difference->Make((offset + sizeof(float) - 1) / sizeof(float),
                     (offset + bytes) / sizeof(float));
  };
}

}  // namespace hearsay::daemon
