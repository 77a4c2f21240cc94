// memmgr/base/crash_point.h
//
// Named places at which a test can kill the process, as a power cut would: no destructor, no flush.
//
//   KVP_CRASH_POINT("superblock_written");
//
// In builds with KVPAGER_CRASH_POINTS, and with KVPAGER_CRASH_AT=superblock_written[:count] in the
// environment, the process kills itself with SIGKILL when it gets there for the count-th time (the
// first by default). Otherwise, and in all other builds, nothing happens. A name that is not in
// kCrashPoints does not compile, so a test that goes through the list covers them all.
//
// Thread-safety: any thread; the count is shared by all of them.

#ifndef KVPAGER_MEMMGR_BASE_CRASH_POINT_H_
#define KVPAGER_MEMMGR_BASE_CRASH_POINT_H_

#include <cstddef>
#include <string_view>

namespace kvpager {

inline constexpr std::string_view kCrashPoints[] = {
    "page_file_allocated",          // Space is reserved; the superblock still says "allocating".
    "superblock_written",           // At open, at creation and at a clean close.
    "nvme_write_submitted",         // A frame is on its way; it may be torn.
    "nvme_write_completed",         // The device has it; the core does not know.
    "catalogue_put_before",         // Entries are queued, not written.
    "catalogue_put_after",          // Entries are in the catalogue, not answered.
    "catalogue_durable_flushed",    // Frames are flushed; the entries are not committed.
    "catalogue_durable_committed",  // The entries are committed; nobody has been told.
};

namespace internal {

// Kills the process if this is the time and place.
void ReachCrashPoint(std::string_view name);

constexpr bool IsCrashPoint(std::string_view name) {
  for (std::string_view known : kCrashPoints) {
    if (known == name) return true;
  }
  return false;
}

}  // namespace internal
}  // namespace kvpager

#ifdef KVPAGER_CRASH_POINTS
#define KVP_CRASH_POINT(name)                                                                     \
  do {                                                                                            \
    static_assert(::kvpager::internal::IsCrashPoint(name), "add the name to kCrashPoints first"); \
    ::kvpager::internal::ReachCrashPoint(name);                                                   \
  } while (false)
#else
#define KVP_CRASH_POINT(name) \
  static_assert(::kvpager::internal::IsCrashPoint(name), "add the name to kCrashPoints first")
#endif

#endif  // KVPAGER_MEMMGR_BASE_CRASH_POINT_H_
