#include "memmgr/daemon/router.h"

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "ipc/credit_word.h"
#include "ipc/lanes.h"
#include "memmgr/base/check.h"

namespace kvpager {

Router::Router(Pool* pool, Server* server) : pool_(pool), server_(server) {}

void Router::Execute(Effects& effects) {
  for (const PageTableWrite& write : effects.page_table_writes) {
    pool_->page_table().Write(write.page, {.frame_hbm = write.frame_hbm,
                                           .frame_host = write.frame_host,
                                           .generation = write.generation});
  }
  for (const CreditWrite& write : effects.credit_writes) Write(write);
  for (const Reply& reply : effects.replies) server_->Answer(reply, effects);
  for (const CopyOp& copy : effects.copies) {
    switch (copy.channel) {
      case Channel::kHbmToHost:
      case Channel::kHostToHbm:
      case Channel::kHbmToHbm:
      case Channel::kScrub:
        device_copies_.push_back(copy);
        break;
      case Channel::kHostToNvme:
      case Channel::kNvmeToHost:
        nvme_copies_.push_back(copy);
        break;
    }
  }
  catalogue_writes_.insert(catalogue_writes_.end(), effects.catalogue_writes.begin(),
                           effects.catalogue_writes.end());
  effects.Clear();
}

void Router::Write(const CreditWrite& write) {
  const Session& session = server_->sessions().at(write.client.value);
  std::atomic<uint64_t>& word = *session.shared_lanes().credit_of(write.sequence.value);
  const CreditWord granted{.state = CreditWordState::kGranted,
                           .generation = write.generation,
                           .block = write.block.value,
                           .tag = CreditWord::TagOf(write.sequence.value)};
  switch (write.kind) {
    case CreditWriteKind::kGrant:
      word.store(granted.Pack());
      return;
    case CreditWriteKind::kRevoke: {
      uint64_t expected = granted.Pack();
      const bool revoked = word.compare_exchange_strong(expected, CreditWord{}.Pack());
      credit_answers_.push_back({write.sequence, !revoked});
      return;
    }
    case CreditWriteKind::kClear:
      word.store(CreditWord{}.Pack());
      return;
  }
}

std::optional<Router::CreditAnswer> Router::TakeCreditAnswer() {
  if (credit_answers_.empty()) return std::nullopt;
  const CreditAnswer answer = credit_answers_.front();
  credit_answers_.pop_front();
  return answer;
}

void Router::Flush() {
  if (!device_copies_.empty()) {
    pool_->device_copies().Submit(device_copies_);
    device_copies_.clear();
  }
  if (!nvme_copies_.empty()) {
    KVP_CHECK(pool_->nvme_executor() != nullptr);
    pool_->nvme_executor()->Submit(nvme_copies_);
    nvme_copies_.clear();
  }
  if (!catalogue_writes_.empty()) {
    // Without an NVMe tier there is no catalogue and nothing the core could put into one.
    KVP_CHECK(pool_->catalogue() != nullptr);
    pool_->catalogue()->Submit(catalogue_writes_);
    catalogue_writes_.clear();
  }
}

size_t Router::Poll(absl::Span<Completion> out) {
  size_t count = pool_->device_copies().Poll(out);
  if (pool_->nvme_executor() != nullptr && count < out.size()) {
    count += pool_->nvme_executor()->Poll(out.subspan(count));
  }
  if (pool_->catalogue() != nullptr && count < out.size()) {
    count += pool_->catalogue()->Poll(out.subspan(count));
  }
  return count;
}

bool Router::wants_poll() const {
  return pool_->device_copies().wants_poll() ||
         (pool_->nvme_executor() != nullptr && pool_->nvme_executor()->wants_poll()) ||
         (pool_->catalogue() != nullptr && pool_->catalogue()->wants_poll());
}

}  // namespace kvpager
