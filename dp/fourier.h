// Discrete Fourier transforms of real sequences (Eigen's, decision 0025), with
// the bound on their rounding errors that the accountant needs. Inside dp/
// only.
#pragma once

#include <complex>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

namespace hearsay::dp {

// Of one length, a multiple of 4. Threads: one at a time.
class Fourier {
 public:
  explicit Fourier(std::size_t length);
  ~Fourier();

  std::size_t length() const { return length_; }
  // Terms 0 ... length / 2; the others are their conjugates.
  void Forward(std::span<const double> values,
               std::span<std::complex<double>> terms);
  // Of terms as Forward gives them; `terms` is used up.
  void Inverse(std::span<std::complex<double>> terms, std::span<double> values);

  // No term that Forward gives is wrong by more than this times the sum of the
  // sizes of the values; nor are all of Inverse's values together, root mean
  // square, by more than this times that of the result.
  // Source: Higham, Accuracy and Stability, 2nd edition, Theorem 24.2.
  double relative_error() const;

 private:
  struct Plan;
  std::size_t length_;
  std::unique_ptr<Plan> plan_;
  std::vector<double> hartley_;
};

// The least length >= `least` that is quick: 4 times a product of 2s and at
// most one 3.
std::size_t QuickLength(std::size_t least);

}  // namespace hearsay::dp
