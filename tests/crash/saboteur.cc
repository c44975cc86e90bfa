// Runs a program and spoils one of its system calls: for tests of what a daemon
// leaves behind wherever it dies, and whatever its disk does. In the test tree
// only; the program knows nothing of it.
//
//   saboteur KIND N REPORT FOLDER -- PROGRAM ARGUMENTS...
//
// Counts the system calls of all threads from the first write to the file
// FOLDER/ledger/ledger on, that one included (KIND none and power), or those of
// them that are about files below FOLDER (the other kinds). At the N-th:
//
//   none    nothing; REPORT has how many there were
//   power   the process is killed before the call, and what the ledger had not
//           synced is lost, as when the power fails
//   ENOSPC, EIO, EMFILE...  the call fails so, and is not made
//   short   a write writes half of what it was asked to, or else as EIO
//
// REPORT gets one line of JSON when that has happened, or at the end. TERM and
// INT are passed on. Exit status: the program's, or 137 when it was killed.
#include <fcntl.h>
#include <linux/limits.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace {

pid_t child = 0;

void PassOn(int signal) { kill(child, signal); }

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "saboteur: %s: %s\n", what.c_str(),
               std::strerror(errno));
  if (child > 0) kill(child, SIGKILL);
  std::exit(99);
}

const char* NameOf(long number) {
  switch (number) {
    case SYS_write:
      return "write";
    case SYS_pwrite64:
      return "pwrite64";
    case SYS_writev:
      return "writev";
    case SYS_fsync:
      return "fsync";
    case SYS_fdatasync:
      return "fdatasync";
    case SYS_openat:
      return "openat";
    case SYS_close:
      return "close";
    case SYS_rename:
      return "rename";
    case SYS_renameat:
      return "renameat";
    case SYS_unlink:
      return "unlink";
    case SYS_ftruncate:
      return "ftruncate";
    case SYS_fallocate:
      return "fallocate";
    case SYS_getrandom:
      return "getrandom";
    case SYS_sendmsg:
      return "sendmsg";
    case SYS_sendto:
      return "sendto";
    case SYS_recvmsg:
      return "recvmsg";
    case SYS_recvfrom:
      return "recvfrom";
    case SYS_futex:
      return "futex";
    case SYS_epoll_wait:
      return "epoll_wait";
    case SYS_clock_nanosleep:
      return "clock_nanosleep";
    default:
      return nullptr;
  }
}

std::optional<int> ErrorOf(const std::string& word) {
  const std::map<std::string, int> errors = {
      {"ENOSPC", ENOSPC}, {"EIO", EIO},     {"EMFILE", EMFILE},
      {"EDQUOT", EDQUOT}, {"EROFS", EROFS}, {"EINTR", EINTR}};
  const auto found = errors.find(word);
  if (found == errors.end()) return std::nullopt;
  return found->second;
}

// What a call names, as far as it is a file.
std::string PathOfFile(pid_t thread, std::uint64_t file) {
  std::array<char, PATH_MAX> target{};
  const auto link = "/proc/" + std::to_string(thread) + "/fd/" +
                    std::to_string(static_cast<int>(file));
  const auto size = readlink(link.c_str(), target.data(), target.size());
  return size > 0 ? std::string(target.data(), static_cast<std::size_t>(size))
                  : "";
}

std::string TextAt(pid_t thread, std::uint64_t address) {
  std::array<char, PATH_MAX> text{};
  iovec here{text.data(), text.size() - 1};
  iovec there{reinterpret_cast<void*>(address), text.size() - 1};
  if (process_vm_readv(thread, &here, 1, &there, 1, 0) <= 0) {
    // It may end with its page.
    there.iov_len = 4096 - address % 4096;
    if (process_vm_readv(thread, &here, 1, &there, 1, 0) <= 0) return "";
  }
  return text.data();
}

std::string PathOf(pid_t thread, const __ptrace_syscall_info& call) {
  const auto& args = call.entry.args;
  switch (call.entry.nr) {
    case SYS_write:
    case SYS_pwrite64:
    case SYS_writev:
    case SYS_fsync:
    case SYS_fdatasync:
    case SYS_ftruncate:
    case SYS_fallocate:
      return PathOfFile(thread, args[0]);
    case SYS_openat:
    case SYS_renameat:
      return TextAt(thread, args[1]);
    case SYS_rename:
    case SYS_unlink:
      return TextAt(thread, args[0]);
    default:
      return "";
  }
}

class Saboteur {
 public:
  Saboteur(std::string kind, std::uint64_t at, std::string report,
           const std::string& folder)
      : kind_(std::move(kind)),
        at_(at),
        report_(std::move(report)),
        folder_(std::filesystem::absolute(folder).string() + "/"),
        ledger_(folder_ + "ledger/ledger") {}

  int Run() {
    for (;;) {
      int status = 0;
      const pid_t thread = waitpid(-1, &status, __WALL);
      if (thread < 0 && errno == EINTR) continue;
      if (thread < 0) Die("waitpid");
      if (WIFEXITED(status) || WIFSIGNALED(status)) {
        if (thread != child) continue;
        if (!struck_) Report("end", 0, "");
        return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
      }
      int signal = WSTOPSIG(status);
      if (signal == (SIGTRAP | 0x80)) {
        OnCall(thread);
        signal = 0;
      } else if (signal == SIGTRAP || (signal == SIGSTOP && !known_[thread])) {
        signal = 0;  // Of a thread that begins, or of exec.
      }
      known_[thread] = true;
      ptrace(PTRACE_SYSCALL, thread, 0, signal);
    }
  }

 private:
  void OnCall(pid_t thread) {
    __ptrace_syscall_info call{};
    if (ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof call, &call) <= 0)
      return;  // Killed meanwhile.
    if (call.op == PTRACE_SYSCALL_INFO_ENTRY)
      OnEntry(thread, call);
    else if (call.op == PTRACE_SYSCALL_INFO_EXIT)
      OnExit(thread, call.exit.rval);
  }

  void OnEntry(pid_t thread, const __ptrace_syscall_info& call) {
    const auto path = PathOf(thread, call);
    if (path == ledger_ && call.entry.nr == SYS_write) counting_ = true;
    if (path == ledger_ &&
        (call.entry.nr == SYS_fdatasync || call.entry.nr == SYS_fsync))
      syncing_[thread] = SizeOfLedger();
    if (!counting_ || struck_) return;
    const bool of_all = kind_ == "none" || kind_ == "power";
    if (!of_all && !path.starts_with(folder_)) return;
    if (++count_ != at_ || kind_ == "none") return;
    struck_ = true;
    const char* const name = NameOf(static_cast<long>(call.entry.nr));
    const std::string called =
        name ? name : "call " + std::to_string(call.entry.nr);
    if (kind_ == "power") {
      kill(child, SIGKILL);
      // Not before all its threads are dead may its file be cut.
      while (waitpid(-1, nullptr, __WALL) > 0 || errno == EINTR) {
      }
      if (SizeOfLedger() > synced_ && truncate(ledger_.c_str(), synced_) != 0)
        Die("truncate");
      Report(called, count_, path);
      std::exit(137);
    }
    Spoil(thread, call);
    Report(called, count_, path);
  }

  void Spoil(pid_t thread, const __ptrace_syscall_info& call) {
    user_regs_struct registers{};
    if (ptrace(PTRACE_GETREGS, thread, 0, &registers) != 0) Die("GETREGS");
    if (kind_ == "short" && call.entry.nr == SYS_write &&
        call.entry.args[2] > 1) {
      registers.rdx /= 2;
    } else {
      fails_with_[thread] = ErrorOf(kind_).value_or(EIO);
      registers.orig_rax = static_cast<unsigned long long>(-1);
    }
    if (ptrace(PTRACE_SETREGS, thread, 0, &registers) != 0) Die("SETREGS");
  }

  void OnExit(pid_t thread, std::int64_t result) {
    if (const auto failing = fails_with_.find(thread);
        failing != fails_with_.end()) {
      user_regs_struct registers{};
      if (ptrace(PTRACE_GETREGS, thread, 0, &registers) != 0) Die("GETREGS");
      registers.rax = static_cast<unsigned long long>(-failing->second);
      if (ptrace(PTRACE_SETREGS, thread, 0, &registers) != 0) Die("SETREGS");
      fails_with_.erase(failing);
      syncing_.erase(thread);
      return;
    }
    if (const auto sync = syncing_.find(thread); sync != syncing_.end()) {
      if (result == 0 && sync->second > synced_) synced_ = sync->second;
      syncing_.erase(sync);
    }
  }

  // Before the first write nothing but what an earlier life had synced is
  // there.
  off_t SizeOfLedger() {
    struct stat status {};
    return stat(ledger_.c_str(), &status) == 0 ? status.st_size : 0;
  }

  void Report(const std::string& call, std::uint64_t number,
              const std::string& path) {
    std::ofstream(report_) << "{\"call\":\"" << call
                           << "\",\"number\":" << number
                           << ",\"counted\":" << count_ << ",\"path\":\""
                           << path << "\"}\n";
  }

  const std::string kind_;
  const std::uint64_t at_;
  const std::string report_;
  const std::string folder_;
  const std::string ledger_;
  std::map<pid_t, bool> known_;
  std::map<pid_t, int> fails_with_;
  std::map<pid_t, off_t> syncing_;  // the size when the sync began
  off_t synced_ = 0;
  std::uint64_t count_ = 0;
  bool counting_ = false;
  bool struck_ = false;

 public:
  void BeginWithWhatIsThere() { synced_ = SizeOfLedger(); }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 7 || std::string_view(argv[5]) != "--") {
    std::fputs("saboteur KIND N REPORT FOLDER -- PROGRAM ARGUMENTS...\n",
               stderr);
    return 98;
  }
  const std::string kind = argv[1];
  if (kind != "none" && kind != "power" && kind != "short" && !ErrorOf(kind)) {
    std::fprintf(stderr, "saboteur: no kind \"%s\"\n", argv[1]);
    return 98;
  }
  child = fork();
  if (child < 0) Die("fork");
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, 0, 0) != 0) std::_Exit(97);
    raise(SIGSTOP);
    execv(argv[6], argv + 6);
    std::_Exit(96);
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status)) {
    std::fputs("saboteur: may not trace here\n", stderr);
    return 97;
  }
  if (ptrace(PTRACE_SETOPTIONS, child, 0,
             PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL |
                 PTRACE_O_TRACEEXEC) != 0)
    Die("SETOPTIONS");
  for (const int signal : {SIGTERM, SIGINT}) {
    struct sigaction action {};
    action.sa_handler = PassOn;
    sigaction(signal, &action, nullptr);
  }
  Saboteur saboteur(kind, std::strtoull(argv[2], nullptr, 10), argv[3],
                    argv[4]);
  saboteur.BeginWithWhatIsThere();
  ptrace(PTRACE_SYSCALL, child, 0, 0);
  return saboteur.Run();
}
