// tiers/catalogue/memory_catalogue.h
//
// A Catalogue that forgets: for tests, and for pools without NVMe. Writes are applied in Submit;
// durable ones complete in the next Poll, after a flush on the caller's thread.

#ifndef KVPAGER_TIERS_CATALOGUE_MEMORY_CATALOGUE_H_
#define KVPAGER_TIERS_CATALOGUE_MEMORY_CATALOGUE_H_

#include <cstddef>
#include <deque>
#include <map>
#include <string_view>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "tiers/catalogue/catalogue.h"

namespace kvpager {

class MemoryCatalogue final : public Catalogue {
 public:
  // `flusher` may be null: then there is nothing to flush.
  explicit MemoryCatalogue(DataFlusher* flusher) : flusher_(flusher) {}

  bool was_clean() const override { return false; }
  bool created() const override { return true; }
  std::string_view detail() const override { return "in memory only"; }
  absl::Status ForEach(absl::FunctionRef<void(const CatalogueEntry&)> visit) override;
  void Submit(absl::Span<const CatalogueWrite> writes) override;
  size_t Poll(absl::Span<Completion> out) override;
  int ready_fd() const override { return -1; }
  bool wants_poll() const override { return !waiting_.empty(); }
  absl::Status CloseClean() override;
  CatalogueStats stats() const override { return stats_; }

 private:
  void Apply(const CatalogueWrite& write);

  DataFlusher* flusher_;
  std::map<std::pair<uint64_t, uint64_t>, CatalogueEntry> entries_;
  std::deque<CatalogueWrite> waiting_;
  CatalogueStats stats_;
  bool closed_ = false;
};

}  // namespace kvpager

#endif  // KVPAGER_TIERS_CATALOGUE_MEMORY_CATALOGUE_H_
