#include "tests/sim/rig.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/failure.h"
#include "tests/sim/input_log.h"
#include "tests/testing/describe.h"

namespace kvpager::sim {
namespace {

Link LinkOf(Channel channel) {
  switch (channel) {
    case Channel::kHbmToHost:
      return kLinkDown;
    case Channel::kHostToHbm:
      return kLinkUp;
    case Channel::kHbmToHbm:
    case Channel::kScrub:
      return kLinkHbm;
    case Channel::kHostToNvme:
    case Channel::kNvmeToHost:
      return kLinkNvme;
  }
  return kLinkHbm;
}

}  // namespace

Rig::Rig(const RigOptions& options, OnReply on_reply)
    : options_(options), on_reply_(std::move(on_reply)) {
  const absl::StatusOr<Limits> limits = DeriveLimits(options_.pool);
  if (!limits.ok()) Fail(std::string(limits.status().message()));
  absl::StatusOr<std::unique_ptr<Core>> core = Core::Create(*limits);
  if (!core.ok()) Fail(std::string(core.status().message()));
  core_ = *std::move(core);
  effects_ = core_->MakeEffects();
}

void Rig::At(uint64_t time_ns, std::function<void()> what) {
  agenda_.emplace(std::pair{std::max(time_ns, now_ns_), events_++}, std::move(what));
}

void Rig::Post(const Command& command, std::vector<BlockKey> keys, std::vector<StepEntry> entries) {
  posted_.push_back({command, std::move(keys), std::move(entries)});
}

void Rig::Execute() {
  if (Verbose() && !effects_.empty()) std::fputs(testing::Describe(effects_).c_str(), stdout);
  for (const Reply& reply : effects_.replies) on_reply_(reply, effects_);
  for (const CopyOp& copy : effects_.copies) {
    const Link link = LinkOf(copy.channel);
    const bool read = copy.channel == Channel::kNvmeToHost;
    (read ? servers_[link].first : servers_[link].others).push_back(copy);
    Serve(link);
  }
  for (const CatalogueWrite& write : effects_.catalogue_writes) {
    if (write.op.is_none()) continue;
    At(now_ns_ + 1'000'000, [this, op = write.op] {
      core_->Complete(Instant{now_ns_}, Completion{op, Outcome::kOk, 0}, effects_);
      Execute();
    });
  }
  effects_.Clear();
}

void Rig::Serve(size_t link) {
  Server& server = servers_[link];
  std::deque<CopyOp>& queue = server.first.empty() ? server.others : server.first;
  if (server.busy || queue.empty()) return;
  const CopyOp copy = queue.front();
  queue.pop_front();
  server.busy = true;
  ++pages_moved_[ChannelIndex(copy.channel)];
  At(now_ns_ + options_.links[link].page_ns, [this, link, copy] { FinishService(link, copy); });
}

// The link takes the next page; this one arrives after the latency.
void Rig::FinishService(size_t link, const CopyOp& copy) {
  servers_[link].busy = false;
  Serve(link);
  At(now_ns_ + options_.links[link].latency_ns, [this, copy] {
    if (Verbose())
      std::printf("@%llu > %s\n", static_cast<unsigned long long>(now_ns_),
                  testing::Describe(Completion{copy.op, Outcome::kOk, 0}).c_str());
    core_->Complete(Instant{now_ns_}, Completion{copy.op, Outcome::kOk, 0}, effects_);
    Execute();
  });
}

void Rig::Feed() {
  while (!posted_.empty() || core_->has_work()) {
    if (posted_.empty()) {
      core_->Tick(Instant{now_ns_}, effects_);
      Execute();
      continue;
    }
    Posted posted = std::move(posted_.front());
    posted_.pop_front();
    std::visit(
        [&posted](auto& body) {
          if constexpr (requires { body.keys; }) body.keys = posted.keys;
          if constexpr (requires { body.entries; }) body.entries = posted.entries;
        },
        posted.command.body);
    if (Verbose())
      std::printf("@%llu > %s\n", static_cast<unsigned long long>(now_ns_),
                  testing::Describe(posted.command).c_str());
    core_->Step(Instant{now_ns_}, posted.command, effects_);
    Execute();
  }
}

void Rig::Run(uint64_t until_ns) {
  Feed();
  while (!agenda_.empty() || core_->next_deadline().ns < until_ns) {
    const uint64_t event_ns = agenda_.empty() ? ~uint64_t{0} : agenda_.begin()->first.first;
    const uint64_t deadline_ns = std::max(core_->next_deadline().ns, now_ns_ + 1);
    if (std::min(event_ns, deadline_ns) > until_ns) break;
    if (deadline_ns < event_ns) {
      now_ns_ = deadline_ns;
      core_->Tick(Instant{now_ns_}, effects_);
      Execute();
    } else {
      now_ns_ = event_ns;
      const std::function<void()> what = std::move(agenda_.begin()->second);
      agenda_.erase(agenda_.begin());
      what();
    }
    Feed();
  }
  now_ns_ = std::max(now_ns_, until_ns);
}

}  // namespace kvpager::sim
