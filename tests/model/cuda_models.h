// Models that tests of the CUDA back end have in common.
#pragma once

#include "tests/model/cuda_fixture.h"

namespace hearsay::model {

inline const ModelSpec kTanh = {
    10,
    {{64, Activation::kTanh}, {64, Activation::kTanh}, {2}},
    Loss::kSoftmaxCrossEntropy};
// Odd widths: nothing lies at a multiple of 16 bytes.
inline const ModelSpec kOdd = {
    9,
    {{51, Activation::kGelu}, {13, Activation::kRelu}, {5}},
    Loss::kSoftmaxCrossEntropy};
// As wide as what is trained; or, where that takes too long, full tiles alone.
inline ModelSpec Wide() {
  if (IsEmulated())
    return {192,
            {{128, Activation::kRelu}, {64, Activation::kRelu}, {10}},
            Loss::kSoftmaxCrossEntropy};
  return {784,
          {{512, Activation::kRelu}, {256, Activation::kRelu}, {10}},
          Loss::kSoftmaxCrossEntropy};
}
inline const ModelSpec kWideRegression = {
    130, {{131, Activation::kGelu}, {3, Activation::kTanh}}, Loss::kMse};
inline const ModelSpec kBinary = {
    5, {{17, Activation::kRelu}, {1}}, Loss::kBinaryCrossEntropy};

}  // namespace hearsay::model
