// What PyTorch computes in double (tests/oracles/make_layers.py): outputs,
// losses, gradients and norms of each layer, and the names of the parameters.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "model/network.h"
#include "model/safetensors.h"

namespace hearsay::model {
namespace {

const SafetensorsFile& TheFile() {
  static const SafetensorsFile file =
      SafetensorsFile::Open(std::filesystem::path(HEARSAY_SOURCE_DIR) /
                            "tests/oracles/layers.safetensors");
  return file;
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& [key, value] : TheFile().metadata())
    if (value.starts_with("hearsay-model/")) names.push_back(key);
  return names;
}

class TorchTest : public ::testing::TestWithParam<std::string> {
 protected:
  TorchTest()
      : spec_(ParseCanonical(TheFile().metadata().at(GetParam()))),
        weights_(Of("weights")),
        batch_{.count = static_cast<int>(Of("losses").size()),
               .features = Of("features"),
               .labels = Of("labels")},
        network_(MakeCpuNetwork(spec_, batch_.count)) {}

  static std::span<const float> Of(const std::string& what) {
    return TheFile().Floats(GetParam() + "/" + what);
  }

  static void ExpectNear(std::span<const float> found, const std::string& what,
                         double tolerance) {
    const auto expected = Of(what);
    ASSERT_EQ(found.size(), expected.size());
    for (std::size_t i = 0; i < found.size(); ++i)
      EXPECT_NEAR(found[i], expected[i],
                  tolerance * (1 + std::abs(expected[i])))
          << what << " " << i;
  }

  const ModelSpec spec_;
  const std::span<const float> weights_;
  const Batch batch_;
  const std::unique_ptr<Network> network_;
};

TEST_P(TorchTest, OutputsAndLossAreTheSame) {
  const auto count = static_cast<std::size_t>(batch_.count);
  std::vector<float> outputs(count * static_cast<std::size_t>(Outputs(spec_)));
  network_->Predict(weights_, batch_.count, batch_.features, outputs);
  ExpectNear(outputs, "outputs", 3e-6);
  double loss = 0;
  for (const float one : Of("losses")) loss += one;
  EXPECT_NEAR(network_->Evaluate(weights_, batch_).loss_sum, loss,
              1e-5 * (1 + loss));
}

TEST_P(TorchTest, GradientsAndNormsAreTheSame) {
  std::vector<float> sum(weights_.size());
  network_->AddSum(weights_, batch_, sum);
  ExpectNear(sum, "gradient", 5e-6);
  std::vector<float> norms(static_cast<std::size_t>(batch_.count));
  network_->GradientNorms(weights_, batch_, norms);
  ExpectNear(norms, "norms", 5e-6);
}

TEST_P(TorchTest, ParametersHaveTheNamesAndShapesOfItsStateDict) {
  std::ostringstream names;
  for (const ParameterSlice& slice : ParameterSlices(spec_)) {
    names << (slice.offset == 0 ? "" : " ") << slice.name;
    for (std::size_t i = 0; i < slice.shape.size(); ++i)
      names << (i == 0 ? ':' : 'x') << slice.shape[i];
  }
  EXPECT_EQ(names.str(), TheFile().metadata().at(GetParam() + ".names"));
}

INSTANTIATE_TEST_SUITE_P(Every, TorchTest, ::testing::ValuesIn(Names()),
                         [](const auto& tested) { return tested.param; });

TEST(TorchDataTest, HasAModelOfEveryLayer) {
  std::string all;
  for (const std::string& name : Names())
    all += TheFile().metadata().at(name) + " ";
  for (const std::string& type : LayerTypes()) {
    if (type == "dropout") continue;  // Its masks are another generator's.
    EXPECT_TRUE(all.find(" " + type + "(") != std::string::npos ||
                all.find("(" + type + ")") != std::string::npos ||
                all.find("," + type + ")") != std::string::npos)
        << type;
  }
}

}  // namespace
}  // namespace hearsay::model
