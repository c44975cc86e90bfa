// A schedule cut into pieces: what can be sent, placed and summed on its own,
// and what has to be there before.
//
// Pure, and the same for every round of a group. Arrays are cut on one grid, at
// multiples of `piece_bytes` from their start, so that pieces of different
// steps meet at the same places; a piece is what a transfer has of one cell of
// the grid. Pieces that arrive have flat numbers, 0 to pieces_in() - 1, and
// those that leave, 0 to pieces_out() - 1, by which a round keeps what has
// become of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "transport/collective/schedule.h"

namespace hearsay::transport::collective {

class Plan {
 public:
  // Bytes of one piece, and those of the transfers that a plan speaks of.
  using Bytes = Range;

  struct Transfer {
    std::uint32_t step = 0;
    Rank peer = 0;
    Bytes bytes;
    std::size_t first_cell = 0;
    std::size_t cells = 0;
    std::size_t first_piece = 0;  // flat number, among those of its direction
    // Receives that come before, where they overlap: indices into receives().
    std::vector<std::size_t> after;
  };
  struct Outgoing : Transfer {
    From from = From::kInput;
  };
  struct Incoming : Transfer {
    Action action = Action::kCopy;
    // What its step sends of the same part of the result has to have left
    // before: indices into sends().
    std::vector<std::size_t> after_sends;
  };

  // Requires: element_bytes > 0, piece_bytes a multiple of it, rank < n.
  Plan(Algorithm algorithm, Rank n, Rank rank, std::size_t count,
       std::size_t element_bytes, std::size_t piece_bytes);

  const std::vector<Outgoing>& sends() const { return sends_; }
  const std::vector<Incoming>& receives() const { return receives_; }
  // Indices into sends(), in order.
  const std::vector<std::size_t>& sends_to(Rank peer) const {
    return sends_to_[peer];
  }
  std::size_t pieces_in() const { return pieces_in_; }
  std::size_t pieces_out() const { return pieces_out_; }
  std::size_t pieces_from(Rank peer) const { return pieces_from_[peer]; }
  std::size_t pieces_to(Rank peer) const { return pieces_to_[peer]; }
  Rank n() const { return static_cast<Rank>(sends_to_.size()); }
  Rank rank() const { return rank_; }
  std::size_t bytes() const { return bytes_; }
  std::size_t piece_bytes() const { return piece_bytes_; }

  Bytes PieceOf(const Transfer& transfer, std::size_t cell) const;

  struct Place {
    std::size_t receive = 0;  // index into receives()
    std::size_t cell = 0;
  };
  // Where the piece belongs that `from` sends in `step` and that begins at
  // byte `begin`; nothing if none is planned there.
  std::optional<Place> Find(Rank from, std::uint32_t step,
                            std::size_t begin) const;
  Bytes BytesOf(const Place& place) const {
    return PieceOf(receives_[place.receive], place.cell);
  }
  std::size_t Number(const Place& place) const {
    return Number(receives_[place.receive], place.cell);
  }
  static std::size_t Number(const Transfer& transfer, std::size_t cell) {
    return transfer.first_piece + (cell - transfer.first_cell);
  }
  // Calls `visit` with the number of every piece that has to be summed or
  // copied before what `transfer` has of `cell` can be, until it says false.
  template <typename Visit>
  bool AllBefore(const Transfer& transfer, std::size_t cell,
                 const Visit& visit) const {
    return All(receives_, transfer.after, PieceOf(transfer, cell), cell, visit);
  }
  // The same with those that have to have left before.
  template <typename Visit>
  bool AllSentBefore(const Incoming& receive, std::size_t cell,
                     const Visit& visit) const {
    return All(sends_, receive.after_sends, PieceOf(receive, cell), cell,
               visit);
  }

 private:
  void Cut(Transfer& transfer, std::size_t element_bytes, Range elements) const;
  template <typename Transfers, typename Visit>
  static bool All(const Transfers& transfers,
                  const std::vector<std::size_t>& indices, const Bytes& bytes,
                  std::size_t cell, const Visit& visit) {
    for (const auto index : indices)
      if (transfers[index].bytes.overlaps(bytes) &&
          !visit(Number(transfers[index], cell)))
        return false;
    return true;
  }

  const Rank rank_;
  const std::size_t bytes_;
  const std::size_t piece_bytes_;
  std::vector<Outgoing> sends_;
  std::vector<Incoming> receives_;
  std::vector<std::vector<std::size_t>> sends_to_;
  std::vector<std::size_t> pieces_from_, pieces_to_;
  std::size_t pieces_in_ = 0, pieces_out_ = 0;
  std::map<std::pair<std::uint32_t, Rank>, std::size_t> by_step_;
};

}  // namespace hearsay::transport::collective
