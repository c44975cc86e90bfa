// Who sends which part of an array to whom, and in which step: the published
// algorithms for all-reduce and broadcast, as data.
//
// Pure. Members are ranks 0 to n-1, an array is `count` elements (any number,
// 0 and fewer than n too). Transfers of no elements are left out.
//
// Every element is summed by one member, in an order that depends on nothing
// but the algorithm, n and count, and then copied to the others; or by both of
// two that swap what they have, a + b here and b + a there, which IEEE 754
// makes the same (kDoubling, and kDirect of two). So the results of all members
// are bitwise equal, and equal in every run.
//
// Sources: Thakur, Rabenseifner, Gropp, "Optimization of Collective
// Communication Operations in MPICH", 2005 (ring 4.2 and 4.5, recursive
// doubling and halving-doubling, and what they do for other n than powers of
// two, 4.5, binomial tree 4.1). Patarasuk, Yuan, "Bandwidth optimal all-reduce
// algorithms for clusters of workstations", 2009 (the ring's 2 (n-1)/n).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace hearsay::transport::collective {

using Rank = std::uint32_t;

enum class Algorithm : std::uint8_t {
  kRing = 1,         // all-reduce: reduce-scatter, all-gather round a ring
  kHalvingDoubling,  // all-reduce: the same by recursive halving and doubling
  kDirect,           // all-reduce: the same, each step with everybody at once;
                     // two members swap whole arrays
  kBinomial,         // broadcast from rank 0 down a binomial tree
  kChain,            // broadcast from rank 0, each to the next
  kDoubling,         // all-reduce: pairs swap whole sums, at twice the distance
                     // in each step
};
// Of two that cost the same, the first is taken.
inline constexpr std::array kAllReduces = {
    Algorithm::kDirect, Algorithm::kDoubling, Algorithm::kHalvingDoubling,
    Algorithm::kRing};

// As in metrics and tables: "ring", "halving-doubling", ...
std::string_view Name(Algorithm algorithm);
std::optional<Algorithm> AllReduceNamed(std::string_view name);
bool IsBroadcast(Algorithm algorithm);

struct Range {
  std::size_t begin = 0, end = 0;  // elements; half open

  std::size_t size() const { return end - begin; }
  bool overlaps(const Range& other) const {
    return begin < other.end && other.begin < end;
  }
  bool operator==(const Range&) const = default;
};

enum class From { kInput, kResult };
enum class Action {
  kCopy,      // result = received
  kAddInput,  // result = own input + received
  kAdd,       // result = result + received
};

// A send needs what the receives of earlier steps have put there; a receive
// comes after earlier ones of the same elements, and after what its own step
// sends of them has left.
struct Send {
  std::uint32_t step = 0;
  Rank to = 0;
  Range range;
  From from = From::kInput;
};
struct Receive {
  std::uint32_t step = 0;
  Rank from = 0;
  Range range;
  Action action = Action::kCopy;
};

// One member's part, in order. At most one send to and one receive from a
// member in each step. A member that neither receives nor owns anything (n = 1,
// count = 0, the root of a broadcast) has its result already: its input.
struct Schedule {
  std::vector<Send> sends;
  std::vector<Receive> receives;
};

// Requires: rank < n.
Schedule MakeSchedule(Algorithm algorithm, Rank n, Rank rank,
                      std::size_t count);

}  // namespace hearsay::transport::collective
