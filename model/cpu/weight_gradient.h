// The gradient of a weight that one example uses at T places: the sum over them
// of g_t (p) times a_t (d), a (p, d) matrix, and its norm. Two ways to the norm
// (Li et al. 2021, arXiv:2110.05679; the rule: Bu et al. 2022,
// arXiv:2205.10683):
//
//   ghost, where 2 T^2 <= d p: the product of the two (T, T) Gram matrices, in
//     double; the gradient is formed only inside the clipped sum.
//   instantiated, else: the gradient is formed, and its values are squared; the
//     very same values, times the factor, go into the sum.
//
// The bound of layers/layer.h: instantiated values are scaled with one rounding
// each. A ghost sum rounds on the way, by at most e = (T + 2) 2^-24 |a| |g|,
// which exceeds its norm's share of the margin only where the T addends cancel
// almost wholly: the excess is then added to the norm.
//
// Shapes: a (T, d) and g (T, p).
#pragma once

#include <cstddef>

#include "model/cpu/cutter.h"

namespace hearsay::model::cpu {

class WeightGradient {
 public:
  struct Sizes {
    int T, d, p;
  };
  explicit WeightGradient(const Sizes& sizes);

  bool ghost() const { return ghost_; }
  // Values of one example's a and g.
  std::size_t inputs() const { return Values(sizes_.d); }
  std::size_t grads() const { return Values(sizes_.p); }
  // Keeps instantiated gradients of max_batch examples if they are few values.
  void Cut(Cutter& cutter, int max_batch);

  // Of example b. Infinite if a or g is not finite or too long, or a sum
  // overflows.
  double SquaredNorm(int b, const float* a, const float* g);
  // sum (p, d) += factor * the gradient of example b, whose SquaredNorm was
  // taken before.
  void AddScaled(int b, const float* a, const float* g, float factor,
                 float* sum);
  // The same without either.
  void Add(const float* a, const float* g, float* sum) const;

 private:
  std::size_t Values(int width) const {
    return static_cast<std::size_t>(sizes_.T) * static_cast<std::size_t>(width);
  }
  std::size_t size() const {
    return static_cast<std::size_t>(sizes_.d) *
           static_cast<std::size_t>(sizes_.p);
  }
  double GhostSquaredNorm(const float* a, const float* g);
  void Multiply(const float* a, const float* g, float alpha, float beta,
                float* result) const;
  void Gram(const float* values, int width, double* gram);

  const Sizes sizes_;
  const bool ghost_;
  bool kept_ = false;
  float* gradients_ = nullptr;  // (B, p, d) if kept, else (p, d)
  double* wide_ = nullptr;      // (T, max(d, p))
  double* gram_a_ = nullptr;    // (T, T)
  double* gram_g_ = nullptr;
};

// Of n values, in double.
double SquaredLength(std::size_t n, const float* values);
// y += factor * x
void AddTimes(std::size_t n, float factor, const float* x, float* y);

// Sums in double over the T places of g (T, p).
void SumPlaces(int T, int p, const float* g, float* sums);

}  // namespace hearsay::model::cpu
