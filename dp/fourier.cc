#include "dp/fourier.h"

#include <cassert>
#include <cmath>
#include <limits>
#include <unsupported/Eigen/FFT>

namespace hearsay::dp {

struct Fourier::Plan {
  Eigen::FFT<double> transform;
};

Fourier::Fourier(std::size_t length)
    : length_(length), plan_(std::make_unique<Plan>()), hartley_(length) {
  assert(length > 0 && length % 4 == 0);
  plan_->transform.SetFlag(Eigen::FFT<double>::HalfSpectrum);
}

Fourier::~Fourier() = default;

void Fourier::Forward(std::span<const double> values,
                      std::span<std::complex<double>> terms) {
  assert(values.size() == length_ && terms.size() == length_ / 2 + 1);
  plan_->transform.fwd(terms.data(), values.data(),
                       static_cast<Eigen::Index>(length_));
}

// By way of Hartley's transform, which is its own inverse, so that one plan
// serves both ways: plans take longer to make than to use.
void Fourier::Inverse(std::span<std::complex<double>> terms,
                      std::span<double> values) {
  assert(values.size() == length_ && terms.size() == length_ / 2 + 1);
  const auto mirrored = [&](std::size_t i) -> std::size_t {
    return length_ - i;
  };
  hartley_[0] = terms[0].real();
  for (std::size_t i = 1; i <= length_ / 2; ++i) {
    hartley_[i] = terms[i].real() - terms[i].imag();
    hartley_[mirrored(i)] = terms[i].real() + terms[i].imag();
  }
  hartley_[length_ / 2] = terms[length_ / 2].real();
  Forward(hartley_, terms);
  const double scale = 1 / static_cast<double>(length_);
  values[0] = terms[0].real() * scale;
  for (std::size_t i = 1; i <= length_ / 2; ++i) {
    values[mirrored(i)] = (terms[i].real() + terms[i].imag()) * scale;
    values[i] = (terms[i].real() - terms[i].imag()) * scale;
  }
  values[length_ / 2] = terms[length_ / 2].real() * scale;
}

double Fourier::relative_error() const {
  // A butterfly of complex numbers, its twiddle factor wrong by up to 2 units,
  // costs less than 8 units of rounding (u = 2^-53); there are log2(length / 2)
  // levels of them, one that puts real sequences together, whose factors are
  // wrong by up to 9 units, and what Hartley's adds.
  constexpr double kUnit = std::numeric_limits<double>::epsilon() / 2;
  return 8 * kUnit * (std::log2(static_cast<double>(length_)) + 4);
}

std::size_t QuickLength(std::size_t least) {
  std::size_t length = 64;
  while (length < least) length *= 2;
  return length / 4 * 3 >= least && length > 64 ? length / 4 * 3 : length;
}

}  // namespace hearsay::dp
