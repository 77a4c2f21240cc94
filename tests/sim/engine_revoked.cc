#include "tests/sim/engine.h"

namespace kvpager::sim {

void Engine::Revoke() {
  haunts_ = true;
  for (ModelStep& step : steps_) {
    if (step.phase != StepPhase::kReady) continue;  // Not told of it, or done with it.
    haunt_writes_.insert(haunt_writes_.end(),
                         step.writes.begin() + static_cast<int64_t>(step.writes_landed),
                         step.writes.end());
    haunt_frames_.insert(haunt_frames_.end(), step.write_pins.begin(), step.write_pins.end());
  }
  for (const FrameIndex frame : haunt_frames_) env_.watch.HauntBegins(frame);
  Die();
  --env_.tally.engines_died;
  ++env_.tally.engines_revoked;
}

void Engine::LandHaunt() {
  const RowWrite write = haunt_writes_.back();
  haunt_writes_.pop_back();
  env_.tiers.WriteHbmRow(write.frame, write.row, write.value);
  ++env_.tally.rows_haunted;
}

void Engine::RunRevoked() {
  while (!haunt_writes_.empty() && env_.random.Chance(300)) LandHaunt();
}

void Engine::EndRevoked() {
  const bool killed = env_.random.Chance(500);
  while (!killed && !haunt_writes_.empty()) LandHaunt();
  for (const FrameIndex frame : haunt_frames_) env_.watch.HauntEnds(frame);
  haunt_writes_.clear();
  haunt_frames_.clear();
  haunts_ = false;
}

}  // namespace kvpager::sim
