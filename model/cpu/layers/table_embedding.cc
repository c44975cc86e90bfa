// The columns of a table side by side: of a code the row of its column's table,
// of a number itself. No code is there twice, so what an example adds to the
// tables is its gradient of the outputs that came out of them.
#include <algorithm>
#include <limits>
#include <vector>

#include "model/cpu/codes.h"
#include "model/cpu/layers/layer.h"
#include "model/cpu/weight_gradient.h"

namespace hearsay::model::cpu {

namespace {

class TableEmbeddingLayer final : public Layer {
 public:
  TableEmbeddingLayer(const TableEmbedding& embedding, const Shape& in,
                      const Shape& out, std::size_t offset)
      : Layer(in, out), units_(static_cast<std::size_t>(embedding.units)) {
    std::size_t next = 0;
    for (const int categories : embedding.categories) {
      columns_.push_back({categories, next, offset});
      next += categories > 0 ? units_ : 1;
      offset += static_cast<std::size_t>(categories) * units_;
    }
  }

  void Forward(const float* weights, int B, const float* in) override {
    for (int b = 0; b < B; ++b)
      for (const Column& column : columns_) {
        const float value = *in++;
        float* const out = out_ + Values(b) + column.out;
        if (column.categories == 0)
          *out = value;
        else if (const auto code = CodeOf(value, column.categories);
                 code == kNoCode)
          std::fill_n(out, units_, std::numeric_limits<float>::quiet_NaN());
        else
          std::copy_n(weights + RowOf(column, code), units_, out);
      }
  }

  void Backward(const float*, int, const float*, float*) override {}

  void AddSquaredNorms(int B, const float* in, double* squared_norms) override {
    for (int b = 0; b < B; ++b) {
      double squared = 0;
      VisitCodes(b, in, [&](const Column& column, std::int32_t code) {
        squared += code == kNoCode
                       ? std::numeric_limits<double>::infinity()
                       : SquaredLength(units_, grad_ + Values(b) + column.out);
      });
      squared_norms[b] += squared - squared == 0
                              ? squared
                              : std::numeric_limits<double>::infinity();
    }
  }

  void AddClippedGradient(int B, const float* in, const float* factors,
                          float* sum) override {
    for (int b = 0; b < B; ++b) {
      const float factor = factors == nullptr ? 1 : factors[b];
      if (factor == 0) continue;
      VisitCodes(b, in, [&](const Column& column, std::int32_t code) {
        if (code != kNoCode)
          AddTimes(units_, factor, grad_ + Values(b) + column.out,
                   sum + RowOf(column, code));
      });
    }
  }

 private:
  struct Column {
    int categories;     // 0: a number
    std::size_t out;    // where its outputs begin
    std::size_t table;  // and its table, among the model's parameters
  };

  std::size_t RowOf(const Column& column, std::int32_t code) const {
    return column.table + static_cast<std::size_t>(code) * units_;
  }

  // Calls each(column, code) for the columns of codes of example b.
  template <typename Each>
  void VisitCodes(int b, const float* in, const Each& each) const {
    in += static_cast<std::size_t>(b) * inputs_;
    for (const Column& column : columns_) {
      if (column.categories > 0) each(column, CodeOf(*in, column.categories));
      ++in;
    }
  }

  const std::size_t units_;
  std::vector<Column> columns_;
};

}  // namespace

std::unique_ptr<Layer> MakeTableEmbedding(const TableEmbedding& embedding,
                                          const Shape& in, const Shape& out,
                                          std::size_t offset) {
  return std::make_unique<TableEmbeddingLayer>(embedding, in, out, offset);
}

}  // namespace hearsay::model::cpu
