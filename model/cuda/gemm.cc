#include "model/cuda/gemm.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <stdexcept>

#include "model/cuda/stopwatch.h"

namespace hearsay::model::cuda {

namespace {

// cuBLAS believes in 256 bytes if it is not told.
std::uint32_t AlignmentOf(const float* at) {
  std::uint32_t alignment = 256;
  while (reinterpret_cast<std::uintptr_t>(at) % alignment != 0) alignment /= 2;
  return alignment;
}

Layout MakeLayout(int rows, int columns, int stride) {
  cublasLtMatrixLayout_t layout = nullptr;
  Must(cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F,
                                  static_cast<std::uint64_t>(rows),
                                  static_cast<std::uint64_t>(columns), stride),
       "describe a matrix");
  return Layout(layout);
}

template <typename T>
void Set(const MatmulDesc& desc, cublasLtMatmulDescAttributes_t key, T value) {
  Must(cublasLtMatmulDescSetAttribute(desc.get(), key, &value, sizeof value),
       "describe a product");
}

using Preference =
    Owned<cublasLtMatmulPreference_t, cublasLtMatmulPreferenceDestroy>;

template <typename T>
void Set(const Preference& preference, cublasLtMatmulPreferenceAttributes_t key,
         T value) {
  Must(cublasLtMatmulPreferenceSetAttribute(preference.get(), key, &value,
                                            sizeof value),
       "say what a product needs");
}

constexpr int kCandidates = 8;

}  // namespace

Lt MakeLt() {
  cublasLtHandle_t lt = nullptr;
  Must(cublasLtCreate(&lt), "begin");
  return Lt(lt);
}

Gemm::Gemm(const GemmTerms& terms, const Operand& a, const Operand& b, int m,
           int n, float* out, Epilogue epilogue, const float* bias)
    : terms_(terms),
      a_layout_(MakeLayout(a.rows, a.columns, a.stride)),
      b_layout_(MakeLayout(b.rows, b.columns, b.stride)),
      c_layout_(MakeLayout(m, n, m)),
      a_(a.at),
      b_(b.at),
      c_(out) {
  cublasLtMatmulDesc_t operation = nullptr;
  Must(cublasLtMatmulDescCreate(
           &operation,
           terms.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
           CUDA_R_32F),
       "describe a product");
  operation_ = MatmulDesc(operation);
  Set(operation_, CUBLASLT_MATMUL_DESC_TRANSA,
      a.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  Set(operation_, CUBLASLT_MATMUL_DESC_TRANSB,
      b.transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
  if (epilogue != Epilogue::kNone) {
    Set(operation_, CUBLASLT_MATMUL_DESC_EPILOGUE,
        epilogue == Epilogue::kBias ? CUBLASLT_EPILOGUE_BIAS
                                    : CUBLASLT_EPILOGUE_RELU_BIAS);
    Set(operation_, CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
  }

  cublasLtMatmulPreference_t raw = nullptr;
  Must(cublasLtMatmulPreferenceCreate(&raw), "say what a product needs");
  const Preference preference(raw);
  Set(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
      static_cast<std::uint64_t>(terms.workspace_bytes));
  Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
      AlignmentOf(a.at));
  Set(preference, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      AlignmentOf(b.at));
  for (const auto key : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                         CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
    Set(preference, key, AlignmentOf(out));

  std::array<cublasLtMatmulHeuristicResult_t, kCandidates> found{};
  int count = 0;
  Must(cublasLtMatmulAlgoGetHeuristic(
           terms.lt, operation_.get(), a_layout_.get(), b_layout_.get(),
           c_layout_.get(), c_layout_.get(), preference.get(), kCandidates,
           found.data(), &count),
       "choose an algorithm");
  if (count == 0) Must(CUBLAS_STATUS_NOT_SUPPORTED, "choose an algorithm");
  // Its first guess is often half as fast as another at the sizes of a batch.
  float best = std::numeric_limits<float>::infinity();
  cublasLtMatmulAlgo_t quickest = found[0].algo;
  const Stopwatch watch;
  for (int i = 0; i < count; ++i) {
    algorithm_ = found[static_cast<std::size_t>(i)].algo;
    float took = std::numeric_limits<float>::infinity();
    try {
      took = watch.Time(
          [&](cudaStream_t stream) { Run(stream, 0, terms.workspace); });
    } catch (const std::runtime_error&) {
      if (count == 1) throw;
      continue;  // A guess that does not work here.
    }
    if (took < best) {
      best = took;
      quickest = algorithm_;
    }
  }
  algorithm_ = quickest;
}

Gemm Gemm::Project(const GemmTerms& terms, int B, int I, int O, const float* in,
                   const float* weight, const float* bias, Epilogue epilogue,
                   float* out) {
  return Gemm(
      terms,
      {.at = weight, .rows = I, .columns = O, .stride = I, .transposed = true},
      {.at = in, .rows = I, .columns = B, .stride = I, .transposed = false}, O,
      B, out, epilogue, bias);
}

Gemm Gemm::ProjectBack(const GemmTerms& terms, int B, int I, int O,
                       const float* grad_out, const float* weight,
                       float* grad_in) {
  return Gemm(
      terms,
      {.at = weight, .rows = I, .columns = O, .stride = I, .transposed = false},
      {.at = grad_out,
       .rows = O,
       .columns = B,
       .stride = O,
       .transposed = false},
      I, B, grad_in, Epilogue::kNone, nullptr);
}

Gemm Gemm::OuterProducts(const GemmTerms& terms, int B, int I, int O,
                         const float* grad_out, const float* in,
                         float* grad_weight) {
  return Gemm(
      terms,
      {.at = in, .rows = I, .columns = B, .stride = I, .transposed = false},
      {.at = grad_out,
       .rows = O,
       .columns = B,
       .stride = O,
       .transposed = true},
      I, O, grad_weight, Epilogue::kNone, nullptr);
}

void Gemm::Run(cudaStream_t stream, float beta, void* workspace) const {
  const float alpha = 1;
  Must(cublasLtMatmul(terms_.lt, operation_.get(), &alpha, a_, a_layout_.get(),
                      b_, b_layout_.get(), &beta, c_, c_layout_.get(), c_,
                      c_layout_.get(), &algorithm_, workspace,
                      terms_.workspace_bytes, stream),
       "multiply");
}

}  // namespace hearsay::model::cuda
