// tests/fuzz/attach_reply_fuzz.cc
//
// What a hostile daemon can do to an engine that attaches: answer with packets of any bytes, cut,
// repeated or empty, with descriptors of any kind and number, and hang up (hostile_peer.h). Nothing
// crashes, no descriptor stays, and an attach that succeeds keeps what attach.h promises, down to
// mapping its regions.
//
// One thread plays both: AttachClient::Attach waits for the answer in ppoll, which the linker leads
// here (--wrap=ppoll). So each input has one outcome, and nothing waits for a scheduler.

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <string>
#include <utility>

#include "ipc/doorbell.h"
#include "ipc/fd_channel.h"
#include "ipc/shm_region.h"
#include "ipc/wire_values.h"
#include "memmgr/base/check.h"
#include "tests/fuzz/hostile_peer.h"
#include "tests/fuzz/message_mutator.h"
#include "tests/ipc/temporary_directory.h"

namespace kvpager {
namespace {

constexpr uint64_t kTimeoutUs = 60'000'000;  // Never passes: the answer is there before the wait.

AttachRequest EngineRequest() {
  AttachRequest request;
  request.pool = "llama";
  request.geometry = {
      .num_layers = 4, .layers_per_page = 4, .num_kv_heads = 2, .head_dim_k = 64, .head_dim_v = 64};
  request.model = "m";
  return request;
}

class HostileDaemon {
 public:
  HostileDaemon() : listener_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path_.data(), path_.size());
    KVP_CHECK(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    KVP_CHECK(listen(listener_.get(), 8) == 0);
  }

  const std::string& path() const { return path_; }

  void Expect(absl::Span<const uint8_t> input) { input_ = input; }

  // The engine has sent its request and waits.
  void Answer() {
    connection_ = UniqueFd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    KVP_CHECK(!connection_.is_none());
    MessageBytes bytes(kAttachBytesMax);
    const ssize_t got = recv(connection_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    KVP_CHECK(got > 0);
    bytes.resize(static_cast<size_t>(got));
    KVP_CHECK(DecodeAttachRequest(bytes).ok());
    sent_ = peer_.Act(input_, connection_);
  }

  const Sent& sent() const { return sent_; }
  bool left() const { return connection_.is_none(); }
  void HangUp() { connection_.reset(); }

 private:
  const TemporaryDirectory directory_;
  const std::string path_ = directory_.path() + "/k.sock";
  const HostilePeer peer_;
  UniqueFd listener_;
  UniqueFd connection_;
  absl::Span<const uint8_t> input_;
  Sent sent_;
};

HostileDaemon& TheDaemon() {
  static HostileDaemon daemon;
  return daemon;
}

// As Link::ConnectRing: only a socket is a doorbell, and whatever it is, nothing waits.
void UseDoorbell(UniqueFd fd) {
  const bool is_socket = HostilePeer::IsDoorbell(fd.get());
  absl::StatusOr<Doorbell> bell = Doorbell::Adopt(std::move(fd));
  KVP_CHECK(bell.ok() == is_socket);
  if (!bell.ok()) return;
  bell->Ring();
  bell->Silence();
}

// As Link::Attach: a region that can be mapped can be read from end to end.
void UseRegion(const RegionInfo& region, UniqueFd fd) {
  if (region.name == kRegionDoorbell) return UseDoorbell(std::move(fd));
  const Access access = region.writable ? Access::kReadWrite : Access::kReadOnly;
  const absl::StatusOr<ShmRegion> mapped =
      ShmRegion::Map(region.name, std::move(fd), region.bytes, access);
  if (!mapped.ok()) return;
  KVP_CHECK(mapped->bytes() == region.bytes && region.bytes <= kHostileRegionBytes);
  for (uint64_t at = 0; at < region.bytes; ++at) KVP_CHECK(mapped->data()[at] == 0);
}

// Every region has a descriptor, which is handed out once; of two regions of one name, the first's.
void UseRegions(AttachClient& client) {
  std::set<std::string> names;
  for (const RegionInfo& region : client.reply().regions) {
    KVP_CHECK_LE(region.name.size(), kNameBytesMax);
    const bool is_first = names.insert(region.name).second;
    KVP_CHECK((client.FindRegion(region.name) == &region) == is_first);
    UniqueFd fd = client.TakeRegion(region.name);
    KVP_CHECK(fd.is_none() == !is_first);
    UseRegion(region, std::move(fd));
  }
  const std::string other(kNameBytesMax + 1, 'x');
  KVP_CHECK(client.FindRegion(other) == nullptr && client.TakeRegion(other).is_none());
}

void CheckAttached(AttachClient& client) {
  const AttachReply& reply = client.reply();
  KVP_CHECK(reply.status.ok());
  KVP_CHECK(!reply.session.is_none());
  KVP_CHECK(!reply.endpoint.empty());
  KVP_CHECK_LE(reply.endpoint.size(), kReasonBytesMax);
  KVP_CHECK_LE(reply.regions.size(), kRegionsMax);
  UseRegions(client);
  KVP_CHECK_LE(TheDaemon().sent().first_bytes, kAttachBytesMax);
  KVP_CHECK(client.HungUp() == (TheDaemon().left() || TheDaemon().sent().packets > 1));
  TheDaemon().HangUp();
  KVP_CHECK(client.HungUp());
}

void Attach(absl::Span<const uint8_t> input) {
  static const AttachRequest request = EngineRequest();
  HostileDaemon& daemon = TheDaemon();
  const size_t open_before = OpenDescriptorsCount();
  daemon.Expect(input);
  {
    absl::StatusOr<AttachClient> client = AttachClient::Attach(daemon.path(), request, kTimeoutUs);
    if (client.ok()) CheckAttached(*client);
  }
  daemon.HangUp();
  KVP_CHECK_EQ(OpenDescriptorsCount(), open_before);
}

}  // namespace
}  // namespace kvpager

extern "C" int __real_ppoll(pollfd* watches, nfds_t count, const timespec* timeout,
                            const sigset_t* mask);

extern "C" int __wrap_ppoll(pollfd* watches, nfds_t count, const timespec* timeout,
                            const sigset_t* mask) {
  kvpager::TheDaemon().Answer();
  return __real_ppoll(watches, count, timeout, mask);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  kvpager::Attach({data, bytes});
  return 0;
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t bytes, size_t bytes_max,
                                          unsigned int seed) {
  return kvpager::MutateMessage(data, bytes, bytes_max, sizeof(kvpager::Plan), seed);
}
