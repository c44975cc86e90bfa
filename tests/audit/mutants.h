// Faults, one at a time, in parts of the product that this test program links
// in a version of its own (mutants.cc). No product target knows this folder.
#pragma once

namespace hearsay::audit_mutant {

enum class Fault {
  kNone,
  kNoise70Percent,
  kNoise50Percent,
  kNoClip,
  kNoiseReusedAcrossSteps,
  kOneNoiseForAllNodes,
  kNoiseOfTheMean,     // On the sum, as small as belongs on the mean.
  kDividedByRealised,  // The batch's own size in place of the public constant.
  kSamplerIgnoresRate,
  kShuffled,  // Batches of a fixed size from a permutation.
};

// In force from now on. Forgets kept noise. Threads: none may be in the parts.
void Set(Fault fault);

}  // namespace hearsay::audit_mutant
