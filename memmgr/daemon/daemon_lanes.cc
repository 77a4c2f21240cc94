// memmgr/daemon/daemon_lanes.cc
//
// The daemon's side of steps without a message: it reads what engines say in shared memory and
// tells the core. The order is what matters: the page table is written first, then lanes are
// sampled, and only then may a frame that was withdrawn pass (docs/SHARED_PAGE_TABLE.md).

#include <algorithm>
#include <cstdint>

#include "ipc/lanes.h"
#include "memmgr/core/credits.h"
#include "memmgr/daemon/daemon.h"

namespace kvpager {
namespace {

static_assert(kSharedLanes == kLanesMax);
static_assert(kSharedCredits == kCreditSlots);

constexpr uint64_t kTouchedNs = 5'000'000;   // How old the policy's view of use may be.
constexpr uint64_t kWantedSleepNs = 20'000;  // While somebody waits for what is in limbo.
constexpr uint64_t kUnwantedSleepNs = 200'000;

bool KeepsLanes(const Session& session) {
  return session.state != Session::State::kFree && !session.admin && session.message_free;
}

}  // namespace

void Daemon::CarryOut(Instant now) {
  router_->Execute(effects_);
  while (true) {
    if (const auto answer = router_->TakeCreditAnswer(); answer.has_value()) {
      pool_->core().AnswerCredit(now, answer->sequence, answer->taken, effects_);
      router_->Execute(effects_);
      continue;
    }
    if (!pool_->core().has_unstamped_frames()) return;
    NoteAllLanes();
    pool_->core().PassLimbo(now, effects_);
    router_->Execute(effects_);
  }
}

void Daemon::NoteLanes(ClientId client) {
  if (client.is_none()) return;
  const Session& session = server_->sessions().at(client.value);
  if (!KeepsLanes(session)) return;
  LaneCounters counters;
  const SharedLanes& shared = session.shared_lanes();
  for (uint32_t lane = 0; lane < kSharedLanes; ++lane) {
    counters.begun[lane] = shared.lanes[lane].begun.load();
    counters.done[lane] = shared.lanes[lane].done.load();
  }
  pool_->core().NoteLanes(client, counters);
}

void Daemon::NoteAllLanes() {
  SessionTable& sessions = server_->sessions();
  for (uint32_t i = 0; i < sessions.size(); ++i) NoteLanes(sessions.at(i).client());
}

void Daemon::PollLanes(Instant now) {
  PollTouched(now);
  if (!pool_->core().wants_lanes()) return;
  NoteAllLanes();
  pool_->core().PassLimbo(now, effects_);
  CarryOut(now);
}

// Before requests, so that victims are chosen by what is used now.
void Daemon::PollTouched(Instant now) {
  if (now.ns < touched_polled_at_.ns + kTouchedNs) return;
  touched_polled_at_ = now;
  const uint32_t slots = pool_->limits().sequences_max;
  SessionTable& sessions = server_->sessions();
  for (uint32_t i = 0; i < sessions.size(); ++i) {
    if (!KeepsLanes(sessions.at(i))) continue;
    const ClientId client = sessions.at(i).client();
    SharedLanes& shared = sessions.at(i).shared_lanes();
    for (uint32_t word = 0; word < kTouchedWords; ++word) {
      if (shared.touched[word].load() == 0) continue;
      for (uint64_t bits = shared.touched[word].exchange(0); bits != 0; bits &= bits - 1) {
        const auto bit = word * 64 + static_cast<uint32_t>(__builtin_ctzll(bits));
        for (uint32_t slot = bit; slot < slots; slot += kTouchedBits) {
          const SequenceId sequence = pool_->core().sequence_in_slot(slot);
          if (!sequence.is_none()) Step(now, {.client = client, .body = UsedCommand{sequence}});
        }
      }
    }
  }
}

uint64_t Daemon::LanesSleepNs() const {
  if (!pool_->core().wants_lanes()) return ~uint64_t{0};
  return pool_->core().wants_lanes_soon() ? kWantedSleepNs : kUnwantedSleepNs;
}

}  // namespace kvpager
