// In the place of model/cuda_module.cc: the module is linked, not opened.
#include "model/cuda_module.h"

#include "model/cuda/api.h"

namespace hearsay::model {

const CudaModule& OpenCudaModule() {
  static const CudaModule module{.api = hearsay_cuda_api(), .reason = {}};
  return module;
}

}  // namespace hearsay::model
