#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>
#include <sys/timex.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

#include "daemon/config.h"
#include "model/cpu/gemm.h"
#include "ops/cli/doctor.h"
#include "transport/tls/authority.h"

namespace hearsay::ops {
namespace {

using Level = Finding::Level;

constexpr std::uint64_t kFewFiles = 1024;
constexpr std::uint64_t kTooFewFiles = 64;
constexpr std::chrono::days kSoon{30};
constexpr double kMaxClockError = 1.0;  // seconds

std::string ReadAll(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::set<std::string> Words(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

bool IsYes(const std::string& value) {
  return value == "y" || value == "yes" || value == "1" || value == "on" ||
         value == "try";
}

// Of "1.13.1".
std::pair<int, int> Release(const std::string& version) {
  std::istringstream stream(version);
  int major = 0;
  int minor = 0;
  char dot = 0;
  stream >> major >> dot >> minor;
  return {major, minor};
}

}  // namespace

Surroundings ThisMachine() {
  return {.root = "/", .variable = [](const std::string& name) {
            const char* value = std::getenv(name.c_str());
            return std::string(value == nullptr ? "" : value);
          }};
}

Findings CheckUcx(const transport::UcxReport& report) {
  if (!report.error.empty())
    return {{Level::kBroken, "ucx", report.version + ": " + report.error,
             "unset UCX_TLS and UCX_NET_DEVICES, or set cluster.wire = "
             "\"socket\", which needs no UCX"}};
  Findings findings = {{Level::kFine, "ucx",
                        fmt::format("UCX {}, transports {}", report.version,
                                    fmt::join(report.transports, " ")),
                        ""}};
  const bool tcp =
      std::any_of(report.transports.begin(), report.transports.end(),
                  [](const auto& name) { return name.starts_with("tcp/"); });
  if (!tcp)
    findings.push_back(
        {Level::kImprove, "ucx-tcp", "UCX has no tcp transport here",
         "cluster.wire = \"ucx\" cannot join nodes of one host: leave it at "
         "\"auto\""});
  std::vector<std::string> devices = report.memory_types;
  std::erase(devices, "host");
  findings.push_back(
      {Level::kFine, "ucx-gpu",
       devices.empty() ? "UCX moves host memory only: arrays on a GPU go "
                         "through the host"
                       : fmt::format("UCX moves {}", fmt::join(devices, ", ")),
       ""});
  return findings;
}

Findings CheckGpu(const model::CudaProbe& probe) {
  return {{Level::kFine, "gpu",
           probe.usable ? probe.name + " is there to train on"
                        : "training is on the CPU: " + probe.reason,
           ""}};
}

Findings CheckEnvironment(const Surroundings& around,
                          const transport::UcxReport& report) {
  Findings findings;
  const auto say = [&](Level level, const std::string& name,
                       const std::string& advice) {
    findings.push_back(
        {level, "environment", name + "=" + around.variable(name), advice});
  };
  if (IsYes(around.variable("UCX_PROTO_ENABLE")) &&
      Release(report.version) < std::pair(1, 16))
    say(Level::kImprove, "UCX_PROTO_ENABLE",
        "unset it: before UCX 1.16 it makes tcp three times slower, and a "
        "connection that is closed under load aborts the process");
  if (IsYes(around.variable("UCX_TCP_PUT_ENABLE")))
    say(Level::kImprove, "UCX_TCP_PUT_ENABLE",
        "unset it: a peer that comes back from a freeze may write where it "
        "must not");
  if (around.variable("UCX_RNDV_THRESH") == "inf")
    say(Level::kImprove, "UCX_RNDV_THRESH",
        "unset it: large pieces are copied once more, three times slower");
  if (const auto tls = around.variable("UCX_TLS");
      !tls.empty() && tls.find("tcp") == std::string::npos &&
      tls.find("all") == std::string::npos && !tls.starts_with('^') &&
      tls.find("rc") == std::string::npos &&
      tls.find("ib") == std::string::npos)
    say(Level::kImprove, "UCX_TLS",
        "add tcp: shared memory alone cannot tell when a peer dies, so UCX "
        "does not connect over it");
  const auto devices = around.variable("UCX_NET_DEVICES");
  std::istringstream list(devices);
  for (std::string name; devices != "all" && std::getline(list, name, ',');)
    if (name.find(':') == std::string::npos &&
        !std::filesystem::exists(around.root / "sys/class/net" / name))
      say(Level::kBroken, "UCX_NET_DEVICES",
          "there is no interface " + name + ": correct it, or unset it");
  if (findings.empty())
    findings.push_back({Level::kFine, "environment",
                        "no UCX setting that is known to hurt", ""});
  return findings;
}

Findings CheckProcessor(const Surroundings& around) {
  std::istringstream lines(ReadAll(around.root / "proc/cpuinfo"));
  std::set<std::string> flags;
  for (std::string line; std::getline(lines, line) && flags.empty();)
    if (line.starts_with("flags") || line.starts_with("Features"))
      flags = Words(line.substr(std::min(line.size(), line.find(':') + 1)));
  std::vector<std::string> present;
  for (const char* flag : {"aes", "vaes", "avx2", "avx512f"})
    if (flags.contains(flag)) present.emplace_back(flag);
  Findings findings = {
      {Level::kFine, "processor",
       fmt::format("has {}", present.empty()
                                 ? "none of aes, avx2"
                                 : fmt::format("{}", fmt::join(present, " "))),
       ""}};
  if (!flags.contains("aes"))
    findings.push_back({Level::kImprove, "processor-aes",
                        "no AES instructions: sealing arrays is slow here",
                        "in a virtual machine, pass the host's processor "
                        "through (aes, vaes)"});
  if (!flags.contains("avx2"))
    findings.push_back({Level::kImprove, "processor-avx",
                        "no AVX2: products and sums of arrays are slow here",
                        "in a virtual machine, pass the host's processor "
                        "through (avx2, avx512f)"});
  return findings;
}

Findings CheckBlas(const Surroundings& around, const std::string& flavour) {
  Findings findings = {{Level::kFine, "blas", flavour, ""}};
  if (flavour.find("SINGLE_THREADED") != std::string::npos ||
      flavour.find("serial") != std::string::npos)
    findings.push_back({Level::kBroken, "blas-build",
                        "a serial build: wrong when two threads compute",
                        "install libopenblas0-openmp"});
  if (const auto type = around.variable("OPENBLAS_CORETYPE"); !type.empty())
    findings.push_back({Level::kImprove, "environment",
                        "OPENBLAS_CORETYPE=" + type,
                        "unset it: OpenBLAS chooses for this processor; a "
                        "lesser kernel halves the speed of training"});
  return findings;
}

Findings CheckHugePages(const Surroundings& around) {
  const auto text =
      ReadAll(around.root / "sys/kernel/mm/transparent_hugepage/enabled");
  const auto begin = text.find('[');
  const auto end = text.find(']');
  if (begin == std::string::npos || end == std::string::npos || end < begin)
    return {{Level::kImprove, "huge-pages", "the kernel does not tell",
             "large arrays move up to twice as fast in huge pages: use a "
             "kernel with transparent_hugepage"}};
  const auto mode = text.substr(begin + 1, end - begin - 1);
  if (mode == "never")
    return {{Level::kImprove, "huge-pages", "transparent huge pages: never",
             "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled: "
             "large arrays move up to twice as fast"}};
  return {{Level::kFine, "huge-pages", "transparent huge pages: " + mode, ""}};
}

Findings CheckOpenFiles(std::uint64_t limit) {
  const std::string found = fmt::format("at most {} open files", limit);
  if (limit >= kFewFiles) return {{Level::kFine, "open-files", found, ""}};
  return {{limit < kTooFewFiles ? Level::kBroken : Level::kImprove,
           "open-files", found,
           "raise it (ulimit -n, LimitNOFILE=): a node needs about four for "
           "each member, and some for strangers"}};
}

Findings CheckClock(int kernel_state, bool unsynchronised,
                    double max_error_seconds) {
  if (kernel_state < 0)
    return {{Level::kImprove, "clock", "the kernel does not tell",
             "see to it that the clock is right: certificates expire by it"}};
  if (unsynchronised || kernel_state == TIME_ERROR)
    return {{Level::kImprove, "clock",
             "the kernel does not know that the clock is synchronised",
             "run chrony or systemd-timesyncd; in a container, see that the "
             "host does: certificates expire by this clock"}};
  const auto found =
      fmt::format("synchronised, error below {:.3f} s", max_error_seconds);
  if (max_error_seconds <= kMaxClockError)
    return {{Level::kFine, "clock", found, ""}};
  return {{Level::kImprove, "clock", found,
           "its time source is far away, or has been lost: look at chronyc "
           "tracking or timedatectl"}};
}

Findings CheckCertificate(const std::string& node,
                          const std::filesystem::path& certificate,
                          transport::tls::WallTime now) {
  const std::string check = "certificate of " + node;
  const std::string renew = "hearsay tls issue --renew --name " + node +
                            ", copy the files, and HUP the node";
  try {
    const auto facts = transport::tls::Describe(certificate).at(0);
    const std::string found =
        fmt::format("{}, until {}", certificate.string(),
                    transport::tls::ShowTime(facts.until));
    if (!facts.until || *facts.until <= now)
      return {{Level::kBroken, check, found + ": expired", renew}};
    if (facts.from && *facts.from > now)
      return {{Level::kBroken, check, found + ": not valid yet",
               "set the clock of this machine, or wait"}};
    if (*facts.until - now < kSoon)
      return {{Level::kImprove, check, found + ": expires soon", renew}};
    return {{Level::kFine, check, found, ""}};
  } catch (const std::exception& error) {
    return {{Level::kBroken, check, error.what(), renew}};
  }
}

Findings CheckConfig(const std::filesystem::path& config,
                     transport::tls::WallTime now) {
  try {
    const auto loaded = daemon::LoadConfig(config, {});
    Findings findings = {
        {Level::kFine, "configuration", config.string() + ": good", ""}};
    if (loaded.tls.mutual) {
      const auto more =
          CheckCertificate(loaded.node.name, loaded.tls.files.cert, now);
      findings.insert(findings.end(), more.begin(), more.end());
    }
    return findings;
  } catch (const std::exception& error) {
    return {{Level::kBroken, "configuration", error.what(),
             "correct what it says; hearsayd --check-config tells more"}};
  }
}

Findings CheckMachine(const Surroundings& around) {
  Findings all;
  const auto add = [&](const Findings& some) {
    all.insert(all.end(), some.begin(), some.end());
  };
  const auto ucx = transport::InspectUcx();
  add(CheckUcx(ucx));
  add(CheckEnvironment(around, ucx));
  add(CheckProcessor(around));
  add(CheckBlas(around, model::cpu::BlasFlavour()));
  add(CheckGpu(model::ProbeCuda()));
  add(CheckHugePages(around));
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  add(CheckOpenFiles(files.rlim_cur));
  timex clock{};
  const int state = adjtimex(&clock);
  add(CheckClock(state, (clock.status & STA_UNSYNC) != 0,
                 1e-6 * static_cast<double>(clock.maxerror)));
  return all;
}

}  // namespace hearsay::ops
