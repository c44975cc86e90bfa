// The private sum of one step, on the host or on a device: clipped gradients of
// the sampled rows, noise, and the public constant that makes a gradient of it.
//
// Who is sampled, and that it has been paid for, is private_gradient's.
// Threads: one at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>

#include "dp/random.h"
#include "model/device_step.h"
#include "model/network.h"
#include "model/shard.h"
#include "model/workers.h"

namespace hearsay::daemon {

struct PrivateSumTerms {
  double clip_norm = 1;
  model::Clipping::Kind clipping = model::Clipping::Kind::kFlat;
  double loss_bound = 0;    // of the bounded sum of losses
  double noise_stddev = 0;  // of the sum
  // The same over clip_norm, as it is accounted for; the exact sum goes by it.
  double noise_multiplier = 0;
  double scale = 1;  // of the noised sum: public, never the batch's size
};

// Seconds spent in each part of the steps so far. Egress class: private, since
// the time of a step tells its realised batch size.
struct PhaseSeconds {
  double load = 0, forward_backward = 0, clip_noise = 0;
};
double SecondsSince(std::chrono::steady_clock::time_point begin);

// Gives the network a key of this step alone for what it draws itself, such as
// the masks of dropout.
void BeginStep(model::Network& network, dp::SecureRandom& noise);

class PrivateSum {
 public:
  virtual ~PrivateSum() = default;
  // Overwrites `gradient` and adds to `phases`. Throws: std::runtime_error.
  virtual model::ClippedSumStatistics Compute(
      std::span<const float> weights, std::span<const std::uint32_t> rows,
      const PrivateSumTerms& terms, dp::SecureRandom& noise,
      std::span<float> gradient, PhaseSeconds& phases) = 0;
};

// In slices of up to `physical_batch` rows. `shard` must outlive it. With
// `workers`, those of `network`, they read rows and draw noise too, each but
// the first from a generator of its own. Throws: as dp::SecureRandom.
std::unique_ptr<PrivateSum> MakeHostSum(
    std::unique_ptr<model::Network> network, const model::Shard& shard,
    int physical_batch, std::shared_ptr<model::Workers> workers = nullptr);

// The whole shard is on the device already. Its noise is expanded there from a
// key of 256 bits that `noise` gives for each step. All its time counts as
// forward_backward. Of exact noise: `step` is made for it, and Compute throws
// std::invalid_argument for terms without noise.
enum class DeviceNoise { kGaussian, kExact };
std::unique_ptr<PrivateSum> MakeDeviceSum(
    std::unique_ptr<model::DeviceStep> step,
    DeviceNoise kind = DeviceNoise::kGaussian);

}  // namespace hearsay::daemon
