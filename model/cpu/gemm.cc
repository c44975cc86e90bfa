#include "model/cpu/gemm.h"

#include <cblas.h>
#include <omp.h>

#include <mutex>
#include <stdexcept>

namespace hearsay::model::cpu {

namespace {

// OpenMP asks every thread anew how many it may use, and OpenBLAS then takes
// the answer for all: openblas_set_num_threads alone binds one thread only.
void KeepThisThreadAlone() {
  thread_local const bool once = (omp_set_num_threads(1), true);
  (void)once;
}

}  // namespace

void Project(int B, int I, int O, const float* in, const float* weight,
             float* out) {
  if (B == 0) return;
  KeepThisThreadAlone();
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, B, O, I, 1.0f, in, I,
              weight, I, 0.0f, out, O);
}

void ProjectBack(int B, int I, int O, const float* grad_out,
                 const float* weight, float* grad_in) {
  if (B == 0) return;
  KeepThisThreadAlone();
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, B, I, O, 1.0f,
              grad_out, O, weight, I, 0.0f, grad_in, I);
}

void AddOuterProducts(int B, int I, int O, const float* grad_out,
                      const float* in, float* grad_weight) {
  if (B == 0) return;
  KeepThisThreadAlone();
  cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, O, I, B, 1.0f, grad_out,
              O, in, I, 1.0f, grad_weight, I);
}

void Product(const Factors& factors, const float* left, const float* right,
             float* result) {
  const auto& [rows, columns, inner, left_is, right_is, alpha, beta, left_row,
               right_row, result_row] = factors;
  if (rows == 0) return;
  KeepThisThreadAlone();
  const auto step = [](int given, int length) {
    return given == 0 ? length : given;
  };
  cblas_sgemm(CblasRowMajor, left_is ? CblasTrans : CblasNoTrans,
              right_is ? CblasTrans : CblasNoTrans, rows, columns, inner, alpha,
              left, step(left_row, left_is ? rows : inner), right,
              step(right_row, right_is ? inner : columns), beta, result,
              step(result_row, columns));
}

void GramMatrix(int T, int width, const double* values, double* gram) {
  KeepThisThreadAlone();
  cblas_dsyrk(CblasRowMajor, CblasLower, CblasNoTrans, T, width, 1.0, values,
              width, 0.0, gram, T);
}

void UseOneThread() {
  static std::once_flag once;
  std::call_once(once, [] {
    // Measured with Debian 12's: two threads, a product wrong in every 10,000.
    if (openblas_get_parallel() == OPENBLAS_SEQUENTIAL)
      throw std::runtime_error(
          "this OpenBLAS is a serial build, whose results are wrong when two "
          "threads compute: install libopenblas-openmp-dev (or libopenblas0-"
          "openmp) and do not override it with LD_LIBRARY_PATH");
    openblas_set_num_threads(1);
  });
}

std::string BlasFlavour() {
  return std::string(openblas_get_config()) + ", kernel " +
         openblas_get_corename();
}

}  // namespace hearsay::model::cpu
