#include "memmgr/core/client_info.h"

#include <cstdint>

#include "memmgr/core/step_pages.h"

namespace kvpager {
namespace {

template <typename Visit>
void ForEachStepOf(const CoreState& s, ClientId client, Visit visit) {
  if (client.value >= s.clients.size() || s.clients[client.value].steps == 0) return;
  for (uint32_t slot = 0; slot < s.steps.slots(); ++slot) {
    const Step& step = s.steps.step(slot);
    if (step.phase != StepPhase::kFree && step.client == client) visit(step);
  }
}

}  // namespace

StepsInfo StepsOf(const CoreState& s, ClientId client) {
  StepsInfo info;
  ForEachStepOf(s, client, [&info](const Step& step) {
    if (step.phase == StepPhase::kWaiting || step.phase == StepPhase::kCollecting) ++info.waiting;
    if (step.phase != StepPhase::kReady) return;
    ++info.ready;
    uint64_t& oldest = info.ready_oldest[step.ticket.lane];
    if (oldest == 0 || step.ticket.number < oldest) oldest = step.ticket.number;
  });
  return info;
}

HoldingsInfo HoldingsOf(const CoreState& s, ClientId client) {
  HoldingsInfo info;
  ForEachStepOf(s, client, [&](const Step& step) {
    if (step.phase != StepPhase::kReady) return;
    for (StepPages at(s, step, StepPages::Start(step)); at.valid(); at.Next()) ++info.pages_pinned;
  });
  if (client.value >= s.clients.size()) return info;
  info.frames_limbo = s.blocks.limbo().CountHeldBy(client, s.lane_users);
  info.frames_quarantined = s.blocks.quarantine().count_of(client);
  return info;
}

}  // namespace kvpager
