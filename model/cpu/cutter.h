// Hands out cache-line aligned pieces of one arena; first counting (without a
// base), then for real, so that what is counted is what is cut.
#pragma once

#include <cstddef>

namespace hearsay::model::cpu {

class Cutter {
 public:
  explicit Cutter(float* base) : base_(base) {}

  float* Take(std::size_t size) {
    float* const piece = base_ == nullptr ? nullptr : base_ + used_;
    constexpr std::size_t kLine = 64 / sizeof(float);
    used_ += (size + kLine - 1) / kLine * kLine;
    return piece;
  }
  template <typename T>
  T* TakeAs(std::size_t size) {
    return reinterpret_cast<T*>(
        Take((size * sizeof(T) + sizeof(float) - 1) / sizeof(float)));
  }
  std::size_t used() const { return used_; }

 private:
  float* base_;
  std::size_t used_ = 0;
};

}  // namespace hearsay::model::cpu
