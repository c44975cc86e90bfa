// hearsay doctor: what each check makes of what it finds, and the program.
#include "ops/cli/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/ops/fake_daemon.h"
#include "tests/ops/program.h"
#include "transport/tls/authority.h"

namespace hearsay::tests {
namespace {

using ops::Finding;
using Level = Finding::Level;
using testing::HasSubstr;

class DoctorTest : public testing::Test {
 protected:
  ops::Surroundings Around() {
    return {.root = folder_.path(), .variable = [this](const auto& name) {
              const auto found = variables_.find(name);
              return found == variables_.end() ? "" : found->second;
            }};
  }
  void Put(const std::string& file, const std::string& text) {
    const auto path = folder_ / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }

  TemporaryFolder folder_;
  std::map<std::string, std::string> variables_;
  transport::UcxReport ucx_ = {.version = "1.13.1",
                               .transports = {"self/memory0", "tcp/lo"},
                               .memory_types = {"host"},
                               .error = {}};
};

TEST_F(DoctorTest, ACleanEnvironmentIsFine) {
  EXPECT_EQ(ops::WorstOf(ops::CheckEnvironment(Around(), ucx_)), Level::kFine);
}

TEST_F(DoctorTest, SettingsThatHurtAreNamedWithTheirValues) {
  for (const auto& [name, value, level] :
       {std::tuple("UCX_PROTO_ENABLE", "y", Level::kImprove),
        std::tuple("UCX_TCP_PUT_ENABLE", "y", Level::kImprove),
        std::tuple("UCX_RNDV_THRESH", "inf", Level::kImprove),
        std::tuple("UCX_TLS", "posix,cma,self", Level::kImprove),
        std::tuple("UCX_NET_DEVICES", "nosuch0", Level::kBroken)}) {
    variables_ = {{name, value}};
    const auto findings = ops::CheckEnvironment(Around(), ucx_);
    ASSERT_EQ(findings.size(), 1U) << name;
    EXPECT_EQ(findings[0].level, level) << name;
    EXPECT_EQ(findings[0].found, std::string(name) + "=" + value);
    EXPECT_NE(findings[0].advice, "") << name;
  }
}

TEST_F(DoctorTest, SettingsThatDoNotHurtHereAreFine) {
  Put("sys/class/net/eth0/mtu", "1500");
  for (const auto& [name, value] :
       {std::pair("UCX_PROTO_ENABLE", "n"), std::pair("UCX_TLS", "tcp,self"),
        std::pair("UCX_TLS", "all"), std::pair("UCX_TLS", "rc,self"),
        std::pair("UCX_NET_DEVICES", "eth0"),
        std::pair("UCX_NET_DEVICES", "all"),
        std::pair("UCX_NET_DEVICES", "mlx5_0:1")}) {
    variables_ = {{name, value}};
    EXPECT_EQ(ops::WorstOf(ops::CheckEnvironment(Around(), ucx_)), Level::kFine)
        << name << '=' << value;
  }
  ucx_.version = "1.16.0";
  variables_ = {{"UCX_PROTO_ENABLE", "y"}};
  EXPECT_EQ(ops::WorstOf(ops::CheckEnvironment(Around(), ucx_)), Level::kFine);
}

TEST_F(DoctorTest, AUcxThatDoesNotStartIsBroken) {
  ucx_.error = "UCX: ucp_init: No such device";
  const auto findings = ops::CheckUcx(ucx_);
  EXPECT_EQ(ops::WorstOf(findings), Level::kBroken);
  EXPECT_THAT(findings[0].found, HasSubstr("No such device"));
}

TEST_F(DoctorTest, SaysWhetherUcxMovesTheMemoryOfAGpu) {
  EXPECT_THAT(ops::CheckUcx(ucx_).back().found, HasSubstr("host memory only"));
  ucx_.memory_types = {"host", "cuda", "cuda-managed"};
  EXPECT_THAT(ops::CheckUcx(ucx_).back().found, HasSubstr("cuda"));
}

TEST_F(DoctorTest, AUcxWithoutTcpCanBeBettered) {
  ucx_.transports = {"posix/memory"};
  EXPECT_EQ(ops::WorstOf(ops::CheckUcx(ucx_)), Level::kImprove);
}

TEST_F(DoctorTest, ReadsTheFlagsOfTheProcessor) {
  Put("proc/cpuinfo", "model name : x\nflags\t\t: sse aes avx2 vaes\n");
  const auto good = ops::CheckProcessor(Around());
  ASSERT_EQ(good.size(), 1U);
  EXPECT_THAT(good[0].found, HasSubstr("aes vaes avx2"));
  Put("proc/cpuinfo", "flags : sse\n");
  EXPECT_EQ(ops::CheckProcessor(Around()).size(), 3U);
}

TEST_F(DoctorTest, HugePagesThatAreOffCanBeBettered) {
  const std::string file = "sys/kernel/mm/transparent_hugepage/enabled";
  const auto level = [&] {
    return ops::WorstOf(ops::CheckHugePages(Around()));
  };
  EXPECT_EQ(level(), Level::kImprove);  // no such file
  Put(file, "always [madvise] never\n");
  EXPECT_EQ(level(), Level::kFine);
  Put(file, "always madvise [never]\n");
  EXPECT_EQ(level(), Level::kImprove);
  Put(file, "]garbage[");
  EXPECT_EQ(level(), Level::kImprove);
}

TEST_F(DoctorTest, ACoreTypeThatIsSetCanBeBettered) {
  EXPECT_EQ(ops::WorstOf(ops::CheckBlas(Around(), "OpenBLAS USE_OPENMP")),
            Level::kFine);
  variables_ = {{"OPENBLAS_CORETYPE", "Haswell"}};
  EXPECT_EQ(ops::WorstOf(ops::CheckBlas(Around(), "OpenBLAS USE_OPENMP")),
            Level::kImprove);
  EXPECT_EQ(ops::WorstOf(ops::CheckBlas(Around(), "OpenBLAS SINGLE_THREADED")),
            Level::kBroken);
}

TEST_F(DoctorTest, FewOpenFilesAreNotEnough) {
  EXPECT_EQ(ops::CheckOpenFiles(1 << 20)[0].level, Level::kFine);
  EXPECT_EQ(ops::CheckOpenFiles(256)[0].level, Level::kImprove);
  EXPECT_EQ(ops::CheckOpenFiles(16)[0].level, Level::kBroken);
}

TEST_F(DoctorTest, AClockThatNobodySetsCanBeBettered) {
  EXPECT_EQ(ops::CheckClock(0, false, 0.01)[0].level, Level::kFine);
  EXPECT_EQ(ops::CheckClock(0, true, 0.01)[0].level, Level::kImprove);
  EXPECT_EQ(ops::CheckClock(5, false, 0.01)[0].level, Level::kImprove);
  EXPECT_EQ(ops::CheckClock(0, false, 16)[0].level, Level::kImprove);
  EXPECT_EQ(ops::CheckClock(-1, false, 0)[0].level, Level::kImprove);
}

TEST_F(DoctorTest, CertificatesThatExpireAreNamedInTime) {
  namespace tls = transport::tls;
  const auto now = tls::WallNow();
  const auto ca = folder_ / "ca";
  tls::Authority::Create(ca, "pums", {now, now + std::chrono::days(400)});
  {
    tls::Authority authority(ca);
    authority.Issue("a", {now, now + std::chrono::days(90)}, ca,
                    tls::Authority::IfThere::kRefuse);
  }
  const auto level = [&](std::chrono::days later) {
    return ops::CheckCertificate("a", ca / "a.pem", now + later)[0].level;
  };
  EXPECT_EQ(level(std::chrono::days(0)), Level::kFine);
  EXPECT_EQ(level(std::chrono::days(75)), Level::kImprove);
  EXPECT_EQ(level(std::chrono::days(91)), Level::kBroken);
  EXPECT_EQ(level(std::chrono::days(-1)), Level::kBroken);
  Put("bad.pem", "-----BEGIN CERTIFICATE-----\nnonsense\n");
  for (const char* file : {"bad.pem", "nosuch.pem"}) {
    const auto findings = ops::CheckCertificate("a", folder_ / file, now);
    EXPECT_EQ(findings[0].level, Level::kBroken);
    EXPECT_THAT(findings[0].found, HasSubstr(file));
  }
}

TEST_F(DoctorTest, AConfigurationThatIsBadIsBroken) {
  Put("hearsayd.toml", "[node]\nname = 7\n");
  const auto file = (folder_ / "hearsayd.toml").string();
  const auto outcome = Hearsay({"doctor", "--config", file});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_THAT(outcome.out, HasSubstr(file));
}

TEST_F(DoctorTest, TheProgramSaysWhatIsBrokenAndExitsWithIt) {
  const auto clean = HearsayLine("doctor -o json");
  EXPECT_TRUE(clean.code == 0 || clean.code == 3) << clean.err;
  const auto json = Json::parse(clean.out);
  EXPECT_EQ(json["schema"], 1);
  EXPECT_EQ(json["verdict"], clean.code == 0 ? "fine" : "improve");
  std::set<std::string> checks;
  for (const auto& finding : json["findings"]) checks.insert(finding["check"]);
  for (const char* check : {"ucx", "ucx-gpu", "environment", "processor",
                            "blas", "huge-pages", "open-files", "clock"})
    EXPECT_TRUE(checks.contains(check)) << check;

  const auto hurt = Hearsay({"doctor"}, {"UCX_PROTO_ENABLE=y"});
  EXPECT_EQ(hurt.code, 3);
  EXPECT_THAT(hurt.out, HasSubstr("UCX_PROTO_ENABLE=y"));
  EXPECT_THAT(hurt.out, HasSubstr("! environment: unset it"));
  const auto broken = Hearsay({"doctor"}, {"UCX_NET_DEVICES=nosuch0"});
  EXPECT_EQ(broken.code, 1);
  EXPECT_THAT(broken.out, HasSubstr("nosuch0"));
}

TEST_F(DoctorTest, LooksAtTheEdgesOfRunningNodes) {
  WriteClusterFile(folder_.path(), {"a", "b"});
  FakeDaemon a(folder_ / "a.sock");
  a.Serve("/v1/links", {{"schema", 1},
                        {"self", "a"},
                        {"links",
                         {{{"peer", "b"},
                           {"direction", "out"},
                           {"transport", "tcp"},
                           {"ok", 10},
                           {"failed", 5},
                           {"round_trip_seconds", 0.004},
                           {"bytes_per_second", 1.2e8}}}}});
  a.Serve("/v1/members", {{"schema", 1},
                          {"self", "a"},
                          {"members",
                           {{{"name", "b"},
                             {"state", "failed"},
                             {"last_error", "no heartbeat for 2000 ms"}}}}});
  const auto outcome = Hearsay({"doctor", "--dir", folder_.path().string()});
  EXPECT_EQ(outcome.code, 1);  // b does not answer
  EXPECT_THAT(outcome.out, HasSubstr("link a -> b"));
  EXPECT_THAT(outcome.out, HasSubstr("120.0 MB/s"));
  EXPECT_THAT(outcome.out, HasSubstr("10 exchanges, 5 failed"));
  EXPECT_THAT(outcome.out, HasSubstr("no heartbeat for 2000 ms"));
  EXPECT_THAT(outcome.out, HasSubstr("node b"));
}

}  // namespace
}  // namespace hearsay::tests
