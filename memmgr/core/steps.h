// memmgr/core/steps.h
//
// Steps as engines see them: begin, end, cancel. What happens in between is collector.h.
//
//   begin   checks and queues
//   end     the pins go, in turns if they are many; what was written is kept, and sealed when full
//
// Thread-safety: none. Errors: answered.

#ifndef KVPAGER_MEMMGR_CORE_STEPS_H_
#define KVPAGER_MEMMGR_CORE_STEPS_H_

#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/command.h"
#include "memmgr/core/state.h"

namespace kvpager {

void BeginStep(CoreState& state, const Command& command, const StepBeginCommand& body);
void EndStep(CoreState& state, const Command& command, const StepEndCommand& body);
void CancelStep(CoreState& state, const Command& command, const StepCancelCommand& body);

// Answers a waiting step that comes to nothing, and forgets it.
void FailStep(CoreState& state, uint32_t slot, absl::StatusCode status, std::string_view reason,
              const QuotaRefusal& quota = {});

// Ends a step whatever its phase: queues the end of a ready one, drops the wish of any other.
void AbortStep(CoreState& state, uint32_t slot);

// One turn of the job that ends a step; true when it is done.
bool RunEndStep(CoreState& state, uint32_t slot);

// Seals what is full and accepted in blocks [position_first, ...) of the sequence.
void SealAccepted(CoreState& state, Sequence& sequence, uint32_t position_first);

// A sequence, or a step, lets go of a block: without a name it goes with its last holder.
void DropReference(CoreState& state, BlockIndex block);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_STEPS_H_
