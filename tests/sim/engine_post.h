// tests/sim/engine_post.h
//
// Engine::Post, for the source files that post commands.

#ifndef KVPAGER_TESTS_SIM_ENGINE_POST_H_
#define KVPAGER_TESTS_SIM_ENGINE_POST_H_

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "tests/sim/engine.h"

namespace kvpager::sim {

template <typename Body, size_t Index = 0>
constexpr size_t KindOf() {
  if constexpr (std::is_same_v<Body, std::variant_alternative_t<Index, decltype(Command::body)>>) {
    return Index;
  } else {
    return KindOf<Body, Index + 1>();
  }
}

// Everything but StepBegin is remembered as pending if an answer is wanted; a step remembers
// itself.
template <typename Body>
uint64_t Engine::Post(const Body& body, Pending pending, bool wants_answer) {
  Outgoing outgoing;
  outgoing.command.client = client_;
  outgoing.command.request = wants_answer ? ++requests_ : 0;
  outgoing.command.body = body;
  if constexpr (requires { body.keys; }) outgoing.keys.assign(body.keys.begin(), body.keys.end());
  if constexpr (requires { body.entries; }) {
    outgoing.entries.assign(body.entries.begin(), body.entries.end());
  }
  outgoing.due_ns = env_.now_ns + env_.random.Below(env_.options.message_ns_max + 1);
  if (!outbox_.empty()) outgoing.due_ns = std::max(outgoing.due_ns, outbox_.back().due_ns);
  const uint64_t request = outgoing.command.request;
  outbox_.push_back(std::move(outgoing));
  if (wants_answer && !std::is_same_v<Body, StepBeginCommand>) {
    pending.kind = KindOf<Body>();
    if (ModelSequence* sequence = Find(pending.sequence)) ++sequence->unanswered;
    pending_[request] = std::move(pending);
  }
  return request;
}

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_ENGINE_POST_H_
