// What an exchange does to arrays: the driver of a mixing rule over the live
// weights. Every function is a streaming pass or a few.
//
// A message is the weights as mixing.wire writes them, and behind them the
// rule's note, if it has any. As plain fp32 a message is used where it lies;
// other formats are decoded into arrays of this object. Where a rule corrects
// by the difference of two snapshots, a plain message becomes that difference
// while it arrives (ops/decisions/0018).
//
// Threads: one, the worker's, but for what says otherwise.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/live_weights.h"
#include "daemon/misbehaviour.h"
#include "daemon/mixing/difference.h"
#include "daemon/mixing/rule.h"
#include "daemon/mixing/vet.h"
#include "daemon/mixing/wire.h"
#include "transport/buffer.h"

namespace hearsay::daemon {

struct PassOptions {
  double clip = 0;             // mixing.clip; 0 = none
  bool scale_to_clip = false;  // mixing.beyond_clip; else what is beyond drops
  std::string wire = "fp32";   // mixing.wire
  std::string misbehave = {};  // test.misbehave
  // Smaller messages are taken whole: they are in the cache all the same, and
  // working on them twice costs their thread a turn.
  std::size_t piecewise_from_bytes = std::size_t{1} << 20;
};

// Bytes of a message about so many weights.
std::size_t MessageBytes(const mixing::Habits& habits, const std::string& wire,
                         std::size_t weights);

class ExchangePasses {
 public:
  // References must outlive this.
  ExchangePasses(mixing::Rule& rule, LiveWeights& weights,
                 const PassOptions& options);

  // Can this node tell another all its weights? Threads: any.
  bool gives_all() const { return format_->IsWhole(); }
  // Does a message become a difference while it arrives? Threads: any.
  bool differs_on_arrival() const {
    return SentAsItLies() && rule_.habits().of_snapshots &&
           weights_.size() * sizeof(float) >= options_.piecewise_from_bytes;
  }
  // What will be made of `theirs` against `mine`, both of which must outlive
  // it. Threads: any.
  std::shared_ptr<mixing::Difference> DifferenceOf(
      const transport::Buffer& theirs, const transport::Buffer& mine) const;

  // The weights are there.
  void Begin();

  // An exchange of this node's own; at most one at a time.
  struct Own {
    std::uint64_t peer = 0;     // for the rule
    std::uint64_t version = 0;  // of what is sent
    transport::Buffer sent;     // null if the rule's asks carry nothing
    mixing::Pace pace = {};     // as measured when it begins
    double interval_seconds = 0;
    // What the answer has become, if it has.
    std::shared_ptr<mixing::Difference> difference = {};
  };
  // Before it is sent; may put another buffer in its place.
  void Fill(Own& own);
  // When the answer has come; null: it only acknowledges.
  std::optional<mixing::Fault> Correct(const Own& own,
                                       const transport::Buffer& answer);

  // A request of `peer`: `theirs` is null if it carries nothing. `out` becomes
  // the answer, of `version`, if there is no fault.
  std::optional<mixing::Fault> Answer(std::uint64_t peer,
                                      const transport::Buffer& theirs,
                                      const transport::Buffer& out,
                                      std::uint64_t& version);

  // The same in two: when the request begins to arrive, and when it is whole
  // and has become a difference from what `out` says.
  void BeginAnswer(const transport::Buffer& out);
  std::optional<mixing::Fault> Answer(std::uint64_t peer,
                                      const transport::Buffer& theirs,
                                      mixing::Difference& difference);

  // One of this node's own ticks.
  void Tick();
  // A new process has taken the name.
  void Forget(std::uint64_t peer);

  // Of momentum's blend, an interval; 0 before the first exchange of this
  // node's own. Egress: public, of clocks and the number of members.
  // Threads: any.
  double eta() const { return eta_; }

 private:
  bool SentAsItLies() const;
  std::optional<mixing::Fault> Write(std::span<const float> weights,
                                     const transport::Buffer& theirs,
                                     const transport::Buffer& out,
                                     std::uint64_t& version);
  std::optional<mixing::Fault> Merge(std::uint64_t peer,
                                     const transport::Buffer& theirs,
                                     std::span<const float> mine);
  void Pace(const Own& own);
  std::optional<mixing::Fault> Apply(mixing::Correction correction,
                                     std::span<const float> theirs,
                                     std::span<const float> mine);
  std::optional<mixing::Fault> Apply(mixing::Correction correction,
                                     mixing::Difference& difference);
  // What `scale`, a ClippedGain, makes of the correction's gains.
  template <typename Scale>
  static void ScaleToClip(mixing::Correction& correction, Scale scale);
  void Take(const mixing::Correction& correction, std::span<const float> theirs,
            std::span<const float> reference);
  // What a message says: where it lies, or decoded into theirs_.
  std::span<const float> Read(const transport::Buffer& message,
                              std::optional<mixing::Fault>& fault);
  std::span<std::byte> Encoded(const transport::Buffer& message) const;
  std::span<float> Floats(const transport::Buffer& message) const;

  mixing::Rule& rule_;
  LiveWeights& weights_;
  const PassOptions options_;
  const std::unique_ptr<mixing::WireFormat> format_;
  const bool plain_;
  mixing::Random random_;
  Misbehaviour misbehaviour_;
  std::atomic<double> eta_ = 0;

  std::vector<float> mine_;    // this node's, in the exchange of its own
  std::vector<float> here_;    // this node's, in an answer
  std::vector<float> theirs_;  // decoded
  std::vector<float> other_;   // a change, or what is spoilt
  std::vector<float> base_;    // the weights of the last answer, for changes
  std::vector<float> zeros_;   // what a change is measured from
  transport::Buffer newest_;   // to use at the next tick
  std::map<std::uint64_t, transport::Buffer> owed_;   // not acknowledged
  std::map<std::uint64_t, mixing::Memory> memories_;  // of what was said
};

}  // namespace hearsay::daemon
