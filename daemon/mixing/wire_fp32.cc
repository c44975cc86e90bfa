// Every weight as it is: 4 bytes each.
#include <cassert>
#include <cstring>

#include "daemon/mixing/wire_whole.h"

namespace hearsay::mixing {

namespace {

class Fp32 final : public WholeFormat {
 public:
  std::string name() const override { return "fp32"; }
  std::size_t Bytes(std::size_t n) const override { return n * sizeof(float); }
  bool IsPlain() const override { return true; }

  std::optional<Fault> Decode(std::span<const std::byte> bytes,
                              std::span<float> out) const override {
    if (bytes.size() != Bytes(out.size())) return Fault::kMalformed;
    if (!bytes.empty()) std::memmove(out.data(), bytes.data(), bytes.size());
    if (!AllFinite(out)) return Fault::kNotFinite;
    return std::nullopt;
  }

 private:
  void Encode(std::span<const float> mine, Random& /*random*/,
              std::span<std::byte> out) override {
    assert(out.size() == Bytes(mine.size()));
    if (!mine.empty()) std::memmove(out.data(), mine.data(), out.size());
  }
};

}  // namespace

std::unique_ptr<WireFormat> MakeFp32() { return std::make_unique<Fp32>(); }

}  // namespace hearsay::mixing
