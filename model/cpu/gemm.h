// Matrix products, on one thread of OpenBLAS.
//
// Shapes: B rows, I inputs, O outputs; row-major float32. B may be 0.
#pragma once

#include <string>

namespace hearsay::model::cpu {

// out (B, O) = in (B, I) * weight (O, I)^T
void Project(int B, int I, int O, const float* in, const float* weight,
             float* out);

// grad_in (B, I) = grad_out (B, O) * weight (O, I)
void ProjectBack(int B, int I, int O, const float* grad_out,
                 const float* weight, float* grad_in);

// grad_weight (O, I) += grad_out (B, O)^T * in (B, I)
void AddOuterProducts(int B, int I, int O, const float* grad_out,
                      const float* in, float* grad_weight);

// The general one: result = alpha * left * right + beta * result, where left is
// (rows, inner), or (inner, rows) if transposed, and right (inner, columns), or
// (columns, inner). With beta = 0, what was in result does not matter.
struct Factors {
  int rows, columns, inner;
  bool transposed_left = false;
  bool transposed_right = false;
  float alpha = 1;
  float beta = 0;
  // From the beginning of one row, as it lies, to that of the next; 0: as long
  // as the row.
  int left_row = 0;
  int right_row = 0;
  int result_row = 0;
};
void Product(const Factors& factors, const float* left, const float* right,
             float* result);

// The lower triangle of gram (T, T) = values * values^T, for values (T, width).
void GramMatrix(int T, int width, const double* values, double* gram);

// Keeps OpenBLAS to the threads that call it. To be called before the first
// product; again it does nothing.
// Throws: std::runtime_error if this OpenBLAS is a serial build, which several
// threads may not use at a time.
void UseOneThread();

// How this OpenBLAS was built, and the kernel it has chosen for this processor.
std::string BlasFlavour();

}  // namespace hearsay::model::cpu
