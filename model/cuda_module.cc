#include "model/cuda_module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>
#include <system_error>

#include "model/cuda/api.h"

namespace hearsay::model {

namespace {

namespace fs = std::filesystem;

constexpr const char* kModule = "libhearsay_cuda.so";

// Beside the program, or where an installation keeps it. The driver is looked
// for first: to load cuBLAS only to find that there is none takes a second.
CudaModule Open() {
  if (dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) == nullptr)
    return {nullptr, "no NVIDIA driver on this machine (libcuda.so.1)"};
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path beside = program.parent_path() / kModule;
  const fs::path installed =
      program.parent_path().parent_path() / "lib" / "hearsay" / kModule;
  const fs::path file = fs::exists(beside, error) ? beside : installed;
  if (!fs::exists(file, error))
    return {nullptr,
            "this build has no CUDA module (HEARSAY_CUDA=ON makes it)"};
  void* handle = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr)
    return {nullptr,
            fmt::format("the CUDA module cannot be loaded: {}", dlerror())};
  const auto door = reinterpret_cast<const cuda::Api* (*)()>(
      dlsym(handle, "hearsay_cuda_api"));
  const cuda::Api* api = door == nullptr ? nullptr : door();
  if (api == nullptr || api->version != cuda::kApiVersion)
    return {nullptr, fmt::format("{} is of another build", file.string())};
  return {api, ""};
}

}  // namespace

const CudaModule& OpenCudaModule() {
  static const CudaModule module = Open();
  return module;
}

}  // namespace hearsay::model
