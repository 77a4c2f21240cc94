// memmgr/core/sequences.h
//
// What engines do to sequences: open, extend, fork, truncate, name, suspend, resume, close. What
// may be long runs as a job, in turns (R10); what lets go waits for its ticket (command.h).

#ifndef KVPAGER_MEMMGR_CORE_SEQUENCES_H_
#define KVPAGER_MEMMGR_CORE_SEQUENCES_H_

#include "memmgr/core/command.h"
#include "memmgr/core/state.h"

namespace kvpager {

void Attach(CoreState& state, const Command& command, const AttachCommand& body);
void Gone(CoreState& state, const Command& command);
void Revoke(CoreState& state, const Command& command);
// REQUIRES: nothing of the client is left but its row.
void FreeClient(CoreState& state, ClientId client);
void OpenSequence(CoreState& state, const Command& command, const OpenCommand& body);
void ExtendSequence(CoreState& state, const Command& command, const ExtendCommand& body);

// Fork, Truncate, Name, Suspend, Resume, Close: now, or behind a ticket and what waits before them.
void ChangeSequence(CoreState& state, const Command& command);

// What steps did that the core was not told of.
void NoteAppended(CoreState& state, const Command& command, const AppendedCommand& body);
void NoteUsed(CoreState& state, const Command& command, const UsedCommand& body);

// Applies the deferred commands whose time has come.
void RunDeferred(CoreState& state);

// Runs queued jobs, in order, as far as the budget goes.
void RunJobs(CoreState& state);

// A sequence of the core's own with the blocks of `keys` that are known; none if there are none.
SequenceId OpenOwn(CoreState& state, NamespaceId name_space, absl::Span<const BlockKey> keys);

// A sequence of the core's own with the first `blocks` blocks of `parent`; none if no room.
SequenceId ShareOwn(CoreState& state, const Sequence& parent, uint32_t blocks);

// Queues the end of a sequence.
void QueueClose(CoreState& state, SequenceId id, ClientId client, uint64_t request);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_SEQUENCES_H_
