// One source, several instruction sets, chosen when the program starts. What
// both ends of an exchange compute must not depend on which: there, no sums of
// products, which some machines round once and others twice.
#pragma once

// The sanitizers' run time is not up yet when the resolvers of the clones run.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define HEARSAY_CLONES \
  __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define HEARSAY_CLONES
#endif
