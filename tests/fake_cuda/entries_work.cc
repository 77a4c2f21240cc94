// The entry points about the device, contexts, streams, events and copies.

#include <cstring>
#include <memory>

#include "tests/fake_cuda/entries.h"
#include "tests/fake_cuda/state.h"

namespace kvpager::fake_cuda {
namespace {

using Needs = State::Needs;

constexpr cuda::Uuid kUuid = {0xfa, 0x4e, 0xc0, 0xda, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
constexpr size_t kBatchMax = 4096;

cuda::Context TheContext() { return reinterpret_cast<cuda::Context>(uintptr_t{0xc0da}); }

template <typename Handle>
Handle MakeHandle() {
  return reinterpret_cast<Handle>(new char);  // A number that no other object has.
}

FakeStream* FindStream(State& state, cuda::Stream stream) {
  const auto found = state.streams.find(stream);
  return found == state.streams.end() ? nullptr : &found->second;
}

// Checks both sides; copies with pageable memory run before the call returns, as the driver does.
Result StartCopy(State& state, FakeStream& stream, DevicePointer target, DevicePointer source,
                 size_t bytes, State::Lock& lock) {
  bool pageable = false;
  if (bytes == 0 || state.CheckRange(target, bytes, pageable) != cuda::kSuccess ||
      state.CheckRange(source, bytes, pageable) != cuda::kSuccess) {
    return state.Misuse(cuda::kInvalidValue);
  }
  state.Enqueue(stream, [&state, target, source, bytes] { state.Copy(target, source, bytes); });
  if (pageable) {
    ++state.counted.pageable_copies;
    state.Drain(stream, lock);
  }
  return cuda::kSuccess;
}

}  // namespace

extern "C" {

FAKE_CUDA Control* kvp_fake_cuda_control() { return &State::Get(); }

FAKE_CUDA Result cuInit(uint32_t flags) {
  ENTER(Needs::kNothing);
  if (flags != 0) return state.Misuse(cuda::kInvalidValue);
  state.initialized = true;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuDriverGetVersion(int* version) {
  ENTER(Needs::kNothing);
  *version = 13000;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuGetErrorName(Result error, const char** name) {
  *name = error == cuda::kOutOfMemory ? "CUDA_ERROR_OUT_OF_MEMORY"
          : error == 719              ? "CUDA_ERROR_LAUNCH_FAILED"
                                      : "CUDA_ERROR_OF_THE_FAKE";
  return cuda::kSuccess;
}

FAKE_CUDA Result cuGetErrorString(Result error, const char** text) {
  *text = error == cuda::kOutOfMemory ? "out of memory" : "the fake driver says so";
  return cuda::kSuccess;
}

FAKE_CUDA Result cuDeviceGetCount(int* count) {
  ENTER(Needs::kInit);
  *count = 1;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuDeviceGet(int* device, int ordinal) {
  ENTER(Needs::kInit);
  if (ordinal != 0) return state.Misuse(cuda::kInvalidDevice);
  *device = 0;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuDeviceGetName(char* name, int length, int device) {
  ENTER(Needs::kInit);
  if (device != 0 || length <= 0) return state.Misuse(cuda::kInvalidDevice);
  std::strncpy(name, "Fake GPU", static_cast<size_t>(length));
  return cuda::kSuccess;
}

FAKE_CUDA Result cuDeviceGetUuid_v2(cuda::Uuid* uuid, int device) {
  ENTER(Needs::kInit);
  if (device != 0) return state.Misuse(cuda::kInvalidDevice);
  *uuid = kUuid;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuDeviceGetAttribute(int* value, int attribute, int device) {
  ENTER(Needs::kInit);
  if (device != 0) return state.Misuse(cuda::kInvalidDevice);
  *value = attribute == cuda::kAttributeVirtualMemory || attribute == cuda::kAttributePosixHandles;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuDevicePrimaryCtxRetain(cuda::Context* context, int device) {
  ENTER(Needs::kInit);
  if (device != 0) return state.Misuse(cuda::kInvalidDevice);
  ++state.context_references;
  *context = TheContext();
  return cuda::kSuccess;
}

FAKE_CUDA Result cuDevicePrimaryCtxRelease_v2(int device) {
  ENTER(Needs::kInit);
  if (device != 0 || state.context_references == 0) return state.Misuse(cuda::kInvalidContext);
  --state.context_references;
  return cuda::kSuccess;
}

FAKE_CUDA Result cuCtxPushCurrent_v2(cuda::Context context) {
  ENTER(Needs::kInit);
  if (context != TheContext() || state.context_references == 0) {
    return state.Misuse(cuda::kInvalidContext);
  }
  CurrentContexts().push_back(context);
  return cuda::kSuccess;
}

FAKE_CUDA Result cuCtxPopCurrent_v2(cuda::Context* context) {
  ENTER(Needs::kInit);
  if (CurrentContexts().empty()) return state.Misuse(cuda::kInvalidContext);
  *context = CurrentContexts().back();
  CurrentContexts().pop_back();
  return cuda::kSuccess;
}

FAKE_CUDA Result cuStreamCreate(cuda::Stream* stream, uint32_t flags) {
  ENTER(Needs::kContext);
  if (flags > cuda::kStreamNonBlocking) return state.Misuse(cuda::kInvalidValue);
  *stream = MakeHandle<cuda::Stream>();
  state.streams[*stream];
  return cuda::kSuccess;
}

FAKE_CUDA Result cuStreamSynchronize(cuda::Stream stream) {
  ENTER(Needs::kContext);
  FakeStream* const found = FindStream(state, stream);
  if (found == nullptr) return state.Misuse(cuda::kInvalidHandle);
  state.Drain(*found, lock);
  return state.lost ? 719 : cuda::kSuccess;
}

FAKE_CUDA Result cuStreamDestroy_v2(cuda::Stream stream) {
  ENTER(Needs::kInit);
  FakeStream* const found = FindStream(state, stream);
  if (found == nullptr) return state.Misuse(cuda::kInvalidHandle);
  state.Drain(*found, lock);
  state.streams.erase(stream);
  delete reinterpret_cast<char*>(stream);
  return cuda::kSuccess;
}

FAKE_CUDA Result cuEventCreate(cuda::Event* event, uint32_t flags) {
  ENTER(Needs::kContext);
  if (flags != cuda::kEventDisableTiming) return state.Misuse(cuda::kInvalidValue);
  *event = MakeHandle<cuda::Event>();
  state.events[*event];
  return cuda::kSuccess;
}

FAKE_CUDA Result cuEventDestroy_v2(cuda::Event event) {
  ENTER(Needs::kInit);
  if (state.events.erase(event) == 0) return state.Misuse(cuda::kInvalidHandle);
  delete reinterpret_cast<char*>(event);
  return cuda::kSuccess;
}

FAKE_CUDA Result cuEventRecord(cuda::Event event, cuda::Stream stream) {
  ENTER(Needs::kContext);
  FakeStream* const found = FindStream(state, stream);
  if (found == nullptr || state.events.count(event) == 0) {
    return state.Misuse(cuda::kInvalidHandle);
  }
  ++state.events[event].pending;
  state.Enqueue(*found, [&state, event] {
    const auto at = state.events.find(event);
    if (at != state.events.end()) --at->second.pending;
  });
  return cuda::kSuccess;
}

FAKE_CUDA Result cuEventQuery(cuda::Event event) {
  ENTER(Needs::kContext);
  const auto found = state.events.find(event);
  if (found == state.events.end()) return state.Misuse(cuda::kInvalidHandle);
  return found->second.pending > 0 ? cuda::kNotReady : cuda::kSuccess;
}

FAKE_CUDA Result cuMemcpy(DevicePointer target, DevicePointer source, size_t bytes) {
  ENTER(Needs::kContext);
  bool pageable = false;
  if (state.CheckRange(target, bytes, pageable) != cuda::kSuccess ||
      state.CheckRange(source, bytes, pageable) != cuda::kSuccess) {
    return state.Misuse(cuda::kInvalidValue);
  }
  state.Copy(target, source, bytes);
  return cuda::kSuccess;
}

FAKE_CUDA Result cuMemcpyAsync(DevicePointer target, DevicePointer source, size_t bytes,
                               cuda::Stream stream) {
  ENTER(Needs::kContext);
  FakeStream* const found = FindStream(state, stream);
  if (found == nullptr) return state.Misuse(cuda::kInvalidHandle);
  return StartCopy(state, *found, target, source, bytes, lock);
}

FAKE_CUDA Result cuMemsetD8Async(DevicePointer target, uint8_t value, size_t bytes,
                                 cuda::Stream stream) {
  ENTER(Needs::kContext);
  FakeStream* const found = FindStream(state, stream);
  bool pageable = false;
  if (found == nullptr) return state.Misuse(cuda::kInvalidHandle);
  if (state.CheckRange(target, bytes, pageable) != cuda::kSuccess || pageable) {
    return state.Misuse(cuda::kInvalidValue);
  }
  state.Enqueue(*found, [&state, target, value, bytes] { state.Fill(target, value, bytes); });
  return cuda::kSuccess;
}

// Stops at the first copy that is wrong; those before it have been started.
FAKE_CUDA Result cuMemcpyBatchAsync_v2(DevicePointer* targets, DevicePointer* sources,
                                       size_t* sizes, size_t count,
                                       cuda::CopyAttributes* attributes, size_t* firsts,
                                       size_t attribute_count, cuda::Stream stream) {
  ENTER(Needs::kContext);
  FakeStream* const found = FindStream(state, stream);
  if (found == nullptr) return state.Misuse(cuda::kInvalidHandle);
  if (count == 0 || count > kBatchMax || attribute_count != 1 || firsts[0] != 0 ||
      attributes[0].source_order != cuda::kSourceOrderStream || attributes[0].flags > 1) {
    return state.Misuse(cuda::kInvalidValue);
  }
  ++state.counted.batches;
  for (size_t i = 0; i < count; ++i) {
    const Result started = StartCopy(state, *found, targets[i], sources[i], sizes[i], lock);
    if (started != cuda::kSuccess) return started;
  }
  return cuda::kSuccess;
}

}  // extern "C"
}  // namespace kvpager::fake_cuda
