// What formats have in common whose messages say every weight: an answer is
// made like an ask, and nothing need be remembered of a peer.
#pragma once

#include "daemon/mixing/wire.h"

namespace hearsay::mixing {

class WholeFormat : public WireFormat {
 public:
  void EncodeAsk(std::span<const float> mine, const Memory& /*of_peer*/,
                 Random& random, std::span<std::byte> out) final {
    Encode(mine, random, out);
  }
  std::optional<Fault> EncodeAnswer(std::span<const std::byte> /*ask*/,
                                    std::span<const float> mine, Random& random,
                                    std::span<std::byte> out) final {
    Encode(mine, random, out);
    return std::nullopt;
  }
  std::optional<Fault> DecodeAnswer(std::span<const std::byte> /*ask*/,
                                    std::span<const std::byte> answer,
                                    Memory& /*of_peer*/,
                                    std::span<float> out) const final {
    return Decode(answer, out);
  }

 private:
  virtual void Encode(std::span<const float> mine, Random& random,
                      std::span<std::byte> out) = 0;
};

}  // namespace hearsay::mixing
