#include "tiers/catalogue/memory_catalogue.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <utility>

#include "absl/status/status.h"
#include "memmgr/base/check.h"

namespace kvpager {

absl::Status MemoryCatalogue::ForEach(absl::FunctionRef<void(const CatalogueEntry&)> visit) {
  for (const auto& [key, entry] : entries_) visit(entry);
  return absl::OkStatus();
}

void MemoryCatalogue::Submit(absl::Span<const CatalogueWrite> writes) {
  KVP_CHECK(!closed_);
  for (const CatalogueWrite& write : writes) {
    // A durable write waits for its flush, and keeps its place before what comes after it.
    if (write.op.is_none() && waiting_.empty()) {
      Apply(write);
    } else {
      waiting_.push_back(write);
    }
  }
}

size_t MemoryCatalogue::Poll(absl::Span<Completion> out) {
  if (waiting_.empty() || out.empty()) return 0;
  const bool flushed = flusher_ == nullptr || flusher_->Flush().ok();
  ++stats_.commits_durable;
  size_t count = 0;
  while (!waiting_.empty()) {
    const CatalogueWrite write = waiting_.front();
    if (!write.op.is_none() && count == out.size()) return count;
    waiting_.pop_front();
    if (write.op.is_none() || flushed) {
      Apply(write);
    } else {
      ++stats_.writes_failed;
    }
    if (write.op.is_none()) continue;
    out[count++] = {.op = write.op,
                    .outcome = flushed ? Outcome::kOk : Outcome::kFailed,
                    .os_error = flushed ? 0 : EIO};
  }
  return count;
}

void MemoryCatalogue::Apply(const CatalogueWrite& write) {
  ++stats_.entries_written;
  const std::pair<uint64_t, uint64_t> key(write.key.words[0], write.key.words[1]);
  if (write.frame_first.is_none()) {
    entries_.erase(key);
    return;
  }
  CatalogueEntry& entry = entries_[key];
  const bool stays_durable = entry.durable && entry.stamp == write.stamp;
  entry = {.key = write.key,
           .parent_key = write.parent_key,
           .frame_first = write.frame_first,
           .stamp = write.stamp,
           .last_use = write.last_use,
           .durable = stays_durable || !write.op.is_none()};
}

// Nothing outlives this object, so there is nothing to record.
absl::Status MemoryCatalogue::CloseClean() {
  closed_ = true;
  return absl::OkStatus();
}

}  // namespace kvpager
