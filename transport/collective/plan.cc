#include "transport/collective/plan.h"

#include <algorithm>
#include <cassert>

namespace hearsay::transport::collective {

Plan::Plan(Algorithm algorithm, Rank n, Rank rank, std::size_t count,
           std::size_t element_bytes, std::size_t piece_bytes)
    : rank_(rank),
      bytes_(count * element_bytes),
      piece_bytes_(piece_bytes),
      sends_to_(n),
      pieces_from_(n),
      pieces_to_(n) {
  assert(element_bytes > 0 && piece_bytes > 0);
  assert(piece_bytes % element_bytes == 0);
  const auto schedule = MakeSchedule(algorithm, n, rank, count);
  for (const auto& receive : schedule.receives) {
    Incoming incoming;
    incoming.step = receive.step;
    incoming.peer = receive.from;
    incoming.action = receive.action;
    incoming.first_piece = pieces_in_;
    Cut(incoming, element_bytes, receive.range);
    for (std::size_t i = 0; i < receives_.size(); ++i)
      if (receives_[i].bytes.overlaps(incoming.bytes))
        incoming.after.push_back(i);
    pieces_in_ += incoming.cells;
    pieces_from_[incoming.peer] += incoming.cells;
    by_step_[{incoming.step, incoming.peer}] = receives_.size();
    receives_.push_back(std::move(incoming));
  }
  for (const auto& send : schedule.sends) {
    Outgoing outgoing;
    outgoing.step = send.step;
    outgoing.peer = send.to;
    outgoing.from = send.from;
    outgoing.first_piece = pieces_out_;
    Cut(outgoing, element_bytes, send.range);
    for (std::size_t i = 0; i < receives_.size(); ++i)
      if (receives_[i].step < send.step &&
          receives_[i].bytes.overlaps(outgoing.bytes))
        outgoing.after.push_back(i);
    if (send.from == From::kResult)
      for (auto& receive : receives_)
        if (receive.step == send.step && receive.bytes.overlaps(outgoing.bytes))
          receive.after_sends.push_back(sends_.size());
    pieces_out_ += outgoing.cells;
    pieces_to_[outgoing.peer] += outgoing.cells;
    sends_to_[outgoing.peer].push_back(sends_.size());
    sends_.push_back(std::move(outgoing));
  }
}

void Plan::Cut(Transfer& transfer, std::size_t element_bytes,
               Range elements) const {
  transfer.bytes = {elements.begin * element_bytes,
                    elements.end * element_bytes};
  transfer.first_cell = transfer.bytes.begin / piece_bytes_;
  transfer.cells =
      (transfer.bytes.end - 1) / piece_bytes_ + 1 - transfer.first_cell;
}

Plan::Bytes Plan::PieceOf(const Transfer& transfer, std::size_t cell) const {
  return {std::max(transfer.bytes.begin, cell * piece_bytes_),
          std::min(transfer.bytes.end, (cell + 1) * piece_bytes_)};
}

std::optional<Plan::Place> Plan::Find(Rank from, std::uint32_t step,
                                      std::size_t begin) const {
  const auto found = by_step_.find({step, from});
  if (found == by_step_.end()) return std::nullopt;
  const auto& receive = receives_[found->second];
  const std::size_t cell = begin / piece_bytes_;
  if (cell < receive.first_cell || cell >= receive.first_cell + receive.cells ||
      PieceOf(receive, cell).begin != begin)
    return std::nullopt;
  return Place{found->second, cell};
}

}  // namespace hearsay::transport::collective
