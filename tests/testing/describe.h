// tests/testing/describe.h
//
// Inputs and effects of the core as text, one line each: for transcripts, for logs of the simulator
// and for people. tests/testing/parse.h reads the input half back.
//
//   client c0   sequence s3.1 (slot.generation)   ticket 0:7 (lane:number)   page p5   block b5
//   frame hbm:3 host:3 nvme:3   operation op4.2 (slot.generation)   key k1f or k1f.2a, hexadecimal
//
// docs/TESTING.md has the grammar. Thread-safety: pure functions.

#ifndef KVPAGER_TESTS_TESTING_DESCRIBE_H_
#define KVPAGER_TESTS_TESTING_DESCRIBE_H_

#include <string>

#include "memmgr/base/ids.h"
#include "memmgr/core/command.h"
#include "memmgr/core/core.h"
#include "memmgr/core/effect.h"

namespace kvpager::testing {

const char* TierName(Tier tier);
const char* OutcomeName(Outcome outcome);

std::string Describe(BlockKey key);
std::string Describe(SequenceId sequence);
std::string Describe(Ticket ticket);
std::string Describe(OpId op);

std::string Describe(const Command& command);
std::string Describe(const Completion& completion);
std::string Describe(const RestoredBlock& block);
std::string Describe(const FoundRun& run, bool last);
std::string Describe(const RunFinding& finding);

std::string Describe(const CopyOp& copy);
std::string Describe(const CatalogueWrite& write);
std::string Describe(const PageTableWrite& write);
std::string Describe(const CreditWrite& write);
// A reply and, indented below it, what changed in its sequences.
std::string Describe(const Reply& reply, const Effects& effects);

// Every effect, in the order in which they are executed; "(none)" if there are none. Ends each line
// with a newline.
std::string Describe(const Effects& effects);

}  // namespace kvpager::testing

#endif  // KVPAGER_TESTS_TESTING_DESCRIBE_H_
