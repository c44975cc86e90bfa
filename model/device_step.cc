#include "model/device_step.h"

namespace hearsay::model {

const char* Word(Precision precision) {
  switch (precision) {
    case Precision::kFloat32:
      return "float32";
    case Precision::kTf32:
      return "tf32";
    case Precision::kBf16:
      return "bf16";
  }
  return "";
}

}  // namespace hearsay::model
