#include "ops/sim/result.h"

#include <cmath>
#include <stdexcept>

namespace hearsay::sim {

double HalvingTime(const Result& result, double from, double to) {
  double n = 0, t = 0, y = 0, tt = 0, ty = 0;
  for (const auto& sample : result.samples) {
    if (sample.time < from || sample.time > to || sample.error <= 0) continue;
    const double log = std::log(sample.error);
    ++n;
    t += sample.time;
    y += log;
    tt += sample.time * sample.time;
    ty += sample.time * log;
  }
  if (n < 2) throw std::invalid_argument("two samples make a slope");
  const double slope = (n * ty - t * y) / (n * tt - t * t);
  return std::log(2) / -slope;
}

double MeanVariance(const Result& result, double from) {
  double sum = 0, n = 0;
  for (const auto& sample : result.samples)
    if (sample.time >= from) sum += sample.variance, ++n;
  return sum / n;
}

std::vector<double> MeanOfMeans(const Result& result, double from) {
  std::vector<double> means;
  double n = 0;
  for (const auto& sample : result.samples) {
    if (sample.time < from) continue;
    means.resize(sample.mean.size());
    for (std::size_t i = 0; i < means.size(); ++i) means[i] += sample.mean[i];
    ++n;
  }
  for (double& mean : means) mean /= n;
  return means;
}

double VarianceOfMean(const Result& result, double from) {
  double sum = 0, squares = 0, n = 0;
  for (const auto& sample : result.samples) {
    if (sample.time < from) continue;
    sum += sample.mean.at(0);
    squares += sample.mean[0] * sample.mean[0];
    ++n;
  }
  return squares / n - sum / n * (sum / n);
}

}  // namespace hearsay::sim
