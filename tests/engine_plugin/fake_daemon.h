// tests/engine_plugin/fake_daemon.h
//
// A daemon small enough to trust: real sockets, real shared memory, and an allocator that always
// grants. It keeps every block in HBM (and a copy in host memory where a test asks), names blocks,
// defers what must wait for a step, and does what the script says: refuse, hold back, fail, lose
// blocks, publish a wrong word, or die.
//
// Block b, group g lies in HBM frame N-1-(b*G+g), so an index that was meant as a page never works
// as a frame by accident.
//
// Thread-safety: the public calls are for the test's thread; the daemon has a thread of its own.

#ifndef KVPAGER_TESTS_ENGINE_PLUGIN_FAKE_DAEMON_H_
#define KVPAGER_TESTS_ENGINE_PLUGIN_FAKE_DAEMON_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "ipc/fd_channel.h"
#include "ipc/lanes.h"
#include "ipc/page_table_writer.h"
#include "ipc/shm_region.h"
#include "ipc/wire.h"
#include "ipc/zmq_server.h"
#include "tests/engine_plugin/fake_rings.h"
#include "tests/ipc/temporary_directory.h"

namespace kvpager::engine {

struct FakeDaemonOptions {
  uint32_t blocks_max = 64;
  uint32_t keys_per_command_max = 4;  // Small, so that tests cross it.
  uint32_t entries_per_step_max = 8;
  bool gives_rings = true;  // To those that ask.
};

// A request, as the daemon saw it.
struct SeenRequest {
  MessageType type = MessageType{0};
  uint64_t sequence = 0;
  uint64_t tokens = 0;  // Truncate.
  bool accept = false;  // Truncate.
  Ticket ticket;
  uint32_t keys_count = 0;
};

class FakeDaemon {
 public:
  explicit FakeDaemon(const FakeDaemonOptions& options = {});
  ~FakeDaemon();
  FakeDaemon(const FakeDaemon&) = delete;
  FakeDaemon& operator=(const FakeDaemon&) = delete;

  std::string socket_path() const;

  // Attaches are refused with this from now on.
  void RefuseAttach(absl::Status status);

  // Requests of this type are not looked at until Release.
  void Hold(MessageType type);
  void Release();

  // The next request of this type is answered with `status`, and nothing changes.
  void FailNext(MessageType type, absl::Status status);

  // Cuts the newest sequence (by id) to `tokens` and says so in a notice, as a daemon does that has
  // found a block unreadable.
  void LoseTokens(uint64_t sequence, uint64_t tokens);
  // The next StepBegin is answered with kDataLoss, its first sequence cut to `tokens`.
  void LoseInNextStep(uint64_t tokens);

  // Blocks of `sequence` at these positions are in host memory only, from the next turn on.
  void MoveToHost(uint64_t sequence, std::set<uint32_t> positions);
  // They have a copy in host memory, too.
  void CopyToHost(uint64_t sequence, std::set<uint32_t> positions);
  // Their words say nothing, or another generation.
  void WithdrawWord(uint64_t sequence, uint32_t position, uint32_t group);
  void MisplaceWord(uint64_t sequence, uint32_t position, uint32_t group);  // Beyond HBM.
  void AgeWord(uint64_t sequence, uint32_t position, uint32_t group);

  // Lends `sequence` its next block; takes it back, true, unless the client has taken it.
  void GrantCredit(uint64_t sequence);
  bool RevokeCredit(uint64_t sequence);
  // It says that it is another sequence's.
  void AgeCredit(uint64_t sequence);
  // The words of its pages say nothing.
  void WithdrawCredit(uint64_t sequence);

  // Goes without a word: before it handles its `requests_more` next request, or behind it.
  void DieBefore(uint64_t requests_more);
  void DieAfter(uint64_t requests_more);
  void Stop();  // A clean end: says so in the page table, then goes.

  // A message that is not of the protocol, to the newest client.
  void SendGarbage();
  // "Done" to this request of the newest client, whether it was asked for or not.
  void AnswerUnasked(uint64_t request);
  // The newest client is revoked, as its lanes say.
  void Revoke();

  // Steps begun and ended in a lane, as the newest client says.
  std::pair<uint64_t, uint64_t> lane(uint32_t lane) const;

  std::vector<SeenRequest> seen() const;
  uint64_t length_tokens(uint64_t sequence) const;
  uint64_t written_tokens(uint64_t sequence) const;  // As last reported.
  size_t sequences_open() const;
  size_t names_count() const;
  size_t steps_open() const;
  size_t clients_attached() const;
  size_t rings_count() const;

 private:
  struct Block {
    uint32_t references = 0;
    uint32_t generation = 1;
    bool host_only = false;
  };
  struct SequenceState {
    uint64_t length_tokens = 0;
    uint64_t written_tokens = 0;
    std::vector<uint32_t> blocks;
    std::optional<uint32_t> credit;
  };
  struct Update {
    uint64_t sequence = 0;
    uint32_t block_position = 0;
  };
  struct Reply {
    absl::Status status;
    uint64_t sequence = 0;
    uint64_t tokens = 0;
    uint32_t hit_blocks = 0;
    Ticket ticket;
    std::vector<Update> updates;
  };

  void Loop();
  void Turn();
  void AcceptPeers();
  void Admit(AttachPeer& peer, const AttachRequest& request);
  void MakePool(const AttachRequest& request);
  void HandleWaiting();
  bool MayRun(const IncomingMessage& message, std::set<uint64_t>& blocked) const;
  void Handle(const IncomingMessage& message);
  Reply Execute(const MessageView& message);
  Reply Open(uint64_t id, const flatbuffers::Vector<const wire::Key*>* keys);
  Reply Fork(uint64_t parent);
  Reply Truncate(const wire::TruncateRequest& request);
  Reply Name(const wire::NameRequest& request);
  Reply StepBegin(const wire::StepBeginRequest& request);
  void StepCancel(const IncomingMessage& message, const MessageView& view);
  uint32_t MakeOwn(SequenceState& sequence, uint32_t position_first);
  void Answer(const RoutingId& peer, uint64_t request, const Reply& reply);
  void Send(const RoutingId& peer, absl::Span<const uint8_t> bytes);
  uint32_t Allocate();
  void Drop(uint32_t block);
  void Publish(uint32_t block);
  SharedLanes& shared_lanes() const { return *reinterpret_cast<SharedLanes*>(lanes_.data()); }
  uint8_t* FrameOf(uint32_t block, uint32_t group) const;
  void CutSequence(uint64_t id, uint64_t tokens);
  uint64_t CreditWordOf(uint64_t id, uint32_t block) const;

  const FakeDaemonOptions options_;
  TemporaryDirectory directory_;

  mutable std::mutex mutex_;  // Everything below.
  std::optional<AttachServer> attach_server_;
  std::unique_ptr<ZmqServer> zmq_server_;
  FakeRings rings_;
  std::vector<AttachPeer> newcomers_;  // Before the handshake.
  std::vector<AttachPeer> peers_;
  std::optional<AttachRequest> pool_;
  std::optional<PageTableWriter> table_;
  ShmRegion hbm_;
  ShmRegion host_;
  ShmRegion lanes_;
  bool message_free_ = false;  // The newest client keeps its lanes.
  uint32_t num_groups_ = 0;
  std::vector<Block> blocks_;
  std::map<uint64_t, SequenceState> sequences_;
  uint64_t sequence_newest_ = 100;
  std::map<std::array<uint64_t, 4>, uint32_t> names_;
  std::set<std::pair<uint32_t, uint64_t>> steps_;  // Lane, number.
  std::deque<IncomingMessage> waiting_;
  std::set<MessageType> held_;
  std::map<MessageType, absl::Status> failures_;
  std::optional<uint64_t> loss_tokens_;
  std::vector<std::pair<RoutingId, Reply>> notices_;
  std::vector<uint64_t> unasked_;
  absl::Status refusal_;
  RoutingId peer_newest_;
  std::vector<SeenRequest> seen_;
  uint64_t die_before_ = ~uint64_t{0};
  uint64_t die_after_ = ~uint64_t{0};
  bool garbage_ = false;
  bool dead_ = false;

  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_TESTS_ENGINE_PLUGIN_FAKE_DAEMON_H_
