#include "tests/sim/epoch_checker.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/hash/hash.h"
#include "memmgr/base/check.h"

namespace kvpager::epoch {
namespace {

using StateId = uint32_t;

// Two bytes of a State, of which none is above 15, in one.
constexpr size_t kPackedWords = (sizeof(State) + 15) / 16;
using Packed = std::array<uint64_t, kPackedWords>;
using Unpacked = std::array<uint64_t, 2 * kPackedWords>;
constexpr uint64_t kLowHalves = 0x0F0F'0F0F'0F0F'0F0F;

static_assert(std::is_trivially_copyable_v<State>);
static_assert(std::has_unique_object_representations_v<State>, "padding would be compared");

Packed Pack(const State& state) {
  Unpacked words{};
  std::memcpy(words.data(), &state, sizeof(State));
  Packed packed;
  uint64_t all = 0;
  for (size_t i = 0; i < kPackedWords; ++i) {
    packed[i] = words[2 * i] | words[2 * i + 1] << 4;
    all |= words[2 * i] | words[2 * i + 1];
  }
  KVP_CHECK_EQ(all & ~kLowHalves, uint64_t{0});
  return packed;
}

State Unpack(const Packed& packed) {
  Unpacked words;
  for (size_t i = 0; i < kPackedWords; ++i) {
    words[2 * i] = packed[i] & kLowHalves;
    words[2 * i + 1] = packed[i] >> 4 & kLowHalves;
  }
  State state;
  std::memcpy(static_cast<void*>(&state), words.data(), sizeof(State));
  return state;
}

// All states that are known, numbered in the order in which they were found. It grows without being
// copied.
class StateSet {
 public:
  StateSet() : ids_(0, ById{this}, ById{this}) {}

  size_t size() const { return size_; }
  State at(StateId id) const { return Unpack(packed(id)); }

  // The number of `state`, and whether it is new.
  std::pair<StateId, bool> Insert(const State& state) {
    const auto id = static_cast<StateId>(size_);
    if (size_ / kChunkStates == chunks_.size()) {
      chunks_.push_back(std::make_unique<Packed[]>(kChunkStates));
    }
    chunks_[id / kChunkStates][id % kChunkStates] = Pack(state);
    const auto [known, is_new] = ids_.insert(id);
    if (is_new) ++size_;
    return {*known, is_new};
  }

 private:
  static constexpr size_t kChunkStates = 1 << 16;

  // Hashes and compares numbers by the states they stand for.
  struct ById {
    const StateSet* states;
    size_t operator()(StateId id) const { return absl::HashOf(states->packed(id)); }
    bool operator()(StateId a, StateId b) const { return states->packed(a) == states->packed(b); }
  };

  const Packed& packed(StateId id) const { return chunks_[id / kChunkStates][id % kChunkStates]; }

  std::vector<std::unique_ptr<Packed[]>> chunks_;
  size_t size_ = 0;
  absl::flat_hash_set<StateId, ById, ById> ids_;
};

class Exploration {
 public:
  explicit Exploration(const Variant& variant) : variant_(variant) {}

  Report Run();

 private:
  const Move* Expand(StateId id);
  void FindDeadStates(Report& report);
  void MarkWhatCanFinish();
  size_t DistanceTo(StateId id) const;
  std::vector<std::string> TraceTo(StateId id) const;

  const Variant& variant_;
  StateSet states_;
  std::vector<StateId> parents_;  // From where a state was first reached.
  std::vector<Move> moves_;
  // Where the moves of a state lead: those of state i are the numbers from ends_[i - 1] to
  // ends_[i].
  std::vector<StateId> targets_;
  std::vector<uint32_t> ends_;
  std::vector<bool> can_finish_;
};

Report Exploration::Run() {
  Report report;
  states_.Insert(FirstState(variant_));
  parents_.push_back(0);
  for (StateId id = 0; id < states_.size() && report.complete; ++id) {
    const Move* wrong = Expand(id);
    report.states_count = states_.size();
    if (wrong != nullptr) {
      report.verdict = wrong->verdict;
      report.trace = TraceTo(id);
      report.trace.push_back(wrong->sentence);
      return report;
    }
    report.complete = states_.size() <= kStatesMax;
  }
  if (report.complete) FindDeadStates(report);
  report.moves_covered = DistanceTo(static_cast<StateId>(ends_.size() - 1));
  return report;
}

// Adds what is one move away from state `id`. Returns the move that breaks a guarantee, if one
// does.
const Move* Exploration::Expand(StateId id) {
  const State from = states_.at(id);
  ListMoves(variant_, from, Sentences::kOmitted, moves_);
  const auto is_wrong = [](const Move& move) { return move.verdict != Verdict::kHolds; };
  if (std::any_of(moves_.begin(), moves_.end(), is_wrong)) {
    ListMoves(variant_, from, Sentences::kWritten, moves_);
    return &*std::find_if(moves_.begin(), moves_.end(), is_wrong);
  }
  for (const Move& move : moves_) {
    const auto [target, is_new] = states_.Insert(move.to);
    if (is_new) parents_.push_back(id);
    targets_.push_back(target);
  }
  ends_.push_back(static_cast<uint32_t>(targets_.size()));
  can_finish_.push_back(IsFinal(variant_, from));
  return nullptr;
}

void Exploration::FindDeadStates(Report& report) {
  MarkWhatCanFinish();
  const auto first = std::find(can_finish_.begin(), can_finish_.end(), false);
  if (first == can_finish_.end()) return;
  report.verdict = Verdict::kDeadlock;
  report.states_dead =
      static_cast<size_t>(std::count(can_finish_.begin(), can_finish_.end(), false));
  report.trace = TraceTo(static_cast<StateId>(first - can_finish_.begin()));
}

// Most moves lead to a state with a higher number, so a few sweeps from the last state to the first
// suffice.
void Exploration::MarkWhatCanFinish() {
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t id = states_.size(); id-- > 0;) {
      if (can_finish_[id]) continue;
      const size_t begin = id == 0 ? 0 : ends_[id - 1];
      for (size_t i = begin; i < ends_[id] && !can_finish_[id]; ++i) {
        can_finish_[id] = can_finish_[targets_[i]];
      }
      changed = changed || can_finish_[id];
    }
  }
}

// In moves from the first state.
size_t Exploration::DistanceTo(StateId id) const {
  size_t moves_count = 0;
  for (; id != 0; id = parents_[id]) ++moves_count;
  return moves_count;
}

std::vector<std::string> Exploration::TraceTo(StateId id) const {
  std::vector<std::string> trace;
  std::vector<Move> moves;
  for (; id != 0; id = parents_[id]) {
    const Packed target = Pack(states_.at(id));
    ListMoves(variant_, states_.at(parents_[id]), Sentences::kWritten, moves);
    const auto move = std::find_if(moves.begin(), moves.end(),
                                   [&](const Move& m) { return Pack(m.to) == target; });
    KVP_CHECK(move != moves.end());
    trace.push_back(move->sentence);
  }
  std::reverse(trace.begin(), trace.end());
  return trace;
}

}  // namespace

Report Explore(const Variant& variant) { return Exploration(variant).Run(); }

}  // namespace kvpager::epoch
