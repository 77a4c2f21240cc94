#include "tests/fuzz/message_mutator.h"

#include <cstring>

#include "ipc/wire.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t bytes, size_t bytes_max);

namespace kvpager {
namespace {

constexpr size_t kBodyBytesAt = 12;

// Magic, version and flags as they must be, and the length that there is.
void MendHeader(uint8_t* message, size_t bytes) {
  const struct {
    uint32_t magic = kWireMagic;
    uint16_t version_major = kWireMajor;
    uint16_t version_minor = kWireMinor;
  } start;
  std::memcpy(message, &start, sizeof(start));
  std::memset(message + 10, 0, 2);
  const auto body_bytes = static_cast<uint32_t>(bytes - kWireHeaderBytes);
  std::memcpy(message + kBodyBytesAt, &body_bytes, sizeof(body_bytes));
}

}  // namespace

size_t MutateMessage(uint8_t* data, size_t bytes, size_t bytes_max, size_t message_at,
                     uint32_t seed) {
  const size_t mutated = LLVMFuzzerMutate(data, bytes, bytes_max);
  const bool mend = seed % 16 != 0;
  if (mend && mutated >= message_at + kWireHeaderBytes) {
    MendHeader(data + message_at, mutated - message_at);
  }
  return mutated;
}

}  // namespace kvpager
