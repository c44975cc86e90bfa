// The CUDA module, opened when it is first asked for. On its own so that tests
// can link it instead (tests/emulated_cuda).
//
// Threads: any; it stays open until the process ends.
#pragma once

#include <string>

namespace hearsay::model {

namespace cuda {
struct Api;
}

struct CudaModule {
  const cuda::Api* api = nullptr;
  std::string reason;  // why there is none
};
const CudaModule& OpenCudaModule();

}  // namespace hearsay::model
