// The three matrix products of a dense layer, through cuBLASLt: descriptors are
// made and algorithms tried out at construction, so that a call only launches.
// Which algorithm is the quickest may differ from run to run, and with it the
// last bits of a product.
//
// Shapes: B rows, I inputs, O outputs; row-major float32, as model/cpu/gemm.h.
#pragma once

#include <cublasLt.h>

#include <cstddef>

#include "model/cuda/device.h"

namespace hearsay::model::cuda {

using Lt = Owned<cublasLtHandle_t, cublasLtDestroy>;
using MatmulDesc = Owned<cublasLtMatmulDesc_t, cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, cublasLtMatrixLayoutDestroy>;

Lt MakeLt();

// What all products of a network share.
struct GemmTerms {
  cublasLtHandle_t lt = nullptr;
  void* workspace = nullptr;
  std::size_t workspace_bytes = 0;
  bool tf32 = false;
};

// C (m, n) = op(A) op(B) in the column-major terms of cuBLAS.
class Gemm {
 public:
  enum class Epilogue { kNone, kBias, kReluBias };

  // out (B, O) = in (B, I) weight (O, I)^T, then the epilogue with bias (O).
  static Gemm Project(const GemmTerms& terms, int B, int I, int O,
                      const float* in, const float* weight, const float* bias,
                      Epilogue epilogue, float* out);
  // grad_in (B, I) = grad_out (B, O) weight (O, I)
  static Gemm ProjectBack(const GemmTerms& terms, int B, int I, int O,
                          const float* grad_out, const float* weight,
                          float* grad_in);
  // grad_weight (O, I) = grad_out (B, O)^T in (B, I) + beta grad_weight
  static Gemm OuterProducts(const GemmTerms& terms, int B, int I, int O,
                            const float* grad_out, const float* in,
                            float* grad_weight);

  // `workspace`: of the terms' size; those that run at a time need one each.
  void Run(cudaStream_t stream, float beta, void* workspace) const;

 private:
  struct Operand {
    const float* at;
    int rows, columns, stride;  // as stored, column-major
    bool transposed;
  };
  Gemm(const GemmTerms& terms, const Operand& a, const Operand& b, int m, int n,
       float* out, Epilogue epilogue, const float* bias);

  GemmTerms terms_;
  MatmulDesc operation_;
  Layout a_layout_, b_layout_, c_layout_;
  const float* a_ = nullptr;
  const float* b_ = nullptr;
  float* c_ = nullptr;
  cublasLtMatmulAlgo_t algorithm_{};
};

}  // namespace hearsay::model::cuda
