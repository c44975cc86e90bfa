#include "transport/swim/record.h"

#include <cassert>
#include <tuple>

namespace hearsay::transport::swim {
namespace {

constexpr int kRandomBits = 20;

// The address only so that the order is total: a life has one.
auto Rank(const Record& record) {
  return std::tie(record.life, record.incarnation, record.state,
                  record.address);
}

}  // namespace

std::uint64_t MakeLife(std::uint64_t unix_ms, std::uint64_t random) {
  const std::uint64_t low = random & ((std::uint64_t{1} << kRandomBits) - 1);
  return ((unix_ms << kRandomBits) | low) & (kMaxLife - 1);
}

bool Supersedes(const Record& news, const Record& known) {
  assert(news.node == known.node);
  return Rank(news) > Rank(known);
}

}  // namespace hearsay::transport::swim
