// What is exported is judged by ONNX's own checker and shape inference, and by
// an interpreter that knows only the operators' specification. In development
// tests/oracles/check_export.py runs it with ONNX Runtime, too.
#include "ops/export/onnx.h"

#include <gtest/gtest.h>
#include <onnx/checker.h>
#include <onnx/shape_inference/implementation.h>

#include <algorithm>

#include "tests/export/interpreter.h"
#include "tests/model/models.h"
#include "tests/model/reference.h"

namespace hearsay::ops {
namespace {

using model::Activation;

constexpr auto kLoss = model::Loss::kSoftmaxCrossEntropy;
const model::ModelSpec kDense{7,
                              {{6, Activation::kRelu},
                               {5, Activation::kGelu},
                               {4, Activation::kSigmoid},
                               {3, Activation::kGelu},
                               {3, Activation::kTanh},
                               {2}},
                              kLoss};
// Every field of every window differs between height and width.
const model::ModelSpec kImage{
    4 * 11 * 9,
    {model::Conv2d{.filters = 6,
                   .kernel = {3, 2},
                   .stride = {2, 1},
                   .padding = {2, 1},
                   .dilation = {1, 2},
                   .groups = 2},
     model::Activate{Activation::kGelu},
     model::MaxPool2d{.kernel = {2, 3}, .stride = {1, 2}, .padding = {1, 0}},
     model::AvgPool2d{.kernel = {3, 2}, .stride = {2, 1}, .padding = {0, 1}},
     model::Activate{Activation::kRelu},
     model::Flatten{},
     {3}},
    kLoss,
    {4, 11, 9}};
const model::ModelSpec kLinear{3, {{1}}, model::Loss::kMse};

// And every layer there is, alone and in company.
std::vector<model::ModelSpec> AllSpecs() {
  std::vector<model::ModelSpec> all = {kDense, kImage, kLinear};
  for (const auto& tested : model::Models()) all.push_back(tested.spec);
  return all;
}

onnx::ModelProto Decode(const model::Case& of) {
  onnx::ModelProto model;
  EXPECT_TRUE(model.ParseFromString(EncodeOnnx(of.spec, of.weights)));
  return model;
}

TEST(OnnxTest, IsValidByTheCheckerAndItsShapesFollow) {
  for (const auto& spec : AllSpecs()) {
    SCOPED_TRACE(model::Canonical(spec));
    auto model = Decode(model::Case(spec, 1, 3));
    ASSERT_NO_THROW(onnx::checker::check_model(model));
    EXPECT_EQ(model.opset_import(0).version(), 17);
    const auto declared = model.graph().output(0);
    // Inferred anew, strictly: a shape that contradicts the declared one, or an
    // operator with impossible inputs, throws.
    onnx::shape_inference::InferShapes(
        model, onnx::OpSchemaRegistry::Instance(),
        onnx::ShapeInferenceOptions{true, 1, false});
    const auto& shape = declared.type().tensor_type().shape();
    ASSERT_EQ(shape.dim_size(), 2);
    EXPECT_EQ(shape.dim(0).dim_param(), "batch");
    EXPECT_EQ(shape.dim(1).dim_value(), model::Outputs(spec));
    EXPECT_EQ(model.graph().value_info_size(), model.graph().node_size() - 1)
        << "every value between two nodes has got a shape";
  }
}

TEST(OnnxTest, ComputesWhatTheNetworkDoes) {
  for (const auto& spec : AllSpecs()) {
    SCOPED_TRACE(model::Canonical(spec));
    constexpr int kExamples = 4;
    const model::Case examples(spec, kExamples, 5);
    const auto model = Decode(examples);
    const auto outputs = static_cast<std::size_t>(model::Outputs(spec));
    const model::Shape shape = model::Shapes(spec).front();
    std::vector<float> expected(kExamples * outputs);
    model::MakeCpuNetwork(spec, kExamples)
        ->Predict(examples.weights, kExamples, examples.features, expected);
    for (std::size_t b = 0; b < kExamples; ++b) {
      tests::OnnxTensor input{{1}, examples.Features(static_cast<int>(b))};
      input.shape.insert(input.shape.end(), shape.begin(), shape.end());
      const auto got = tests::OnnxInterpreter(model.graph()).Run(input);
      ASSERT_EQ(got.values.size(), outputs);
      for (std::size_t o = 0; o < outputs; ++o)
        EXPECT_NEAR(got.values[o], expected[b * outputs + o], 2e-5);
    }
  }
}

TEST(OnnxTest, TensorsHaveTheNamesOfASequential) {
  const auto model = Decode(model::Case(kDense, 1, 7));
  std::vector<std::string> names;
  for (const auto& tensor : model.graph().initializer())
    names.push_back(tensor.name());
  for (const auto& slice : model::ParameterSlices(kDense))
    EXPECT_EQ(std::ranges::count(names, slice.name), 1) << slice.name;
  EXPECT_EQ(std::ranges::count(names, "gelu.half"), 1)
      << "two gelus share their constants";
  EXPECT_EQ(model.graph().input(0).name(), "input");
  EXPECT_EQ(model.metadata_props(0).value(), model::Canonical(kDense));
}

}  // namespace
}  // namespace hearsay::ops
