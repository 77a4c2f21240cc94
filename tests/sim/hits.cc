#include "tests/sim/hits.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/sim/failure.h"
#include "tests/sim/rig.h"
#include "tests/testing/random.h"

namespace kvpager::sim {
namespace {

constexpr uint32_t kPageTokens = 16;
constexpr uint64_t kPageBytes = 32 * 1024;
constexpr uint32_t kBlocksHbm = 1000;
constexpr uint32_t kBlocksHost = 3000;
constexpr uint32_t kBlocksNvme = 10000;
constexpr uint32_t kConversations = 2500;
constexpr uint32_t kRequests = 14'000;
constexpr uint32_t kPrefillBlocks = 16;
constexpr uint32_t kDecodeSteps = 4;

// Serves whole prompts at once: finds what it has of one from the start, then has all of it, the
// tail as the older part.
class IdealCache {
 public:
  explicit IdealCache(size_t places) : places_(places) {}

  uint64_t Serve(const std::vector<uint64_t>& blocks) {
    uint64_t hits = 0;
    while (hits < blocks.size() && where_.contains(blocks[hits])) ++hits;
    for (auto block = blocks.rbegin(); block != blocks.rend(); ++block) Use(*block);
    return hits;
  }

 private:
  void Use(uint64_t block) {
    if (const auto at = where_.find(block); at != where_.end()) order_.erase(at->second);
    where_[block] = order_.insert(order_.end(), block);
    if (order_.size() <= places_) return;
    where_.erase(order_.front());
    order_.pop_front();
  }

  const size_t places_;
  std::list<uint64_t> order_;
  std::unordered_map<uint64_t, std::list<uint64_t>::iterator> where_;
};

struct Request {
  std::vector<uint64_t> blocks;
  SequenceId sequence;
  uint64_t tokens = 0;
  uint32_t named = 0;
  uint32_t decode_left = kDecodeSteps;

  uint64_t prompt_tokens() const { return uint64_t{blocks.size()} * kPageTokens; }
};

// One engine that always serves `in_flight` requests. Each continues one of many conversations, a
// few of which are much busier than the others; all begin with the same block.
class Load {
 public:
  Load(const RigOptions& options, uint32_t in_flight)
      : random_(5),
        ideal_(kBlocksNvme),
        rig_(options, [this](const Reply& reply, const Effects&) { OnReply(reply); }),
        lengths_(kConversations) {
    rig_.Post({.client = ClientId{0}, .body = AttachCommand{NamespaceId{0}}}, {}, {});
    for (uint32_t& length : lengths_) length = static_cast<uint32_t>(random_.Between(2, 40));
    rig_.At(1, [this, in_flight] {
      for (uint32_t i = 0; i < in_flight; ++i) Start();
    });
    while (done_ < kRequests) {
      const uint32_t before = done_;
      rig_.Run(rig_.now_ns() + 10'000'000'000);
      if (done_ == before) Fail("nothing is served any more");
    }
  }

  double ratio() const { return static_cast<double>(hits_) / static_cast<double>(looked_up_); }
  double ideal_ratio() const {
    return static_cast<double>(ideal_hits_) / static_cast<double>(looked_up_);
  }

 private:
  using Then = std::function<void(const Reply&)>;

  template <typename Body>
  void Ask(const Body& body, Then then, std::vector<BlockKey> keys = {},
           std::vector<StepEntry> entries = {}) {
    Command command;
    command.client = ClientId{0};
    command.request = ++requests_;
    command.body = body;
    waiting_[requests_] = std::move(then);
    rig_.Post(command, std::move(keys), std::move(entries));
  }

  void OnReply(const Reply& reply) {
    const auto found = waiting_.find(reply.request);
    if (found == waiting_.end()) return;
    if (reply.status != absl::StatusCode::kOk) Fail("refused: " + std::string(reply.reason));
    const Then then = std::move(found->second);
    waiting_.erase(found);
    if (then) then(reply);
  }

  static std::vector<BlockKey> Keys(const Request& request, size_t first, size_t end) {
    std::vector<BlockKey> keys;
    for (size_t i = first; i < end; ++i) keys.push_back(BlockKey{{request.blocks[i], 1}});
    return keys;
  }

  void Start() {
    if (started_ == kRequests) return;
    ++started_;
    const uint64_t limit = random_.Chance(400) ? kConversations / 10 : kConversations;
    const auto index = static_cast<uint32_t>(random_.Below(limit));
    uint32_t& length = lengths_[index];
    length = length > 60 ? 2 : length + static_cast<uint32_t>(random_.Between(1, 6));
    auto request = std::make_shared<Request>();
    request->blocks.push_back(1);
    for (uint32_t i = 1; i < length; ++i) request->blocks.push_back(testing::Mix(index + 1, i));
    looked_up_ += request->blocks.size();
    Ask(
        OpenCommand{},
        [this, request](const Reply& reply) {
          request->sequence = reply.sequence;
          request->tokens = reply.tokens;
          request->named = static_cast<uint32_t>(reply.tokens / kPageTokens);
          hits_ += request->named;
          ideal_hits_ += ideal_.Serve(request->blocks);
          Step(request);
        },
        Keys(*request, 0, request->blocks.size()));
  }

  void Step(const std::shared_ptr<Request>& request) {
    StepEntry entry;
    entry.sequence = request->sequence;
    entry.append_tokens = static_cast<uint32_t>(std::clamp<uint64_t>(
        request->prompt_tokens() - request->tokens, 1, kPrefillBlocks * kPageTokens));
    if (request->tokens >= request->prompt_tokens()) --request->decode_left;
    request->tokens += entry.append_tokens;
    StepBeginCommand body;
    body.ticket = Ticket{0, ++steps_};
    Ask(body,
        [this, request, ticket = body.ticket](const Reply&) {
          // Steps of a lane end in their order.
          lane_end_ns_ = std::max(lane_end_ns_, rig_.now_ns()) + 100'000;
          rig_.At(lane_end_ns_, [this, request, ticket] {
            Ask(StepEndCommand{ticket}, nullptr);
            Name(*request);
            if (request->decode_left > 0) return Step(request);
            Ask(CloseCommand{request->sequence, Ticket{}}, nullptr);
            ++done_;
            Start();
          });
        },
        {}, {entry});
  }

  void Name(Request& request) {
    const uint64_t full = std::min<uint64_t>(request.tokens / kPageTokens, request.blocks.size());
    if (full <= request.named) return;
    NameCommand name;
    name.sequence = request.sequence;
    name.block_first = request.named;
    Ask(name, nullptr, Keys(request, request.named, full));
    request.named = static_cast<uint32_t>(full);
  }

  testing::Random random_;
  IdealCache ideal_;
  Rig rig_;
  std::vector<uint32_t> lengths_;  // In blocks, by conversation.
  std::map<uint64_t, Then> waiting_;
  uint64_t requests_ = 0;
  uint64_t steps_ = 0;
  uint64_t lane_end_ns_ = 0;
  uint32_t started_ = 0;
  uint32_t done_ = 0;
  uint64_t looked_up_ = 0;
  uint64_t hits_ = 0;
  uint64_t ideal_hits_ = 0;
};

RigOptions MakeOptions(uint64_t nvme_page_ns) {
  RigOptions options;
  options.pool.page_tokens = kPageTokens;
  options.pool.blocks_hbm = kBlocksHbm;
  options.pool.blocks_host = kBlocksHost;
  options.pool.blocks_nvme = kBlocksNvme;
  options.pool.admission = Admission::kAlways;
  options.links[kLinkDown] = {10'000, kPageBytes * 1000 / 12'000};
  options.links[kLinkUp] = {10'000, kPageBytes * 1000 / 12'000};
  options.links[kLinkHbm] = {5'000, kPageBytes * 1000 / 400'000};
  options.links[kLinkNvme] = {80'000, nvme_page_ns};
  return options;
}

}  // namespace

bool RunHits() {
  struct Case {
    uint32_t nvme_megabytes_per_second;
    uint32_t in_flight;
  };
  bool good = true;
  for (const Case& run : {Case{500, 8}, Case{4000, 4}, Case{4000, 8}}) {
    const Load load(MakeOptions(kPageBytes * 1000 / run.nvme_megabytes_per_second), run.in_flight);
    const bool enough = load.ratio() >= load.ideal_ratio();
    good &= enough;
    std::printf("NVMe %4u MB/s, %u in flight: hit ratio %.4f, ideal LRU of NVMe's size %.4f   %s\n",
                run.nvme_megabytes_per_second, run.in_flight, load.ratio(), load.ideal_ratio(),
                enough ? "ok" : "MISSED");
  }
  return good;
}

}  // namespace kvpager::sim
