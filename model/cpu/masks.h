// The random masks of dropout, one of its own for each dropout layer and each
// example of a step, from the step's key.
//
// Word i of a mask is word i % 16 of ChaCha20's block i / 16 (RFC 8439 2.3)
// under the nonce (stream, example): so masks do not depend on how a batch is
// cut into slices, and tests know them from another implementation.
// model/network.h says why the key must be secret.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace hearsay::model::cpu {

class Masks {
 public:
  using Key = std::array<std::uint32_t, 8>;

  // Examples are counted from 0 again.
  void Begin(const Key& key);
  // The examples that are passed next are `count` more of the step. Between two
  // calls that train, evaluation may be called.
  void Train(int count);
  void Evaluate() { on_ = false; }

  // One stream for each dropout layer, in the order of the model.
  std::uint32_t NewStream() { return streams_++; }
  bool needed() const { return streams_ > 0; }
  bool begun() const { return begun_; }
  bool on() const { return on_; }

  // n factors for example b of this call: 0 with probability `rate`, to 2^-32,
  // else 1 / (1 - rate).
  void Draw(std::uint32_t stream, int b, double rate, std::size_t n,
            float* factors) const;

 private:
  Key key_{};
  std::uint64_t next_ = 0;   // example of the step
  std::uint64_t first_ = 0;  // of this call
  std::uint32_t streams_ = 0;
  bool begun_ = false;
  bool on_ = false;
};

}  // namespace hearsay::model::cpu
