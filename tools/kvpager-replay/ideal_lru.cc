#include "tools/kvpager-replay/ideal_lru.h"

#include "memmgr/base/check.h"

namespace kvpager::replay {

IdealLru::IdealLru(uint64_t places) : places_(places), links_(1) {
  KVP_CHECK_LT(places, uint64_t{1} << 32);
}

uint64_t IdealLru::Serve(absl::Span<const uint64_t> blocks) {
  uint64_t hits = 0;
  while (hits < blocks.size() && index_of_.contains(blocks[hits])) ++hits;
  lookup_blocks_ += blocks.size();
  hit_blocks_ += hits;
  for (size_t i = blocks.size(); i > 0; --i) Touch(blocks[i - 1]);
  return hits;
}

void IdealLru::Touch(uint64_t block) {
  if (places_ == 0) return;
  if (const auto found = index_of_.find(block); found != index_of_.end()) {
    Unlink(found->second);
    LinkAsNewest(found->second);
    return;
  }
  uint32_t index;
  if (links_.size() <= places_) {
    index = static_cast<uint32_t>(links_.size());
    links_.emplace_back();
  } else {
    index = links_[0].previous;
    index_of_.erase(links_[index].block);
    Unlink(index);
  }
  links_[index].block = block;
  index_of_.emplace(block, index);
  LinkAsNewest(index);
}

void IdealLru::Unlink(uint32_t index) {
  const Link& link = links_[index];
  links_[link.previous].next = link.next;
  links_[link.next].previous = link.previous;
}

void IdealLru::LinkAsNewest(uint32_t index) {
  const uint32_t second = links_[0].next;
  links_[index].previous = 0;
  links_[index].next = second;
  links_[second].previous = index;
  links_[0].next = index;
}

}  // namespace kvpager::replay
