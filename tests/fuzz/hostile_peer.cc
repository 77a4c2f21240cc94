#include "tests/fuzz/hostile_peer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <vector>

#include "ipc/attach.h"
#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr size_t kDescriptorsMax = 12;

UniqueFd Memory(uint64_t bytes, int seals) {
  UniqueFd fd(memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  KVP_CHECK(!fd.is_none());
  KVP_CHECK(ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
  KVP_CHECK(fcntl(fd.get(), F_ADD_SEALS, seals) == 0);
  return fd;
}

}  // namespace

HostilePeer::HostilePeer() {
  fds_[0] = Memory(kHostileRegionBytes, F_SEAL_SHRINK | F_SEAL_GROW);  // As it should be.
  fds_[1] = Memory(kHostileRegionBytes, 0);                            // May shrink.
  fds_[2] = Memory(0, F_SEAL_SHRINK | F_SEAL_GROW);
  fds_[3] = UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));  // A doorbell; no memory.
  KVP_CHECK(!fds_[3].is_none());
}

bool HostilePeer::IsDoorbell(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISSOCK(info.st_mode);
}

void HostilePeer::Send(int connection, absl::Span<const uint8_t> packet,
                       absl::Span<const int> fds) const {
  iovec part = {.iov_base = const_cast<uint8_t*>(packet.data()), .iov_len = packet.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(kDescriptorsMax * sizeof(int))] = {};
  msghdr message = {};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  if (!fds.empty()) {
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(fds.size() * sizeof(int));
    cmsghdr* const rights = CMSG_FIRSTHDR(&message);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size() * sizeof(int));
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size() * sizeof(int));
  }
  sendmsg(connection, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

Sent HostilePeer::Act(absl::Span<const uint8_t> input, UniqueFd& connection) const {
  if (input.size() < sizeof(Plan)) {
    connection.reset();
    return {};
  }
  Plan plan;
  std::memcpy(&plan, input.data(), sizeof(plan));
  std::vector<uint8_t> bytes(input.begin() + sizeof(plan), input.end());
  if ((plan.how & Plan::kLong) != 0) bytes.resize(kAttachBytesMax + 1);
  const absl::Span<const uint8_t> packet = bytes;
  std::vector<absl::Span<const uint8_t>> packets;
  if ((plan.how & Plan::kEmptyFirst) != 0) packets.emplace_back();
  if ((plan.how & Plan::kTwice) != 0) packets.push_back(packet);
  if ((plan.how & Plan::kCut) != 0) {
    const size_t at = packet.size() * plan.cut / 256;
    packets.push_back(packet.first(at));
    packets.push_back(packet.subspan(at));
  } else {
    packets.push_back(packet);
  }
  std::vector<int> fds;
  for (size_t i = 0; i < plan.descriptors % (kDescriptorsMax + 1); ++i) {
    fds.push_back(fds_[plan.kinds >> (2 * (i % 4)) & 3].get());
  }
  for (const absl::Span<const uint8_t> each : packets) {
    Send(connection.get(), each, fds);
    fds.clear();
  }
  if ((plan.how & Plan::kLeaves) != 0) connection.reset();
  return {.packets = packets.size(), .first_bytes = packets.front().size()};
}

size_t OpenDescriptorsCount() {
  constexpr int kDescriptors = 256;
  pollfd watches[kDescriptors];
  for (int fd = 0; fd < kDescriptors; ++fd) watches[fd] = {.fd = fd, .events = 0, .revents = 0};
  KVP_CHECK(poll(watches, kDescriptors, 0) >= 0);
  return static_cast<size_t>(
      std::count_if(std::begin(watches), std::end(watches),
                    [](const pollfd& watch) { return (watch.revents & POLLNVAL) == 0; }));
}

}  // namespace kvpager
