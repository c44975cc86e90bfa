// What a layer, and a list of layers, makes of a shape, and the parameters that
// it has: the part of a model's description that every other part follows from.
//
// Shapes are of one example.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/spec.h"

namespace hearsay::model {

std::uint64_t ValuesOf(const Shape& shape);
std::string Text(const Shape& shape);  // "(1, 28, 28)"

// Throws: std::invalid_argument, which does not name the layer.
Shape OutputShape(const Layer& layer, const Shape& in);

struct Parameter {
  enum class Start { kUniform, kZero, kOne };  // see model/initialise.h

  std::string name;  // "weight"
  std::vector<std::int64_t> shape;
  Start start = Start::kUniform;
  double fan_in = 0;  // of kUniform
  double fan_out = 0;
  // What is applied to the layer's outputs next, if that is an activation.
  Activation next = Activation::kNone;
  std::size_t layer = 0;  // of a list: whose it is
  std::uint64_t size() const;
};

// In the order in which they lie in the arena. Requires: OutputShape accepts.
std::vector<Parameter> ParametersOf(const Layer& layer, const Shape& in);

// Of a list: before its first layer, after the first, ... after the last.
// Throws: std::invalid_argument that names the layer (of several inside each
// other, all), for what no layer may do and what no neighbours may.
std::vector<Shape> ShapesAlong(const std::vector<Layer>& layers,
                               const Shape& in);

// Requires: ShapesAlong accepts. The names are those of an nn.Sequential of
// these layers, where an activation other than none is a module of its own.
std::vector<Parameter> ParametersAlong(const std::vector<Layer>& layers,
                                       const Shape& in);
// How many modules of an nn.Sequential a layer takes: 1 or 2.
int ModulesOf(const Layer& layer);

// The convolution beside the body of a residual block that has a projection.
// Requires: OutputShape accepts it.
Conv2d ProjectionOf(const Residual& residual, const Shape& in);

}  // namespace hearsay::model
