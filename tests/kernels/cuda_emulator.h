// tests/kernels/cuda_emulator.h
//
// Runs the body of a CUDA kernel on a CPU: one fiber per thread of a block, switching wherever
// threads wait for each other. One warp goes on for as long as it can, then the next, in an order
// of its own per seed. What it finds beside wrong results:
//
//   a barrier, shuffle or vote that not all threads reach      the block comes to a standstill
//   a tile that is read before it was waited for               kLate: copies land at the last
//   moment a stage that is filled while it is still read              kEarly: copies land at once
//   a copy that is misaligned, or lands outside shared memory
//
// What it cannot find: races within one stretch between two waits, which a fiber runs whole, and
// what orders ordinary stores and bulk copies.
//
// Thread-safety: none; one block at a time.

#ifndef KVPAGER_TESTS_KERNELS_CUDA_EMULATOR_H_
#define KVPAGER_TESTS_KERNELS_CUDA_EMULATOR_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kernels/cuda/thread.cuh"

namespace kvpager::kernels {

enum class CopiesLand : uint8_t { kEarly, kLate };

struct EmulatedGrid {
  int32_t x = 1;
  int32_t y = 1;
  int32_t z = 1;
  int32_t threads = 32;
  int32_t shared_bytes = 0;
  CopiesLand copies = CopiesLand::kLate;
  uint64_t seed = 1;
};

class EmulatedBlock;

// A handle, as cheap to copy as the device's.
class EmulatedThread {
 public:
  static constexpr bool kHasBulkCopies = true;

  EmulatedThread(EmulatedBlock* block, int32_t index) : block_(block), index_(index) {}

  int32_t index() const { return index_; }
  int32_t count() const;
  int32_t lane() const { return index_ % kWarpLanes; }
  int32_t warp() const { return index_ / kWarpLanes; }
  int32_t block_x() const;
  int32_t block_y() const;
  int32_t block_z() const;
  int32_t blocks_x() const;
  void Sync() const;
  void SyncWarp() const;
  float ShuffleXor(float value, int32_t mask) const;
  float Shuffle(float value, int32_t lane) const;
  bool All(bool value) const;
  void CopyAsync(void* shared, const void* global) const;
  void CopyCommit() const;
  template <int kPending>
  void CopyWait() const {
    CopyWaitFor(kPending);
  }
  void BarrierInit(uint64_t* barrier) const;
  void BarrierExpect(uint64_t* barrier, uint32_t bytes) const;
  void BulkCopy(void* shared, const void* global, uint32_t bytes, uint64_t* barrier) const;
  void BarrierWait(uint64_t* barrier, uint32_t parity) const;
  void FenceBeforeBulkCopies() const {}

 private:
  void CopyWaitFor(size_t pending) const;

  EmulatedBlock* block_;
  int32_t index_;
};

// `shared` is poisoned before each block starts.
using EmulatedBody = std::function<void(const EmulatedThread& thread, uint8_t* shared)>;

// All blocks of the grid, one after the other. Returns an empty text, or what went wrong.
std::string Emulate(const EmulatedGrid& grid, const EmulatedBody& body);

}  // namespace kvpager::kernels

#endif  // KVPAGER_TESTS_KERNELS_CUDA_EMULATOR_H_
