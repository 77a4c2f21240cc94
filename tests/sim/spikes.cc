#include "tests/sim/spikes.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <vector>

#include "tests/sim/failure.h"
#include "tests/sim/rig.h"
#include "tests/testing/random.h"

namespace kvpager::sim {
namespace {

constexpr uint32_t kPageTokens = 16;
constexpr uint64_t kMillisecond = 1'000'000;
constexpr uint64_t kPageBytes = 32 * 1024;
constexpr uint32_t kEngines = 2;
constexpr uint32_t kRunningMax = 8;  // Per engine.
constexpr uint32_t kConversations = 240;

// What one step waited, and the least it could have waited.
struct Waited {
  StepWait wait;
  uint64_t ideal_ns = 0;
};

// All but the queue behind other steps (R1), which depends on what they ask for.
uint64_t OwnWaitNs(const StepWait& wait) { return wait.room_ns + wait.nvme_ns + wait.host_ns; }

struct Request {
  uint32_t conversation = 0;
  SequenceId sequence;
  uint64_t prompt_tokens = 0;
  uint64_t tokens = 0;
  uint64_t decode_left = 0;
};

struct Conversation {
  uint64_t identity = 0;
  uint64_t tokens = 0;
  bool busy = false;
};

// Chat traffic at a fixed rate of arrivals: each request continues a conversation, reuses what is
// known of it, prefills the rest in one step, decodes one token per step in a batch, names, closes.
class Load {
 public:
  Load(const RigOptions& options, uint64_t seed)
      : random_(seed),
        rig_(options, [this](const Reply& reply, const Effects&) { OnReply(reply); }),
        conversations_(kConversations) {
    for (uint32_t i = 0; i <= kEngines; ++i) {
      Command command;
      command.client = ClientId{i};
      command.body = AttachCommand{NamespaceId{0}};
      rig_.Post(command, {}, {});
    }
    for (Conversation& conversation : conversations_) Renew(conversation);
    running_.resize(kEngines);
    decoding_.resize(kEngines);
    admitted_.resize(kEngines);
  }

  void Run(uint64_t until_ns) {
    rig_.At(1, [this] { Arrive(); });
    rig_.Run(until_ns);
  }

  Rig& rig() { return rig_; }
  const std::vector<Waited>& waited() const { return waited_; }
  void ForgetWaits() { waited_.clear(); }
  uint64_t requests_done() const { return requests_done_; }

  // A sequence of a third engine, idle between its turns.
  void AddSession(uint64_t at_ns, uint64_t blocks, bool prefetch, uint64_t resume_ns);
  const std::map<bool, std::vector<uint64_t>>& session_waits() const { return session_waits_; }

 private:
  using Then = std::function<void(const Reply&)>;

  template <typename Body>
  void Ask(uint32_t engine, const Body& body, Then then, std::vector<BlockKey> keys = {},
           std::vector<StepEntry> entries = {}) {
    Command command;
    command.client = ClientId{engine};
    command.request = then ? ++requests_ : 0;
    command.body = body;
    if (then) waiting_[requests_] = std::move(then);
    rig_.Post(command, std::move(keys), std::move(entries));
  }

  void OnReply(const Reply& reply) {
    const auto found = waiting_.find(reply.request);
    if (found == waiting_.end()) return;
    const Then then = std::move(found->second);
    waiting_.erase(found);
    then(reply);
  }

  void Renew(Conversation& conversation) {
    conversation.identity = ++identities_;
    conversation.tokens = kPageTokens * random_.Between(4, 30);
  }

  std::vector<BlockKey> Keys(const Conversation& conversation, uint64_t tokens) const {
    std::vector<BlockKey> keys;
    for (uint64_t i = 0; i < tokens / kPageTokens; ++i) {
      keys.push_back(BlockKey{{testing::Mix(conversation.identity, i), 1}});
    }
    return keys;
  }

  void Arrive();
  void Prefill(uint32_t engine, std::shared_ptr<Request> request);
  void Decode(uint32_t engine);
  void Finish(uint32_t engine, const Request& request);
  void Step(uint32_t engine, const std::vector<StepEntry>& entries, uint64_t compute_ns, bool count,
            std::function<void(const Reply&)> on_end);
  void Note(const Reply& reply);

  testing::Random random_;
  Rig rig_;
  std::vector<Conversation> conversations_;
  std::vector<std::vector<std::shared_ptr<Request>>> running_;
  std::vector<bool> decoding_;
  std::vector<uint32_t> admitted_;
  std::map<uint64_t, Then> waiting_;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> numbers_;
  std::map<std::pair<uint32_t, uint32_t>, uint64_t> lane_ends_ns_;
  uint64_t requests_ = 0;
  uint64_t identities_ = 0;
  uint64_t requests_done_ = 0;
  std::vector<Waited> waited_;
  std::map<bool, std::vector<uint64_t>> session_waits_;
};

void Load::Arrive() {
  rig_.At(rig_.now_ns() + random_.Between(2, 12) * kMillisecond, [this] { Arrive(); });
  const auto engine = static_cast<uint32_t>(random_.Below(kEngines));
  // A few conversations are much busier than the others.
  const uint64_t limit = random_.Chance(500) ? kConversations / 8 : kConversations;
  const auto index = static_cast<uint32_t>(random_.Below(limit));
  Conversation& conversation = conversations_[index];
  if (admitted_[engine] >= kRunningMax || conversation.busy) return;
  if (conversation.tokens > 60 * kPageTokens) Renew(conversation);
  conversation.busy = true;
  ++admitted_[engine];
  auto request = std::make_shared<Request>();
  request->conversation = index;
  request->prompt_tokens = conversation.tokens + kPageTokens * random_.Between(1, 12);
  request->decode_left = random_.Between(16, 64);
  const std::vector<BlockKey> keys = Keys(conversation, request->prompt_tokens);
  Ask(
      engine, OpenCommand{},
      [this, engine, request](const Reply& reply) {
        if (reply.status != absl::StatusCode::kOk) Fail("a request cannot be opened");
        request->sequence = reply.sequence;
        request->tokens = reply.tokens;
        Prefill(engine, request);
      },
      keys);
}

void Load::Step(uint32_t engine, const std::vector<StepEntry>& entries, uint64_t compute_ns,
                bool count, std::function<void(const Reply&)> on_end) {
  const uint32_t lane = count && entries.size() == 1 && entries[0].append_tokens > 1 ? 0 : 1;
  StepBeginCommand body;
  body.ticket = Ticket{lane, ++numbers_[{engine, lane}]};
  Ask(
      engine, body,
      [this, engine, compute_ns, count, ticket = body.ticket, on_end](const Reply& reply) {
        if (reply.status != absl::StatusCode::kOk) {
          Fail("a step is refused: " + std::string(reply.reason));
        }
        if (count) Note(reply);
        // Steps of one lane end in their order.
        uint64_t& lane_end_ns = lane_ends_ns_[{engine, ticket.lane}];
        lane_end_ns = std::max(lane_end_ns, rig_.now_ns()) + compute_ns;
        rig_.At(lane_end_ns, [this, engine, ticket, reply, on_end] {
          Ask(engine, StepEndCommand{ticket}, nullptr);
          on_end(reply);
        });
      },
      {}, entries);
}

void Load::Prefill(uint32_t engine, std::shared_ptr<Request> request) {
  StepEntry entry;
  entry.sequence = request->sequence;
  entry.append_tokens =
      static_cast<uint32_t>(std::max<uint64_t>(request->prompt_tokens - request->tokens, 2));
  request->tokens += entry.append_tokens;
  Step(engine, {entry}, kMillisecond * entry.append_tokens / 100 + kMillisecond, true,
       [this, engine, request](const Reply&) {
         running_[engine].push_back(request);
         if (!decoding_[engine]) Decode(engine);
       });
}

void Load::Decode(uint32_t engine) {
  decoding_[engine] = !running_[engine].empty();
  if (running_[engine].empty()) return;
  const std::vector<std::shared_ptr<Request>> batch = running_[engine];
  std::vector<StepEntry> entries;
  for (const auto& request : batch) {
    StepEntry entry;
    entry.sequence = request->sequence;
    entry.append_tokens = 1;
    entries.push_back(entry);
    ++request->tokens;
  }
  Step(engine, entries, 2 * kMillisecond, true, [this, engine, batch](const Reply&) {
    for (const auto& request : batch) {
      if (--request->decode_left > 0) continue;
      std::erase(running_[engine], request);
      Finish(engine, *request);
    }
    Decode(engine);
  });
}

void Load::Finish(uint32_t engine, const Request& request) {
  Conversation& conversation = conversations_[request.conversation];
  conversation.tokens = request.tokens / kPageTokens * kPageTokens;
  conversation.busy = false;
  --admitted_[engine];
  ++requests_done_;
  NameCommand name;
  name.sequence = request.sequence;
  Ask(engine, name, nullptr, Keys(conversation, conversation.tokens));
  Ask(engine, CloseCommand{request.sequence, Ticket{}}, nullptr);
}

// The least a step can wait: its own bytes over the slowest link they need, and that link's
// latency.
void Load::Note(const Reply& reply) {
  Waited waited;
  waited.wait = reply.wait;
  Link slowest = kLinkHbm;
  uint64_t pages = 1;
  if (reply.wait.promoted_host_pages > 0) {
    slowest = kLinkUp;
    pages = reply.wait.promoted_host_pages + reply.wait.promoted_nvme_pages;
  }
  if (reply.wait.promoted_nvme_pages > 0) {
    slowest = kLinkNvme;
    pages = reply.wait.promoted_nvme_pages;
  }
  waited.ideal_ns = rig_.link(slowest).latency_ns + pages * rig_.link(slowest).page_ns;
  waited_.push_back(waited);
}

void Load::AddSession(uint64_t at_ns, uint64_t blocks, bool prefetch, uint64_t resume_ns) {
  rig_.At(at_ns, [this, blocks, prefetch, resume_ns] {
    Ask(kEngines, OpenCommand{}, [this, blocks, prefetch, resume_ns](const Reply& opened) {
      const SequenceId sequence = opened.sequence;
      StepEntry entry;
      entry.sequence = sequence;
      entry.append_tokens = static_cast<uint32_t>(blocks * kPageTokens);
      Step(kEngines, {entry}, kMillisecond, false, [=, this](const Reply&) {
        Ask(kEngines, SuspendCommand{sequence, Ticket{}}, nullptr);
        Ask(kEngines, EvictCommand{sequence, Tier::kNvme}, nullptr);
      });
      if (prefetch) {
        rig_.At(resume_ns - 200 * kMillisecond, [=, this] {
          PrefetchCommand body;
          body.sequence = sequence;
          body.tier = Tier::kHbm;
          body.deadline = Instant{resume_ns};
          Ask(kEngines, body, nullptr);
        });
      }
      rig_.At(resume_ns, [=, this] {
        Ask(kEngines, ResumeCommand{sequence}, nullptr);
        StepEntry read;
        read.sequence = sequence;
        Step(kEngines, {read}, kMillisecond, false, [=, this](const Reply& reply) {
          session_waits_[prefetch].push_back(OwnWaitNs(reply.wait));
          Ask(kEngines, CloseCommand{sequence, Ticket{}}, nullptr);
        });
      });
    });
  });
}

RigOptions MakeOptions(uint64_t nvme_page_ns) {
  RigOptions options;
  options.pool.page_tokens = kPageTokens;
  options.pool.blocks_hbm = 1000;
  options.pool.blocks_host = 3000;
  options.pool.blocks_nvme = 30000;
  options.pool.admission = Admission::kAlways;
  options.links[kLinkDown] = {10'000, kPageBytes * 1000 / 12'000};  // 12 GB/s each way.
  options.links[kLinkUp] = {10'000, kPageBytes * 1000 / 12'000};
  options.links[kLinkHbm] = {5'000, kPageBytes * 1000 / 400'000};
  options.links[kLinkNvme] = {80'000, nvme_page_ns};
  return options;
}

double PagesPerSecond(Load& load, uint64_t run_ns) {
  const uint64_t pages =
      load.rig().pages_moved(Channel::kHostToNvme) + load.rig().pages_moved(Channel::kNvmeToHost);
  return static_cast<double>(pages) * 1e9 / static_cast<double>(run_ns);
}

bool Judge(const char* what, double value, double bound) {
  const bool good = value <= bound;
  std::printf("%-58s %10.4f   bound %.4f   %s\n", what, value, bound, good ? "ok" : "MISSED");
  return good;
}

double Mean(const std::vector<uint64_t>& values) {
  double sum = 0;
  for (uint64_t value : values) sum += static_cast<double>(value);
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

bool JudgeSteps(const std::vector<Waited>& waited) {
  uint64_t for_room = 0;
  uint64_t from_nvme = 0;
  double ratio_max = 0;
  Waited worst;
  for (const Waited& step : waited) {
    for_room += step.wait.room_ns > 0 ? 1 : 0;
    from_nvme += step.wait.promoted_nvme_pages > 0 ? 1 : 0;
    const uint64_t own_ns = OwnWaitNs(step.wait);
    const double ratio = static_cast<double>(own_ns) / static_cast<double>(step.ideal_ns);
    if (ratio <= ratio_max) continue;
    ratio_max = ratio;
    worst = step;
  }
  std::printf("steps %zu, of which %llu read from NVMe\n", waited.size(),
              static_cast<unsigned long long>(from_nvme));
  std::printf(
      "worst step: room %llu us, nvme %llu us, host %llu us; %llu pages from nvme, "
      "%llu from host\n",
      static_cast<unsigned long long>(worst.wait.room_ns / 1000),
      static_cast<unsigned long long>(worst.wait.nvme_ns / 1000),
      static_cast<unsigned long long>(worst.wait.host_ns / 1000),
      static_cast<unsigned long long>(worst.wait.promoted_nvme_pages),
      static_cast<unsigned long long>(worst.wait.promoted_host_pages));
  if (from_nvme == 0) Fail("the load never reads from NVMe: it measures nothing");
  const double share = static_cast<double>(for_room) / static_cast<double>(waited.size());
  bool good = Judge("share of steps that waited for a demotion", share, 0.001);
  good &= Judge("largest wait over own bytes on the slowest link (no queue)", ratio_max, 4.0);
  return good;
}

}  // namespace

bool RunSpikes() {
  constexpr uint64_t kRunNs = 20'000 * kMillisecond;
  Load unbound(MakeOptions(kPageBytes * 1000 / 8'000), 1);
  unbound.Run(kRunNs);
  const double demanded = PagesPerSecond(unbound, kRunNs);
  const auto half_page_ns = static_cast<uint64_t>(2e9 / demanded);
  std::printf("demanded of NVMe: %.1f MB/s; given: half of it\n",
              demanded * static_cast<double>(kPageBytes) / 1e6);

  Load load(MakeOptions(half_page_ns), 1);
  load.Run(kRunNs);
  std::printf("requests %llu, NVMe moved %.1f MB/s\n",
              static_cast<unsigned long long>(load.requests_done()),
              PagesPerSecond(load, kRunNs) * static_cast<double>(kPageBytes) / 1e6);
  bool good = JudgeSteps(load.waited());

  Load sessions(MakeOptions(half_page_ns), 2);
  constexpr uint32_t kSessions = 40;
  for (uint32_t i = 0; i < kSessions; ++i) {
    const uint64_t start_ns = (500 + 100 * i) * kMillisecond;
    sessions.AddSession(start_ns, 24, i % 2 == 0, start_ns + 8'000 * kMillisecond);
  }
  sessions.Run(kRunNs);
  const auto& waits = sessions.session_waits();
  if (waits.size() != 2 || waits.at(false).size() + waits.at(true).size() != kSessions) {
    Fail("not every suspended sequence was resumed");
  }
  std::printf("resume of 24 blocks (no queue): %.3f ms without, %.3f ms with prefetch\n",
              Mean(waits.at(false)) / 1e6, Mean(waits.at(true)) / 1e6);
  good &= Judge("resume with a prefetch in time, over resume without",
                Mean(waits.at(true)) / std::max(Mean(waits.at(false)), 1.0), 0.2);
  return good;
}

}  // namespace kvpager::sim
