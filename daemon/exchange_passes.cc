#include "daemon/exchange_passes.h"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <random>

namespace hearsay::daemon {

namespace {

using mixing::Carries;
using mixing::Fault;
using transport::Buffer;

// As the machine has it: the model's fingerprint, which both ends have
// compared, is of little-endian weights.
void PutNote(const mixing::Note& note, std::span<std::byte> message) {
  std::memcpy(message.data() + message.size() - sizeof note, &note,
              sizeof note);
}

mixing::Note NoteOf(std::span<const std::byte> message) {
  mixing::Note note;
  std::memcpy(&note, message.data() + message.size() - sizeof note,
              sizeof note);
  return note;
}

// What moves the twin moves the weights in time.
float MostGain(const mixing::Correction& correction) {
  return std::max(correction.gain, correction.twin_gain);
}

}  // namespace

std::size_t MessageBytes(const mixing::Habits& habits, const std::string& wire,
                         std::size_t weights) {
  return mixing::ParseWire(wire)->Bytes(weights) +
         (habits.has_notes ? sizeof(mixing::Note) : 0);
}

ExchangePasses::ExchangePasses(mixing::Rule& rule, LiveWeights& weights,
                               const PassOptions& options)
    : rule_(rule),
      weights_(weights),
      options_(options),
      format_(mixing::ParseWire(options.wire)),
      plain_(format_->IsPlain()),
      random_(std::random_device{}()),
      misbehaviour_(options.misbehave) {
  const auto size = weights.size();
  const bool changes = rule.habits().ask_carries == Carries::kChange;
  if (!SentAsItLies()) mine_.resize(size);
  if (!plain_) {
    here_.resize(size);
    theirs_.resize(size);
  }
  if (changes || misbehaviour_.active()) other_.resize(size);
  if (changes) {
    base_.resize(size);
    zeros_.resize(size);
  }
}

bool ExchangePasses::SentAsItLies() const {
  return plain_ && rule_.habits().ask_carries == Carries::kSnapshot &&
         !misbehaviour_.active();
}

std::span<float> ExchangePasses::Floats(const Buffer& message) const {
  return {reinterpret_cast<float*>(message->data()), weights_.size()};
}

std::span<std::byte> ExchangePasses::Encoded(const Buffer& message) const {
  return message->first(format_->Bytes(weights_.size()));
}

void ExchangePasses::Begin() {
  if (!base_.empty()) weights_.Snapshot(base_);
}

void ExchangePasses::Pace(const Own& own) {
  rule_.OnPace(own.pace);
  if (!rule_.habits().has_twin || own.interval_seconds <= 0) return;
  eta_ = rule_.eta();
  weights_.SetBlend(eta_ / own.interval_seconds);
}

void ExchangePasses::Fill(Own& own) {
  const auto& habits = rule_.habits();
  Pace(own);
  if (own.sent && SentAsItLies())
    weights_.Snapshot(Floats(own.sent));
  else
    weights_.Snapshot(mine_);
  if (!own.sent) return;
  const mixing::Ask ask = rule_.OnAsk(own.peer);
  if (ask.again) {
    own.sent = owed_.at(own.peer);
    return;
  }
  if (!SentAsItLies()) {
    std::span<float> said = mine_;
    if (!other_.empty()) {
      std::copy(mine_.begin(), mine_.end(), other_.begin());
      said = other_;
    }
    if (habits.ask_carries == Carries::kChange)
      for (std::size_t i = 0; i < said.size(); ++i) said[i] -= base_[i];
    misbehaviour_.Spoil(said, own.version);
    format_->EncodeAsk(said, memories_[own.peer], random_, Encoded(own.sent));
    // What both ends know of these weights is what the difference is taken of.
    // Where they were spoilt, the peer will refuse them, or believe them.
    if (!plain_ && habits.answer_carries &&
        habits.ask_carries == Carries::kSnapshot && !misbehaviour_.active())
      static_cast<void>(format_->Decode(Encoded(own.sent), mine_));
  }
  if (habits.has_notes) PutNote(ask.note, *own.sent);
  if (habits.owes) owed_[own.peer] = own.sent;
}

std::optional<Fault> ExchangePasses::Correct(const Own& own,
                                             const Buffer& answer) {
  const auto correction = rule_.OnAnswer(own.peer);
  owed_.erase(own.peer);
  if (!answer || !rule_.habits().answer_carries) return std::nullopt;
  if (own.difference) return Apply(correction, *own.difference);
  std::span<const float> theirs;
  if (plain_) {
    theirs = Floats(answer);
  } else {
    const auto asked = own.sent ? Encoded(own.sent) : std::span<std::byte>();
    const auto fault = format_->DecodeAnswer(asked, Encoded(answer),
                                             memories_[own.peer], theirs_);
    if (fault) return fault;
    theirs = theirs_;
  }
  const auto fault = Apply(correction, theirs,
                           own.sent && SentAsItLies()
                               ? std::span<const float>(Floats(own.sent))
                               : mine_);
  if (!base_.empty() && !fault) weights_.Snapshot(base_);  // Nobody trains now.
  return fault;
}

std::optional<Fault> ExchangePasses::Write(std::span<const float> weights,
                                           const Buffer& theirs,
                                           const Buffer& out,
                                           std::uint64_t& version) {
  std::span<const float> said = weights;
  if (misbehaviour_.active()) {
    std::copy(weights.begin(), weights.end(), other_.begin());
    misbehaviour_.Spoil(other_, version);
    said = other_;
  }
  if (plain_ && said.data() == Floats(out).data()) return std::nullopt;
  const auto ask = theirs ? Encoded(theirs) : std::span<std::byte>();
  return format_->EncodeAnswer(ask, said, random_, Encoded(out));
}

std::optional<Fault> ExchangePasses::Answer(std::uint64_t peer,
                                            const Buffer& theirs,
                                            const Buffer& out,
                                            std::uint64_t& version) {
  const auto& habits = rule_.habits();
  const std::span<float> here = plain_ ? Floats(out) : std::span(here_);
  weights_.Snapshot(here);
  if (habits.has_notes) PutNote({}, *out);
  const bool carries = !theirs || habits.answer_carries;
  if (theirs && habits.answers_after) {
    if (const auto fault = Merge(peer, theirs, here)) return fault;
    weights_.Snapshot(here);
    return Write(here, theirs, out, version);
  }
  // Plain weights are spoilt only when nobody here needs them any more.
  if (carries && !plain_) {
    if (const auto fault = Write(here, theirs, out, version)) return fault;
    if (theirs && !misbehaviour_.active())
      if (const auto fault = format_->Decode(Encoded(out), here)) return fault;
  }
  if (theirs)
    if (const auto fault = Merge(peer, theirs, here)) return fault;
  if (carries && plain_) return Write(here, theirs, out, version);
  return std::nullopt;
}

std::shared_ptr<mixing::Difference> ExchangePasses::DifferenceOf(
    const Buffer& theirs, const Buffer& mine) const {
  return std::make_shared<mixing::Difference>(
      Floats(theirs), Floats(mine),
      options_.clip > 0 ? mixing::Difference::Distance::kWanted
                        : mixing::Difference::Distance::kUnwanted);
}

void ExchangePasses::BeginAnswer(const Buffer& out) {
  weights_.Snapshot(Floats(out));
  if (rule_.habits().has_notes) PutNote({}, *out);
}

std::optional<Fault> ExchangePasses::Answer(std::uint64_t peer,
                                            const Buffer& theirs,
                                            mixing::Difference& difference) {
  const auto note = rule_.habits().has_notes ? NoteOf(*theirs) : mixing::Note{};
  const auto reply = rule_.OnRequest(peer, note);
  if (reply.refused) return Fault::kMalformed;
  if (const auto fault = Apply(reply.correction, difference)) return fault;
  rule_.OnApplied(peer, note);
  return std::nullopt;
}

std::span<const float> ExchangePasses::Read(const Buffer& message,
                                            std::optional<Fault>& fault) {
  if (plain_) return Floats(message);
  fault = format_->Decode(Encoded(message), theirs_);
  return theirs_;
}

std::optional<Fault> ExchangePasses::Merge(std::uint64_t peer,
                                           const Buffer& theirs,
                                           std::span<const float> mine) {
  const auto& habits = rule_.habits();
  const auto note = habits.has_notes ? NoteOf(*theirs) : mixing::Note{};
  const auto reply = rule_.OnRequest(peer, note);
  if (reply.refused) return Fault::kMalformed;
  std::optional<Fault> fault;
  const auto said = Read(theirs, fault);
  if (!fault) fault = Apply(reply.correction, said, mine);
  if (fault) return fault;
  rule_.OnApplied(peer, note);
  if (habits.keeps_newest) newest_ = theirs;
  return std::nullopt;
}

template <typename Scale>
void ExchangePasses::ScaleToClip(mixing::Correction& correction, Scale scale) {
  float& more = correction.twin_gain > correction.gain ? correction.twin_gain
                                                       : correction.gain;
  float& less =
      &more == &correction.gain ? correction.twin_gain : correction.gain;
  const float clipped = scale(more);
  if (clipped == more) return;
  less *= clipped / more;
  more = clipped;
}

// Is it fit? Then it is made.
std::optional<Fault> ExchangePasses::Apply(mixing::Correction correction,
                                           std::span<const float> theirs,
                                           std::span<const float> mine) {
  const auto reference = correction.reference == mixing::Reference::kNothing
                             ? std::span<const float>(zeros_)
                             : mine;
  const double clip = options_.scale_to_clip ? 0 : options_.clip;
  const auto fault = mixing::Vet(theirs, reference, MostGain(correction), clip);
  if (fault) return fault;
  if (options_.scale_to_clip)
    ScaleToClip(correction, [&](float gain) {
      return mixing::ClippedGain(theirs, reference, gain, options_.clip);
    });
  Take(correction, theirs, reference);
  return std::nullopt;
}

std::optional<Fault> ExchangePasses::Apply(mixing::Correction correction,
                                           mixing::Difference& difference) {
  assert(correction.reference == mixing::Reference::kSnapshot);
  difference.MakeRest();
  const double clip = options_.scale_to_clip ? 0 : options_.clip;
  const auto fault = mixing::Vet(difference, MostGain(correction), clip);
  if (fault) return fault;
  if (options_.scale_to_clip)
    ScaleToClip(correction, [&](float gain) {
      return mixing::ClippedGain(difference, gain, options_.clip);
    });
  if (correction.gain != 0)
    weights_.Correct({.live = correction.gain, .twin = correction.twin_gain},
                     difference.span());
  return std::nullopt;
}

void ExchangePasses::Take(const mixing::Correction& correction,
                          std::span<const float> theirs,
                          std::span<const float> reference) {
  if (correction.gain == 0) return;
  if (weights_.has_twin())
    return weights_.Correct(
        {.live = correction.gain, .twin = correction.twin_gain}, theirs,
        reference);
  if (correction.reference == mixing::Reference::kLive)
    weights_.Pull(correction.gain, theirs);
  else if (correction.reference == mixing::Reference::kMidway)
    weights_.CorrectMidway(correction.gain, theirs, reference);
  else
    weights_.Correct(correction.gain, theirs, reference);
}

void ExchangePasses::Tick() {
  if (!newest_) return;
  std::optional<Fault> fault;
  const auto theirs = Read(newest_, fault);  // It was fit when it came.
  if (!fault) Take(rule_.habits().tick, theirs, {});
}

void ExchangePasses::Forget(std::uint64_t peer) {
  owed_.erase(peer);
  memories_.erase(peer);
}

}  // namespace hearsay::daemon
