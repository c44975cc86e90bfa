#include "daemon/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/support/temporary_folder.h"
#include "transport/tls/authority.h"

namespace hearsay::daemon {
namespace {

using testing::AllOf;
using testing::HasSubstr;

constexpr const char* kGood = R"([node]
name = "a"
state_dir = "state/a"
[cluster]
name = "pums"
listen = "127.0.0.1:7400"
peers = ["127.0.0.1:7401"]
[tls]
mode = "off"
[data]
train = "part-0.safetensors"
[model]
loss = "softmax_cross_entropy"
[[model.layer]]
type = "dense"
units = 64
activation = "tanh"
[[model.layer]]
type = "dense"
units = 2
[train]
steps = 5000
sample_rate = 0.01
public_size = 20000
[privacy]
noise_multiplier = 1.1
ledger = "ledger/a"
)";

class ConfigTest : public testing::Test {
 protected:
  Config Load(const std::string& text, const Overrides& flags = {}) {
    std::ofstream(folder_ / "node.toml") << text;
    return LoadConfig(folder_ / "node.toml", flags);
  }

  // The error of `text`, or "" if there is none.
  std::string Error(const std::string& text, const Overrides& flags = {}) {
    try {
      Load(text, flags);
      return "";
    } catch (const ConfigError& error) {
      return error.what();
    }
  }

  // kGood with one line replaced.
  static std::string With(const std::string& line, const std::string& by) {
    std::string text = kGood;
    const auto at = text.find(line);
    EXPECT_NE(at, std::string::npos) << line;
    return text.replace(at, line.size(), by);
  }

  tests::TemporaryFolder folder_;
};

TEST_F(ConfigTest, ReadsEveryKeyOfTheExample) {
  const Config c = Load(kGood);
  EXPECT_EQ(c.node.name, "a");
  EXPECT_EQ(c.cluster.peers, std::vector<std::string>{"127.0.0.1:7401"});
  ASSERT_EQ(c.model.layers.size(), 2U);
  EXPECT_EQ(c.model.layers[0].dense().units, 64);
  EXPECT_EQ(c.model.layers[0].dense().activation, model::Activation::kTanh);
  EXPECT_EQ(c.model.layers[1].dense().activation, model::Activation::kNone);
  EXPECT_EQ(c.train.steps, 5000U);
  EXPECT_EQ(c.train.sample_rate, 0.01);
  EXPECT_EQ(*c.privacy.noise_multiplier, 1.1);
  EXPECT_FALSE(c.privacy.target_epsilon);
  EXPECT_FALSE(c.mixing.interval) << "auto";
}

TEST_F(ConfigTest, AWireIsChosenByName) {
  EXPECT_EQ(Load(kGood).cluster.wire, "auto");
  EXPECT_EQ(Load(kGood, {{"cluster.wire", "socket"}}).cluster.wire, "socket");
  EXPECT_THAT(Error(kGood, {{"cluster.wire", "rdma"}}),
              HasSubstr("\"auto\", \"ucx\", \"socket\""));
}

TEST_F(ConfigTest, WhoeverWaitsForAnAnswerIsOnARing) {
  EXPECT_THAT(Error(kGood, {{"mixing.rule", "symmetric_blocking"},
                            {"mixing.topology", "complete"}}),
              HasSubstr("mixing.topology: symmetric_blocking needs"));
}

TEST_F(ConfigTest, ADeviceIsChosenByNumber) {
  using Device = Config::Node::Device;
  const auto device = [&](const char* word) {
    return Load(kGood, {{"node.device", word}}).node;
  };
  EXPECT_EQ(Load(kGood).node.device, Device::kAuto);
  EXPECT_EQ(device("auto").device, Device::kAuto);
  EXPECT_EQ(device("cpu").device, Device::kCpu);
  EXPECT_EQ(device("cuda:0").device, Device::kCuda);
  EXPECT_EQ(device("cuda:7").cuda, 7);
  for (const char* word : {"cuda", "cuda:", "cuda:x", "cuda:-1", "cuda:1234",
                           "CUDA:0", "gpu", "", "cuda:0 "})
    EXPECT_THAT(Error(kGood, {{"node.device", word}}),
                HasSubstr("auto, cpu or cuda:NUMBER"))
        << word;
}

TEST_F(ConfigTest, PathsAreRelativeToTheFile) {
  EXPECT_EQ(Load(kGood).node.state_dir, folder_ / "state/a");
}

TEST_F(ConfigTest, AnUnknownKeyNamesFileLineAndTheNearestKey) {
  const auto error = Error(
      With("sample_rate = 0.01", "sampel_rate = 0.01\nsample_rate = 0.01"));
  EXPECT_THAT(error, HasSubstr("node.toml:23: train.sampel_rate"));
  EXPECT_THAT(error, HasSubstr("did you mean train.sample_rate?"));
}

TEST_F(ConfigTest, AnUnknownKeyInALayerIsFoundToo) {
  EXPECT_THAT(Error(With("units = 64", "units = 64\nactivatoin = \"relu\"")),
              HasSubstr("did you mean model.layer.activation?"));
}

TEST_F(ConfigTest, AnUnknownSectionIsRefused) {
  EXPECT_THAT(Error(std::string(kGood) + "[privcy]\ndelta = 1e-5\n"),
              HasSubstr("did you mean privacy.delta?"));
}

TEST_F(ConfigTest, WrongTypesSayWhatIsRight) {
  EXPECT_THAT(Error(With("steps = 5000", "steps = \"many\"")),
              HasSubstr("train.steps: must be a whole number"));
  EXPECT_THAT(Error(With("steps = 5000", "steps = 1.5")),
              HasSubstr("train.steps: must be a whole number"));
  EXPECT_THAT(Error(With("name = \"a\"", "name = 5")),
              HasSubstr("node.name: must be a string"));
  EXPECT_THAT(Error(With("peers = [\"127.0.0.1:7401\"]", "peers = [1, 2]")),
              HasSubstr("cluster.peers: must be a list of strings"));
  EXPECT_THAT(Error(With("[[model.layer]]\ntype = \"dense\"\nunits = 64\n"
                         "activation = \"tanh\"\n[[model.layer]]\n"
                         "type = \"dense\"\nunits = 2\n",
                         "layer = 3\n")),
              HasSubstr("[[model.layer]]"));
}

TEST_F(ConfigTest, NumbersOutOfRangeNameTheRange) {
  EXPECT_THAT(Error(With("sample_rate = 0.01", "sample_rate = 1.5")),
              HasSubstr("1.5 is out of range; allowed: 0 to 1"));
  EXPECT_THAT(Error(With("sample_rate = 0.01", "sample_rate = nan")),
              HasSubstr("out of range"));
  EXPECT_THAT(Error(With("sample_rate = 0.01", "sample_rate = 0.0")),
              HasSubstr("must be above 0"));
  EXPECT_THAT(Error(With("noise_multiplier = 1.1", "noise_multiplier = -1.0")),
              HasSubstr("out of range"));
  EXPECT_THAT(Error(With("units = 2", "units = 0")), HasSubstr("out of range"));
  EXPECT_THAT(Error(With("public_size = 20000", "public_size = 0")),
              HasSubstr("out of range"));
}

TEST_F(ConfigTest, WordsListWhatIsAllowed) {
  EXPECT_THAT(
      Error(With("activation = \"tanh\"", "activation = \"tahn\"")),
      HasSubstr(R"(allowed: "none", "relu", "tanh", "gelu", "sigmoid")"));
  EXPECT_THAT(
      Error(std::string(kGood) + "[mixing]\nrule = \"gossip\"\n"),
      HasSubstr(R"(allowed: "pairwise", "one_way", "push_sum", "none")"));
}

TEST_F(ConfigTest, TheAccountantIsRdpUnlessPldIsAskedForAndCanDo) {
  EXPECT_EQ(Load(kGood).privacy.accountant, dp::Accountant::kRdp);
  const Config c = Load(kGood, {{"privacy.accountant", "pld"}});
  EXPECT_EQ(c.privacy.accountant, dp::Accountant::kPld);
  EXPECT_EQ(Load(PrintConfig(c)).privacy.accountant, dp::Accountant::kPld);
  EXPECT_THAT(Error(kGood, {{"privacy.accountant", "gdp"}}),
              HasSubstr(R"(allowed: "rdp", "pld")"));
  EXPECT_EQ(Load(kGood, {{"privacy.delta", "1e-10"}}).privacy.delta, 1e-10);
  EXPECT_THAT(
      Error(kGood, {{"privacy.delta", "1e-10"}, {"privacy.accountant", "pld"}}),
      HasSubstr("pld needs a delta of 1e-9 or more; use rdp"));
}

TEST_F(ConfigTest, MissingRequiredKeysAreNamed) {
  for (const char* line :
       {"name = \"a\"\n", "state_dir = \"state/a\"\n", "name = \"pums\"\n",
        "train = \"part-0.safetensors\"\n", "steps = 5000\n",
        "sample_rate = 0.01\n", "public_size = 20000\n",
        "noise_multiplier = 1.1\n", "ledger = \"ledger/a\"\n"})
    EXPECT_NE(Error(With(line, "")), "") << "without " << line;
}

TEST_F(ConfigTest, TlsIsOffOnlyExplicitlyAndOnlyOnLoopback) {
  EXPECT_FALSE(Load(kGood).tls.mutual);
  EXPECT_THAT(Error(With("[tls]\nmode = \"off\"\n", "")),
              AllOf(HasSubstr("tls.ca"), HasSubstr("hearsay tls init"),
                    HasSubstr("hearsay tls issue --name a")));
  EXPECT_THAT(Error(With("127.0.0.1:7400", "0.0.0.0:7400")),
              HasSubstr("not a loopback address"));
  EXPECT_THAT(
      Error(With("127.0.0.1:7401", "10.1.2.3:7401")),
      AllOf(HasSubstr("not a loopback address"), HasSubstr("tls.mode")));
  EXPECT_THAT(
      Error(With("listen =", "advertise = \"10.1.2.3:7400\"\nlisten =")),
      HasSubstr("not a loopback address"));
  EXPECT_THAT(Error(With("127.0.0.1:7400", "127.0.0.1")),
              HasSubstr("not HOST:PORT"));
  EXPECT_THAT(Error(With("127.0.0.1:7400", "127.0.0.1:99999")),
              HasSubstr("port"));
}

TEST_F(ConfigTest, WithCertificatesAnyAddressIsAllowed) {
  using transport::tls::Authority;
  const transport::tls::Validity day{
      transport::tls::WallNow() - std::chrono::hours(1),
      transport::tls::WallNow() + std::chrono::hours(23)};
  Authority::Create(folder_ / "tls", "pums", day);
  for (const char* node : {"a", "b"})
    Authority(folder_ / "tls")
        .Issue(node, day, folder_ / "tls", Authority::IfThere::kRefuse);
  const std::string tls =
      "mode = \"mutual\"\nca = \"tls/ca.pem\"\ncert = \"tls/a.pem\"\n"
      "key = \"tls/a.key\"\ncrl = \"tls/crl.pem\"";
  const auto text = With("mode = \"off\"", tls);
  const Config c = Load(text);
  EXPECT_TRUE(c.tls.mutual);
  // Relative to the file, as all paths.
  EXPECT_EQ(c.tls.files.key, folder_ / "tls" / "a.key");
  EXPECT_EQ(PrintConfig(Load(PrintConfig(c))), PrintConfig(c));
  EXPECT_EQ(Error(text, {{"cluster.listen", "10.1.2.3:7400"},
                         {"cluster.peers", "db.example:7400"}}),
            "");
  EXPECT_THAT(Error(text, {{"admin.listen", "10.1.2.3:7400"}}),
              HasSubstr("not a loopback address"));

  EXPECT_THAT(Error(text, {{"tls.cert", "tls/none.pem"}}),
              AllOf(HasSubstr("tls.cert"), HasSubstr("none.pem"),
                    HasSubstr("hearsay tls issue --name a")));
  EXPECT_THAT(Error(text, {{"tls.key", "tls/b.key"}}),
              AllOf(HasSubstr("tls.key"), HasSubstr("is not the key of")));
  EXPECT_THAT(Error(text, {{"node.name", "c"}}),
              AllOf(HasSubstr("tls.cert"), HasSubstr("node.name 'c'")));
  EXPECT_THAT(Error(text, {{"tls.ca", ""}}), HasSubstr("tls.ca"));
  chmod((folder_ / "tls" / "a.key").c_str(), 0644);
  EXPECT_THAT(Error(text), HasSubstr("chmod 600"));
}

TEST_F(ConfigTest, ExactNoiseIsForTheRenyiAccountant) {
  EXPECT_FALSE(Load(kGood).privacy.exact_noise);
  const Overrides exact = {{"privacy.noise", "exact"}};
  const auto with = [&](const std::string& key, const std::string& value) {
    Overrides flags = exact;
    flags[key] = value;
    return Error(kGood, flags);
  };
  const auto config = Load(kGood, exact);
  EXPECT_TRUE(config.privacy.exact_noise);
  EXPECT_THAT(PrintConfig(config), HasSubstr("noise = \"exact\""));
  EXPECT_THAT(with("privacy.accountant", "pld"),
              AllOf(HasSubstr("privacy.noise"), HasSubstr("rdp")));
  EXPECT_THAT(with("privacy.noise_multiplier", "0"),
              AllOf(HasSubstr("privacy.noise"), HasSubstr("1e-06")));
  EXPECT_EQ(with("node.device", "cuda:0"), "");
  EXPECT_THAT(Error(kGood, {{"privacy.noise", "laplace"}}),
              AllOf(HasSubstr("privacy.noise"), HasSubstr("\"exact\"")));
}

TEST_F(ConfigTest, ClippingIsOneOfFourKinds) {
  using Kind = model::Clipping::Kind;
  EXPECT_EQ(Load(kGood).privacy.clipping, Kind::kFlat);
  EXPECT_EQ(Load(kGood, {{"privacy.clipping", "automatic"}}).privacy.clipping,
            Kind::kAutomatic);
  EXPECT_EQ(Load(kGood, {{"privacy.clipping", "per_layer"}}).privacy.clipping,
            Kind::kPerLayer);
  const Overrides adaptive = {{"privacy.clipping", "adaptive"}};
  const auto with = [&](const std::string& key, const std::string& value) {
    Overrides flags = adaptive;
    flags[key] = value;
    return flags;
  };
  EXPECT_EQ(Load(kGood, adaptive).privacy.clip_quantile, 0.5);
  EXPECT_EQ(Load(kGood, adaptive).privacy.clipping, Kind::kFlat);
  EXPECT_EQ(
      Load(kGood, with("privacy.clip_quantile", "0.8")).privacy.clip_quantile,
      0.8);
  EXPECT_THAT(PrintConfig(Load(kGood, adaptive)),
              HasSubstr("clipping = \"adaptive\"\nclip_quantile = 0.5"));
  EXPECT_THAT(Error(kGood, {{"privacy.clip_quantile", "0.8"}}),
              AllOf(HasSubstr("privacy.clip_quantile"), HasSubstr("adaptive")));
  EXPECT_THAT(Error(kGood, with("privacy.clip_quantile", "1")),
              HasSubstr("privacy.clip_quantile"));
  EXPECT_THAT(Error(kGood, with("privacy.noise_multiplier", "0")),
              AllOf(HasSubstr("privacy.clipping"), HasSubstr("noise")));
  EXPECT_THAT(Error(kGood, with("privacy.noise", "exact")),
              AllOf(HasSubstr("privacy.noise"), HasSubstr("flat")));
  EXPECT_THAT(Error(kGood, {{"privacy.clipping", "per_layer"},
                            {"node.device", "cuda:0"}}),
              AllOf(HasSubstr("privacy.clipping"), HasSubstr("cpu")));
  Overrides balanced = with("balance.policy", "fixed_global");
  balanced["mixing.rule"] = "all_reduce";
  EXPECT_THAT(Error(kGood, balanced),
              AllOf(HasSubstr("balance.policy"), HasSubstr("adaptive")));
  EXPECT_THAT(Error(kGood, {{"privacy.clipping", "ghost"}}),
              AllOf(HasSubstr("privacy.clipping"), HasSubstr("per_layer")));
}

TEST_F(ConfigTest, ALossIsReportedOnlyIfItIsBoundedAndNoised) {
  EXPECT_EQ(Load(kGood).privacy.loss_bound, 0);
  const Overrides bounded = {{"privacy.loss_bound", "4"}};
  EXPECT_EQ(Load(kGood, bounded).privacy.loss_bound, 4);
  const auto with = [&](const std::string& key, const std::string& value) {
    Overrides flags = bounded;
    flags[key] = value;
    return Error(kGood, flags);
  };
  EXPECT_THAT(with("privacy.loss_bound", "-1"),
              HasSubstr("privacy.loss_bound"));
  EXPECT_THAT(with("privacy.noise_multiplier", "0"),
              AllOf(HasSubstr("privacy.loss_bound"), HasSubstr("noise")));
  EXPECT_THAT(with("node.device", "cuda:0"), HasSubstr("privacy.loss_bound"));
  EXPECT_THAT(with("privacy.noise", "exact"),
              AllOf(HasSubstr("privacy.noise"), HasSubstr("loss_bound")));
}

TEST_F(ConfigTest, MomentumIsForPairwiseOnARing) {
  EXPECT_EQ(Load(kGood).mixing.momentum, mixing::Momentum::kOff);
  EXPECT_EQ(Load(kGood, {{"mixing.momentum", "acid"}}).mixing.momentum,
            mixing::Momentum::kAcid);
  const std::string acid =
      std::string(kGood) + "[mixing]\nmomentum = \"acid\"\n";
  EXPECT_THAT(Error(acid + "rule = \"one_way\"\n"),
              AllOf(HasSubstr("mixing.momentum"), HasSubstr("pairwise"),
                    HasSubstr("one_way")));
  EXPECT_THAT(Error(acid + "topology = \"torus\"\n"),
              AllOf(HasSubstr("mixing.momentum"), HasSubstr("ring"),
                    HasSubstr("torus")));
  EXPECT_THAT(Error(std::string(kGood) + "[mixing]\nmomentum = \"on\"\n"),
              HasSubstr("acid"));
}

TEST_F(ConfigTest, TheFormatOfTheWireIsOneThatThereIs) {
  EXPECT_EQ(Load(kGood).mixing.wire, "fp32");
  EXPECT_EQ(Load(kGood, {{"mixing.wire", "fp32"}}).mixing.wire, "fp32");
  EXPECT_THAT(Error(kGood, {{"mixing.wire", "fp16"}}),
              AllOf(HasSubstr("mixing.wire"), HasSubstr("\"bf16\"")));
  EXPECT_THAT(Error(kGood, {{"mixing.wire", "topk:2"}}),
              AllOf(HasSubstr("mixing.wire"), HasSubstr("up to 0.5")));
  EXPECT_THAT(
      Error(kGood, {{"mixing.wire", "topk:0.01"}, {"mixing.rule", "one_way"}}),
      AllOf(HasSubstr("mixing.wire"), HasSubstr("pairwise")));
}

TEST_F(ConfigTest, WhatIsBeyondTheClipIsDroppedOrScaled) {
  EXPECT_EQ(Load(kGood).mixing.beyond_clip, BeyondClip::kDrop);
  EXPECT_THAT(Error(kGood, {{"mixing.beyond_clip", "keep"}}),
              HasSubstr(R"(allowed: "drop", "scale")"));
  EXPECT_THAT(Error(kGood, {{"mixing.beyond_clip", "scale"}}),
              AllOf(HasSubstr("mixing.beyond_clip"),
                    HasSubstr("set mixing.clip above 0")));
}

TEST_F(ConfigTest, TheAdminTokenIsTheStateFoldersUnlessSaidOtherwise) {
  const auto usual = Load(kGood);
  EXPECT_EQ(usual.admin.token_file, usual.node.state_dir / "admin.token");
  EXPECT_EQ(Load(std::string(kGood) + "[admin]\ntoken_file = \"/t\"\n")
                .admin.token_file,
            "/t");
}

TEST_F(ConfigTest, ARuleThatNeedsMoreSaysSo) {
  const auto with = [](const std::string& text) {
    return std::string(kGood) + text;
  };
  EXPECT_THAT(Error(with("[mixing]\nrule = \"parameter_server\"\n")),
              HasSubstr("mixing.server: this key is required"));
  EXPECT_THAT(Error(with("[mixing]\nserver = \"a\"\n")),
              HasSubstr("for rule = \"parameter_server\" only"));
  EXPECT_THAT(Error(with("[mixing]\nrule = \"local_sgd\"\n")),
              HasSubstr("resync.every_steps: this key is required"));
  const Config c =
      Load(with("[mixing]\nrule = \"local_sgd\"\nobjective = "
                "\"nodes\"\n[resync]\nevery_steps = 7\n"));
  EXPECT_EQ(c.mixing.rule, mixing::RuleKind::kLocalSgd);
  EXPECT_TRUE(c.mixing.objective_nodes);
  EXPECT_EQ(Load(PrintConfig(c)).resync.every_steps, 7U);
}

TEST_F(ConfigTest, ATopologyIsAWordOrAFileBesideTheConfig) {
  const auto with = [](const std::string& topology) {
    return std::string(kGood) + "[mixing]\ntopology = \"" + topology + "\"\n";
  };
  EXPECT_EQ(Load(kGood).mixing.topology.kind, mixing::TopologyKind::kRing);
  const Config c = Load(with("torus"));
  EXPECT_EQ(c.mixing.topology.kind, mixing::TopologyKind::kTorus);
  EXPECT_EQ(PrintConfig(Load(PrintConfig(c))), PrintConfig(c));
  EXPECT_THAT(Error(with("star")), AllOf(HasSubstr("mixing.topology"),
                                         HasSubstr("random_matching")));
  EXPECT_THAT(Error(with("file:none.txt")), HasSubstr("cannot read this file"));
  std::ofstream(folder_ / "who.txt") << "a: b\nb:\n";
  EXPECT_THAT(Error(with("file:who.txt")),
              HasSubstr("who.txt:2: b has no peer"));
  std::ofstream(folder_ / "who.txt") << "a: b\nb: a\n";
  EXPECT_EQ(Load(with("file:who.txt")).mixing.adjacency.lines.size(), 2U);
}

TEST_F(ConfigTest, BalanceIsForTrainersInStep) {
  const auto with = [](const std::string& rule, const std::string& text) {
    return std::string(kGood) + "[mixing]\nrule = \"" + rule +
           "\"\n[balance]\n" + text;
  };
  const Config c = Load(with("all_reduce",
                             "policy = \"fixed_global\"\nevery_steps = 20\n"
                             "most = 3.0\n"));
  EXPECT_EQ(c.balance.policy, mixing::BalancePolicy::kFixedGlobal);
  EXPECT_DOUBLE_EQ(MostSampleRate(c), 3 * c.train.sample_rate);
  EXPECT_EQ(PrintConfig(Load(PrintConfig(c))), PrintConfig(c));
  EXPECT_EQ(
      MostSampleRate(Load(with("all_reduce", "policy = \"fixed_local\"\n"))),
      c.train.sample_rate);
  EXPECT_EQ(Load(with("pairwise", "policy = \"off\"\n")).balance.every_steps,
            100U);
  EXPECT_THAT(Error(with("pairwise", "policy = \"fixed_local\"\n")),
              AllOf(HasSubstr("balance.policy"),
                    HasSubstr("nobody waits under pairwise")));
  for (const auto* text :
       {"policy = \"fair\"\n", "every_steps = 0\n", "most = 0.5\n"})
    EXPECT_THAT(Error(with("all_reduce", text)), HasSubstr("balance."));
  EXPECT_THAT(Error(with("all_reduce", "policy = \"fixed_local\"\n"),
                    {{"privacy.accountant", "pld"}}),
              HasSubstr("set privacy.accountant = \"rdp\""));
}

TEST_F(ConfigTest, ARingMayBeInTheOrderOfBandwidth) {
  const auto with = [](const std::string& text) {
    return std::string(kGood) + "[mixing]\nring_order = \"bandwidth\"\n" + text;
  };
  const Config c = Load(with(""));
  EXPECT_TRUE(c.mixing.by_bandwidth);
  EXPECT_EQ(PrintConfig(Load(PrintConfig(c))), PrintConfig(c));
  EXPECT_FALSE(Load(kGood).mixing.by_bandwidth);
  EXPECT_THAT(Error(with("topology = \"torus\"\n")),
              HasSubstr("is for topology = \"ring\" only"));
  EXPECT_THAT(Error(with("rule = \"all_reduce\"\n")),
              HasSubstr("under all_reduce nobody tries"));
}

TEST_F(ConfigTest, ResyncHasItsKeys) {
  const auto with = [](const std::string& text) {
    return std::string(kGood) + "[resync]\n" + text;
  };
  const Config c = Load(
      with("every_steps = 100\nmode = \"adaptive\"\nalgorithm = "
           "\"halving_doubling\"\nabove = 0.2\nslow_momentum = 0.5\ntimeout "
           "= \"5s\"\n"));
  EXPECT_EQ(c.resync.every_steps, 100U);
  EXPECT_EQ(c.resync.mode, Config::Resync::Mode::kAdaptive);
  EXPECT_EQ(PrintConfig(Load(PrintConfig(c))), PrintConfig(c));
  for (const auto* text :
       {"every_steps = -1\n", "mode = \"eager\"\n", "algorithm = \"mpi\"\n",
        "above = -1.0\n", "among = \"some\"\n", "slow_momentum = 1.0\n",
        "timeout = \"5\"\n"})
    EXPECT_NE(Error(with(text)), "") << text;
}

TEST_F(ConfigTest, MixingHasBoundsOnWhatAMessageMayDo) {
  EXPECT_EQ(Load(kGood).mixing.clip, 0) << "none unless asked for";
  const auto bounds = [](const std::string& text) {
    return std::string(kGood) + "[mixing]\n" + text;
  };
  const Config c = Load(bounds("clip = 2.5\nmax_staleness = 0\n"));
  EXPECT_EQ(c.mixing.clip, 2.5);
  EXPECT_EQ(c.mixing.max_staleness, 0U);
  for (const auto* text : {"clip = -1.0\n", "clip = nan\n", "clip = \"x\"\n",
                           "max_staleness = -1\n", "max_staleness = 1.5\n"})
    EXPECT_NE(Error(bounds(text)), "") << text;
  EXPECT_THAT(Error(std::string(kGood) + "[test]\nmisbehave = \"lie\"\n"),
              HasSubstr("\"nan\", \"huge\", \"stale\""));
}

TEST_F(ConfigTest, AMissingFileAndBrokenTomlAreOneClearLine) {
  EXPECT_THROW(LoadConfig(folder_ / "none.toml", {}), ConfigError);
  EXPECT_THROW(LoadConfig(folder_.path(), {}), ConfigError);
  const auto error = Error("[node]\nname = \n");
  EXPECT_THAT(error, HasSubstr("node.toml:2: not TOML"));
  EXPECT_EQ(error.find('\n'), std::string::npos);
}

TEST_F(ConfigTest, FlagsOverrideTheEnvironmentAndThatTheFile) {
  setenv("HEARSAY_TRAIN_STEPS", "70", 1);
  EXPECT_EQ(Load(kGood).train.steps, 70U);
  EXPECT_EQ(Load(kGood, {{"train.steps", "80"}}).train.steps, 80U);
  unsetenv("HEARSAY_TRAIN_STEPS");
  EXPECT_EQ(Load(kGood).train.steps, 5000U);
}

TEST_F(ConfigTest, OverridesAreCheckedLikeTheFile) {
  EXPECT_THAT(Error(kGood, {{"train.steps", "x"}}),
              HasSubstr("--set train.steps"));
  EXPECT_THAT(Error(kGood, {{"train.stepz", "1"}}),
              HasSubstr("did you mean train.steps?"));
  setenv("HEARSAY_TRAIN_SAMPLE_RAET", "0.1", 1);
  EXPECT_THAT(Error(kGood), HasSubstr("HEARSAY_TRAIN_SAMPLE_RAET"));
  unsetenv("HEARSAY_TRAIN_SAMPLE_RAET");
}

TEST_F(ConfigTest, OtherHearsayVariablesAreNoKeys) {
  setenv("HEARSAY_ADDR", "127.0.0.1:1", 1);
  EXPECT_EQ(Error(kGood), "");
  unsetenv("HEARSAY_ADDR");
}

TEST_F(ConfigTest, WhatItPrintsItReadsBack) {
  const Config first = Load(kGood);
  const auto printed = PrintConfig(first);
  EXPECT_EQ(PrintConfig(Load(printed)), printed);
}

TEST_F(ConfigTest, AProbeNeedsNeitherDataNorPrivacy) {
  const Config c = Load(
      "[node]\nname = \"a\"\nstate_dir = \"s\"\n[cluster]\nname = \"t\"\n"
      "[tls]\nmode = \"off\"\n[train]\nsteps = 10\n"
      "[test]\nprobe = \"quadratic\"\nindex = 2\n");
  EXPECT_EQ(c.test.index, 2);
}

TEST(DurationTest, ReadsItsUnits) {
  EXPECT_EQ(ParseDuration("500ms").count(), 500000);
  EXPECT_EQ(ParseDuration("2s").count(), 2000000);
  EXPECT_EQ(ParseDuration("1500us").count(), 1500);
  EXPECT_EQ(ParseDuration("0.5s").count(), 500000);
  EXPECT_EQ(ParseDuration("3m").count(), 180000000);
}

TEST(DurationTest, RefusesWhatIsNone) {
  for (const char* text :
       {"", "5", "ms", "-1s", "5 s", "1e3s", "1.2.3s", "99999999h"})
    EXPECT_THROW(ParseDuration(text), std::invalid_argument) << text;
}

TEST(DurationTest, WritesWhatItReads) {
  for (const char* text : {"500ms", "2s", "1500us", "0s"})
    EXPECT_EQ(FormatDuration(ParseDuration(text)), text);
}

}  // namespace
}  // namespace hearsay::daemon
