// memmgr/core/quota_stuck.h
//
// When a namespace can go no further because of quotas (charges.h), while others go on.
//
// A collecting step holds what it has until it is ready (R1), and everybody else waits for it: that
// is fair while what it waits for comes from all. If it can only come from its own namespace (which
// is at its maximum, or all others are within their guarantees), the step is *parked*: it gives
// back what it has and waits until its namespace has let go of something. Meanwhile no other step
// of its class collects: else it might never. If nothing of its namespace runs any more, waiting is
// in vain, and it is refused.
//
// Thread-safety: none.

#ifndef KVPAGER_MEMMGR_CORE_QUOTA_STUCK_H_
#define KVPAGER_MEMMGR_CORE_QUOTA_STUCK_H_

#include <cstdint>

#include "memmgr/core/charges.h"
#include "memmgr/core/state.h"

namespace kvpager {

// REQUIRES: nothing moves. Parks or refuses the collecting step, or ends background work, where
// quotas leave nothing else. True if something changed.
bool GiveUpForQuota(CoreState& state);

// Answers a waiting step with kResourceExhausted.
void FailForQuota(CoreState& state, uint32_t slot, const QuotaRefusal& refusal);

// True if the step still waits for its namespace.
bool IsParked(const CoreState& state, const Step& step);

// The background work of the namespace can go no further: its maximum below is reached, nothing of
// it is in flight.
bool StuckBelow(const CoreState& state, NamespaceId name_space);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_QUOTA_STUCK_H_
