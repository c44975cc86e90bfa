#include "daemon/report.h"

#include <algorithm>
#include <cmath>

#include "daemon/report.pb.h"

namespace hearsay::daemon {

namespace {

constexpr int kMostLinks = 64;
constexpr int kMostReasons = 16;
constexpr int kMostInRing = 64;
constexpr std::size_t kLongestText = 512;

bool Fits(const std::string& text) { return text.size() <= kLongestText; }

void EncodeLink(const LinkReport& link, pb::Link& out) {
  out.set_peer(link.peer);
  out.set_direction(link.direction);
  out.set_transport(link.transport);
  out.set_ok(link.ok);
  out.set_failed(link.failed);
  out.set_one_sided(link.one_sided);
  out.set_round_trip_seconds(link.round_trip_seconds);
  out.set_bytes_per_second(link.bytes_per_second);
}

std::optional<LinkReport> DecodeLink(const pb::Link& in) {
  if (!Fits(in.peer()) || !Fits(in.direction()) || !Fits(in.transport()) ||
      !std::isfinite(in.round_trip_seconds()) ||
      !std::isfinite(in.bytes_per_second()))
    return std::nullopt;
  return LinkReport{in.peer(),
                    in.direction(),
                    in.transport(),
                    in.ok(),
                    in.failed(),
                    in.one_sided(),
                    in.round_trip_seconds(),
                    in.bytes_per_second()};
}

void EncodeMark(const LedgerMark& mark, pb::LedgerMark& out) {
  out.set_ledger(mark.ledger);
  out.set_data_set(mark.data_set);
  out.set_sequence(mark.sequence);
  out.set_hash(mark.hash);
  out.set_seal(mark.seal);
}

std::optional<LedgerMark> DecodeMark(const pb::LedgerMark& in) {
  LedgerMark mark{in.ledger(), in.data_set(), in.sequence(), in.hash(),
                  in.seal()};
  if (!IsWellFormed(mark)) return std::nullopt;
  return mark;
}

bool DecodeMarks(const pb::Report& in, NodeReport& report) {
  if (in.has_ledger() && !(report.ledger = DecodeMark(in.ledger())))
    return false;
  for (const auto& remembered : in.marks()) {
    const auto mark = DecodeMark(remembered.mark());
    if (!mark || !Fits(remembered.node())) return false;
    report.marks.push_back({remembered.node(), *mark});
  }
  return true;
}

bool WithinBounds(const pb::Report& in) {
  // epsilon may be infinite (no noise), never NaN.
  for (const double value : {in.epsilon(), in.target_epsilon()})
    if (std::isnan(value) || value < 0) return false;
  for (const double value :
       {in.steps_per_second(), in.eval_loss(), in.eval_accuracy(), in.delta(),
        in.proposed_interval(), in.noised_loss()})
    if (!std::isfinite(value)) return false;
  const auto n = in.sketch_size();
  return in.proposed_interval() >= 0 && in.steps_per_second() >= 0 &&
         Fits(in.state()) && Fits(in.health()) && Fits(in.group()) &&
         Fits(in.accountant()) && in.links_size() <= kMostLinks &&
         in.reasons_size() <= kMostReasons &&
         std::all_of(in.reasons().begin(), in.reasons().end(), Fits) &&
         in.ring_order_size() <= kMostInRing &&
         in.marks_size() <= static_cast<int>(kMostMarks) &&
         std::all_of(in.ring_order().begin(), in.ring_order().end(), Fits) &&
         (n == 0 || n == static_cast<int>(mixing::kSketchBuckets)) &&
         std::all_of(in.sketch().begin(), in.sketch().end(),
                     [](float value) { return std::isfinite(value); });
}

}  // namespace

std::string EncodeReport(const NodeReport& report) {
  pb::Report out;
  out.set_step(report.step);
  out.set_state(report.state);
  out.set_steps_per_second(report.steps_per_second);
  if (report.sketch)
    out.mutable_sketch()->Add(report.sketch->begin(), report.sketch->end());
  if (report.eval_loss) out.set_eval_loss(*report.eval_loss);
  if (report.eval_accuracy) out.set_eval_accuracy(*report.eval_accuracy);
  out.set_epsilon(report.epsilon);
  if (report.target_epsilon) out.set_target_epsilon(*report.target_epsilon);
  out.set_delta(report.delta);
  out.set_steps_left(report.steps_left);
  out.set_privacy_valid(report.privacy_valid);
  out.set_proposed_interval(report.proposed_interval);
  const auto links =
      std::min(report.links.size(), static_cast<std::size_t>(kMostLinks));
  for (std::size_t i = 0; i < links; ++i)
    EncodeLink(report.links[i], *out.add_links());
  out.set_health(report.health);
  for (const auto& reason : report.reasons)
    if (out.reasons_size() < kMostReasons)
      out.add_reasons(reason.substr(0, kLongestText));
  out.set_group(report.group);
  for (const auto& name : report.ring_order)
    if (out.ring_order_size() < kMostInRing) out.add_ring_order(name);
  out.set_accountant(report.accountant);
  if (report.noised_loss) out.set_noised_loss(*report.noised_loss);
  if (report.ledger) EncodeMark(*report.ledger, *out.mutable_ledger());
  for (const auto& remembered : report.marks) {
    if (out.marks_size() == static_cast<int>(kMostMarks)) break;
    auto& to = *out.add_marks();
    to.set_node(remembered.node);
    EncodeMark(remembered.mark, *to.mutable_mark());
  }
  return out.SerializeAsString();
}

std::optional<NodeReport> DecodeReport(const std::string& bytes) {
  pb::Report in;
  if (!in.ParseFromString(bytes) || !WithinBounds(in)) return std::nullopt;
  NodeReport report;
  report.step = in.step();
  report.state = in.state();
  report.steps_per_second = in.steps_per_second();
  if (in.sketch_size() > 0) {
    report.sketch.emplace();
    std::copy(in.sketch().begin(), in.sketch().end(), report.sketch->begin());
  }
  if (in.has_eval_loss()) report.eval_loss = in.eval_loss();
  if (in.has_eval_accuracy()) report.eval_accuracy = in.eval_accuracy();
  report.epsilon = in.epsilon();
  if (in.has_target_epsilon()) report.target_epsilon = in.target_epsilon();
  report.delta = in.delta();
  report.steps_left = in.steps_left();
  report.privacy_valid = in.privacy_valid();
  report.proposed_interval = in.proposed_interval();
  for (const auto& link : in.links()) {
    auto decoded = DecodeLink(link);
    if (!decoded) return std::nullopt;
    report.links.push_back(std::move(*decoded));
  }
  report.health = in.health();
  report.reasons = {in.reasons().begin(), in.reasons().end()};
  report.group = in.group();
  report.ring_order = {in.ring_order().begin(), in.ring_order().end()};
  // Nodes of before there was a choice say nothing.
  if (!in.accountant().empty()) report.accountant = in.accountant();
  if (in.has_noised_loss()) report.noised_loss = in.noised_loss();
  if (!DecodeMarks(in, report)) return std::nullopt;
  return report;
}

}  // namespace hearsay::daemon
