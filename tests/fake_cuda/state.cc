#include "tests/fake_cuda/state.h"

#include <cstdlib>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace kvpager::fake_cuda {
namespace {

constexpr uint64_t kMemoryBytes = uint64_t{256} << 20;
constexpr int kAlways = 1 << 30;

}  // namespace

std::deque<cuda::Context>& CurrentContexts() {
  thread_local std::deque<cuda::Context> contexts;
  return contexts;
}

// Never destroyed: its thread runs until the process ends.
State& State::Get() {
  static State* const state = new State();
  return *state;
}

State::State() {
  const char* const memory = std::getenv("KVPAGER_FAKE_CUDA_MEMORY");
  memory_bytes = memory == nullptr ? kMemoryBytes : std::strtoull(memory, nullptr, 10);
  if (const char* const lose = std::getenv("KVPAGER_FAKE_CUDA_LOSE")) {
    copies_until_lost = std::strtoll(lose, nullptr, 10);
  }
  const char* const fail = std::getenv("KVPAGER_FAKE_CUDA_FAIL");
  const char* const equals = fail == nullptr ? nullptr : std::strchr(fail, '=');
  if (equals != nullptr) {
    failures_[std::string(fail, equals)] = {std::atoi(equals + 1), 0, kAlways};
  }
}

Result State::Enter(const char* entry, Needs needs, Lock& lock) {
  lock = Lock(mutex_);
  if (needs != Needs::kNothing && !initialized) return Misuse(cuda::kNotInitialized);
  if (needs == Needs::kContext) {
    if (CurrentContexts().empty()) return Misuse(cuda::kInvalidContext);
    if (lost) return 719;  // LAUNCH_FAILED, for ever.
  }
  const auto found = failures_.find(entry);
  if (found == failures_.end()) return cuda::kSuccess;
  Failure& failure = found->second;
  if (failure.after-- > 0) return cuda::kSuccess;
  if (failure.count-- <= 0) {
    failures_.erase(found);
    return cuda::kSuccess;
  }
  return failure.error;
}

Result State::Misuse(Result error) {
  ++counted.misuses;
  return error;
}

void State::Fail(const char* entry, int error, int after, int count) {
  const Lock lock(mutex_);
  failures_[entry] = {error, after, count};
}

void State::LoseDevice() {
  const Lock lock(mutex_);
  lost = true;
  for (auto& [name, stream] : streams) stream.queue.clear();
  ran_.notify_all();
}

void State::Reset() {
  const Lock lock(mutex_);
  failures_.clear();
  lost = false;
  copies_until_lost = -1;
  counted = Counts();
}

Live State::live() {
  const Lock lock(mutex_);
  Live live;
  live.contexts = context_references;
  live.reservations = reservations.size();
  live.mappings = mappings.size();
  for (const auto& [name, allocation] : allocations) {
    if (allocation.held) ++live.handles;
    if (allocation.own) live.allocation_bytes += allocation.bytes;
  }
  live.registrations = registrations.size();
  live.host_allocations = host_allocations.size();
  live.streams = streams.size();
  live.events = events.size();
  return live;
}

Counts State::counts() {
  const Lock lock(mutex_);
  return counted;
}

// ---- Streams: one thread takes the oldest operation of each in turn -----------------------------

void State::Enqueue(FakeStream& stream, std::function<void()> operation) {
  stream.queue.push_back(std::move(operation));
  if (!working_) {
    working_ = true;
    std::thread([this] { Work(); }).detach();
  }
  wake_.notify_all();
}

bool State::RunNext(Lock&) {
  auto at = streams.upper_bound(last_stream_);
  for (size_t tried = 0; tried < streams.size(); ++tried, ++at) {
    if (at == streams.end()) at = streams.begin();
    if (at->second.queue.empty()) continue;
    last_stream_ = at->first;
    const std::function<void()> operation = std::move(at->second.queue.front());
    at->second.queue.pop_front();
    operation();
    ran_.notify_all();
    return true;
  }
  return false;
}

void State::Work() {
  Lock lock(mutex_);
  while (true) {
    if (!held_ && RunNext(lock)) {
      lock.unlock();  // Between operations, so that callers get in.
      std::this_thread::yield();
      lock.lock();
      continue;
    }
    wake_.wait(lock);
  }
}

void State::Drain(FakeStream& stream, Lock& lock) {
  ran_.wait(lock, [&] { return stream.queue.empty() || lost; });
}

void State::Hold() {
  const Lock lock(mutex_);
  held_ = true;
}

bool State::RunOne() {
  Lock lock(mutex_);
  return RunNext(lock);
}

void State::Go() {
  const Lock lock(mutex_);
  held_ = false;
  wake_.notify_all();
}

}  // namespace kvpager::fake_cuda
