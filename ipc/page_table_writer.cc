#include "ipc/page_table_writer.h"

#include <new>

#include "memmgr/base/check.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

// True if somebody may rely on what `before` says and `after` does not say.
bool Withdraws(const PageTableWord& before, const PageTableWord& after) {
  const bool hbm_lost = !before.frame_hbm.is_none() && before.frame_hbm != after.frame_hbm;
  const bool host_lost = !before.frame_host.is_none() && before.frame_host != after.frame_host;
  const bool valid = !before.frame_hbm.is_none() || !before.frame_host.is_none();
  return hbm_lost || host_lost || (valid && before.generation != after.generation);
}

}  // namespace

absl::StatusOr<PageTableWriter> PageTableWriter::Create(uint32_t blocks_max, uint32_t num_groups,
                                                        uint64_t incarnation) {
  KVP_CHECK(blocks_max > 0);
  KVP_CHECK(num_groups > 0);
  const PageTableLayout layout = LayoutOf(blocks_max, num_groups);
  KVP_ASSIGN_OR_RETURN(ShmRegion region,
                       ShmRegion::Create("kvpager-page-table", layout.region_bytes));
  KVP_RETURN_IF_ERROR(region.SealAgainstWriters());
  auto* header = new (region.data()) PageTableHeader{};
  header->magic = kPageTableMagic;
  header->layout_version = kPageTableLayoutVersion;
  header->header_bytes = kPageTableHeaderBytes;
  header->region_bytes = layout.region_bytes;
  header->incarnation = incarnation;
  header->blocks_max = blocks_max;
  header->num_groups = num_groups;
  header->words_offset = layout.words_offset;
  header->withdrawals_offset = layout.withdrawals_offset;
  header->withdrawals_count = layout.withdrawals_count;
  PageTableWriter writer(std::move(region));
  writer.layout_ = layout;
  return writer;
}

PageTableHeader& PageTableWriter::header() const {
  return *reinterpret_cast<PageTableHeader*>(region_.data());
}

std::atomic<uint64_t>& PageTableWriter::word(PageIndex page) const {
  KVP_CHECK(page.value < layout_.words_count);
  auto* words = reinterpret_cast<std::atomic<uint64_t>*>(region_.data() + layout_.words_offset);
  return words[page.value];
}

std::atomic<uint64_t>& PageTableWriter::withdrawal(PageIndex page) const {
  KVP_CHECK(page.value < layout_.words_count);
  auto* counters =
      reinterpret_cast<std::atomic<uint64_t>*>(region_.data() + layout_.withdrawals_offset);
  return counters[page.value / kPagesPerWithdrawal];
}

void PageTableWriter::Write(PageIndex page, const PageTableWord& word_new) {
  std::atomic<uint64_t>& target = word(page);
  // Relaxed reads of what only this thread writes.
  const PageTableWord word_old = UnpackWord(target.load(std::memory_order_relaxed));
  target.store(PackWord(word_new), std::memory_order_seq_cst);
  if (Withdraws(word_old, word_new)) {
    std::atomic<uint64_t>& counter = withdrawal(page);
    counter.store(counter.load(std::memory_order_relaxed) + 1, std::memory_order_seq_cst);
  }
}

void PageTableWriter::SetState(PageTableState state) {
  header().state.store(static_cast<uint64_t>(state), std::memory_order_seq_cst);
}

void PageTableWriter::Heartbeat(uint64_t monotonic_ns) {
  header().heartbeat_ns.store(monotonic_ns, std::memory_order_relaxed);
}

PageTableWord PageTableWriter::Read(PageIndex page) const {
  return UnpackWord(word(page).load(std::memory_order_relaxed));
}

uint64_t PageTableWriter::withdrawals(PageIndex page) const {
  return withdrawal(page).load(std::memory_order_relaxed);
}

}  // namespace kvpager
