// How long work on the device takes, to choose among ways of doing it.
#pragma once

#include <algorithm>
#include <limits>

#include "model/cuda/device.h"

namespace hearsay::model::cuda {

class Stopwatch {
 public:
  Stopwatch() : stream_(MakeStream()), start_(Make()), stop_(Make()) {}

  // The quickest of a few runs, the first of which warms up; in milliseconds.
  // `work` is called with the stream to use.
  template <typename Work>
  float Time(Work work) const {
    constexpr int kRuns = 4;
    float best = std::numeric_limits<float>::infinity();
    for (int run = 0; run < kRuns; ++run) {
      Must(cudaEventRecord(start_.get(), stream_.get()), "measure");
      work(stream_.get());
      Must(cudaEventRecord(stop_.get(), stream_.get()), "measure");
      Must(cudaEventSynchronize(stop_.get()), "measure");
      float milliseconds = 0;
      Must(cudaEventElapsedTime(&milliseconds, start_.get(), stop_.get()),
           "measure");
      best = std::min(best, milliseconds);
    }
    return best;
  }

 private:
  static Event Make() {
    cudaEvent_t event = nullptr;
    Must(cudaEventCreate(&event), "make an event");
    return Event(event);
  }
  Stream stream_;
  Event start_, stop_;
};

}  // namespace hearsay::model::cuda
