// kernels/cuda/thread.cuh
//
// What a thread of a kernel has around it: its index, its warp, its block, and asynchronous copies
// into shared memory. Kernel bodies are templates of this, and touch the device through nothing
// else. So the same bodies run on a CPU, one fiber per thread (tests/kernels/cuda_emulator.h),
// against the same oracle as every other kernel.
//
// All lanes of a warp call SyncWarp, ShuffleXor, Shuffle and All together, and all threads of a
// block call Sync.

#ifndef KVPAGER_KERNELS_CUDA_THREAD_CUH_
#define KVPAGER_KERNELS_CUDA_THREAD_CUH_

#include <cstdint>

#if defined(__CUDACC__)
#define KVPAGER_DEVICE __device__ __forceinline__
#define KVPAGER_UNROLL _Pragma("unroll")
#else
#define KVPAGER_DEVICE inline
#define KVPAGER_UNROLL
#endif

namespace kvpager::kernels {

inline constexpr int32_t kWarpLanes = 32;

#if defined(__CUDACC__)

class DeviceThread {
 public:
  KVPAGER_DEVICE int32_t index() const { return static_cast<int32_t>(threadIdx.x); }
  KVPAGER_DEVICE int32_t count() const { return static_cast<int32_t>(blockDim.x); }
  KVPAGER_DEVICE int32_t lane() const { return index() % kWarpLanes; }
  // Taken from lane 0, so that the compiler knows that a warp agrees.
  KVPAGER_DEVICE int32_t warp() const { return __shfl_sync(kAll, index() / kWarpLanes, 0); }
  KVPAGER_DEVICE int32_t block_x() const { return static_cast<int32_t>(blockIdx.x); }
  KVPAGER_DEVICE int32_t block_y() const { return static_cast<int32_t>(blockIdx.y); }
  KVPAGER_DEVICE int32_t block_z() const { return static_cast<int32_t>(blockIdx.z); }
  KVPAGER_DEVICE int32_t blocks_x() const { return static_cast<int32_t>(gridDim.x); }

  KVPAGER_DEVICE void Sync() const { __syncthreads(); }
  KVPAGER_DEVICE void SyncWarp() const { __syncwarp(); }
  KVPAGER_DEVICE float ShuffleXor(float value, int32_t mask) const {
    return __shfl_xor_sync(kAll, value, mask);
  }
  KVPAGER_DEVICE float Shuffle(float value, int32_t lane) const {
    return __shfl_sync(kAll, value, lane);
  }
  KVPAGER_DEVICE bool All(bool value) const { return __all_sync(kAll, value) != 0; }

  // cp.async: 16 bytes, both addresses aligned to 16. A thread's copies since its last CopyCommit
  // are a group.
  KVPAGER_DEVICE void CopyAsync(void* shared, const void* global) const {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(SharedAddress(shared)),
                 "l"(global)
                 : "memory");
  }
  KVPAGER_DEVICE void CopyCommit() const { asm volatile("cp.async.commit_group;" ::: "memory"); }
  // Returns when at most `kPending` of this thread's groups are not done.
  template <int kPending>
  KVPAGER_DEVICE void CopyWait() const {
    asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
  }

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  static constexpr bool kHasBulkCopies = true;

  // mbarrier: for one arrival per phase, that of BarrierExpect.
  KVPAGER_DEVICE void BarrierInit(uint64_t* barrier) const {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" ::"r"(SharedAddress(barrier)) : "memory");
    // Bulk copies are not to be seen before it.
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  // This phase ends when so many bytes have come. By one thread.
  KVPAGER_DEVICE void BarrierExpect(uint64_t* barrier, uint32_t bytes) const {
    asm volatile(
        "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(SharedAddress(barrier)),
        "r"(bytes)
        : "memory");
  }
  // cp.async.bulk: addresses and `bytes` multiples of 16.
  KVPAGER_DEVICE void BulkCopy(void* shared, const void* global, uint32_t bytes,
                               uint64_t* barrier) const {
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
            "r"(SharedAddress(shared)),
        "l"(global), "r"(bytes), "r"(SharedAddress(barrier))
        : "memory");
  }
  // Returns when the phase of this parity (0, 1, 0...) has ended.
  KVPAGER_DEVICE void BarrierWait(uint64_t* barrier, uint32_t parity) const {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "again:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra ended;\n"
        "bra again;\n"
        "ended:\n"
        "}\n" ::"r"(SharedAddress(barrier)),
        "r"(parity)
        : "memory");
  }
  // Orders this thread's own stores to shared memory before bulk copies to the same place.
  KVPAGER_DEVICE void FenceBeforeBulkCopies() const {
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
#else
  static constexpr bool kHasBulkCopies = false;
  KVPAGER_DEVICE void BarrierInit(uint64_t*) const {}
  KVPAGER_DEVICE void BarrierExpect(uint64_t*, uint32_t) const {}
  KVPAGER_DEVICE void BulkCopy(void*, const void*, uint32_t, uint64_t*) const {}
  KVPAGER_DEVICE void BarrierWait(uint64_t*, uint32_t) const {}
  KVPAGER_DEVICE void FenceBeforeBulkCopies() const {}
#endif

 private:
  static constexpr uint32_t kAll = 0xffffffffu;

  KVPAGER_DEVICE static uint32_t SharedAddress(const void* shared) {
    return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
  }
};

#endif  // defined(__CUDACC__)

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_CUDA_THREAD_CUH_
