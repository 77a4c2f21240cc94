#include "tools/kvpager-bench/bare_echo.h"

#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"
#include "tools/support/private_daemon.h"

extern char** environ;

namespace kvpager::bench {
namespace {

constexpr int kConnectMs = 10'000;
constexpr size_t kIdBytesMax = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<BareEcho>> BareEcho::Start(uint32_t peers) {
  std::unique_ptr<BareEcho> echo(new BareEcho());
  std::error_code error;
  std::string pattern =
      (std::filesystem::temp_directory_path(error) / "kvpager-echo.XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot create a directory like ", pattern, "; set TMPDIR to another"));
  }
  echo->path_ = pattern;
  const std::string program = tools::ProgramFolder() + "/kvpager-bench";
  std::string endpoint = "ipc://" + pattern + "/echo.sock";
  std::string name = program;
  std::string verb = "echo";
  std::array<char*, 4> arguments = {name.data(), verb.data(), endpoint.data(), nullptr};
  const int failed =
      posix_spawn(&echo->pid_, program.c_str(), nullptr, nullptr, arguments.data(), environ);
  if (failed != 0) {
    echo->pid_ = -1;
    return absl::NotFoundError(absl::StrCat("cannot start ", program, ": ", std::strerror(failed)));
  }
  const absl::Status connected = echo->Connect(peers);
  if (!connected.ok()) return connected;
  return echo;
}

absl::Status BareEcho::Connect(uint32_t peers) {
  const std::string endpoint = "ipc://" + path_ + "/echo.sock";
  context_ = zmq_ctx_new();
  for (uint32_t i = 0; i < peers; ++i) {
    void* const socket = zmq_socket(context_, ZMQ_DEALER);
    const int linger = 0;
    zmq_setsockopt(socket, ZMQ_LINGER, &linger, sizeof linger);
    zmq_setsockopt(socket, ZMQ_RCVTIMEO, &kConnectMs, sizeof kConnectMs);
    sockets_.push_back(socket);
    if (zmq_connect(socket, endpoint.c_str()) != 0) {
      return absl::UnavailableError(absl::StrCat("cannot connect to ", endpoint));
    }
  }
  std::array<char, kEchoBytes> message{};
  for (void* const socket : sockets_) {  // Connecting is not measured.
    zmq_send(socket, message.data(), message.size(), 0);
    if (zmq_recv(socket, message.data(), message.size(), 0) < 0) {
      return absl::UnavailableError("the bare echo does not answer");
    }
  }
  return absl::OkStatus();
}

BareEcho::~BareEcho() {
  for (void* const socket : sockets_) zmq_close(socket);
  if (context_ != nullptr) zmq_ctx_term(context_);
  if (pid_ > 0) {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  std::error_code error;
  if (!path_.empty()) std::filesystem::remove_all(path_, error);
}

void BareEcho::Ping() {
  std::array<char, kEchoBytes> message{};
  zmq_send(sockets_[0], message.data(), message.size(), 0);
  KVP_CHECK(zmq_recv(sockets_[0], message.data(), message.size(), 0) == int{kEchoBytes});
}

void BareEcho::Flood(uint32_t messages) {
  std::array<char, kEchoBytes> message{};
  for (void* const socket : sockets_) {
    for (uint32_t i = 0; i < messages; ++i) zmq_send(socket, message.data(), message.size(), 0);
  }
  for (void* const socket : sockets_) {
    for (uint32_t i = 0; i < messages; ++i) {
      KVP_CHECK(zmq_recv(socket, message.data(), message.size(), 0) == int{kEchoBytes});
    }
  }
}

int RunEcho(const std::string& endpoint) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  void* const context = zmq_ctx_new();
  void* const socket = zmq_socket(context, ZMQ_ROUTER);
  if (zmq_bind(socket, endpoint.c_str()) != 0) return 1;
  std::array<char, kIdBytesMax> id{};
  std::array<char, kEchoBytes> message{};
  while (getppid() != 1) {
    const int id_bytes = zmq_recv(socket, id.data(), id.size(), 0);
    if (id_bytes < 0 && zmq_errno() == EINTR) continue;
    const int bytes = zmq_recv(socket, message.data(), message.size(), 0);
    if (id_bytes < 0 || bytes < 0) return 1;
    zmq_send(socket, id.data(), static_cast<size_t>(id_bytes), ZMQ_SNDMORE);
    zmq_send(socket, message.data(), static_cast<size_t>(bytes), 0);
  }
  return 0;
}

}  // namespace kvpager::bench
