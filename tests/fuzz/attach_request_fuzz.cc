// tests/fuzz/attach_request_fuzz.cc
//
// What a hostile process can do to the daemon's end of the attach socket: packets of any bytes,
// cut, repeated or empty, with descriptors, and leaving at any moment (hostile_peer.h). The
// daemon's part is that of Reception and Daemon::AttachEngine. Nothing crashes or blocks, no
// descriptor stays, an accepted request is one that an engine could have made, and whoever stays
// hears an answer that can be read.

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>

#include "ipc/fd_channel.h"
#include "ipc/shm_region.h"
#include "ipc/wire_values.h"
#include "memmgr/base/check.h"
#include "memmgr/base/geometry.h"
#include "tests/fuzz/hostile_peer.h"
#include "tests/fuzz/message_mutator.h"
#include "tests/ipc/temporary_directory.h"

namespace kvpager {
namespace {

class Daemon {
 public:
  Daemon() {
    absl::StatusOr<AttachServer> server = AttachServer::Listen({.path = path_});
    KVP_CHECK(server.ok());
    server_ = *std::move(server);
    absl::StatusOr<ShmRegion> region = ShmRegion::Create("fuzz", kHostileRegionBytes);
    KVP_CHECK(region.ok());
    region_ = *std::move(region);
  }

  UniqueFd Connect() const {
    UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    KVP_CHECK(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    return fd;
  }

  AttachPeer Accept() {
    absl::StatusOr<std::optional<AttachPeer>> peer = server_->Accept();
    KVP_CHECK(peer.ok() && peer->has_value());
    KVP_CHECK((*peer)->identity().pid == getpid());
    KVP_CHECK((*peer)->identity().uid == getuid());
    return **std::move(peer);
  }

  // Sends the answer to what `peer` asked, if it asked. Returns the status it contains.
  std::optional<absl::Status> Serve(AttachPeer& peer) const;

 private:
  const TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/k.sock";
  std::optional<AttachServer> server_;
  ShmRegion region_;
};

void CheckName(const std::string& name, uint32_t bytes_max) {
  KVP_CHECK_LE(name.size(), bytes_max);
  for (const char c : name) KVP_CHECK(static_cast<unsigned char>(c) >= 0x20 && c != 0x7f);
}

// What attach.h promises of a request, and that an engine could have said it.
void CheckRequest(const AttachRequest& request) {
  CheckName(request.pool, kNameBytesMax);
  CheckName(request.model, kModelBytesMax);
  CheckName(request.name_space, kNameBytesMax);
  CheckName(request.engine_name, kNameBytesMax);
  KVP_CHECK_LE(request.token.size(), kTokenBytesMax);
  KVP_CHECK(!request.name_space.empty());
  KVP_CHECK(request.admin || !request.pool.empty());
  MessageBytes bytes;
  KVP_CHECK(EncodeAttachRequest(request, bytes).ok());
  const absl::StatusOr<AttachRequest> again = DecodeAttachRequest(bytes);
  KVP_CHECK(again.ok());
  KVP_CHECK(again->admin == request.admin && again->version_minor == request.version_minor);
  KVP_CHECK(again->pool == request.pool && again->geometry == request.geometry);
  KVP_CHECK(again->model == request.model && again->name_space == request.name_space);
  KVP_CHECK(again->token == request.token && again->engine_name == request.engine_name);
  KVP_CHECK(again->message_free == request.message_free && again->ring == request.ring &&
            again->gpu == request.gpu);
}

// Sizes that the daemon computes from a geometry it has accepted.
void UseGeometry(const Geometry& geometry) {
  KVP_CHECK(geometry.num_groups() > 0);
  KVP_CHECK_LE(geometry.payload_bytes(), geometry.frame_bytes_hbm());
  KVP_CHECK_LT(geometry.frame_bytes_hbm(), geometry.frame_bytes_host());
  KVP_CHECK(!Describe(geometry).empty() && Fingerprint(geometry) != 0);
}

std::optional<absl::Status> Daemon::Serve(AttachPeer& peer) const {
  const absl::StatusOr<std::optional<AttachRequest>> request = peer.ReceiveRequest();
  AttachReply reply;
  if (!request.ok()) {
    if (absl::IsUnavailable(request.status())) return std::nullopt;
    reply.status = request.status();
  } else {
    KVP_CHECK(request->has_value());  // Everything was sent before we looked.
    CheckRequest(**request);
    if (!(*request)->admin) reply.status = (*request)->geometry.Validate(1);
    if (reply.status.ok() && !(*request)->admin) UseGeometry((*request)->geometry);
  }
  std::vector<int> fds;
  if (reply.status.ok()) {
    reply.session = {{1, 2}};
    reply.endpoint = "ipc:///tmp/none.zmq";
    reply.regions = {{"page_table", region_.bytes(), false}, {"hbm", region_.bytes(), true}};
    fds = {region_.fd(), region_.fd()};
  }
  const absl::Status sent = peer.SendReply(reply, fds);
  if (absl::IsUnavailable(sent)) return std::nullopt;
  KVP_CHECK(sent.ok());
  return reply.status;
}

// The peer's end: the answer can be read and says `status`.
void Hear(const UniqueFd& connection, const absl::Status& status) {
  MessageBytes bytes(kAttachBytesMax);
  const ssize_t got = recv(connection.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
  KVP_CHECK(got > 0);
  bytes.resize(static_cast<size_t>(got));
  const absl::StatusOr<AttachReply> reply = DecodeAttachReply(bytes);
  KVP_CHECK(reply.ok());
  KVP_CHECK(reply->status == status);
}

void Attach(absl::Span<const uint8_t> input) {
  static Daemon daemon;
  static const HostilePeer hostile;
  const size_t open_before = OpenDescriptorsCount();
  {
    UniqueFd connection = daemon.Connect();
    AttachPeer peer = daemon.Accept();
    const Sent sent = hostile.Act(input, connection);
    const std::optional<absl::Status> status = daemon.Serve(peer);
    if (status.has_value() && status->ok()) KVP_CHECK_LE(sent.first_bytes, kAttachBytesMax);
    if (connection.is_none()) {
      KVP_CHECK(peer.HungUp());
    } else if (status.has_value()) {
      Hear(connection, *status);
      KVP_CHECK(peer.HungUp() == (sent.packets > 1));
    }
  }
  KVP_CHECK_EQ(OpenDescriptorsCount(), open_before);
}

}  // namespace
}  // namespace kvpager

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  kvpager::Attach({data, bytes});
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t bytes, size_t bytes_max,
                                          unsigned int seed) {
  return kvpager::MutateMessage(data, bytes, bytes_max, sizeof(kvpager::Plan), seed);
}
