#include "daemon/signals.h"

#include <boost/asio/post.hpp>
#include <csignal>
#include <cstdlib>
#include <utility>

namespace hearsay::daemon {

Signals::Signals() : set_(io_, SIGINT, SIGTERM, SIGHUP) {
  set_.add(SIGUSR2);
  Wait();
  thread_ = std::thread([this] { io_.run(); });
}

Signals::~Signals() {
  io_.stop();
  thread_.join();
  // Blocked, so that none comes between asio's restoring of the default, which
  // is death, and ignoring it.
  sigset_t ignored;
  sigemptyset(&ignored);
  for (const int signal : {SIGTERM, SIGHUP, SIGUSR2})
    sigaddset(&ignored, signal);
  pthread_sigmask(SIG_BLOCK, &ignored, nullptr);
  boost::system::error_code error;
  set_.clear(error);
  for (const int signal : {SIGTERM, SIGHUP, SIGUSR2})
    std::signal(signal, SIG_IGN);
}

void Signals::Wait() {
  set_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    if (signal == SIGINT && std::exchange(interrupted_, true)) std::_Exit(1);
    Deliver(signal);
    Wait();
  });
}

void Signals::Deliver(int signal) {
  const std::lock_guard lock(mutex_);
  if (served_ == nullptr) {
    early_.push_back(signal);
    return;
  }
  boost::asio::post(*served_, [handle = handle_, signal] { handle(signal); });
}

void Signals::Serve(boost::asio::io_context* io,
                    std::function<void(int)> handle) {
  const std::lock_guard lock(mutex_);
  served_ = io;
  handle_ = std::move(handle);
  if (served_ == nullptr) return;
  for (const int signal : std::exchange(early_, {}))
    boost::asio::post(*served_, [handle = handle_, signal] { handle(signal); });
}

void Signals::Run(boost::asio::io_context& io,
                  std::function<void(int)> handle) {
  Serve(&io, std::move(handle));
  try {
    io.run();
  } catch (...) {
    Serve(nullptr, nullptr);
    throw;
  }
  Serve(nullptr, nullptr);
}

}  // namespace hearsay::daemon
