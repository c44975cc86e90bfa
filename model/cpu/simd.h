// How the elementwise loops of the CPU back end become vector code: one source,
// several instruction sets, chosen when the program starts; and expf, tanhf,
// erff, logf from glibc's libmvec (4 ulp), which loops may call lane by lane.
//
// Not -ffast-math: it would let the compiler assume away NaN and infinity,
// which the rejection of examples depends on.
#pragma once

#include <cmath>

// The sanitizers' run time is not up yet when the resolvers of the clones run.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define HEARSAY_VECTORISE \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define HEARSAY_VECTORISE
#endif

// For the parts of such a function, which must be compiled as it is.
#define HEARSAY_ALWAYS_INLINE __attribute__((always_inline)) inline

// glibc declares its vector variants only under -ffast-math.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && \
    !defined(__clang__)
#define HEARSAY_HAS_LANES __attribute__((simd("notinbranch")))
extern "C" {
HEARSAY_HAS_LANES float expf(float) noexcept;
HEARSAY_HAS_LANES float logf(float) noexcept;
HEARSAY_HAS_LANES float tanhf(float) noexcept;
HEARSAY_HAS_LANES float erff(float) noexcept;
}
#undef HEARSAY_HAS_LANES
#endif
