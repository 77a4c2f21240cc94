// memmgr/core/operation_table.h
//
// OperationTable: what the executors were asked to do and have not reported yet. An OpId carries
// the slot's generation, so a completion that comes twice, or late, is recognised.
//
// Thread-safety: none. No allocation after construction. O(1).

#ifndef KVPAGER_MEMMGR_CORE_OPERATION_TABLE_H_
#define KVPAGER_MEMMGR_CORE_OPERATION_TABLE_H_

#include <array>
#include <cstdint>
#include <vector>

#include "memmgr/base/check.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/effect.h"
#include "memmgr/core/limits.h"

namespace kvpager {

struct Operation {
  uint32_t generation = 0;
  bool in_flight = false;
  bool durable = false;  // A durable catalogue write; then `owner` is the durable name's slot.
  bool move = false;     // kHbmToHost that makes room: the source goes when it is done (R3).
  Channel channel = Channel::kHbmToHost;
  PageIndex page;         // Whose copy is being made.
  PageIndex source_page;  // kHbmToHbm: whose copy is read.
  uint32_t owner = 0;
  uint32_t quota_class = 0;  // Of the namespace that it works for (charges.h).
};

class OperationTable {
 public:
  explicit OperationTable(const Limits& limits)
      : limits_(limits.in_flight_max),
        in_flight_of_(limits.quotas.size() + 1, 0),
        moves_of_(limits.quotas.size() + 1, 0) {
    uint32_t slots = kDurableMax;
    for (uint32_t limit : limits.in_flight_max) slots += limit;
    operations_.resize(slots);
    free_.reserve(slots);
    for (uint32_t slot = slots; slot > 0; --slot) free_.push_back(slot - 1);
  }

  bool HasRoom(Channel channel) const {
    return in_flight_[ChannelIndex(channel)] < limits_[ChannelIndex(channel)];
  }
  bool HasRoomDurable() const { return in_flight_durable_ < kDurableMax; }

  OpId Start(const Operation& operation) {
    KVP_CHECK(!free_.empty());
    const uint32_t slot = free_.back();
    free_.pop_back();
    const uint32_t generation = operations_[slot].generation + 1;
    operations_[slot] = operation;
    operations_[slot].generation = generation;
    operations_[slot].in_flight = true;
    ++count_of(operation);
    ++in_flight_of_[operation.quota_class];
    moves_in_flight_ += operation.move;
    moves_of_[operation.quota_class] += operation.move;
    return {slot, generation};
  }

  // Ends the operation and returns what it was. REQUIRES: it is in flight (E3).
  Operation Finish(OpId id) {
    KVP_CHECK_LT(id.slot, operations_.size());
    Operation& done = operations_[id.slot];
    KVP_CHECK(done.in_flight);
    KVP_CHECK_EQ(done.generation, id.generation);
    done.in_flight = false;
    --count_of(done);
    --in_flight_of_[done.quota_class];
    moves_in_flight_ -= done.move;
    moves_of_[done.quota_class] -= done.move;
    free_.push_back(id.slot);
    return done;
  }

  uint32_t in_flight(Channel channel) const { return in_flight_[ChannelIndex(channel)]; }
  uint32_t moves_in_flight() const { return moves_in_flight_; }
  // Of one class of namespaces.
  uint32_t in_flight_of(uint32_t quota_class) const { return in_flight_of_[quota_class]; }
  uint32_t moves_of(uint32_t quota_class) const { return moves_of_[quota_class]; }
  uint32_t in_flight_total() const {
    uint32_t total = in_flight_durable_;
    for (uint32_t count : in_flight_) total += count;
    return total;
  }
  const std::vector<Operation>& rows() const { return operations_; }

 private:
  uint32_t& count_of(const Operation& operation) {
    return operation.durable ? in_flight_durable_ : in_flight_[ChannelIndex(operation.channel)];
  }

  static constexpr uint32_t kDurableMax = 64;
  std::array<uint32_t, kChannelCount> limits_;
  std::array<uint32_t, kChannelCount> in_flight_{};
  uint32_t in_flight_durable_ = 0;
  uint32_t moves_in_flight_ = 0;
  std::vector<uint32_t> in_flight_of_;  // By class.
  std::vector<uint32_t> moves_of_;
  std::vector<Operation> operations_;
  std::vector<uint32_t> free_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_OPERATION_TABLE_H_
