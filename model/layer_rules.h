// What each layer makes of a shape, and the parameters that it has: the part of
// a model's description that every other part follows from.
//
// Shapes are of one example. Errors do not name the layer: the caller does.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/spec.h"

namespace hearsay::model {

std::uint64_t ValuesOf(const Shape& shape);
std::string Text(const Shape& shape);  // "(1, 28, 28)"

// Throws: std::invalid_argument.
Shape OutputShape(const Layer& layer, const Shape& in);

struct Parameter {
  enum class Start { kUniform, kZero };  // see model/initialise.h

  std::string name;  // "weight"
  std::vector<std::int64_t> shape;
  Start start = Start::kUniform;
  double fan_in = 0;  // of kUniform
  double fan_out = 0;
  std::uint64_t size() const;
};

// In the order in which they lie in the arena. Requires: OutputShape accepts.
std::vector<Parameter> ParametersOf(const Layer& layer, const Shape& in);

// What is applied to the layer's outputs next, if that is an activation.
Activation ActivationAfter(const std::vector<Layer>& layers, std::size_t at);

}  // namespace hearsay::model
