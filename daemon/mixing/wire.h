// How weights are written into the messages of an exchange.
//
// Pure. A message about n weights has Bytes(n) bytes, asks and answers alike.
// Rounding must not move the mean of all nodes, so each side corrects by the
// difference of what both have seen, its own snapshot decoded like the other's:
//
//   asker i     EncodeAsk(S_i) -> ask;        Decode(ask) -> mine
//   answerer j  Decode(ask) -> theirs;        EncodeAnswer(ask, S_j) -> answer;
//               Decode(answer) -> mine;       adds gain * (theirs - mine)
//   asker i     DecodeAnswer(ask, answer) -> theirs;
//                                             adds gain * (theirs - mine)
//
// The two corrections are opposite to the last bit. What rounding took away
// stays in the weights and is part of the next message. The ends share no
// state, so a lost message makes nothing wrong that a later one would have to
// repair. Whatever a format does not say decodes to 0 at both ends: no
// difference, no correction. Egress class of a message: released.
//
// Threads: one at a time for a format, a Memory, a Random.
// Byte order: little-endian.
//
// Measured (ops/bench/wire_bench.cc; one core of an EPYC with AVX-512, a model
// of 16 MiB; GB of weights a second encoded and decoded): fp32 9.4, 6.4; bf16
// 16.5, 12.5; int8 12.3, 14.4; topk:0.01 1.35, 11.3; topk:0.1 1.4, 4.2.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/mixing/random.h"
#include "daemon/mixing/vet.h"

namespace hearsay::mixing {

// What one peer is known to have heard of this node, for formats that choose
// what to say; one for each peer that is asked. Drop it when the peer restarts:
// all is then said again.
struct Memory {
  std::vector<float> said;  // Empty: nothing yet.
};

class WireFormat {
 public:
  virtual ~WireFormat() = default;

  // As ParseWire takes it.
  virtual std::string name() const = 0;
  virtual std::size_t Bytes(std::size_t n) const = 0;
  // A message is the weights themselves: it may be used in place.
  virtual bool IsPlain() const { return false; }
  // A message says all n weights. Only then can it be asked for with an empty
  // ask: by rules whose asks carry no snapshot, or to fetch current weights.
  virtual bool IsWhole() const { return true; }

  // Shapes: out has Bytes(mine.size()) and overlaps nothing else.
  // Weights that are not finite make a message that Decode refuses.
  virtual void EncodeAsk(std::span<const float> mine, const Memory& of_peer,
                         Random& random, std::span<std::byte> out) = 0;
  // `ask` may be anything that a peer has sent. `out` is unspecified if it is
  // not fit.
  [[nodiscard]] virtual std::optional<Fault> EncodeAnswer(
      std::span<const std::byte> ask, std::span<const float> mine,
      Random& random, std::span<std::byte> out) = 0;

  // `bytes` may be anything. What is not fit is refused whole, and `out` is
  // then unspecified; what is fit decodes to finite values, the same on every
  // machine.
  [[nodiscard]] virtual std::optional<Fault> Decode(
      std::span<const std::byte> bytes, std::span<float> out) const = 0;
  // The answer to `ask`, which this node has sent: if it is fit and about what
  // was asked, the peer is known to have heard the ask, and not before.
  [[nodiscard]] virtual std::optional<Fault> DecodeAnswer(
      std::span<const std::byte> ask, std::span<const std::byte> answer,
      Memory& of_peer, std::span<float> out) const = 0;
};

// "fp32", "bf16", "int8" or "topk:F", F the share of weights in a message.
// Throws: std::invalid_argument, with what is allowed.
std::unique_ptr<WireFormat> ParseWire(const std::string& text);

// One file each.
std::unique_ptr<WireFormat> MakeFp32();
std::unique_ptr<WireFormat> MakeBf16();
std::unique_ptr<WireFormat> MakeInt8();
// Requires: 0 < share <= kLargestShare.
std::unique_ptr<WireFormat> MakeTopK(double share);
// An index is as long as a weight: with more than half of them, fp32 is
// shorter.
inline constexpr double kLargestShare = 0.5;

}  // namespace hearsay::mixing
