// What must not compile (LEAK 1 and up), beside what must (LEAK 0): a private
// number on its way out without a door or a charge.
#include "daemon/egress.h"
#include "daemon/private_gradient.h"
#include "daemon/report.h"

namespace hearsay::daemon {

double Try(const PrivateGradient& gradient, NodeReport& report,
           const PaidStep& paid, dp::SecureRandom& random) {
  const PrivateView view = gradient.view();
  const Private<double> secret(1.0);
#if LEAK == 0
  report.noised_loss = Release(paid, secret, 1.0, random);
  return *report.noised_loss;
#elif LEAK == 1  // Into a report, as it is.
  report.noised_loss = view.train_loss;
#elif LEAK == 2  // By a cast.
  report.eval_loss = static_cast<double>(view.train_loss);
#elif LEAK == 3  // By arithmetic.
  report.epsilon = view.realised_batch_size + 0;
#elif LEAK == 4  // By a comparison.
  report.privacy_valid = view.clip_fraction > 0.5;
#elif LEAK == 5  // The time of a step, which tells its batch.
  report.steps_per_second = 1 / gradient.phases().forward_backward;
#elif LEAK == 6  // Without a step that was paid for.
  report.noised_loss = Release(PaidStep(), secret, 1.0, random);
#elif LEAK == 7  // By a door of one's own making.
  report.noised_loss = OwnersDoor().Open(view.train_loss);
#elif LEAK == 8  // One charge for two.
  const PaidStep again = paid;
  report.noised_loss = Release(again, secret, 1.0, random);
#elif LEAK == 9  // From within.
  report.noised_loss = secret.value_;
#endif
  return 0;
}

}  // namespace hearsay::daemon
