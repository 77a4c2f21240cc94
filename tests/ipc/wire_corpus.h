// tests/ipc/wire_corpus.h
//
// One well-formed message of every type, with every field set: what the wire tests and the fuzzer
// start from; and a walk that reads everything an accepted message offers.

#ifndef KVPAGER_TESTS_IPC_WIRE_CORPUS_H_
#define KVPAGER_TESTS_IPC_WIRE_CORPUS_H_

#include <cstdint>
#include <vector>

#include "ipc/wire.h"

namespace kvpager {

std::vector<MessageBytes> WireCorpus();

// A StepBegin with `entries` entries; `request` and `session` are 7 and {1, 2}.
MessageBytes MakeStepBegin(uint32_t entries);
MessageBytes MakeOpen(uint32_t keys);

// Reads every element of every list, and every byte of every string. The sum is only there to be
// used. Stops the process if a list is longer than the decoder may let pass.
uint64_t ReadEverything(const MessageView& view, const WireBounds& bounds);

}  // namespace kvpager

#endif  // KVPAGER_TESTS_IPC_WIRE_CORPUS_H_
