// tests/fuzz/message_mutator.h
//
// libFuzzer's mutations, after which the header of the message is mended more often than not: a
// byte put in or taken out makes the length in the header wrong, and what is refused for its header
// says nothing about the body behind it.

#ifndef KVPAGER_TESTS_FUZZ_MESSAGE_MUTATOR_H_
#define KVPAGER_TESTS_FUZZ_MESSAGE_MUTATOR_H_

#include <cstddef>
#include <cstdint>

namespace kvpager {

// Mutates the input at `data`, of `bytes` bytes and with room for `bytes_max`, in which a message
// starts at `message_at`. Returns its new size. The outcome follows from `seed` and libFuzzer's.
size_t MutateMessage(uint8_t* data, size_t bytes, size_t bytes_max, size_t message_at,
                     uint32_t seed);

}  // namespace kvpager

#endif  // KVPAGER_TESTS_FUZZ_MESSAGE_MUTATOR_H_
