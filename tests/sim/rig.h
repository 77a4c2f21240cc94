// tests/sim/rig.h
//
// A core on links of fixed speed, in virtual time, without content or faults: for measuring how
// long steps wait. Each link serves one page at a time; NVMe is one device for reads and writes,
// which serves reads first.

#ifndef KVPAGER_TESTS_SIM_RIG_H_
#define KVPAGER_TESTS_SIM_RIG_H_

#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "memmgr/core/core.h"
#include "memmgr/core/limits.h"

namespace kvpager::sim {

struct LinkSpeed {
  uint64_t latency_ns = 0;
  uint64_t page_ns = 0;  // One over the bandwidth.
};

enum Link : size_t { kLinkDown, kLinkUp, kLinkHbm, kLinkNvme, kLinkCount };

struct RigOptions {
  PoolOptions pool;
  std::array<LinkSpeed, kLinkCount> links{};
};

class Rig {
 public:
  using OnReply = std::function<void(const Reply&, const Effects&)>;

  Rig(const RigOptions& options, OnReply on_reply);

  // Commands are fed when the current event is done; replies come from inside Run.
  void Post(const Command& command, std::vector<BlockKey> keys, std::vector<StepEntry> entries);
  void At(uint64_t time_ns, std::function<void()> what);
  void Run(uint64_t until_ns);

  uint64_t now_ns() const { return now_ns_; }
  const Core& core() const { return *core_; }
  const LinkSpeed& link(Link link) const { return options_.links[link]; }
  uint64_t pages_moved(Channel channel) const { return pages_moved_[ChannelIndex(channel)]; }

 private:
  struct Posted {
    Command command;
    std::vector<BlockKey> keys;
    std::vector<StepEntry> entries;
  };
  struct Server {
    std::deque<CopyOp> first;  // Reads, where they go first.
    std::deque<CopyOp> others;
    bool busy = false;
  };

  void Execute();
  void Feed();
  void Serve(size_t link);
  void FinishService(size_t link, const CopyOp& copy);

  const RigOptions options_;
  OnReply on_reply_;
  std::unique_ptr<Core> core_;
  Effects effects_;
  uint64_t now_ns_ = 1;
  uint64_t events_ = 0;
  std::map<std::pair<uint64_t, uint64_t>, std::function<void()>> agenda_;
  std::deque<Posted> posted_;
  std::array<Server, kLinkCount> servers_;
  std::array<uint64_t, kChannelCount> pages_moved_{};
};

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_RIG_H_
