#include "tests/engine_plugin/fake_daemon.h"

#include <poll.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "ipc/attach.h"
#include "ipc/credit_word.h"
#include "ipc/deadline.h"
#include "ipc/default_paths.h"
#include "ipc/lanes.h"
#include "memmgr/base/check.h"
#include "memmgr/base/units.h"

namespace kvpager::engine {
namespace {

std::array<uint64_t, 4> KeyOf(const wire::Key& key) {
  return {key.word0(), key.word1(), key.word2(), key.word3()};
}

// The sequences a request concerns, and the ticket it waits for.
struct Concerns {
  std::vector<uint64_t> sequences;
  Ticket ticket;
};

Concerns ConcernsOf(const MessageView& view) {
  switch (view.type()) {
    case MessageType::kExtend:
      return {{view.body<wire::ExtendRequest>().sequence()}, {}};
    case MessageType::kFork:
      return {{view.body<wire::ForkRequest>().parent()},
              TicketOf(view.body<wire::ForkRequest>().ticket())};
    case MessageType::kTruncate:
      return {{view.body<wire::TruncateRequest>().sequence()},
              TicketOf(view.body<wire::TruncateRequest>().ticket())};
    case MessageType::kName:
      return {{view.body<wire::NameRequest>().sequence()},
              TicketOf(view.body<wire::NameRequest>().ticket())};
    case MessageType::kSuspend:
      return {{view.body<wire::SuspendRequest>().sequence()},
              TicketOf(view.body<wire::SuspendRequest>().ticket())};
    case MessageType::kClose:
      return {{view.body<wire::CloseRequest>().sequence()},
              TicketOf(view.body<wire::CloseRequest>().ticket())};
    case MessageType::kStepBegin: {
      Concerns concerns;
      for (const wire::StepEntry* entry : *view.body<wire::StepBeginRequest>().entries()) {
        concerns.sequences.push_back(entry->sequence());
      }
      return concerns;
    }
    default:
      return {};
  }
}

SeenRequest SeenOf(const MessageView& view) {
  SeenRequest seen;
  seen.type = view.type();
  const Concerns concerns = ConcernsOf(view);
  seen.ticket = concerns.ticket;
  if (!concerns.sequences.empty()) seen.sequence = concerns.sequences.front();
  switch (view.type()) {
    case MessageType::kTruncate:
      seen.tokens = view.body<wire::TruncateRequest>().tokens();
      seen.accept = view.body<wire::TruncateRequest>().accept();
      break;
    case MessageType::kOpen:
      seen.keys_count = CountOf(view.body<wire::OpenRequest>().keys());
      break;
    case MessageType::kExtend:
      seen.keys_count = CountOf(view.body<wire::ExtendRequest>().keys());
      break;
    case MessageType::kName:
      seen.keys_count = CountOf(view.body<wire::NameRequest>().keys());
      break;
    case MessageType::kPrefetch:
      seen.keys_count = CountOf(view.body<wire::PrefetchRequest>().keys());
      break;
    case MessageType::kStepBegin:
      seen.ticket = TicketOf(view.body<wire::StepBeginRequest>().ticket());
      break;
    case MessageType::kStepEnd:
      seen.ticket = TicketOf(view.body<wire::StepEndRequest>().ticket());
      break;
    default:
      break;
  }
  return seen;
}

}  // namespace

FakeDaemon::FakeDaemon(const FakeDaemonOptions& options) : options_(options) {
  ListenOptions listen;
  listen.path = socket_path();
  auto attach_server = AttachServer::Listen(listen);
  KVP_CHECK(attach_server.ok());
  attach_server_.emplace(*std::move(attach_server));
  ZmqServerOptions bind;
  bind.endpoint = ZmqEndpointOf(socket_path());
  auto zmq_server = ZmqServer::Bind(bind);
  KVP_CHECK(zmq_server.ok());
  zmq_server_ = *std::move(zmq_server);
  thread_ = std::thread([this] { Loop(); });
}

FakeDaemon::~FakeDaemon() {
  stopping_ = true;
  thread_.join();
}

std::string FakeDaemon::socket_path() const { return directory_.path() + "/kvpager.sock"; }

void FakeDaemon::Loop() {
  while (!stopping_) {
    std::vector<pollfd> watch;
    bool ready = false;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (dead_) return;
      Turn();
      if (dead_) return;
      std::vector<int> fds = rings_.bell_fds();
      fds.push_back(attach_server_->fd());
      fds.push_back(zmq_server_->fd());
      for (const int fd : fds) watch.push_back({.fd = fd, .events = POLLIN, .revents = 0});
      ready = zmq_server_->has_input() || !notices_.empty() || garbage_ || !unasked_.empty() ||
              !rings_.Sleep();
    }
    // Short: the test's thread may have changed the script.
    if (!ready) poll(watch.data(), watch.size(), 2);
  }
}

void FakeDaemon::Turn() {
  if (table_.has_value()) table_->Heartbeat(MonotonicNs());
  AcceptPeers();
  // A loss is told before anything that is done after it.
  for (const auto& [peer, reply] : std::exchange(notices_, {})) Answer(peer, 0, reply);
  for (const uint64_t request : std::exchange(unasked_, {})) Answer(peer_newest_, request, {});
  std::vector<IncomingMessage> messages(16);
  const size_t count = zmq_server_->Receive(absl::MakeSpan(messages));
  for (size_t i = 0; i < count; ++i) waiting_.push_back(std::move(messages[i]));
  rings_.Receive(waiting_);
  HandleWaiting();
  if (dead_) return;
  if (std::exchange(garbage_, false)) {
    const uint8_t nonsense[48] = {1, 2, 3};
    Send(peer_newest_, nonsense);
  }
}

void FakeDaemon::AcceptPeers() {
  while (true) {
    auto accepted = attach_server_->Accept();
    if (!accepted.ok() || !accepted->has_value()) break;
    newcomers_.push_back(*std::move(*accepted));
  }
  for (size_t i = 0; i < newcomers_.size();) {
    auto request = newcomers_[i].ReceiveRequest();
    if (request.ok() && !request->has_value()) {
      ++i;
      continue;
    }
    if (request.ok()) {
      Admit(newcomers_[i], **request);
      peers_.push_back(std::move(newcomers_[i]));
    }
    newcomers_.erase(newcomers_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  std::erase_if(peers_, [](const AttachPeer& peer) { return peer.HungUp(); });
}

void FakeDaemon::Admit(AttachPeer& peer, const AttachRequest& request) {
  AttachReply reply;
  reply.status = refusal_;
  if (reply.status.ok() && pool_.has_value()) {
    const std::string field(DifferingField(pool_->geometry, request.geometry));
    if (!field.empty()) {
      reply.status = absl::FailedPreconditionError("the pool has another " + field);
    }
  }
  if (!reply.status.ok()) {
    peer.SendReply(reply, {}).IgnoreError();
    return;
  }
  if (!pool_.has_value()) MakePool(request);
  message_free_ = request.message_free;
  new (lanes_.data()) SharedLanes{};
  reply.session = RandomSessionToken();
  reply.endpoint = zmq_server_->endpoint();
  reply.pool.blocks_max = options_.blocks_max;
  reply.pool.num_groups = num_groups_;
  reply.pool.frames_hbm = uint64_t{options_.blocks_max} * num_groups_;
  reply.pool.frame_bytes_hbm = request.geometry.frame_bytes_hbm();
  reply.pool.frames_host = reply.pool.frames_hbm;
  reply.pool.frame_bytes_host = request.geometry.frame_bytes_host();
  reply.pool.blocks_nvme = 10;
  reply.pool.page_tokens = request.geometry.page_tokens;
  reply.pool.keys_per_command_max = options_.keys_per_command_max;
  reply.pool.entries_per_step_max = options_.entries_per_step_max;
  reply.regions = {{std::string(kRegionPageTable), table_->bytes(), false},
                   {std::string(kRegionHbm), hbm_.bytes(), true},
                   {std::string(kRegionHost), host_.bytes(), false},
                   {std::string(kRegionLanes), lanes_.bytes(), true}};
  std::vector<int> fds = {table_->fd(), hbm_.fd(), host_.fd(), lanes_.fd()};
  UniqueFd engine_bell;
  if (request.ring && options_.gives_rings) engine_bell = rings_.Give(reply, fds);
  peer.SendReply(reply, fds).IgnoreError();
}

void FakeDaemon::MakePool(const AttachRequest& request) {
  pool_ = request;
  num_groups_ = request.geometry.num_groups();
  const uint64_t frames = uint64_t{options_.blocks_max} * num_groups_;
  auto table = PageTableWriter::Create(options_.blocks_max, num_groups_, 1);
  auto hbm = ShmRegion::Create("hbm", frames * request.geometry.frame_bytes_hbm());
  auto host = ShmRegion::Create("host", frames * request.geometry.frame_bytes_host());
  auto lanes = ShmRegion::Create("lanes", kLanesRegionBytes);
  KVP_CHECK(table.ok() && hbm.ok() && host.ok() && lanes.ok());
  table_.emplace(*std::move(table));
  table_->SetState(PageTableState::kServing);
  hbm_ = *std::move(hbm);
  host_ = *std::move(host);
  lanes_ = *std::move(lanes);
  blocks_.resize(options_.blocks_max);
}

bool FakeDaemon::MayRun(const IncomingMessage& message, std::set<uint64_t>& blocked) const {
  auto view = DecodeMessage(message.bytes);
  KVP_CHECK(view.ok());
  const Concerns concerns = ConcernsOf(*view);
  bool may_run = held_.count(view->type()) == 0;
  if (pool_.has_value() && message_free_ && concerns.ticket.number != 0) {
    may_run &= shared_lanes().lanes[concerns.ticket.lane].done.load() >= concerns.ticket.number;
  }
  for (const auto& [lane, number] : steps_) {
    if (lane == concerns.ticket.lane && number <= concerns.ticket.number) may_run = false;
  }
  for (const uint64_t sequence : concerns.sequences) {
    if (blocked.count(sequence) != 0) may_run = false;
  }
  if (!may_run) blocked.insert(concerns.sequences.begin(), concerns.sequences.end());
  return may_run;
}

void FakeDaemon::HandleWaiting() {
  std::set<uint64_t> blocked;
  for (size_t i = 0; i < waiting_.size();) {
    if (!MayRun(waiting_[i], blocked)) {
      ++i;
      continue;
    }
    const IncomingMessage message = std::move(waiting_[i]);
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    if (die_before_ != ~uint64_t{0} && die_before_-- == 0) dead_ = true;
    if (!dead_) Handle(message);
    if (!dead_ && die_after_ != ~uint64_t{0} && die_after_-- == 0) dead_ = true;
    if (dead_) {
      zmq_server_.reset();
      rings_.Clear();
      newcomers_.clear();
      peers_.clear();
      attach_server_.reset();
      return;
    }
    blocked.clear();  // Something may have become possible: look again from the front.
    i = 0;
  }
}

void FakeDaemon::Handle(const IncomingMessage& message) {
  auto view = DecodeMessage(message.bytes);
  KVP_CHECK(view.ok());
  peer_newest_ = message.peer;
  seen_.push_back(SeenOf(*view));
  if (const auto failure = failures_.find(view->type()); failure != failures_.end()) {
    Reply refused;
    refused.status = failure->second;
    failures_.erase(failure);
    Answer(message.peer, view->header().request, refused);
    return;
  }
  if (view->type() == MessageType::kStepCancel) return StepCancel(message, *view);
  const Reply reply = Execute(*view);
  if (view->header().request != 0) Answer(message.peer, view->header().request, reply);
}

FakeDaemon::Reply FakeDaemon::Execute(const MessageView& message) {
  switch (message.type()) {
    case MessageType::kOpen: {
      const uint64_t id = ++sequence_newest_;
      sequences_[id];
      return Open(id, message.body<wire::OpenRequest>().keys());
    }
    case MessageType::kExtend:
      return Open(message.body<wire::ExtendRequest>().sequence(),
                  message.body<wire::ExtendRequest>().keys());
    case MessageType::kFork:
      return Fork(message.body<wire::ForkRequest>().parent());
    case MessageType::kTruncate:
      return Truncate(message.body<wire::TruncateRequest>());
    case MessageType::kName:
      return Name(message.body<wire::NameRequest>());
    case MessageType::kClose: {
      CutSequence(message.body<wire::CloseRequest>().sequence(), 0);
      sequences_.erase(message.body<wire::CloseRequest>().sequence());
      return {};
    }
    case MessageType::kAppended: {
      const auto& body = message.body<wire::AppendedRequest>();
      SequenceState& sequence = sequences_.at(body.sequence());
      // With no new tokens it says only what is written, perhaps while a step that appends waits.
      if (body.tokens() > 0) KVP_CHECK_EQ(sequence.length_tokens, body.length_tokens());
      sequence.length_tokens += body.tokens();
      KVP_CHECK_LE(body.written_tokens(), std::max(sequence.length_tokens, body.length_tokens()));
      sequence.written_tokens = std::max(sequence.written_tokens,
                                         std::min(body.written_tokens(), sequence.length_tokens));
      if (sequence.length_tokens > sequence.blocks.size() * pool_->geometry.page_tokens) {
        KVP_CHECK(sequence.credit.has_value());
        sequence.blocks.push_back(*std::exchange(sequence.credit, std::nullopt));
        shared_lanes().credit_of(body.sequence())->store(0);
      }
      KVP_CHECK_LE(sequence.length_tokens,
                   sequence.blocks.size() * uint64_t{pool_->geometry.page_tokens});
      return {};
    }
    case MessageType::kStepBegin:
      return StepBegin(message.body<wire::StepBeginRequest>());
    case MessageType::kStepEnd: {
      const Ticket ticket = TicketOf(message.body<wire::StepEndRequest>().ticket());
      Reply reply;
      if (steps_.erase({ticket.lane, ticket.number}) == 0) {
        reply.status = absl::FailedPreconditionError("no such step");
      }
      return reply;
    }
    default:
      return {};
  }
}

FakeDaemon::Reply FakeDaemon::Open(uint64_t id, const flatbuffers::Vector<const wire::Key*>* keys) {
  SequenceState& sequence = sequences_.at(id);
  Reply reply;
  reply.sequence = id;
  const auto position = static_cast<uint32_t>(sequence.blocks.size());
  for (uint32_t i = 0; i < CountOf(keys); ++i) {
    const auto found = names_.find(KeyOf(*keys->Get(i)));
    if (found == names_.end()) break;
    ++blocks_[found->second].references;
    sequence.blocks.push_back(found->second);
    ++reply.hit_blocks;
  }
  sequence.length_tokens = sequence.blocks.size() * pool_->geometry.page_tokens;
  reply.tokens = sequence.length_tokens;
  reply.updates = {{id, position}};
  return reply;
}

FakeDaemon::Reply FakeDaemon::Fork(uint64_t parent) {
  const uint64_t id = ++sequence_newest_;
  sequences_[id] = sequences_.at(parent);
  for (const uint32_t block : sequences_[id].blocks) ++blocks_[block].references;
  Reply reply;
  reply.sequence = id;
  reply.updates = {{id, 0}};
  return reply;
}

FakeDaemon::Reply FakeDaemon::Truncate(const wire::TruncateRequest& request) {
  Reply reply;
  if (request.tokens() > sequences_.at(request.sequence()).length_tokens) {
    reply.status = absl::InvalidArgumentError("the sequence has fewer tokens");
    return reply;
  }
  CutSequence(request.sequence(), request.tokens());
  reply.tokens = request.tokens();
  const auto position = static_cast<uint32_t>(sequences_.at(request.sequence()).blocks.size());
  reply.updates = {{request.sequence(), position}};
  return reply;
}

FakeDaemon::Reply FakeDaemon::Name(const wire::NameRequest& request) {
  const SequenceState& sequence = sequences_.at(request.sequence());
  Reply reply;
  const uint64_t end = uint64_t{request.block_first()} + CountOf(request.keys());
  if (end * pool_->geometry.page_tokens > sequence.length_tokens) {
    reply.status = absl::FailedPreconditionError("a block to be named is not full");
    return reply;
  }
  for (uint32_t i = 0; i < CountOf(request.keys()); ++i) {
    const uint32_t block = sequence.blocks[request.block_first() + i];
    if (names_.emplace(KeyOf(*request.keys()->Get(i)), block).second) ++blocks_[block].references;
  }
  return reply;
}

FakeDaemon::Reply FakeDaemon::StepBegin(const wire::StepBeginRequest& request) {
  Reply reply;
  reply.ticket = TicketOf(request.ticket());
  if (loss_tokens_.has_value()) {
    const uint64_t id = request.entries()->Get(0)->sequence();
    CutSequence(id, *std::exchange(loss_tokens_, std::nullopt));
    reply.status = absl::DataLossError("a block could not be read");
    reply.updates = {{id, static_cast<uint32_t>(sequences_.at(id).blocks.size())}};
    return reply;
  }
  const uint32_t page_tokens = pool_->geometry.page_tokens;
  for (const wire::StepEntry* entry : *request.entries()) {
    SequenceState& sequence = sequences_.at(entry->sequence());
    const uint64_t write_first =
        std::min<uint64_t>(sequence.length_tokens, entry->rewrite_from_tokens());
    const bool writes = entry->append_tokens() > 0 || entry->rewrite_from_tokens() != ~uint64_t{0};
    if (!writes) continue;
    sequence.length_tokens += entry->append_tokens();
    const auto position = static_cast<uint32_t>(write_first / page_tokens);
    const uint32_t changed = MakeOwn(sequence, position);
    reply.updates.push_back({entry->sequence(), changed});
  }
  steps_.insert({reply.ticket.lane, reply.ticket.number});
  return reply;
}

// Blocks at and after the position become the sequence's own, up to its length; returns the first
// position that changed.
uint32_t FakeDaemon::MakeOwn(SequenceState& sequence, uint32_t position_first) {
  const uint64_t blocks = CeilDiv(sequence.length_tokens, pool_->geometry.page_tokens);
  auto changed = static_cast<uint32_t>(blocks);
  for (uint32_t position = position_first; position < blocks; ++position) {
    const bool is_new = position >= sequence.blocks.size();
    if (!is_new && blocks_[sequence.blocks[position]].references == 1) continue;
    const uint32_t block = Allocate();
    changed = std::min(changed, position);
    if (is_new) {
      sequence.blocks.push_back(block);
      continue;
    }
    const uint32_t shared = std::exchange(sequence.blocks[position], block);
    for (uint32_t group = 0; group < num_groups_; ++group) {
      std::memcpy(FrameOf(block, group), FrameOf(shared, group), pool_->geometry.frame_bytes_hbm());
    }
    Drop(shared);
  }
  return changed;
}

void FakeDaemon::StepCancel(const IncomingMessage& message, const MessageView& view) {
  const Ticket ticket = TicketOf(view.body<wire::StepCancelRequest>().ticket());
  Reply reply;
  if (steps_.count({ticket.lane, ticket.number}) != 0) {
    reply.status = absl::FailedPreconditionError("the step is ready; end it");
  } else {
    for (size_t i = 0; i < waiting_.size(); ++i) {
      auto other = DecodeMessage(waiting_[i].bytes);
      if (other->type() != MessageType::kStepBegin) continue;
      if (TicketOf(other->body<wire::StepBeginRequest>().ticket()) != ticket) continue;
      Reply aborted;
      aborted.status = absl::AbortedError("the step was cancelled");
      aborted.ticket = ticket;
      Answer(message.peer, other->header().request, aborted);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
      break;
    }
  }
  Answer(message.peer, view.header().request, reply);
}

void FakeDaemon::Answer(const RoutingId& peer, uint64_t request, const Reply& reply) {
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<wire::SequenceUpdate>> updates;
  for (const Update& update : reply.updates) {
    const auto found = sequences_.find(update.sequence);
    if (found == sequences_.end()) continue;
    const SequenceState& sequence = found->second;
    std::vector<wire::BlockRun> runs;
    for (size_t i = update.block_position; i < sequence.blocks.size(); ++i) {
      const uint32_t block = sequence.blocks[i];
      const uint32_t generation = blocks_[block].generation;
      if (!runs.empty() && runs.back().block_first() + runs.back().count() == block &&
          runs.back().generation() == generation) {
        runs.back() =
            wire::BlockRun(runs.back().block_first(), runs.back().count() + 1, generation);
      } else {
        runs.emplace_back(block, 1, generation);
      }
    }
    const auto wire_runs = builder.CreateVectorOfStructs(runs);
    updates.push_back(wire::CreateSequenceUpdate(builder, update.sequence, sequence.length_tokens,
                                                 update.block_position, wire_runs));
  }
  const auto wire_updates = builder.CreateVector(updates);
  const std::string reason(reply.status.message().data(), reply.status.message().size());
  const auto wire_reason = builder.CreateString(reason);
  const wire::Ticket ticket = ToWire(reply.ticket);
  const wire::StepWait wait(1, 2, 3, 4, 5, 6);
  MessageBytes bytes;
  KVP_CHECK(EncodeMessage<wire::Answer>(
                request, SessionToken{}, builder,
                wire::CreateAnswer(builder, static_cast<uint32_t>(reply.status.code()), wire_reason,
                                   reply.sequence, reply.tokens, reply.hit_blocks, 0, 0, &ticket,
                                   &wait, wire_updates),
                bytes)
                .ok());
  Send(peer, bytes);
}

void FakeDaemon::Send(const RoutingId& peer, absl::Span<const uint8_t> bytes) {
  if (!rings_.Send(peer, bytes)) zmq_server_->Send(peer, bytes).IgnoreError();
}

uint32_t FakeDaemon::Allocate() {
  // From the top, every other one first: neighbours in a sequence are not neighbours in the pool.
  for (const uint32_t parity : {1u, 0u}) {
    for (uint32_t block = options_.blocks_max; block-- > 0;) {
      if (block % 2 != parity || blocks_[block].references != 0) continue;
      blocks_[block].references = 1;
      blocks_[block].host_only = false;
      Publish(block);
      return block;
    }
  }
  KVP_CHECK(false);  // Give the fake more blocks.
  return 0;
}

void FakeDaemon::Drop(uint32_t block) {
  if (--blocks_[block].references != 0) return;
  for (uint32_t group = 0; group < num_groups_; ++group) {
    table_->Write(PageIndex{group * options_.blocks_max + block}, PageTableWord{});
  }
  blocks_[block].generation = (blocks_[block].generation + 1) % kGenerations;
}

void FakeDaemon::Publish(uint32_t block) {
  for (uint32_t group = 0; group < num_groups_; ++group) {
    const uint32_t frames = options_.blocks_max * num_groups_;
    const FrameIndex frame{frames - 1 - (block * num_groups_ + group)};
    PageTableWord word;
    word.generation = blocks_[block].generation;
    if (blocks_[block].host_only) {
      const uint64_t host_offset = frame.value * pool_->geometry.frame_bytes_host();
      std::memcpy(host_.data() + host_offset, FrameOf(block, group),
                  pool_->geometry.frame_bytes_hbm());
      word.frame_host = frame;
    } else {
      word.frame_hbm = frame;
    }
    table_->Write(PageIndex{group * options_.blocks_max + block}, word);
  }
}

uint8_t* FakeDaemon::FrameOf(uint32_t block, uint32_t group) const {
  const uint32_t frames = options_.blocks_max * num_groups_;
  return hbm_.data() +
         (frames - 1 - (block * num_groups_ + group)) * pool_->geometry.frame_bytes_hbm();
}

void FakeDaemon::CutSequence(uint64_t id, uint64_t tokens) {
  SequenceState& sequence = sequences_.at(id);
  const uint64_t blocks = CeilDiv(tokens, pool_->geometry.page_tokens);
  while (sequence.blocks.size() > blocks) {
    Drop(sequence.blocks.back());
    sequence.blocks.pop_back();
  }
  sequence.length_tokens = tokens;
  if (!sequence.credit.has_value()) return;
  Drop(*std::exchange(sequence.credit, std::nullopt));
  shared_lanes().credit_of(id)->store(0);
}

// ---- The script --------------------------------------------------------------------------------

void FakeDaemon::RefuseAttach(absl::Status status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  refusal_ = std::move(status);
}

void FakeDaemon::Hold(MessageType type) {
  const std::lock_guard<std::mutex> lock(mutex_);
  held_.insert(type);
}

void FakeDaemon::Release() {
  const std::lock_guard<std::mutex> lock(mutex_);
  held_.clear();
}

void FakeDaemon::FailNext(MessageType type, absl::Status status) {
  const std::lock_guard<std::mutex> lock(mutex_);
  failures_[type] = std::move(status);
}

void FakeDaemon::LoseTokens(uint64_t sequence, uint64_t tokens) {
  const std::lock_guard<std::mutex> lock(mutex_);
  CutSequence(sequence, tokens);
  Reply notice;
  notice.status = absl::DataLossError("a block could not be read");
  notice.updates = {{sequence, static_cast<uint32_t>(sequences_.at(sequence).blocks.size())}};
  notices_.emplace_back(peer_newest_, notice);
}

void FakeDaemon::LoseInNextStep(uint64_t tokens) {
  const std::lock_guard<std::mutex> lock(mutex_);
  loss_tokens_ = tokens;
}

void FakeDaemon::MoveToHost(uint64_t sequence, std::set<uint32_t> positions) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const uint32_t position : positions) {
    const uint32_t block = sequences_.at(sequence).blocks.at(position);
    blocks_[block].host_only = true;
    Publish(block);
  }
}

void FakeDaemon::CopyToHost(uint64_t sequence, std::set<uint32_t> positions) {
  MoveToHost(sequence, positions);
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const uint32_t position : positions) {
    const uint32_t block = sequences_.at(sequence).blocks.at(position);
    for (uint32_t group = 0; group < num_groups_; ++group) {
      const PageIndex page{group * options_.blocks_max + block};
      PageTableWord word = table_->Read(page);
      word.frame_hbm = word.frame_host;  // The fake uses the same numbers in both tiers.
      table_->Write(page, word);
    }
    blocks_[block].host_only = false;
  }
}

std::pair<uint64_t, uint64_t> FakeDaemon::lane(uint32_t lane) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return {shared_lanes().lanes[lane].begun.load(), shared_lanes().lanes[lane].done.load()};
}

uint64_t FakeDaemon::CreditWordOf(uint64_t id, uint32_t block) const {
  return CreditWord{.state = CreditWordState::kGranted,
                    .generation = blocks_[block].generation,
                    .block = block,
                    .tag = CreditWord::TagOf(id)}
      .Pack();
}

void FakeDaemon::GrantCredit(uint64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  SequenceState& sequence = sequences_.at(id);
  KVP_CHECK(!sequence.credit.has_value());
  sequence.credit = Allocate();
  shared_lanes().credit_of(id)->store(CreditWordOf(id, *sequence.credit));
}

bool FakeDaemon::RevokeCredit(uint64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  SequenceState& sequence = sequences_.at(id);
  uint64_t granted = CreditWordOf(id, sequence.credit.value());
  if (!shared_lanes().credit_of(id)->compare_exchange_strong(granted, 0)) return false;
  Drop(*std::exchange(sequence.credit, std::nullopt));
  return true;
}

void FakeDaemon::AgeCredit(uint64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint64_t other = id + (uint64_t{1} << 32);
  shared_lanes().credit_of(id)->store(CreditWordOf(other, sequences_.at(id).credit.value()));
}

void FakeDaemon::WithdrawCredit(uint64_t id) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t block = sequences_.at(id).credit.value();
  PageTableWord word;
  word.generation = blocks_[block].generation;
  for (uint32_t group = 0; group < num_groups_; ++group) {
    table_->Write(PageIndex{group * options_.blocks_max + block}, word);
  }
}

void FakeDaemon::WithdrawWord(uint64_t sequence, uint32_t position, uint32_t group) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t block = sequences_.at(sequence).blocks.at(position);
  PageTableWord word;
  word.generation = blocks_[block].generation;
  table_->Write(PageIndex{group * options_.blocks_max + block}, word);
}

void FakeDaemon::MisplaceWord(uint64_t sequence, uint32_t position, uint32_t group) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t block = sequences_.at(sequence).blocks.at(position);
  PageTableWord word;
  word.generation = blocks_[block].generation;
  word.frame_hbm = FrameIndex{options_.blocks_max * num_groups_};
  table_->Write(PageIndex{group * options_.blocks_max + block}, word);
}

void FakeDaemon::AgeWord(uint64_t sequence, uint32_t position, uint32_t group) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const uint32_t block = sequences_.at(sequence).blocks.at(position);
  const PageIndex page{group * options_.blocks_max + block};
  PageTableWord word = table_->Read(page);
  word.generation += 1;
  table_->Write(page, word);
}

void FakeDaemon::DieBefore(uint64_t requests_more) {
  const std::lock_guard<std::mutex> lock(mutex_);
  die_before_ = requests_more;
}

void FakeDaemon::DieAfter(uint64_t requests_more) {
  const std::lock_guard<std::mutex> lock(mutex_);
  die_after_ = requests_more;
}

void FakeDaemon::Stop() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (table_.has_value()) table_->SetState(PageTableState::kStopped);
}

void FakeDaemon::SendGarbage() {
  const std::lock_guard<std::mutex> lock(mutex_);
  garbage_ = true;
}

void FakeDaemon::AnswerUnasked(uint64_t request) {
  const std::lock_guard<std::mutex> lock(mutex_);
  unasked_.push_back(request);
}

void FakeDaemon::Revoke() {
  const std::lock_guard<std::mutex> lock(mutex_);
  shared_lanes().revoked().store(1);
}

std::vector<SeenRequest> FakeDaemon::seen() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return seen_;
}

uint64_t FakeDaemon::written_tokens(uint64_t sequence) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return sequences_.at(sequence).written_tokens;
}

uint64_t FakeDaemon::length_tokens(uint64_t sequence) const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return sequences_.at(sequence).length_tokens;
}

size_t FakeDaemon::sequences_open() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return sequences_.size();
}

size_t FakeDaemon::names_count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return names_.size();
}

size_t FakeDaemon::steps_open() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return steps_.size();
}

size_t FakeDaemon::clients_attached() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return peers_.size();
}

size_t FakeDaemon::rings_count() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return rings_.count();
}

}  // namespace kvpager::engine
