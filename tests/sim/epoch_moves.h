// tests/sim/epoch_moves.h
//
// What epoch_engine.cc and epoch_daemon.cc share: the list of moves that they add to, and questions
// about the state that both ask.

#ifndef KVPAGER_TESTS_SIM_EPOCH_MOVES_H_
#define KVPAGER_TESTS_SIM_EPOCH_MOVES_H_

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "tests/sim/epoch_model.h"

namespace kvpager::epoch {

inline uint8_t Byte(uint32_t value) { return static_cast<uint8_t>(value); }

// Masks of pages.
inline uint32_t CountOf(uint8_t pages) { return static_cast<uint32_t>(std::popcount(pages)); }
inline bool Contains(uint8_t pages, uint32_t page) { return ((pages >> page) & 1u) != 0; }
inline uint8_t PageAt(uint8_t pages, uint32_t index) {
  uint32_t rest = pages;
  for (; index > 0; --index) rest &= rest - 1;
  return Byte(static_cast<uint32_t>(std::countr_zero(rest)));
}

// Wrapped for MoveList::Say, which makes text of them only where it is wanted.
struct PageNames {
  uint8_t pages;
};
struct WordValue {
  uint8_t frame;
};
void AppendText(std::string& text, std::string_view words);
void AppendText(std::string& text, uint32_t number);
void AppendText(std::string& text, PageNames names);
void AppendText(std::string& text, WordValue word);

bool ReusesViews(const Variant& variant);

// Launched and not ended.
uint32_t StepsInFlight(const Engine& engine);

bool HasPassed(const Variant& variant, const Lane& lane, uint8_t ticket);

// True if the daemon no longer heeds what the engine's steps may read.
bool IsWrittenOff(const Variant& variant, const Engine& engine);

// The moves of one state. Used one move at a time: Next(), what it changes, Say().
class MoveList {
 public:
  MoveList(const Variant& variant, const State& from, Sentences sentences, std::vector<Move>& moves)
      : variant_(variant), from_(from), sentences_(sentences), moves_(moves) {}

  const Variant& variant() const { return variant_; }
  const State& from() const { return from_; }

  // Adds a move that changes nothing yet.
  State& Next() {
    Move& move = moves_.emplace_back();
    move.to = from_;
    return move.to;
  }

  // Says more about the newest move.
  template <typename... Words>
  void Say(const Words&... words) {
    if (sentences_ == Sentences::kWritten) (AppendText(moves_.back().sentence, words), ...);
  }

  // The newest move breaks a guarantee.
  void Break(Verdict verdict) { moves_.back().verdict = verdict; }

 private:
  const Variant& variant_;
  const State& from_;
  const Sentences sentences_;
  std::vector<Move>& moves_;
};

void AddEngineMoves(MoveList& list, uint32_t id);
void AddDaemonMoves(MoveList& list);

}  // namespace kvpager::epoch

#endif  // KVPAGER_TESTS_SIM_EPOCH_MOVES_H_
