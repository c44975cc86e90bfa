#include "model/cpu/gemm.h"

#include <cblas.h>

namespace hearsay::model::cpu {

void Project(int B, int I, int O, const float* in, const float* weight,
             float* out) {
  if (B == 0) return;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, B, O, I, 1.0f, in, I,
              weight, I, 0.0f, out, O);
}

void ProjectBack(int B, int I, int O, const float* grad_out,
                 const float* weight, float* grad_in) {
  if (B == 0) return;
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, B, I, O, 1.0f,
              grad_out, O, weight, I, 0.0f, grad_in, I);
}

void AddOuterProducts(int B, int I, int O, const float* grad_out,
                      const float* in, float* grad_weight) {
  if (B == 0) return;
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, O, I, B, 1.0f, grad_out,
              O, in, I, 1.0f, grad_weight, I);
}

void UseOneThread() { openblas_set_num_threads(1); }

}  // namespace hearsay::model::cpu
