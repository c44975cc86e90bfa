// What the fuzz targets share. A target is one file that defines
// LLVMFuzzerTestOneInput; libFuzzer calls it with inputs of its own
// (ops/fuzz), replay_main.cc with those of corpus/ (every build's tests).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data,
                                      std::size_t size);

namespace hearsay::fuzz {

// A promise of the code under test (builtins, because clang 14 has no
// std::source_location). Ends the process if it is broken, which is
// a finding to libFuzzer and a failure to the replay.
inline void Check(bool kept, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE()) {
  if (kept) return;
  std::fprintf(stderr, "%s:%d: broken promise\n", file, line);
  std::abort();
}

// Takes values off an input's front; 0 or nothing once it is used up.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }

  template <typename T = std::uint8_t>
  T Take() {
    T value = 0;
    for (const std::uint8_t byte : Bytes(sizeof(T)))
      value = static_cast<T>((std::uint64_t{value} << 8) | byte);
    return value;
  }

  // At most so many.
  std::span<const std::uint8_t> Bytes(std::size_t most) {
    const auto taken = rest_.first(std::min(most, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  std::string Text(std::size_t most) {
    const auto bytes = Bytes(most);
    return {bytes.begin(), bytes.end()};
  }
  std::string Rest() { return Text(rest_.size()); }

 private:
  std::span<const std::uint8_t> rest_;
};

inline std::span<const std::byte> BytesOf(std::string_view text) {
  return std::as_bytes(std::span(text));
}

}  // namespace hearsay::fuzz
