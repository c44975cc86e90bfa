// Cables between nodes that a test can cut: each node is reached through a gate
// that forwards to it, knows from the Hello who dials, and swallows everything
// between those that are cut from each other, as a network does. Control
// connections only; nothing may exchange arrays over sockets here.
//
// Threads: its own; calls come from the test's.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "transport/address.h"
#include "transport/control_messages.h"
#include "transport/frame.h"

namespace hearsay::transport {

class Cables {
 public:
  // True of two nodes that are cut from each other.
  using IsCut =
      std::function<bool(const std::string& one, const std::string& other)>;

  Cables() : thread_([this] { io_.run(); }) {}
  ~Cables() {
    io_.stop();
    thread_.join();
  }
  Cables(const Cables&) = delete;
  Cables& operator=(const Cables&) = delete;

  // Where `node` is to be dialled.
  std::string Gate(const std::string& node) {
    const std::lock_guard lock(mutex_);
    auto& gate = gates_[node];
    gate.acceptor = std::make_unique<Tcp::acceptor>(
        io_, Tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0));
    Accept(node, *gate.acceptor);
    return "127.0.0.1:" +
           std::to_string(gate.acceptor->local_endpoint().port());
  }
  // Where it listens.
  void Lead(const std::string& node, const std::string& address) {
    const std::lock_guard lock(mutex_);
    gates_.at(node).target = address;
  }
  void Cut(IsCut is_cut) {
    const std::lock_guard lock(mutex_);
    is_cut_ = std::move(is_cut);
  }
  void Heal() { Cut(nullptr); }

 private:
  using Tcp = boost::asio::ip::tcp;
  struct GateOf {
    std::unique_ptr<Tcp::acceptor> acceptor;
    std::string target;
  };
  // One connection. What was swallowed is missing for ever, so it ends when the
  // cut does.
  struct Pipe {
    explicit Pipe(Tcp::socket socket)
        : near(std::move(socket)), far(near.get_executor()) {}
    void Close() {
      boost::system::error_code ignored;
      near.close(ignored);
      far.close(ignored);
    }
    Tcp::socket near;
    Tcp::socket far;
    std::string from;
    std::string to;
    std::string head;
    bool swallowed = false;
    std::array<std::array<char, 16384>, 2> input{};
  };
  using PipePointer = std::shared_ptr<Pipe>;

  bool IsCutNow(const Pipe& pipe) {
    const std::lock_guard lock(mutex_);
    return is_cut_ && is_cut_(pipe.from, pipe.to);
  }

  void Accept(const std::string& node, Tcp::acceptor& acceptor) {
    acceptor.async_accept([this, node, &acceptor](const auto& error,
                                                  Tcp::socket socket) {
      if (error) return;
      const auto pipe = std::make_shared<Pipe>(std::move(socket));
      pipe->to = node;
      pipe->head.resize(kFrameHeaderBytes);
      boost::asio::async_read(pipe->near, boost::asio::buffer(pipe->head),
                              [this, pipe](const auto& failed, std::size_t) {
                                if (!failed) ReadHello(pipe);
                              });
      Accept(node, acceptor);
    });
  }

  void ReadHello(const PipePointer& pipe) {
    std::size_t bytes = 0;
    for (const char c : pipe->head)
      bytes = (bytes << 8) | static_cast<unsigned char>(c);
    if (bytes > kMaxFrameBytes) return;
    pipe->head.resize(kFrameHeaderBytes + bytes);
    boost::asio::async_read(
        pipe->near,
        boost::asio::buffer(pipe->head.data() + kFrameHeaderBytes, bytes),
        [this, pipe](const auto& failed, std::size_t) {
          if (failed) return;
          const auto message =
              DecodeControl(pipe->head.substr(kFrameHeaderBytes));
          const auto* hello = message ? std::get_if<Hello>(&*message) : nullptr;
          if (hello == nullptr) return;
          pipe->from = hello->node;
          Connect(pipe);
        });
  }

  void Connect(const PipePointer& pipe) {
    std::string target;
    {
      const std::lock_guard lock(mutex_);
      target = gates_.at(pipe->to).target;
    }
    const auto parsed = ParseHostPort(target);
    boost::system::error_code error;
    if (parsed && !IsCutNow(*pipe))
      pipe->far.connect(
          {boost::asio::ip::make_address(parsed->host), parsed->port}, error);
    if (!parsed || error) return pipe->Close();
    if (!pipe->far.is_open()) return Swallow(pipe);
    boost::asio::write(pipe->far, boost::asio::buffer(pipe->head), error);
    Pump(pipe, pipe->near, pipe->far, 0);
    Pump(pipe, pipe->far, pipe->near, 1);
  }

  void Swallow(const PipePointer& pipe) {
    pipe->swallowed = true;
    Pump(pipe, pipe->near, pipe->far, 0);
  }

  void Pump(const PipePointer& pipe, Tcp::socket& in, Tcp::socket& out,
            std::size_t side) {
    in.async_read_some(
        boost::asio::buffer(pipe->input[side]),
        [this, pipe, &in, &out, side](const auto& error, std::size_t bytes) {
          const bool cut = IsCutNow(*pipe);
          if (cut) pipe->swallowed = true;
          // Through a cut not even an end is heard.
          if (error && cut) return;
          if (error || (pipe->swallowed && !cut)) return pipe->Close();
          boost::system::error_code failed;
          if (!cut)
            boost::asio::write(
                out, boost::asio::buffer(pipe->input[side].data(), bytes),
                failed);
          if (failed) return pipe->Close();
          Pump(pipe, in, out, side);
        });
  }

  boost::asio::io_context io_;  // Outlives the sockets below.
  std::mutex mutex_;
  std::map<std::string, GateOf> gates_;  // Guarded by mutex_.
  IsCut is_cut_;                         // Guarded by mutex_.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type>
      work_{io_.get_executor()};
  std::thread thread_;
};

}  // namespace hearsay::transport
