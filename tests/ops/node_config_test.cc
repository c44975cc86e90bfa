#include "ops/cli/node_config.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <toml++/toml.h>

#include <fstream>

#include "daemon/config.h"
#include "tests/support/temporary_folder.h"
#include "transport/tls/authority.h"

namespace hearsay::ops {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;
using tests::TemporaryFolder;

class NodeConfigTest : public ::testing::Test {
 protected:
  NodeConfigTest() {
    namespace tls = transport::tls;
    const tls::Validity day{tls::WallNow() - std::chrono::hours(1),
                            tls::WallNow() + std::chrono::hours(23)};
    tls::Authority::Create(folder_ / "tls", "pums", day);
    tls::Authority(folder_ / "tls")
        .Issue("b", day, folder_ / "tls", tls::Authority::IfThere::kRefuse);
  }
  std::filesystem::path Template(const std::string& text) {
    std::ofstream(folder_ / "template.toml") << text;
    return folder_ / "template.toml";
  }
  NodePlace Place() const {
    return {"b",
            1,
            folder_ / "b",
            "127.0.0.1:7401",
            {"127.0.0.1:7400", "127.0.0.1:7402"},
            folder_ / "tls"};
  }
  static ShardFacts Shard(int classes = 3) {
    return {"/data/part-1.safetensors", "/data/eval.safetensors", 12000,
            classes};
  }
  std::string Write(const ConfigTemplate& config, int classes = 3) const {
    return config.TextFor(
        Place(), 3, "pums",
        config.needs_data() ? std::optional(Shard(classes)) : std::nullopt);
  }
  // As the daemon understands it.
  daemon::Config Load(const std::string& text) {
    std::ofstream(folder_ / "b.toml") << text;
    return daemon::LoadConfig(folder_ / "b.toml", {});
  }
  std::string Complaint(const ConfigTemplate& config) {
    try {
      Load(Write(config));
    } catch (const daemon::ConfigError& error) {
      return config.Explain(error.what());
    }
    return "accepted";
  }

  TemporaryFolder folder_;
};

TEST_F(NodeConfigTest, WithDataAloneEveryDefaultIsSane) {
  const auto config = Load(Write(ConfigTemplate("", {})));
  EXPECT_EQ(config.node.name, "b");
  EXPECT_EQ(config.node.state_dir, folder_ / "b" / "state");
  EXPECT_EQ(config.cluster.name, "pums");
  EXPECT_EQ(config.cluster.listen, "127.0.0.1:7401");
  EXPECT_THAT(config.cluster.peers,
              ElementsAre("127.0.0.1:7400", "127.0.0.1:7402"));
  EXPECT_EQ(config.cluster.profile, "local");
  EXPECT_EQ(config.cluster.expect, 3);
  EXPECT_EQ(config.data.train, "/data/part-1.safetensors");
  EXPECT_EQ(config.data.eval, "/data/eval.safetensors");
  ASSERT_EQ(config.model.layers.size(), 2u);
  EXPECT_EQ(config.model.layers[0].dense().units, 16);
  EXPECT_EQ(config.model.layers[0].dense().activation,
            model::Activation::kTanh);
  EXPECT_EQ(config.model.layers[1].dense().units, 3);
  EXPECT_EQ(config.model.loss, model::Loss::kSoftmaxCrossEntropy);
  EXPECT_EQ(config.train.steps, 600u);
  EXPECT_EQ(config.train.sample_rate, 0.02);
  EXPECT_EQ(config.train.public_size, 12000);
  EXPECT_EQ(config.train.optimizer.learning_rate, 1.0);
  EXPECT_EQ(config.train.min_step_time, std::chrono::milliseconds(20));
  EXPECT_EQ(config.privacy.clip_norm, 1.0);
  EXPECT_EQ(config.privacy.target_epsilon, 1.0);
  EXPECT_EQ(config.privacy.noise_multiplier, std::nullopt);
  EXPECT_EQ(config.privacy.delta, 1e-5);
  EXPECT_EQ(config.privacy.ledger, folder_ / "b" / "ledger");
  EXPECT_EQ(config.mixing.rule, mixing::RuleKind::kPairwise);
  EXPECT_EQ(config.checkpoint.every_steps, 100u);
  EXPECT_EQ(config.admin.listen, "127.0.0.1:0");
  EXPECT_TRUE(config.tls.mutual);
  EXPECT_EQ(config.tls.files.cert, folder_ / "tls" / "b.pem");
  EXPECT_EQ(config.tls.files.crl, folder_ / "tls" / "crl.pem");
}

TEST_F(NodeConfigTest, IsWrittenForPeople) {
  const std::string text = Write(ConfigTemplate("", {}));
  EXPECT_THAT(text, StartsWith("# One node of a local cluster"));
  EXPECT_THAT(text, HasSubstr("\nsteps = 600                  # counted"));
  EXPECT_THAT(text, HasSubstr("\ndelta = 1e-05\n"));
  EXPECT_THAT(text, HasSubstr("\nname = \"b\" "));
  EXPECT_THAT(text, Not(HasSubstr("?")));
  EXPECT_THAT(text, Not(HasSubstr("\n\n\n")));
}

TEST_F(NodeConfigTest, RegressionGetsASquaredLoss) {
  const auto config = Load(Write(ConfigTemplate("", {}), 0));
  EXPECT_EQ(config.model.loss, model::Loss::kMse);
  EXPECT_EQ(config.model.layers[1].dense().units, 1);
}

TEST_F(NodeConfigTest, TheTemplateGoesBeforeDefaultsAndSettingsBeforeIt) {
  const auto file = Template(
      "[train]\nsteps = 50\nmomentum = 0.5\n"
      "[mixing]\nrule = \"one_way\"\n"
      "[[model.layer]]\ntype = \"dense\"\nunits = 7\nactivation = \"relu\"\n"
      "[[model.layer]]\ntype = \"dense\"\nunits = 3\n");
  const ConfigTemplate config(
      file, {"train.steps=70", "mixing.rule=none", "train.min_step_time=5ms",
             "privacy.target_epsilon=0.3", "cluster.name=other"});
  const auto loaded = Load(Write(config));
  EXPECT_EQ(loaded.train.steps, 70u);
  EXPECT_EQ(loaded.train.optimizer.momentum, 0.5);
  EXPECT_EQ(loaded.train.sample_rate, 0.02);
  EXPECT_EQ(loaded.mixing.rule, mixing::RuleKind::kNone);
  EXPECT_EQ(loaded.train.min_step_time, std::chrono::milliseconds(5));
  EXPECT_EQ(loaded.privacy.target_epsilon, 0.3);
  EXPECT_EQ(loaded.cluster.name, "other");
  EXPECT_EQ(config.cluster_name(), "other");
  EXPECT_EQ(loaded.model.layers[0].dense().units, 7);
  EXPECT_EQ(loaded.model.layers[0].dense().activation,
            model::Activation::kRelu);
}

TEST_F(NodeConfigTest, APresetGetsNoLayersOfOurs) {
  const auto config = Load(Write(ConfigTemplate(
      Template("[model]\npreset = \"mnist-cnn\"\noutputs = 3\n"), {})));
  EXPECT_EQ(config.model.layers.size(), 9u);
  EXPECT_EQ(config.model.layers.back().dense().units, 3);
}

// The node's own file lies in another folder than the template.
TEST_F(NodeConfigTest, WeightsAreTakenFromTheTemplatesFolder) {
  const auto config = Load(Write(ConfigTemplate(
      Template("[model]\nweights = \"start.safetensors\"\n"), {})));
  EXPECT_EQ(config.model.weights, folder_ / "start.safetensors");
  const auto set =
      Load(Write(ConfigTemplate("", {"model.weights=start.safetensors"})));
  EXPECT_EQ(set.model.weights, std::filesystem::absolute("start.safetensors"));
}

TEST_F(NodeConfigTest, AdamHasItsOwnRateAndNoMomentum) {
  const auto config = Load(Write(ConfigTemplate(
      "", {"train.optimizer=adamw", "train.weight_decay=0.02"})));
  EXPECT_EQ(config.train.optimizer.learning_rate, 0.001);
  EXPECT_EQ(config.train.optimizer.weight_decay, 0.02);
}

TEST_F(NodeConfigTest, NoiseWithoutABudgetMeansNoBudget) {
  const auto config =
      Load(Write(ConfigTemplate("", {"privacy.noise_multiplier=1.1"})));
  EXPECT_EQ(config.privacy.noise_multiplier, 1.1);
  EXPECT_EQ(config.privacy.target_epsilon, std::nullopt);
}

TEST_F(NodeConfigTest, WhatIsEachNodesOwnIsReplacedAndReported) {
  const auto file = Template(
      "[node]\nname = \"mine\"\n[data]\ntrain = \"x\"\n"
      "[privacy]\nledger = \"l\"\n[admin]\nlisten = \"\"\n");
  const ConfigTemplate config(file, {});
  EXPECT_THAT(config.replaced(), ElementsAre("node.name", "data.train",
                                             "privacy.ledger", "admin.listen"));
  const auto loaded = Load(Write(config));
  EXPECT_EQ(loaded.node.name, "b");
  EXPECT_EQ(loaded.admin.listen, "127.0.0.1:0");
}

TEST_F(NodeConfigTest, ProbesNeedNoDataAndEachHasItsIndex) {
  const ConfigTemplate config(
      Template("[test]\nprobe = \"quadratic\"\ndimension = 8\n"), {});
  EXPECT_FALSE(config.needs_data());
  const auto loaded = Load(Write(config));
  EXPECT_EQ(loaded.test.index, 1);
  EXPECT_EQ(loaded.test.dimension, 8);
  EXPECT_TRUE(loaded.data.train.empty());
}

TEST_F(NodeConfigTest, ComplaintsNameWhatTheUserWrote) {
  const auto at = [&](const std::string& text) {
    return Complaint(ConfigTemplate(Template(text), {}));
  };
  const std::string file = (folder_ / "template.toml").string();
  EXPECT_THAT(at("[train]\nstep = 5\n"),
              AllOf(StartsWith(file + ":2: train.step: "),
                    HasSubstr("did you mean train.steps")));
  EXPECT_THAT(at("\n\n[train]\nsteps = \"many\"\n"),
              StartsWith(file + ":4: train.steps: must be a whole number"));
  EXPECT_THAT(at("[[model.layer]]\ntype=\"dense\"\nunits = 0\n"),
              StartsWith(file + ":3: model.layer[0].units: "));
  EXPECT_THAT(at("[nonsense]\nx = 1\n"), StartsWith(file + ":2: nonsense.x: "));
  EXPECT_THAT(Complaint(ConfigTemplate("", {"train.sample_rate=2"})),
              StartsWith("--set train.sample_rate=2: "));
}

TEST_F(NodeConfigTest, TemplatesThatCannotBeReadAreErrors) {
  const auto message = [](const std::filesystem::path& file,
                          const std::vector<std::string>& settings) {
    try {
      ConfigTemplate config(file, settings);
    } catch (const Exit& exit) {
      return fmt::format("{}: {}", static_cast<int>(exit.code), exit.what());
    }
    return std::string("accepted");
  };
  EXPECT_THAT(message("/no/such.toml", {}),
              StartsWith("1: /no/such.toml: cannot read"));
  EXPECT_THAT(message(folder_.path(), {}), HasSubstr("cannot read"));
  EXPECT_THAT(message(Template("[train]\nsteps =\n"), {}),
              HasSubstr("template.toml:2: not TOML"));
  for (const char* wrong : {"steps=5", "train.steps", "=5", ".x=1", "train.=1"})
    EXPECT_THAT(message("", {wrong}), StartsWith("2: --set")) << wrong;
  EXPECT_THAT(message("", {"node.name=x"}), HasSubstr("fills in node.name"));
}

}  // namespace
}  // namespace hearsay::ops
