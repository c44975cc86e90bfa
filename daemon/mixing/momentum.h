// Momentum of the ring (A2CiD2): beside its weights x a node keeps a second
// array x~, which every update is added to as well and every correction with a
// larger gain; the two are blended all the time. Disagreement then decays as
// the root of the ring's time.
//
// Time is in exchange intervals. Source: Nabli, Belilovsky, Oyallon 2023,
// 2306.08289, theorem 3.2: eta = 1 / (2 sqrt(chi1 chi2)), gain = 1/2
// sqrt(chi1 / chi2), with chi1 the inverse of the least positive eigenvalue of
// the Laplacian of exchange rates and chi2 half the largest effective
// resistance of an edge.
#pragma once

#include <cstddef>

namespace hearsay::mixing {

struct Acid {
  double eta = 0;     // of the blend, an interval
  double gain = 0.5;  // of corrections of x~
};

// A ring of `members`, each of which asks its next one once an interval.
Acid RingAcid(std::size_t members);

// What is stable where an exchange takes `delay` intervals from asking to the
// answer: corrections that come late are then as large as what they correct.
// Between full momentum at no delay and none (x~ moves as x does) at an
// interval's half.
Acid Scaled(const Acid& acid, double delay);

// After `time`, in the unit that `eta` is of: x moves by this share towards x~,
// and x~ as far towards x.
double BlendShare(double eta, double time);

}  // namespace hearsay::mixing
