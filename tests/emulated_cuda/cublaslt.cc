// The few functions of cublasLt that the module calls: products of column-major
// float32 matrices, one element's sum after the other.
#include <cublasLt.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <vector>

#include "tests/emulated_cuda/memory.h"
#include "tests/emulated_cuda/stream.h"

namespace {

struct Matrix {
  std::size_t rows, columns, stride;
};
struct Operation {
  bool tf32 = false;
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const float* bias = nullptr;
};

// Into the opaque ones.
template <typename Value, typename Opaque>
void Put(const Value& value, Opaque* opaque) {
  static_assert(sizeof(Value) <= sizeof(Opaque));
  *opaque = {};
  std::memcpy(static_cast<void*>(opaque), &value, sizeof value);
}
template <typename Value, typename Opaque>
Value Take(const Opaque* opaque) {
  Value value;
  std::memcpy(static_cast<void*>(&value), opaque, sizeof value);
  return value;
}

// To 10 bits, the nearest.
float RoundToTf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7f800000U) == 0x7f800000U) return value;
  return std::bit_cast<float>((bits + 0x1000U) & 0xffffe000U);
}

// Column-major (rows, columns) of op(matrix).
std::vector<float> Operand(const float* at, const Matrix& matrix, bool turned,
                           bool tf32) {
  const std::size_t rows = turned ? matrix.columns : matrix.rows;
  const std::size_t columns = turned ? matrix.rows : matrix.columns;
  std::vector<float> operand(rows * columns);
  for (std::size_t c = 0; c < columns; ++c)
    for (std::size_t r = 0; r < rows; ++r) {
      const float value =
          turned ? at[r * matrix.stride + c] : at[c * matrix.stride + r];
      operand[c * rows + r] = tf32 ? RoundToTf32(value) : value;
    }
  return operand;
}

struct Call {
  Operation operation;
  Matrix a_layout, b_layout, c_layout;
  const float* a;
  const float* b;
  float* c;
  float beta;
};

void Multiply(const Call& call) {
  const Operation& operation = call.operation;
  const bool a_turned = operation.a == CUBLAS_OP_T;
  const bool b_turned = operation.b == CUBLAS_OP_T;
  const auto a = Operand(call.a, call.a_layout, a_turned, operation.tf32);
  const auto b = Operand(call.b, call.b_layout, b_turned, operation.tf32);
  const std::size_t m = call.c_layout.rows, n = call.c_layout.columns;
  const std::size_t k = a_turned ? call.a_layout.rows : call.a_layout.columns;
  std::vector<float> column(m);
  for (std::size_t j = 0; j < n; ++j) {
    std::fill(column.begin(), column.end(), 0.0F);
    for (std::size_t p = 0; p < k; ++p) {
      const float factor = b[j * k + p];
      const float* const from = a.data() + p * m;
      for (std::size_t i = 0; i < m; ++i) column[i] += from[i] * factor;
    }
    float* const to = call.c + j * call.c_layout.stride;
    for (std::size_t i = 0; i < m; ++i) {
      // What is not initialised may be NaN.
      float value = call.beta == 0 ? column[i] : column[i] + call.beta * to[i];
      if (operation.bias != nullptr) value += operation.bias[i];
      if (operation.epilogue == CUBLASLT_EPILOGUE_RELU_BIAS && value < 0)
        value = 0;
      to[i] = value;
    }
  }
}

bool IsOnDevice(const float* at, const Matrix& matrix) {
  return emulated_cuda::IsOnDevice(
      at, ((matrix.columns - 1) * matrix.stride + matrix.rows) * sizeof(float));
}

}  // namespace

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(new int);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  delete reinterpret_cast<int*>(handle);
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported" : "an error";
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout,
                                          cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t stride) {
  if (type != CUDA_R_32F || stride < static_cast<int64_t>(rows))
    return CUBLAS_STATUS_INVALID_VALUE;
  *layout = new cublasLtMatrixLayoutOpaque_t;
  Put(Matrix{rows, columns, static_cast<std::size_t>(stride)}, *layout);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* desc,
                                        cublasComputeType_t compute,
                                        cudaDataType_t scale) {
  if (scale != CUDA_R_32F) return CUBLAS_STATUS_NOT_SUPPORTED;
  *desc = new cublasLtMatmulDescOpaque_t;
  Operation operation;
  operation.tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  Put(operation, *desc);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t desc) {
  delete desc;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(
    cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t key,
    const void* value, std::size_t bytes) {
  auto operation = Take<Operation>(desc);
  const auto set = [&](auto& to) {
    if (bytes != sizeof to) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&to, value, bytes);
    Put(operation, desc);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (key) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(operation.a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(operation.b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(operation.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(operation.bias);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t cublasLtMatmulPreferenceCreate(
    cublasLtMatmulPreference_t* preference) {
  *preference = new cublasLtMatmulPreferenceOpaque_t;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(
    cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(
    cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
    const void*, std::size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

// Two guesses, the first of which does not work.
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(
    cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t,
    cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
    cublasLtMatmulPreference_t, int most,
    cublasLtMatmulHeuristicResult_t* found, int* count) {
  *count = std::min(most, 2);
  for (int i = 0; i < *count; ++i) {
    found[i] = {};
    found[i].algo.data[0] = static_cast<uint64_t>(i);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc,
                              const void* alpha, const void* a,
                              cublasLtMatrixLayout_t a_layout, const void* b,
                              cublasLtMatrixLayout_t b_layout, const void* beta,
                              const void* c, cublasLtMatrixLayout_t c_layout,
                              void* d, cublasLtMatrixLayout_t,
                              const cublasLtMatmulAlgo_t* algorithm,
                              void* workspace, std::size_t workspace_bytes,
                              cudaStream_t stream) {
  if (algorithm->data[0] == 0) return CUBLAS_STATUS_NOT_SUPPORTED;
  const Call call{.operation = Take<Operation>(desc),
                  .a_layout = Take<Matrix>(a_layout),
                  .b_layout = Take<Matrix>(b_layout),
                  .c_layout = Take<Matrix>(c_layout),
                  .a = static_cast<const float*>(a),
                  .b = static_cast<const float*>(b),
                  .c = static_cast<float*>(d),
                  .beta = *static_cast<const float*>(beta)};
  constexpr std::uintptr_t kBiasAlignment = 16;
  const float* const bias = call.operation.bias;
  if (*static_cast<const float*>(alpha) != 1 || c != d ||
      !IsOnDevice(call.a, call.a_layout) ||
      !IsOnDevice(call.b, call.b_layout) ||
      !IsOnDevice(call.c, call.c_layout) ||
      !emulated_cuda::IsOnDevice(workspace, workspace_bytes) ||
      reinterpret_cast<std::uintptr_t>(bias) % kBiasAlignment != 0)
    return CUBLAS_STATUS_INVALID_VALUE;
  if (emulated_cuda::Enqueue(stream, [call] { Multiply(call); }) != cudaSuccess)
    return CUBLAS_STATUS_EXECUTION_FAILED;
  return CUBLAS_STATUS_SUCCESS;
}
