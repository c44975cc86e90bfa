#include "transport/ucx_environment.h"

#include <ucs/config/global_opts.h>
#include <ucs/debug/debug.h>

#include <array>
#include <csignal>
#include <cstdlib>

namespace hearsay::transport {
namespace {

constexpr int kKeepTheUsers = 0;  // setenv's "do not overwrite"
constexpr std::array kCrashSignals = {SIGILL, SIGBUS, SIGFPE, SIGSEGV};

}  // namespace

void PrepareUcxEnvironment() {
  // Setting variables alone is too late for this process, measured with UCX
  // 1.13: the library's constructor has already read them and installed its
  // handlers. Its own calls put the previous ones back.
  if (std::getenv("UCX_DEBUG_SIGNO") == nullptr)
    ucs_debug_disable_signal(SIGHUP);
  if (std::getenv("UCX_HANDLE_ERRORS") == nullptr)
    for (const int signal : kCrashSignals) ucs_debug_disable_signal(signal);
  if (std::getenv("UCX_WARN_UNUSED_ENV_VARS") == nullptr)
    static_cast<void>(ucs_global_opts_set_value("WARN_UNUSED_ENV_VARS", "n"));
  if (std::getenv("UCX_LOG_LEVEL") == nullptr)
    static_cast<void>(ucs_global_opts_set_value("LOG_LEVEL", "fatal"));

  // Over TCP a rendezvous would be a "put": the sender names the address, and
  // the receiving library writes there, even after the receive was abandoned. A
  // peer that comes back from a freeze would write into memory long since
  // reused. Read by ucp_init, so in time. (ucp_config_modify does not know this
  // key.)
  setenv("UCX_TCP_PUT_ENABLE", "n", kKeepTheUsers);

  // So arrays go as active messages of this size, one call of the kernel each.
  // With UCX's 8 KiB a push of 1 MiB pieces takes 4 times as long, with 256 KiB
  // 1.4 times. The same on every node: a receiver takes no more than this of
  // its own.
  setenv("UCX_TCP_TX_SEG_SIZE", "1M", kKeepTheUsers);
  setenv("UCX_TCP_RX_SEG_SIZE", "1M", kKeepTheUsers);

  // For programs that this one starts.
  setenv("UCX_DEBUG_SIGNO", "0", kKeepTheUsers);
  setenv("UCX_HANDLE_ERRORS", "none", kKeepTheUsers);
  setenv("UCX_WARN_UNUSED_ENV_VARS", "n", kKeepTheUsers);
  setenv("UCX_LOG_LEVEL", "fatal", kKeepTheUsers);
}

}  // namespace hearsay::transport
