// One source for several instruction sets: the best for this machine is chosen
// when the program is loaded. The sanitizers' run time is not ready for such
// choices that early. Inside dp/ only.
#pragma once

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__) && !defined(__clang__)
#define HEARSAY_VECTOR_CLONES \
  __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define HEARSAY_VECTOR_CLONES
#endif
