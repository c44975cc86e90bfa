// What the daemon does when it is asked to stop, to drain or to reload, from
// the first instant of the program on.
//
// A thread of its own watches, so that a signal that comes while the node is
// still being made is not fatal and not lost, and a second INT ends the program
// even while the network thread is busy with a stop that takes long.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace hearsay::daemon {

class Signals {
 public:
  // Takes INT, TERM, HUP and USR2 over. The second INT ends the program, at
  // once, with exit status 1. Throws: boost::system::system_error.
  Signals();
  // Of the signals that come later TERM, HUP and USR2 are ignored: the program
  // is ending, and keeps its exit status.
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  // Runs `io` until it is stopped. Each signal, those that came before too, is
  // a call of `handle` on this thread. Throws what they throw.
  void Run(boost::asio::io_context& io, std::function<void(int)> handle);

 private:
  void Wait();
  void Deliver(int signal);
  void Serve(boost::asio::io_context* io, std::function<void(int)> handle);

  boost::asio::io_context io_{1};
  boost::asio::signal_set set_;
  bool interrupted_ = false;  // The thread's.

  std::mutex mutex_;
  boost::asio::io_context* served_ = nullptr;  // Guarded by mutex_.
  std::function<void(int)> handle_;            // Guarded by mutex_.
  std::vector<int> early_;                     // Guarded by mutex_.

  std::thread thread_;  // Last: uses all of the above.
};

}  // namespace hearsay::daemon
