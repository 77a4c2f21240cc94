// tests/kernels/cuda_device.h
//
// A fixture on a CUDA device: memory that frees itself, and the batch with the device's pointers.
// What CUDA refuses here ends the test program: it is no finding about kernels.

#ifndef KVPAGER_TESTS_KERNELS_CUDA_DEVICE_H_
#define KVPAGER_TESTS_KERNELS_CUDA_DEVICE_H_

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <limits>
#include <vector>

#include "kernels/cuda/attend.h"
#include "tests/kernels/attention_check.h"
#include "tests/kernels/paged_fixture.h"

namespace kvpager::kernels {

inline void Must(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(error));
  std::abort();
}

inline bool HasCudaDevice() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess && count > 0;
}

// Device memory; empty if made of nothing.
template <typename T>
class DeviceArray {
 public:
  DeviceArray(const T* values, size_t count) : count_(count) {
    if (count == 0) return;
    Must(cudaMalloc(&data_, count * sizeof(T)));
    if (values != nullptr) Set(values);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.data(), values.size()) {}
  // Every byte 0xff: NaN, as any type.
  explicit DeviceArray(size_t count) : DeviceArray(nullptr, count) {
    if (count > 0) Must(cudaMemset(data_, 0xff, count * sizeof(T)));
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* get() const { return data_; }
  void Set(const T* values) {
    Must(cudaMemcpy(data_, values, count_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  std::vector<T> Read() const {
    std::vector<T> values(count_);
    if (count_ > 0) {
      Must(cudaMemcpy(values.data(), data_, count_ * sizeof(T), cudaMemcpyDeviceToHost));
    }
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t count_;
};

// A batch and its queries on the device. Copies what the fixture holds now.
class DeviceBatch {
 public:
  DeviceBatch(const PagedFixture& fixture, const AttentionQuery& query)
      : DeviceBatch(fixture, fixture.kv(), query) {}

  const PagedKv& kv() const { return kv_; }
  const AttentionQuery& query() const { return query_; }
  std::vector<uint8_t> Pages() const { return pages_.Read(); }

 private:
  static size_t Size(const void* data, int64_t count) {
    return data == nullptr ? 0 : static_cast<size_t>(count);
  }

  DeviceBatch(const PagedFixture& fixture, const PagedKv& kv, const AttentionQuery& query)
      : pages_(fixture.bytes()),
        indptr_(kv.indptr, static_cast<size_t>(kv.batch_size) + 1),
        indices_(kv.indices, static_cast<size_t>(kv.indptr[kv.batch_size])),
        last_(kv.last_page_len, static_cast<size_t>(kv.batch_size)),
        positions_(kv.positions, Size(kv.positions, kv.indptr[kv.batch_size])),
        queries_(query.query, fixture.lse_size() * static_cast<size_t>(kv.head_dim_k)),
        query_indptr_(query.query_indptr, Size(query.query_indptr, kv.batch_size + 1)),
        query_first_(query.query_first, Size(query.query_first, kv.batch_size)),
        bits_(query.mask.draft_bits,
              Size(query.mask.draft_bits,
                   static_cast<int64_t>(fixture.query_tokens()) * query.mask.draft_words)),
        draft_first_(query.mask.draft_first, Size(query.mask.draft_first, kv.batch_size)),
        kv_(kv),
        query_(query) {
    const auto v_at = static_cast<const uint8_t*>(kv.v_data) - fixture.bytes().data();
    kv_.k_data = pages_.get();
    kv_.v_data = pages_.get() + v_at;
    kv_.indptr = indptr_.get();
    kv_.indices = indices_.get();
    kv_.last_page_len = last_.get();
    kv_.positions = positions_.get();
    query_.query = queries_.get();
    query_.query_indptr = query_indptr_.get();
    query_.query_first = query_first_.get();
    query_.mask.draft_bits = bits_.get();
    query_.mask.draft_first = draft_first_.get();
  }

  DeviceArray<uint8_t> pages_;
  DeviceArray<int32_t> indptr_, indices_, last_, positions_;
  DeviceArray<float> queries_;
  DeviceArray<int32_t> query_indptr_;
  DeviceArray<int64_t> query_first_;
  DeviceArray<uint64_t> bits_;
  DeviceArray<int64_t> draft_first_;
  PagedKv kv_;
  AttentionQuery query_;
};

// A poisoned result on the device.
class DeviceResult {
 public:
  explicit DeviceResult(const PagedFixture& fixture)
      : output_(fixture.output_size()), lse_(fixture.lse_size()), read_(fixture) {}
  AttentionOutput out() const { return {output_.get(), lse_.get()}; }
  const Result& Read() {
    Must(cudaDeviceSynchronize());
    read_.output = output_.Read();
    read_.lse = lse_.Read();
    return read_;
  }

 private:
  DeviceArray<float> output_;
  DeviceArray<float> lse_;
  Result read_;
};

}  // namespace kvpager::kernels

#endif  // KVPAGER_TESTS_KERNELS_CUDA_DEVICE_H_
