#include "ipc/page_table_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr uint64_t kPrefetchWords = 24;  // Measured: hides a cache miss per word, no more.

absl::Status BadTable(std::string_view why) {
  return absl::InvalidArgumentError(
      absl::StrCat("the shared page table cannot be used: ", std::string(why)));
}

// Walks the blocks of a list of runs, one at a time.
class BlockCursor {
 public:
  explicit BlockCursor(absl::Span<const BlockRun> runs) : runs_(runs) { SkipEmpty(); }

  bool at_end() const { return run_ == runs_.size(); }
  uint64_t block() const { return uint64_t{runs_[run_].block_first} + offset_; }
  uint32_t generation() const { return runs_[run_].generation; }
  void Next() {
    if (++offset_ == runs_[run_].count) {
      offset_ = 0;
      ++run_;
      SkipEmpty();
    }
  }

 private:
  void SkipEmpty() {
    while (run_ < runs_.size() && runs_[run_].count == 0) ++run_;
  }

  absl::Span<const BlockRun> runs_;
  size_t run_ = 0;
  uint32_t offset_ = 0;
};

}  // namespace

PageTableReader::PageTableReader(ShmRegion region) : region_(std::move(region)) {}

const PageTableHeader& PageTableReader::header() const {
  return *reinterpret_cast<const PageTableHeader*>(region_.data());
}

absl::StatusOr<PageTableReader> PageTableReader::Create(ShmRegion region) {
  if (region.bytes() < kPageTableHeaderBytes) return BadTable("it is smaller than its header");
  PageTableReader reader(std::move(region));
  const PageTableHeader& header = reader.header();
  if (header.magic != kPageTableMagic) return BadTable("the magic is wrong");
  if (header.layout_version != kPageTableLayoutVersion) {
    return absl::UnimplementedError(
        absl::StrCat("the daemon's page table has layout ", header.layout_version,
                     "; this library reads layout ", kPageTableLayoutVersion,
                     "; use a libkvpager and a kvpagerd of the same version"));
  }
  // Copies, each read once: what is checked is what is used.
  const uint32_t blocks_max = header.blocks_max;
  const uint32_t num_groups = header.num_groups;
  if (blocks_max == 0 || num_groups == 0) return BadTable("it has no pages");
  if (uint64_t{blocks_max} * num_groups > uint64_t{1} << 32) return BadTable("too many pages");
  const PageTableLayout layout = LayoutOf(blocks_max, num_groups);
  if (header.words_offset != layout.words_offset ||
      header.withdrawals_offset != layout.withdrawals_offset ||
      header.withdrawals_count != layout.withdrawals_count ||
      header.region_bytes != layout.region_bytes) {
    return BadTable("its offsets do not follow from its size");
  }
  if (reader.region_.bytes() < layout.region_bytes) return BadTable("the region is too small");
  reader.blocks_max_ = blocks_max;
  reader.num_groups_ = num_groups;
  reader.incarnation_ = header.incarnation;
  const uint8_t* base = reader.region_.data();
  reader.words_ = reinterpret_cast<const std::atomic<uint64_t>*>(base + layout.words_offset);
  reader.withdrawals_ =
      reinterpret_cast<const std::atomic<uint64_t>*>(base + layout.withdrawals_offset);
  return reader;
}

PageTableState PageTableReader::state() const {
  return static_cast<PageTableState>(header().state.load(std::memory_order_seq_cst));
}

uint64_t PageTableReader::heartbeat_ns() const {
  return header().heartbeat_ns.load(std::memory_order_relaxed);
}

size_t PageTableReader::ReadRuns(uint32_t group, absl::Span<const BlockRun> runs,
                                 absl::Span<PageTableWord> words) const {
  KVP_CHECK_LT(group, num_groups_);
  const std::atomic<uint64_t>* const table = words_ + uint64_t{group} * blocks_max_;
  BlockCursor ahead(runs);
  const auto prefetch_next = [&] {
    if (ahead.at_end()) return;
    // A hint may name any address; computing one past the table may not.
    if (ahead.block() < blocks_max_) __builtin_prefetch(table + ahead.block());
    ahead.Next();
  };
  for (uint64_t i = 0; i < kPrefetchWords; ++i) prefetch_next();
  size_t count = 0;
  for (BlockCursor at(runs); !at.at_end(); at.Next()) {
    prefetch_next();
    if (at.block() >= blocks_max_) return count;
    const PageTableWord word = UnpackWord(table[at.block()].load(std::memory_order_seq_cst));
    if (word.generation != at.generation()) return count;
    KVP_CHECK_LT(count, words.size());
    words[count++] = word;
  }
  return count;
}

}  // namespace kvpager
