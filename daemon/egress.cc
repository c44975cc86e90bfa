#include "daemon/egress.h"

#include "daemon/admin_server.h"
#include "dp/gaussian_noise.h"

namespace hearsay::daemon {

std::optional<OwnersDoor> OwnersDoor::Of(const AdminRequest& request) {
  if (!request.local) return std::nullopt;
  return OwnersDoor();
}

double Release(const PaidStep& /*step*/, const Private<double>& sum,
               double noise_stddev, dp::SecureRandom& random) {
  float noise = 0;
  dp::AddGaussianNoise(noise_stddev, random, {&noise, 1});
  return sum.value_ + double{noise};
}

}  // namespace hearsay::daemon
