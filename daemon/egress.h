// Egress as a type: a number about private data is a Private<T>, and cannot
// become part of a message by mistake, since nothing converts it. There are two
// ways out, and both have to be asked for by name:
//
//   OwnersDoor   to whoever is on the node's own unix socket;
//   Release      with noise that has been charged to the ledger, to everybody.
//
// tests/daemon/egress holds what must not compile (ops/decisions/0004).
#pragma once

#include <optional>
#include <utility>

#include "dp/random.h"

namespace hearsay::daemon {

class Budget;
struct AdminRequest;

// Proof that the ledger has been charged for one step: only Budget makes it.
class PaidStep {
 public:
  PaidStep(const PaidStep&) = delete;
  PaidStep(PaidStep&&) = default;

 private:
  friend class Budget;
  PaidStep() = default;
};

template <typename T>
class Private {
 public:
  Private() = default;
  explicit Private(T value) : value_(std::move(value)) {}

 private:
  friend class OwnersDoor;
  friend double Release(const PaidStep& step, const Private<double>& sum,
                        double noise_stddev, dp::SecureRandom& random);
  T value_{};
};

class OwnersDoor {
 public:
  // Nothing for a request that came another way.
  static std::optional<OwnersDoor> Of(const AdminRequest& request);

  template <typename T>
  const T& Open(const Private<T>& value) const {
    return value.value_;
  }

 private:
  OwnersDoor() = default;
};

// `sum` with Gaussian noise of that deviation: egress class released, if the
// step was charged for a mechanism that includes it. Throws: as
// dp::AddGaussianNoise.
double Release(const PaidStep& step, const Private<double>& sum,
               double noise_stddev, dp::SecureRandom& random);

}  // namespace hearsay::daemon
