// tests/engine_plugin/async_fixture.h
//
// An engine that submits, polls and drains, on the fake daemon. Completions are kept as copies.
//
// Waits are bounded by a watchdog of many seconds, after which a test fails: that is what a lost
// wake-up looks like.

#ifndef KVPAGER_TESTS_ENGINE_PLUGIN_ASYNC_FIXTURE_H_
#define KVPAGER_TESTS_ENGINE_PLUGIN_ASYNC_FIXTURE_H_

#include <poll.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/engine_plugin/engine_fixture.h"

namespace kvpager::engine {

inline constexpr int kWatchdogMs = 20'000;

// A completion, copied.
struct Done {
  kvp_completion completion{};
  std::string error;
};

inline bool IsReadable(int fd, int timeout_ms) {
  pollfd watch = {.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&watch, 1, timeout_ms) == 1 && (watch.revents & POLLIN) != 0;
}

class AsyncFixture : public EngineFixture {
 protected:
  void AttachAsync(const EngineSetup& setup = {}) {
    Attach(setup);
    ASSERT_EQ(kvp_event_fd(client_, &fd_), KVP_OK) << Error();
  }

  static kvp_request Request(uint32_t op, uint64_t user_data, kvp_seq seq = 0) {
    kvp_request request{};
    request.struct_size = sizeof(request);
    request.op = op;
    request.user_data = user_data;
    request.seq = seq;
    return request;
  }
  static kvp_request OpenRequest(uint64_t user_data, const std::vector<kvp_block_key>& keys) {
    kvp_request request = Request(KVP_OP_OPEN, user_data);
    request.keys = keys.data();
    request.num_keys = keys.size();
    return request;
  }
  static kvp_request NameRequest(uint64_t user_data, kvp_seq seq,
                                 const std::vector<kvp_block_key>& keys) {
    kvp_request request = OpenRequest(user_data, keys);
    request.op = KVP_OP_NAME;
    request.seq = seq;
    return request;
  }
  static kvp_request WaitRequest(uint64_t user_data, kvp_step* step) {
    kvp_request request = Request(KVP_OP_STEP, user_data);
    request.step = step;
    return request;
  }

  void Submit(const std::vector<kvp_request>& requests) {
    size_t accepted = 0;
    ASSERT_EQ(kvp_submit(client_, requests.data(), requests.size(), &accepted), KVP_OK) << Error();
    ASSERT_EQ(accepted, requests.size());
  }

  // What one drain has found; KVP_OK expected.
  std::vector<Done> Drain(size_t max = 16) {
    std::vector<kvp_completion> out(max);
    if (max > 0) out[0].struct_size = sizeof(kvp_completion);
    size_t count = 0;
    drained_ = kvp_drain(client_, out.data(), max, &count);
    std::vector<Done> found;
    for (size_t i = 0; i < count; ++i) {
      EXPECT_EQ(out[i].struct_size, sizeof(kvp_completion));
      found.push_back({out[i], out[i].error});
    }
    return found;
  }

  // Polls before every drain, and only drains what was announced, until `count` have completed.
  std::vector<Done> Collect(size_t count) {
    std::vector<Done> all;
    while (all.size() < count) {
      if (!IsReadable(fd_, kWatchdogMs)) {
        ADD_FAILURE() << "nothing to drain; " << all.size() << " of " << count << " have come";
        break;
      }
      const std::vector<Done> found = Drain();
      EXPECT_EQ(drained_, KVP_OK) << Error();
      all.insert(all.end(), found.begin(), found.end());
      if (drained_ != KVP_OK) break;
    }
    EXPECT_EQ(all.size(), count);
    all.resize(count);
    return all;
  }
  Done CollectOne() { return Collect(1).front(); }

  // Until there is nothing to do and nobody says otherwise.
  void ExpectQuiet() {
    for (int i = 0; i < 1000 && IsReadable(fd_, 0); ++i) EXPECT_TRUE(Drain().empty());
    EXPECT_FALSE(IsReadable(fd_, 0));
  }

  // Until the daemon has seen that many requests of the type.
  void AwaitSeen(MessageType type, size_t count) {
    while (true) {
      size_t seen = 0;
      for (const SeenRequest& request : daemon_.seen()) seen += request.type == type ? 1 : 0;
      if (seen >= count) return;
    }
  }

  int fd_ = -1;
  kvp_status drained_ = KVP_OK;
};

}  // namespace kvpager::engine

#endif  // KVPAGER_TESTS_ENGINE_PLUGIN_ASYNC_FIXTURE_H_
