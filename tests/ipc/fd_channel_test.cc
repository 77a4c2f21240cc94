// tests/ipc/fd_channel_test.cc
//
// Proves the attach handshake between real processes, and every refusal around it: what a newcomer
// meets who has not started the daemon, may not use its socket, or has another version; and what a
// hostile peer meets.

#include "ipc/fd_channel.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>

#include "ipc/shm_region.h"
#include "memmgr/base/check.h"
#include "tests/ipc/temporary_directory.h"
#include "tests/ipc/wire_corpus.h"

namespace kvpager {
namespace {

using testing::HasSubstr;

constexpr uint64_t kLongUs = 30'000'000;  // Far more than anything here takes.
constexpr uid_t kNobody = 65534;

AttachRequest EngineRequest() {
  AttachRequest request;
  request.pool = "llama";
  request.geometry = {
      .num_layers = 4, .layers_per_page = 4, .num_kv_heads = 2, .head_dim_k = 64, .head_dim_v = 64};
  request.model = "m";
  request.engine_name = "test";
  return request;
}

AttachReply OkReply() {
  AttachReply reply;
  reply.client = 1;
  reply.session = {{3, 4}};
  reply.endpoint = "ipc:///tmp/none.zmq";
  return reply;
}

bool WaitReadable(int fd) {
  pollfd watch = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&watch, 1, 30'000) == 1;
}

AttachPeer AcceptOne(AttachServer& server) {
  for (;;) {
    KVP_CHECK(WaitReadable(server.fd()));
    absl::StatusOr<std::optional<AttachPeer>> peer = server.Accept();
    KVP_CHECK(peer.ok());
    if (peer->has_value()) return **std::move(peer);
  }
}

absl::StatusOr<std::optional<AttachRequest>> ReceiveOne(AttachPeer& peer) {
  KVP_CHECK(WaitReadable(peer.fd()));
  return peer.ReceiveRequest();
}

// Runs `body` in a child, as `uid` if that is not ours; the child's exit code is its result.
pid_t Fork(const std::function<int()>& body, uid_t uid = geteuid()) {
  const pid_t child = fork();
  KVP_CHECK(child >= 0);
  if (child != 0) return child;
  if (uid != geteuid()) {
    KVP_CHECK(setgroups(0, nullptr) == 0);
    KVP_CHECK(setgid(uid) == 0);
    KVP_CHECK(setuid(uid) == 0);
  }
  _exit(body());
}

int WaitFor(pid_t child) {
  int status = -1;
  KVP_CHECK(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int OpenDescriptors() {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    count += entry.exists() || true;
  }
  return count;
}

// A peer that speaks no protocol.
UniqueFd RawConnect(const std::string& path) {
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.data(), path.size());
  KVP_CHECK(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  return fd;
}

// Sends a packet of `bytes` bytes, and a descriptor with it.
void SendWithDescriptor(int connection, size_t bytes) {
  std::string text(bytes, 'x');
  iovec part = {.iov_base = text.data(), .iov_len = text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  cmsghdr* const rights = CMSG_FIRSTHDR(&message);
  rights->cmsg_level = SOL_SOCKET;
  rights->cmsg_type = SCM_RIGHTS;
  rights->cmsg_len = CMSG_LEN(sizeof(int));
  const int zero = 0;
  std::memcpy(CMSG_DATA(rights), &zero, sizeof(zero));
  KVP_CHECK(sendmsg(connection, &message, 0) == static_cast<ssize_t>(bytes));
}

class FdChannel : public testing::Test {
 protected:
  FdChannel() : path_(directory_.path() + "/k.sock") {}

  AttachServer Listen(mode_t mode = 0600) {
    absl::StatusOr<AttachServer> server = AttachServer::Listen({.path = path_, .mode = mode});
    KVP_CHECK(server.ok());
    return *std::move(server);
  }

  absl::Status AttachStatus(uint64_t timeout_us = kLongUs) const {
    return AttachClient::Attach(path_, EngineRequest(), timeout_us).status();
  }

  // What a client at `path` is told, when it runs as nobody: its exit code is the status code, its
  // sentence comes through a pipe.
  absl::Status AttachStatusAsNobody() const {
    int ends[2];
    KVP_CHECK(pipe2(ends, O_CLOEXEC) == 0);
    const UniqueFd read_end(ends[0]);
    UniqueFd write_end(ends[1]);
    const pid_t child = Fork(
        [&] {
          const absl::Status status = AttachStatus();
          const std::string text(status.message());
          KVP_CHECK(write(write_end.get(), text.data(), text.size()) ==
                    static_cast<ssize_t>(text.size()));
          return static_cast<int>(status.code());
        },
        kNobody);
    write_end.reset();
    char text[1024];
    const ssize_t bytes = read(read_end.get(), text, sizeof(text));
    const int code = WaitFor(child);
    return absl::Status(static_cast<absl::StatusCode>(code),
                        absl::string_view(text, bytes > 0 ? static_cast<size_t>(bytes) : 0));
  }

  const TemporaryDirectory directory_;
  const std::string path_;
};

// What the engine does in the test below. 0: all well; else the number of what was not.
int RunEngine(const std::string& path) {
  absl::StatusOr<AttachClient> client = AttachClient::Attach(path, EngineRequest(), kLongUs);
  if (!client.ok()) return 1;
  if (client->reply().client != 7) return 2;
  absl::StatusOr<ShmRegion> table =
      ShmRegion::Map("page_table", client->TakeRegion(kRegionPageTable), 4096, Access::kReadOnly);
  if (!table.ok() || table->data()[0] != 11) return 3;
  const RegionInfo* const hbm = client->FindRegion(kRegionHbm);
  if (hbm == nullptr || !hbm->writable) return 4;
  absl::StatusOr<ShmRegion> frames =
      ShmRegion::Map("hbm", client->TakeRegion(kRegionHbm), hbm->bytes, Access::kReadWrite);
  if (!frames.ok()) return 5;
  frames->data()[8191] = 22;
  if (!client->TakeRegion(kRegionHbm).is_none()) return 6;
  if (client->HungUp()) return 7;
  return 0;
}

TEST_F(FdChannel, AnEngineInAnotherProcessGetsItsDescriptorsAndItsEndIsSeen) {
  AttachServer server = Listen();
  absl::StatusOr<ShmRegion> table = ShmRegion::Create("table", 4096);
  absl::StatusOr<ShmRegion> hbm = ShmRegion::Create("hbm", 8192);
  ASSERT_TRUE(table.ok() && hbm.ok());
  table->data()[0] = 11;
  ASSERT_TRUE(table->SealAgainstWriters().ok());
  const pid_t child = Fork([&] { return RunEngine(path_); });

  AttachPeer peer = AcceptOne(server);
  EXPECT_EQ(peer.identity().pid, child);
  EXPECT_EQ(peer.identity().uid, geteuid());
  const auto request = ReceiveOne(peer);
  ASSERT_TRUE(request.ok() && request->has_value()) << request.status();
  EXPECT_EQ((*request)->pool, "llama");
  EXPECT_FALSE(peer.HungUp());
  AttachReply reply = OkReply();
  reply.client = 7;
  reply.regions = {{std::string(kRegionPageTable), 4096, false},
                   {std::string(kRegionHbm), 8192, true}};
  const int fds[] = {table->fd(), hbm->fd()};
  ASSERT_TRUE(peer.SendReply(reply, fds).ok());

  EXPECT_EQ(WaitFor(child), 0);
  EXPECT_EQ(hbm->data()[8191], 22);
  EXPECT_TRUE(peer.HungUp());
  ASSERT_GE(peer.pid_fd(), 0);
  EXPECT_TRUE(WaitReadable(peer.pid_fd()));
  EXPECT_EQ(ReceiveOne(peer).status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(FdChannel, ARefusalReachesTheEngineWithItsReason) {
  AttachServer server = Listen();
  absl::Status status;
  std::thread engine([&] { status = AttachStatus(); });
  AttachPeer peer = AcceptOne(server);
  ASSERT_TRUE(ReceiveOne(peer).ok());
  AttachReply reply;
  reply.status = absl::FailedPreconditionError("num_layers is 4 here and 8 in the pool");
  ASSERT_TRUE(peer.SendReply(reply, {}).ok());
  engine.join();
  EXPECT_EQ(status, reply.status);
}

TEST_F(FdChannel, TheDaemonsEndIsSeenByTheEngine) {
  AttachServer server = Listen();
  absl::StatusOr<AttachClient> client = absl::UnknownError("not yet");
  std::thread engine([&] { client = AttachClient::Attach(path_, EngineRequest(), kLongUs); });
  {
    AttachPeer peer = AcceptOne(server);
    ASSERT_TRUE(ReceiveOne(peer).ok());
    ASSERT_TRUE(peer.SendReply(OkReply(), {}).ok());
    engine.join();
    ASSERT_TRUE(client.ok()) << client.status();
    EXPECT_FALSE(client->HungUp());
  }
  EXPECT_TRUE(WaitReadable(client->fd()));
  EXPECT_TRUE(client->HungUp());
}

TEST_F(FdChannel, WithoutADaemonTheEngineIsToldToStartOne) {
  const absl::Status status = AttachStatus();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(std::string(status.message()),
            "no kvpagerd listens on " + path_ + "; start it, or set KVPAGER_SOCKET to its socket");
}

TEST_F(FdChannel, ADaemonThatDoesNotAnswerIsADeadline) {
  AttachServer server = Listen();
  const absl::Status status = AttachStatus(1000);
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("within 1000 us"));
}

TEST_F(FdChannel, ADaemonThatHangsUpBeforeItAnswersIsUnavailable) {
  AttachServer server = Listen();
  absl::Status status;
  std::thread engine([&] { status = AttachStatus(); });
  {
    AttachPeer peer = AcceptOne(server);
    ASSERT_TRUE(ReceiveOne(peer).ok());
  }
  engine.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), HasSubstr("closed the connection without an answer"));
}

TEST_F(FdChannel, ADaemonOfAnotherMajorVersionIsRefusedByTheEngine) {
  AttachServer server = Listen();
  absl::Status status;
  std::thread engine([&] { status = AttachStatus(); });
  AttachPeer peer = AcceptOne(server);
  ASSERT_TRUE(ReceiveOne(peer).ok());
  MessageBytes bytes;
  ASSERT_TRUE(EncodeAttachReply(OkReply(), bytes).ok());
  bytes[4] = 2;
  ASSERT_GT(send(peer.fd(), bytes.data(), bytes.size(), 0), 0);
  engine.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("this side speaks 1.0 to 1.x"));
}

TEST_F(FdChannel, ADescriptorTooFewIsRefused) {
  AttachServer server = Listen();
  absl::Status status;
  std::thread engine([&] { status = AttachStatus(); });
  AttachPeer peer = AcceptOne(server);
  ASSERT_TRUE(ReceiveOne(peer).ok());
  AttachReply reply = OkReply();
  reply.regions = {{"hbm", 4096, true}};
  MessageBytes bytes;
  ASSERT_TRUE(EncodeAttachReply(reply, bytes).ok());
  ASSERT_GT(send(peer.fd(), bytes.data(), bytes.size(), 0), 0);
  engine.join();
  EXPECT_THAT(std::string(status.message()), HasSubstr("promised 1 regions and sent 0"));
}

TEST_F(FdChannel, GarbageIsRefusedAndOthersNoticeNothing) {
  AttachServer server = Listen();
  MessageBytes other_version;
  ASSERT_TRUE(EncodeAttachRequest(EngineRequest(), other_version).ok());
  other_version[4] = 9;
  struct Case {
    MessageBytes bytes;
    absl::StatusCode code;
  };
  const Case cases[] = {
      {MessageBytes(100, 'x'), absl::StatusCode::kInvalidArgument},
      {MessageBytes(1, 0), absl::StatusCode::kInvalidArgument},
      {MessageBytes(kAttachBytesMax + 1, 0), absl::StatusCode::kInvalidArgument},
      {MakeOpen(3), absl::StatusCode::kInvalidArgument},
      {other_version, absl::StatusCode::kUnimplemented},
  };
  for (const Case& wrong : cases) {
    const UniqueFd raw = RawConnect(path_);
    ASSERT_GT(send(raw.get(), wrong.bytes.data(), wrong.bytes.size(), 0), 0);
    AttachPeer peer = AcceptOne(server);
    const absl::Status status = ReceiveOne(peer).status();
    EXPECT_EQ(status.code(), wrong.code) << status;
    AttachReply refusal;
    refusal.status = status;
    EXPECT_TRUE(peer.SendReply(refusal, {}).ok());
  }
  absl::Status status = absl::UnknownError("not yet");
  std::thread engine([&] { status = AttachStatus(); });
  AttachPeer peer = AcceptOne(server);
  ASSERT_TRUE(ReceiveOne(peer).ok());
  ASSERT_TRUE(peer.SendReply(OkReply(), {}).ok());
  engine.join();
  EXPECT_TRUE(status.ok()) << status;
}

TEST_F(FdChannel, APeerThatSaysNothingOrLeavesBlocksNobody) {
  AttachServer server = Listen();
  const UniqueFd silent = RawConnect(path_);
  AttachPeer quiet = AcceptOne(server);
  const auto nothing = quiet.ReceiveRequest();
  ASSERT_TRUE(nothing.ok());
  EXPECT_FALSE(nothing->has_value());
  RawConnect(path_).reset();
  AttachPeer gone = AcceptOne(server);
  EXPECT_EQ(ReceiveOne(gone).status().code(), absl::StatusCode::kUnavailable);
  const auto nobody = server.Accept();
  ASSERT_TRUE(nobody.ok());
  EXPECT_FALSE(nobody->has_value());
  EXPECT_EQ(gone.SendReply(OkReply(), {}).code(), absl::StatusCode::kUnavailable);
}

TEST_F(FdChannel, DescriptorsThatAPeerSendsAreNotKept) {
  AttachServer server = Listen();
  const UniqueFd raw = RawConnect(path_);
  AttachPeer peer = AcceptOne(server);
  const int before = OpenDescriptors();
  SendWithDescriptor(raw.get(), 1);
  EXPECT_EQ(ReceiveOne(peer).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(OpenDescriptors(), before);
}

TEST_F(FdChannel, DescriptorsOfAnAnswerThatIsRefusedAreNotKept) {
  AttachServer server = Listen();
  const int before = OpenDescriptors();
  for (const size_t bytes : {size_t{100}, size_t{1}, size_t{0}}) {
    SCOPED_TRACE(bytes);
    absl::Status status;
    std::thread engine([&] { status = AttachStatus(); });
    {
      AttachPeer peer = AcceptOne(server);
      ASSERT_TRUE(ReceiveOne(peer).ok());
      SendWithDescriptor(peer.fd(), bytes);
    }
    engine.join();
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(OpenDescriptors(), before);
  }
}

TEST_F(FdChannel, ASecondDaemonOnTheSamePathIsRefusedByPid) {
  AttachServer server = Listen();
  const absl::Status status = AttachServer::Listen({.path = path_}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("another kvpagerd (pid " + std::to_string(getpid()) + ") listens on " +
                        path_ + "; stop it, or choose another --listen.socket"));
  // The first has not noticed.
  const UniqueFd raw = RawConnect(path_);
  EXPECT_TRUE(WaitReadable(server.fd()));
}

TEST_F(FdChannel, TheSocketOfADaemonThatWasKilledIsReplaced) {
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  const pid_t child = Fork([&] {
    AttachServer server = Listen();
    if (write(write_end.get(), "x", 1) != 1) return 1;
    pause();
    return 0;
  });
  char byte;
  ASSERT_EQ(read(read_end.get(), &byte, 1), 1);
  EXPECT_FALSE(AttachServer::Listen({.path = path_}).ok());
  ASSERT_EQ(kill(child, SIGKILL), 0);
  EXPECT_EQ(WaitFor(child), 128 + SIGKILL);
  ASSERT_TRUE(std::filesystem::is_socket(path_));
  EXPECT_EQ(AttachStatus().code(), absl::StatusCode::kUnavailable);
  AttachServer server = Listen();
  const UniqueFd raw = RawConnect(path_);
  EXPECT_TRUE(WaitReadable(server.fd()));
}

TEST_F(FdChannel, ACleanEndLeavesNothingBehind) {
  Listen();
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

TEST_F(FdChannel, AFileThatIsNoSocketIsNeverReplaced) {
  std::FILE* const file = std::fopen(path_.c_str(), "w");
  ASSERT_NE(file, nullptr);
  std::fclose(file);
  const absl::Status status = AttachServer::Listen({.path = path_}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("exists and is not a socket"));
  EXPECT_TRUE(std::filesystem::is_regular_file(path_));
}

TEST_F(FdChannel, TheSocketHasTheModeAskedForWhateverTheUmask) {
  const mode_t before = umask(0077);
  for (const mode_t mode : {mode_t{0600}, mode_t{0660}}) {
    const AttachServer server = Listen(mode);
    struct stat info;
    ASSERT_EQ(stat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, mode);
  }
  umask(before);
}

TEST_F(FdChannel, APathThatIsTooLongIsRefusedOnBothSides) {
  const std::string path = "/" + std::string(200, 'a');
  EXPECT_EQ(AttachServer::Listen({.path = path}).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AttachClient::Attach(path, EngineRequest(), kLongUs).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(FdChannel, WithoutPermissionOnTheSocketTheEngineIsToldWhoOwnsIt) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become nobody";
  AttachServer server = Listen(0600);
  ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
  const absl::Status status = AttachStatusAsNobody();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(std::string(status.message()),
            "no permission on " + path_ +
                " (mode 0600, owned by uid 0); run as that user or ask for --listen.mode=0660 and "
                "a group");
}

TEST_F(FdChannel, WithoutPermissionOnTheDirectoryTheEngineIsToldThat) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become nobody";
  AttachServer server = Listen(0666);
  const absl::Status status = AttachStatusAsNobody();
  EXPECT_EQ(status.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("no permission on " + directory_.path() + " (mode 0700, owned by uid 0)"));
}

TEST_F(FdChannel, ADaemonThatMayNotWriteTheDirectoryIsTold) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become nobody";
  ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
  const pid_t child =
      Fork([&] { return static_cast<int>(AttachServer::Listen({.path = path_}).status().code()); },
           kNobody);
  EXPECT_EQ(WaitFor(child), static_cast<int>(absl::StatusCode::kPermissionDenied));
}

TEST_F(FdChannel, AnEngineOfAnotherUserIsNamedByTheKernel) {
  if (geteuid() != 0) GTEST_SKIP() << "only root can become nobody";
  AttachServer server = Listen(0666);
  ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
  const pid_t child = Fork([&] { return static_cast<int>(AttachStatus().code()); }, kNobody);
  AttachPeer peer = AcceptOne(server);
  EXPECT_EQ(peer.identity().uid, kNobody);
  ASSERT_TRUE(ReceiveOne(peer).ok());
  AttachReply reply;
  reply.status = absl::PermissionDeniedError("not yours");
  ASSERT_TRUE(peer.SendReply(reply, {}).ok());
  EXPECT_EQ(WaitFor(child), static_cast<int>(absl::StatusCode::kPermissionDenied));
}

}  // namespace
}  // namespace kvpager
