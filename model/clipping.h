// How the gradients of single examples are bounded before they are summed. In
// every kind no example adds a vector longer than `norm`.
#pragma once

namespace hearsay::model {

struct Clipping {
  enum class Kind {
    // grad min(1, norm / |grad|)
    kFlat,
    // grad norm / (|grad| + 0.01): no norm to choose but the learning rate's,
    // since both only scale the sum (Bu et al. 2023, arXiv:2206.07136)
    kAutomatic,
    // of each of the L layers with parameters by itself: its own part of grad,
    // bounded by norm / sqrt(L)
    kPerLayer,
  };

  double norm = 1;
  Kind kind = Kind::kFlat;
  // Of the bounded sum of losses: what one example adds is in [0, this].
  double loss_bound = 0;
};

}  // namespace hearsay::model
