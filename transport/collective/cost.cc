#include "transport/collective/cost.h"

#include <algorithm>
#include <array>
#include <bit>
#include <span>

namespace hearsay::transport::collective {
namespace {

// Everybody with everybody at once: beyond this the flows of one step crowd
// each other out, which the model does not know.
constexpr Rank kMaxDirect = 16;
constexpr std::size_t kSmallestPiece = std::size_t{64} << 10;
constexpr std::size_t kPiecesOfBroadcast = 8;
constexpr std::size_t kPiecesOfAllReduce = 2;
constexpr std::size_t kPieceGrain = 64;

Algorithm Cheapest(std::span<const Algorithm> candidates, Rank n,
                   std::size_t bytes, const Link& link) {
  return *std::min_element(candidates.begin(), candidates.end(),
                           [&](Algorithm a, Algorithm b) {
                             return PredictSeconds(a, n, bytes, link) <
                                    PredictSeconds(b, n, bytes, link);
                           });
}

}  // namespace

double PredictSeconds(Algorithm algorithm, Rank n, std::size_t bytes,
                      const Link& link) {
  if (n <= 1 || bytes == 0) return 0;
  const double members = n;
  const double array = static_cast<double>(bytes);
  const double message = link.latency + link.overhead;
  const double part = (members - 1) / members * array;
  const double halves = 2 * part * link.per_byte + part * link.per_summed;
  const double rounds = std::bit_width(n) - 1;
  // Inputs in, results out, where n is no power of two.
  const double folding =
      std::has_single_bit(n)
          ? 0
          : 2 * message + 2 * array * link.per_byte + array * link.per_summed;
  switch (algorithm) {
    case Algorithm::kRing:
      return 2 * (members - 1) * message + halves;
    case Algorithm::kHalvingDoubling: {
      const double power = std::bit_floor(n);
      const double held = (power - 1) / power * array;
      return 2 * rounds * message + 2 * held * link.per_byte +
             held * link.per_summed + folding;
    }
    case Algorithm::kDoubling:
      return rounds * (message + array * (link.per_byte + link.per_summed)) +
             folding;
    case Algorithm::kDirect:
      if (n == 2) return message + array * (link.per_byte + link.per_summed);
      return 2 * link.latency + 2 * (members - 1) * link.overhead + halves;
    case Algorithm::kBinomial:
      return std::bit_width(n - 1) * (message + array * link.per_byte);
    case Algorithm::kChain:  // Pieces follow each other.
      return (members - 1) * message + array * link.per_byte;
  }
  return 0;
}

Algorithm ChooseAllReduce(Rank n, std::size_t bytes, const Link& link) {
  static_assert(kAllReduces.front() == Algorithm::kDirect);
  return Cheapest(std::span(kAllReduces).subspan(n > kMaxDirect ? 1 : 0), n,
                  bytes, link);
}

Algorithm ChooseBroadcast(Rank n, std::size_t bytes, const Link& link) {
  static constexpr std::array kAll = {Algorithm::kBinomial, Algorithm::kChain};
  return Cheapest(kAll, n, bytes, link);
}

std::size_t ChoosePieceBytes(Algorithm algorithm, std::size_t bytes,
                             std::size_t largest) {
  const std::size_t pieces =
      IsBroadcast(algorithm) ? kPiecesOfBroadcast : kPiecesOfAllReduce;
  const std::size_t wanted =
      std::bit_ceil(std::max<std::size_t>(bytes / pieces, 1));
  const std::size_t piece = std::min(std::max(wanted, kSmallestPiece), largest);
  return std::max(piece / kPieceGrain * kPieceGrain, kPieceGrain);
}

}  // namespace hearsay::transport::collective
