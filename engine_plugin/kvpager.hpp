// engine_plugin/kvpager.hpp
//
// kvpager.h with C++ lifetimes: what was opened is closed, what was begun is ended (discarded,
// unless end(KVP_STEP_KEEP) was called). Standard library only, C++11 and later, no exceptions of
// its own: calls return kvp_status, client.error() has the text.
//
// Ownership: Client outlives its Sequences and Steps. Everything moves, nothing copies.
// Thread-safety: as kvpager.h: one client, one thread at a time.

#ifndef KVPAGER_ENGINE_PLUGIN_KVPAGER_HPP_
#define KVPAGER_ENGINE_PLUGIN_KVPAGER_HPP_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine_plugin/kvpager.h"

namespace kvp {

class Client {
 public:
  Client() : client_(nullptr) {}
  ~Client() { close(); }
  Client(Client&& other) noexcept : client_(other.client_) { other.client_ = nullptr; }
  Client& operator=(Client&& other) noexcept {
    if (this != &other) {
      close();
      client_ = other.client_;
      other.client_ = nullptr;
    }
    return *this;
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Fills in struct_size and abi_version, so that `options` need not.
  KVP_MUST_CHECK kvp_status open(kvp_client_options options) {
    close();
    options.struct_size = sizeof(options);
    options.abi_version = KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR;
    return kvp_client_open(&options, &client_);
  }
  void close() {
    kvp_client_close(client_);
    client_ = nullptr;
  }

  bool is_open() const { return client_ != nullptr; }
  kvp_client* get() const { return client_; }
  // Of the last call that failed; before open has succeeded, of open.
  const char* error() const {
    return client_ != nullptr ? kvp_client_error(client_) : kvp_last_error();
  }

  KVP_MUST_CHECK kvp_status pool_info(kvp_pool_info* info) const {
    info->struct_size = sizeof(*info);
    return kvp_client_pool_info(client_, info);
  }
  template <typename T>
  KVP_MUST_CHECK kvp_status layer(int32_t tier, uint32_t layer, T** k, T** v) const {
    void* k_data = nullptr;
    void* v_data = nullptr;
    const kvp_status status = kvp_client_layer(client_, tier, layer, &k_data, &v_data);
    *k = static_cast<T*>(k_data);
    *v = static_cast<T*>(v_data);
    return status;
  }
  KVP_MUST_CHECK kvp_status prefetch(const std::vector<kvp_block_key>& keys, int32_t tier,
                                     uint64_t deadline_us = 0, uint32_t priority = 0) const {
    return kvp_prefetch_keys(client_, keys.data(), keys.size(), tier, deadline_us, priority);
  }

  KVP_MUST_CHECK kvp_status event_fd(int* fd) const { return kvp_event_fd(client_, fd); }
  // Fills in struct_size.
  KVP_MUST_CHECK kvp_status submit(std::vector<kvp_request> requests, size_t* accepted) const {
    for (kvp_request& request : requests) request.struct_size = sizeof(request);
    return kvp_submit(client_, requests.data(), requests.size(), accepted);
  }
  // Replaces the contents of `completions`: at most `max`.
  KVP_MUST_CHECK kvp_status drain(size_t max, std::vector<kvp_completion>* completions) const {
    completions->assign(max, kvp_completion());
    if (max > 0) completions->front().struct_size = sizeof(kvp_completion);
    size_t count = 0;
    const kvp_status status = kvp_drain(client_, completions->data(), max, &count);
    completions->resize(count);
    return status;
  }

 private:
  kvp_client* client_;
};

class Sequence {
 public:
  Sequence() : client_(nullptr), seq_(0) {}
  ~Sequence() { reset(); }
  Sequence(Sequence&& other) noexcept : client_(other.client_), seq_(other.seq_) { other.seq_ = 0; }
  Sequence& operator=(Sequence&& other) noexcept {
    if (this != &other) {
      reset();
      client_ = other.client_;
      seq_ = other.seq_;
      other.seq_ = 0;
    }
    return *this;
  }
  Sequence(const Sequence&) = delete;
  Sequence& operator=(const Sequence&) = delete;

  KVP_MUST_CHECK kvp_status open(const Client& client, const std::vector<kvp_block_key>& keys,
                                 kvp_reuse* reuse = nullptr) {
    reset();
    client_ = client.get();
    if (reuse != nullptr) reuse->struct_size = sizeof(*reuse);
    return kvp_seq_open(client_, keys.data(), keys.size(), &seq_, reuse);
  }
  KVP_MUST_CHECK kvp_status fork(const Sequence& parent) {
    kvp_seq child = 0;
    const kvp_status status = kvp_seq_fork(parent.client_, parent.seq_, &child);
    if (status != KVP_OK) return status;
    reset();
    client_ = parent.client_;
    seq_ = child;
    return KVP_OK;
  }
  // Takes over what a completion of KVP_OP_OPEN or KVP_OP_FORK has brought.
  void adopt(const Client& client, kvp_seq seq) {
    reset();
    client_ = client.get();
    seq_ = seq;
  }
  // Also what the destructor does, for callers that want the status.
  KVP_MUST_CHECK kvp_status close() {
    if (seq_ == 0) return KVP_OK;
    const kvp_status status = kvp_seq_close(client_, seq_);
    if (status != KVP_FAILED_PRECONDITION) seq_ = 0;
    return status;
  }

  bool is_open() const { return seq_ != 0; }
  kvp_seq get() const { return seq_; }

  KVP_MUST_CHECK kvp_status name(uint32_t first_block,
                                 const std::vector<kvp_block_key>& keys) const {
    return kvp_seq_name(client_, seq_, first_block, keys.data(), keys.size(), 0, 0);
  }
  KVP_MUST_CHECK kvp_status name_durably(uint32_t first_block,
                                         const std::vector<kvp_block_key>& keys,
                                         uint64_t timeout_us) const {
    return kvp_seq_name(client_, seq_, first_block, keys.data(), keys.size(), KVP_NAME_DURABLE,
                        timeout_us);
  }
  KVP_MUST_CHECK kvp_status truncate(uint64_t tokens) const {
    return kvp_seq_truncate(client_, seq_, tokens);
  }
  KVP_MUST_CHECK kvp_status compact(uint32_t lane, uint64_t base_tokens,
                                    const std::vector<uint32_t>& accepted) const {
    return kvp_seq_compact(client_, seq_, lane, base_tokens, accepted.data(), accepted.size());
  }
  KVP_MUST_CHECK kvp_status length(uint64_t* tokens) const {
    return kvp_seq_length(client_, seq_, tokens);
  }
  KVP_MUST_CHECK kvp_status suspend() const { return kvp_seq_suspend(client_, seq_); }
  KVP_MUST_CHECK kvp_status resume() const { return kvp_seq_resume(client_, seq_); }
  KVP_MUST_CHECK kvp_status prefetch(int32_t tier, uint64_t deadline_us = 0,
                                     uint32_t priority = 0) const {
    return kvp_seq_prefetch(client_, seq_, tier, deadline_us, priority);
  }
  KVP_MUST_CHECK kvp_status evict(int32_t tier) const { return kvp_seq_evict(client_, seq_, tier); }

 private:
  void reset() {
    const kvp_status status = close();
    (void)status;  // Nobody is left to tell.
    seq_ = 0;
  }

  kvp_client* client_;
  kvp_seq seq_;
};

// An entry that reads all of `sequence` and appends `append_tokens` tokens.
inline kvp_step_entry entry(const Sequence& sequence, uint32_t append_tokens) {
  kvp_step_entry result = {sequence.get(), append_tokens, 0, 0, KVP_ALL, 0, KVP_ALL};
  return result;
}

class Step {
 public:
  Step() : step_(nullptr) {}
  ~Step() { reset(); }
  Step(Step&& other) noexcept : step_(other.step_) { other.step_ = nullptr; }
  Step& operator=(Step&& other) noexcept {
    if (this != &other) {
      reset();
      step_ = other.step_;
      other.step_ = nullptr;
    }
    return *this;
  }
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  KVP_MUST_CHECK kvp_status begin(const Client& client, const std::vector<kvp_step_entry>& entries,
                                  uint32_t lane = 0, uint32_t residency = KVP_RESIDENT) {
    reset();
    kvp_step_options options = {sizeof(kvp_step_options), lane, residency};
    return kvp_step_begin(client.get(), &options, entries.data(), entries.size(), &step_);
  }
  KVP_MUST_CHECK kvp_status wait(uint64_t timeout_us) const {
    return kvp_step_wait(step_, timeout_us);
  }
  KVP_MUST_CHECK kvp_status view(uint32_t group, int32_t tier, kvp_view* view) const {
    view->struct_size = sizeof(*view);
    return kvp_step_view(step_, group, tier, view);
  }
  KVP_MUST_CHECK kvp_status times(kvp_step_times* times) const {
    times->struct_size = sizeof(*times);
    return kvp_step_get_times(step_, times);
  }
  KVP_MUST_CHECK kvp_status end(int32_t keep_or_discard) {
    kvp_step* step = step_;
    step_ = nullptr;
    return kvp_step_end(step, keep_or_discard);
  }

  bool is_open() const { return step_ != nullptr; }
  kvp_step* get() const { return step_; }

 private:
  void reset() {
    if (step_ == nullptr) return;
    const kvp_status status = end(KVP_STEP_DISCARD);
    (void)status;  // Nobody is left to tell.
  }

  kvp_step* step_;
};

}  // namespace kvp

#endif  // KVPAGER_ENGINE_PLUGIN_KVPAGER_HPP_
