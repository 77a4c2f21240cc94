// memmgr/core/admission.h
//
// What a step does to its sequences before it collects: blocks for its new tokens, and a block of
// its own for a partial tail that somebody else holds too. Undone as a whole if the step comes to
// nothing.

#ifndef KVPAGER_MEMMGR_CORE_ADMISSION_H_
#define KVPAGER_MEMMGR_CORE_ADMISSION_H_

#include <string_view>

#include "absl/status/status.h"
#include "memmgr/core/state.h"

namespace kvpager {

// Why a step is not admitted. Then nothing has changed.
struct Refusal {
  absl::StatusCode status = absl::StatusCode::kOk;
  std::string_view reason;

  bool refused() const { return status != absl::StatusCode::kOk; }
};
Refusal Admit(CoreState& state, Step& step);

// REQUIRES: admitted, not ready; none of its pages is pinned or claimed by it any more.
void UndoAdmission(CoreState& state, Step& step);

// True if admission may put a copy in the place of the sequence's partial tail. Steps that are
// ready have pinned the tail itself, so they must end first.
bool ReplacesTail(const CoreState& state, const Step& step, const EntryState& entry,
                  const Sequence& sequence);

// True if admission would take no new block: every append fits behind a tail that the sequence may
// write in place.
bool AppendsInPlace(const CoreState& state, const Step& step);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_ADMISSION_H_
