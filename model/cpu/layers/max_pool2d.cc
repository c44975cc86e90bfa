// Max pooling.
//
// Small windows that padding does not cut are swept: a window at every place of
// an example, also where there is none, is one loop over all of its values, and
// what is wanted is taken from it. Where windows begin at every column, so is
// the way back; else, and after a search in larger windows, one addition to
// each winner.
//
// Images that come channels last (order.h) are a layer of their own: a window
// is that of all channels at once, and nothing is swept that is not wanted.
//
// Shapes: C channels of in (H, W) and out (P, Q), of B examples.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "model/cpu/layers/layer.h"
#include "model/cpu/layers/windows.h"
#include "model/cpu/patches.h"
#include "model/cpu/simd.h"

namespace hearsay::model::cpu {

namespace {

constexpr std::size_t kLanes = kSweepLanes;
typedef float Floats __attribute__((vector_size(32)));
typedef std::int32_t Ints __attribute__((vector_size(32)));

template <typename Vector, typename Value>
HEARSAY_ALWAYS_INLINE void Load(const Value* from, Vector& to) {
  __builtin_memcpy(&to, from, sizeof to);
}
template <typename Vector, typename Value>
HEARSAY_ALWAYS_INLINE void Store(const Vector& from, Value* to) {
  __builtin_memcpy(to, &from, sizeof from);
}

// n >= kLanes; best and cell (n): of the values at x + each offset, the
// largest, and at which offset. The first of equals stays, as in PyTorch, and
// any NaN wins, so that none is lost.
HEARSAY_VECTORISE
void LargestOfCells(std::size_t n, const std::vector<std::int32_t>& offsets,
                    const float* in, float* best, std::int32_t* cell) {
  for (std::size_t first = 0; first < n; first += kLanes) {
    const std::size_t x = std::min(first, n - kLanes);
    Floats largest, value;
    Ints where = {};
    Load(in + x, largest);
    for (std::size_t i = 1; i < offsets.size(); ++i) {
      Load(in + x + offsets[i], value);
      const Ints wins = (value > largest) | (value != value);
      largest = wins ? value : largest;
      where = wins ? Ints{} + offsets[i] : where;
    }
    Store(largest, best + x);
    Store(where, cell + x);
  }
}

// And back: grad_in (n) = at each x the sum, over the offsets, of the gradients
// of those places x - offset whose largest value is that of this offset. Reads
// as far before grad and cell as the last offset.
HEARSAY_VECTORISE
void SumOfCells(std::size_t n, const std::vector<std::int32_t>& offsets,
                const float* grad, const std::int32_t* cell, float* grad_in) {
  for (std::size_t first = 0; first < n; first += kLanes) {
    const std::size_t x = std::min(first, n - kLanes);
    Floats sum = {}, value;
    Ints where;
    for (const std::int32_t offset : offsets) {
      Load(grad + x - offset, value);
      Load(cell + x - offset, where);
      sum += where == offset ? value : Floats{};
    }
    Store(sum, grad_in + x);
  }
}

// And back without room to read before: grad_in at x + offset grows by the
// gradients of those places x whose largest value is that of this offset.
// Requires: n a multiple of kLanes.
HEARSAY_VECTORISE
void AddToCells(std::size_t n, const std::vector<std::int32_t>& offsets,
                const float* grad, const std::int32_t* cell, float* grad_in) {
  for (std::size_t x = 0; x < n; x += kLanes) {
    Floats value, sum;
    Ints where;
    Load(grad + x, value);
    Load(cell + x, where);
    for (const std::int32_t offset : offsets) {
      Load(grad_in + x + offset, sum);
      sum += where == offset ? value : Floats{};
      Store(sum, grad_in + x + offset);
    }
  }
}

// Of what is at every place of C channels' images, that of the windows; winner
// counts from the beginning of a channel.
HEARSAY_VECTORISE
void TakeWindows(int C, const Windows& windows, const float* best,
                 const std::int32_t* cell, float* out, std::int32_t* winner) {
  const auto& [H, W, P, Q, kernel, stride, padding] = windows;
  for (int c = 0; c < C; ++c, best += H * W, cell += H * W)
    for (int p = 0; p < P; ++p)
      for (int q = 0; q < Q; ++q) {
        const int x = p * stride.height * W + q * stride.width;
        *out++ = best[x];
        *winner++ = x + cell[x];
      }
}
// The same where windows begin at every column; and back.
void CopyWindows(int C, const Windows& windows, const float* best, float* out) {
  const auto& [H, W, P, Q, kernel, stride, padding] = windows;
  for (int c = 0; c < C; ++c, best += H * W)
    for (int p = 0; p < P; ++p)
      out = std::copy_n(best + p * stride.height * W, Q, out);
}
void SpreadWindows(int C, const Windows& windows, const float* out,
                   float* spread) {
  const auto& [H, W, P, Q, kernel, stride, padding] = windows;
  for (int c = 0; c < C; ++c, spread += H * W)
    for (int p = 0; p < P; ++p, out += Q)
      std::copy_n(out, Q, spread + p * stride.height * W);
}

// Of a window's cells from its first, where columns lie so far apart.
std::vector<std::int32_t> OffsetsOfCells(const Windows& windows, int apart) {
  std::vector<std::int32_t> offsets;
  for (int i = 0; i < windows.kernel.height; ++i)
    for (int j = 0; j < windows.kernel.width; ++j)
      offsets.push_back((i * windows.W + j) * apart);
  return offsets;
}

class MaxPoolLayer final : public Layer {
 public:
  MaxPoolLayer(const MaxPool2d& pool, const Shape& in, const Shape& out)
      : Layer(in, out),
        C_(in[0]),
        windows_(WindowsOf(pool, in, out)),
        offsets_(OffsetsOfCells(windows_, 1)),
        last_(static_cast<std::size_t>(offsets_.back())) {
    if (!CanSweep(pool) || inputs_ < last_ + kLanes)
      way_ = Way::kSearch;
    else if (pool.stride.width == 1 && offsets_.size() <= kFewCells)
      way_ = Way::kSweepBoth;
    else
      way_ = Way::kSweep;
  }

  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    const auto all = static_cast<std::size_t>(max_batch) * inputs_;
    if (way_ != Way::kSearch) best_ = cutter.Take(inputs_);
    if (way_ == Way::kSweepBoth) {
      spread_ = cutter.Take(last_ + inputs_);
      cells_ = cutter.TakeAs<std::int32_t>(last_ + all);
    } else {
      winners_ = cutter.TakeAs<std::int32_t>(Values(max_batch));
      if (way_ == Way::kSweep) cells_ = cutter.TakeAs<std::int32_t>(inputs_);
    }
  }

  void Forward(const float*, int B, const float* in) override {
    for (int b = 0; b < B; ++b, in += inputs_) {
      float* const out = out_ + Values(b);
      if (way_ == Way::kSearch) {
        Search(in, out, winners_ + Values(b));
        continue;
      }
      std::int32_t* const cells = CellsOf(b);
      LargestOfCells(inputs_ - last_, offsets_, in, best_, cells);
      if (way_ == Way::kSweepBoth)
        CopyWindows(C_, windows_, best_, out);
      else
        TakeWindows(C_, windows_, best_, cells, out, winners_ + Values(b));
    }
  }

  void Backward(const float*, int B, const float*, float* grad_in) override {
    if (grad_in == nullptr) return;
    if (way_ == Way::kSweepBoth) {
      for (int b = 0; b < B; ++b, grad_in += inputs_) {
        SpreadWindows(C_, windows_, grad_ + Values(b), spread_ + last_);
        SumOfCells(inputs_, offsets_, spread_ + last_, CellsOf(b), grad_in);
      }
      return;
    }
    std::fill_n(grad_in, static_cast<std::size_t>(B) * inputs_, 0.0f);
    const auto places = static_cast<std::size_t>(windows_.P * windows_.Q);
    const float* grad = grad_;
    const std::int32_t* winner = winners_;
    for (int c = 0; c < B * C_; ++c) {
      for (std::size_t i = 0; i < places; ++i) grad_in[winner[i]] += grad[i];
      grad_in += windows_.H * windows_.W;
      grad += places;
      winner += places;
    }
  }

 private:
  enum class Way { kSearch, kSweep, kSweepBoth };
  static constexpr std::size_t kFewCells = 9;

  std::int32_t* CellsOf(int b) const {
    return way_ == Way::kSweep
               ? cells_
               : cells_ + last_ + static_cast<std::size_t>(b) * inputs_;
  }

  // Of one example.
  void Search(const float* in, float* out, std::int32_t* winner) const {
    const int W = windows_.W, image = windows_.H * W;
    const int places = windows_.P * windows_.Q;
    for (int c = 0; c < C_; ++c, in += image, out += places, winner += places)
      windows_.Visit([&](int at, int top, int bottom, int left, int right) {
        std::int32_t best = top * W + left;
        for (int h = top; h < bottom; ++h)
          for (int w = left; w < right; ++w)
            if (in[h * W + w] > in[best] || in[h * W + w] != in[h * W + w])
              best = h * W + w;
        out[at] = in[best];
        winner[at] = best;
      });
  }

  const int C_;
  const Windows windows_;
  const std::vector<std::int32_t> offsets_;
  const std::size_t last_;  // of them
  Way way_ = Way::kSearch;
  float* best_ = nullptr;  // (C, H, W)
  // Gradients where their windows begin, 0 elsewhere: last_ + (C, H, W).
  float* spread_ = nullptr;
  // The offset of the largest: (C, H, W), or last_ + (B, C, H, W).
  std::int32_t* cells_ = nullptr;
  std::int32_t* winners_ = nullptr;  // (B, C, P, Q): where in (H, W)
};

// Requires: CanSweepChannelsLast. in (H, W, C); out (P, Q, C), or (C, P, Q).
class ChannelsLastMaxPoolLayer final : public Layer {
 public:
  ChannelsLastMaxPoolLayer(const MaxPool2d& pool, const Shape& in,
                           const Shape& out, bool turns)
      : Layer(in, out),
        C_(in[0]),
        turns_(turns),
        windows_(WindowsOf(pool, in, out)),
        offsets_(OffsetsOfCells(windows_, C_)) {}

  void Cut(Cutter& cutter, int max_batch) override {
    Layer::Cut(cutter, max_batch);
    cells_ = cutter.TakeAs<std::int32_t>(Values(max_batch));
    if (turns_) turned_ = cutter.Take(outputs_);
  }

  void Forward(const float*, int B, const float* in) override {
    for (int b = 0; b < B; ++b, in += inputs_) {
      float* const out = out_ + Values(b);
      float* const best = turns_ ? turned_ : out;
      std::int32_t* const cells = cells_ + Values(b);
      VisitRuns([&](std::size_t n, int from, int to) {
        LargestOfCells(n, offsets_, in + from, best + to, cells + to);
      });
      if (turns_)
        Transpose(Places(), Channels(), turned_, Channels(), out, Places());
    }
  }

  void Backward(const float*, int B, const float*, float* grad_in) override {
    if (grad_in == nullptr) return;
    std::fill_n(grad_in, static_cast<std::size_t>(B) * inputs_, 0.0f);
    for (int b = 0; b < B; ++b, grad_in += inputs_) {
      const float* grad = grad_ + Values(b);
      if (turns_) {
        Transpose(Channels(), Places(), grad, Places(), turned_, Channels());
        grad = turned_;
      }
      const std::int32_t* const cells = cells_ + Values(b);
      VisitRuns([&](std::size_t n, int from, int to) {
        AddToCells(n, offsets_, grad + to, cells + to, grad_in + from);
      });
    }
  }

 private:
  std::size_t Channels() const { return static_cast<std::size_t>(C_); }
  std::size_t Places() const {
    return static_cast<std::size_t>(windows_.P * windows_.Q);
  }

  // Calls each(n, where in an image of in, where in one of out) for values
  // whose windows, n of them, lie side by side.
  template <typename Each>
  void VisitRuns(const Each& each) const {
    const auto& [H, W, P, Q, kernel, stride, padding] = windows_;
    const int at_once = stride.width == 1 ? Q : 1;
    for (int p = 0; p < P; ++p)
      for (int q = 0; q < Q; q += at_once)
        each(static_cast<std::size_t>(at_once * C_),
             (p * stride.height * W + q * stride.width) * C_, (p * Q + q) * C_);
  }

  const int C_;
  const bool turns_;  // gives (C, P, Q)
  const Windows windows_;
  const std::vector<std::int32_t> offsets_;
  float* turned_ = nullptr;        // (P, Q, C)
  std::int32_t* cells_ = nullptr;  // (B, P, Q, C): the offset of the largest
};

}  // namespace

std::unique_ptr<Layer> MakeMaxPool2d(const MaxPool2d& pool, const Shape& in,
                                     const Shape& out, const Place& place) {
  if (place.takes_channels_last)
    return std::make_unique<ChannelsLastMaxPoolLayer>(
        pool, in, out, !place.gives_channels_last);
  return std::make_unique<MaxPoolLayer>(pool, in, out);
}

}  // namespace hearsay::model::cpu
