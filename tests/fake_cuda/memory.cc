// Ranges of the fake device and of host memory: who may touch what.

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "tests/fake_cuda/state.h"

namespace kvpager::fake_cuda {
namespace {

// The entry of `ranges` that holds `at`; end() if none does.
template <typename Ranges>
auto RangeOf(Ranges& ranges, uint64_t at) {
  auto found = ranges.upper_bound(at);
  if (found == ranges.begin()) return ranges.end();
  --found;
  return at - found->first < found->second ? found : ranges.end();
}

bool Overlaps(const std::map<uint64_t, uint64_t>& ranges, uint64_t at, uint64_t bytes) {
  const auto behind = ranges.lower_bound(at + bytes);
  if (behind == ranges.begin()) return false;
  const auto last = std::prev(behind);
  return last->first + last->second > at;
}

}  // namespace

bool State::IsReserved(DevicePointer at, uint64_t bytes) const {
  const auto found = RangeOf(reservations, at);
  return found != reservations.end() && bytes <= found->second - (at - found->first);
}

std::byte* State::Find(DevicePointer at, uint64_t& bytes) const {
  if (!IsReserved(at, 1)) return reinterpret_cast<std::byte*>(at);
  auto found = mappings.upper_bound(at);
  if (found == mappings.begin()) return nullptr;
  --found;
  const uint64_t offset = at - found->first;
  if (offset >= found->second.bytes || !found->second.accessible) return nullptr;
  bytes = std::min(bytes, found->second.bytes - offset);
  return found->second.alias + offset;
}

Result State::CheckRange(DevicePointer at, uint64_t bytes, bool& pageable) const {
  if (IsReserved(at, 1)) {
    if (!IsReserved(at, bytes)) return cuda::kInvalidValue;
    while (bytes > 0) {
      uint64_t here = bytes;
      if (Find(at, here) == nullptr) return cuda::kInvalidValue;
      at += here;
      bytes -= here;
    }
    return cuda::kSuccess;
  }
  for (const auto* ranges : {&registrations, &host_allocations}) {
    const auto found = RangeOf(*ranges, at);
    // A range that leaves its registration is refused, whatever lies behind.
    if (found != ranges->end()) {
      return bytes <= found->second - (at - found->first) ? cuda::kSuccess : cuda::kInvalidValue;
    }
    if (Overlaps(*ranges, at, bytes)) return cuda::kInvalidValue;
  }
  pageable = true;
  return cuda::kSuccess;
}

void State::Copy(DevicePointer target, DevicePointer source, uint64_t bytes) {
  if (lost) return;
  while (bytes > 0) {
    uint64_t here = bytes;
    const std::byte* const from = Find(source, here);
    std::byte* const to = Find(target, here);
    if (from == nullptr || to == nullptr) {  // Unmapped while the copy waited.
      lost = true;
      return;
    }
    std::memmove(to, from, here);
    target += here;
    source += here;
    bytes -= here;
  }
  ++counted.copies;
  if (copies_until_lost > 0 && --copies_until_lost == 0) lost = true;
}

void State::Fill(DevicePointer target, uint8_t value, uint64_t bytes) {
  if (lost) return;
  while (bytes > 0) {
    uint64_t here = bytes;
    std::byte* const to = Find(target, here);
    if (to == nullptr) {
      lost = true;
      return;
    }
    std::memset(to, value, here);
    target += here;
    bytes -= here;
  }
  ++counted.fills;
}

void State::DropIfUnused(uint64_t handle) {
  const auto found = allocations.find(handle);
  if (found == allocations.end() || found->second.held || found->second.maps > 0) return;
  close(found->second.fd);
  allocations.erase(found);
}

}  // namespace kvpager::fake_cuda
