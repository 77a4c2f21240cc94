// tests/sim/fake_tiers.h
//
// Fake executors over frames of rows. Each channel has a latency and a bandwidth; operations finish
// out of order; an operation reads some of its source's rows when it starts and the others when it
// ends, so that a copy that is early, or a frame reused too soon, shows in the content.
//
// Faults: failed copies, flipped bits in host frames and on NVMe, NVMe writes that never happened,
// slow channels, an NVMe device that is lost. Host frames remember which page they hold, NVMe
// frames have headers; both are checked as E6 says. A mismatch that no fault explains is a bug of
// the core.
//
// NVMe survives a restart; what was not flushed may or may not survive a power cut.

#ifndef KVPAGER_TESTS_SIM_FAKE_TIERS_H_
#define KVPAGER_TESTS_SIM_FAKE_TIERS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "memmgr/core/core.h"
#include "memmgr/core/effect.h"
#include "memmgr/core/limits.h"
#include "tests/sim/content.h"
#include "tests/sim/frame_watch.h"
#include "tests/sim/options.h"
#include "tests/testing/random.h"

namespace kvpager::sim {

class FakeTiers {
 public:
  FakeTiers(const Limits& limits, const SimOptions& options, testing::Random& random);

  void Submit(const CopyOp& copy, FrameWatch& watch, uint64_t now_ns);

  // When the next operation finishes; all ones: none is in flight.
  uint64_t next_due_ns() const;
  // REQUIRES: next_due_ns() has passed.
  Completion FinishNext(FrameWatch& watch);

  Row hbm_row(FrameIndex frame, uint32_t row) const { return hbm_[frame.value][row]; }
  Row host_row(FrameIndex frame, uint32_t row) const { return host_[frame.value].rows[row]; }
  void WriteHbmRow(FrameIndex frame, uint32_t row, Row value) { hbm_[frame.value][row] = value; }

  // ---- Faults
  void StopFaults();
  void FlipHostBit(const FrameWatch& watch);
  void ToggleSlowChannel();
  // Until the next restart: what is asked of NVMe fails more often than not, and nobody writes.
  void LoseNvme();
  void Flush();
  // Operations in flight vanish; HBM and host memory are lost.
  void Crash(bool power_cut);
  // In-flight operations run to their end unheard; HBM and host memory are lost.
  void Stop();
  // Of the core that submits from now on.
  void set_incarnation(uint64_t incarnation) { incarnation_ = incarnation; }

  // What a scan of the headers finds: blocks whose frames carry one key and one stamp.
  std::vector<RestoredBlock> Scan() const;
  // What the headers of one run say; key none: no whole block that has a name.
  RestoredBlock HeadersOf(FrameIndex first) const;

  // True once anything happened that may cost data.
  bool may_lose_data() const { return may_lose_data_; }
  void set_may_lose_data() { may_lose_data_ = true; }
  // A restart believed the catalogue: what was cached may turn out not to be there, what was
  // promised may not.
  bool may_miss_cached() const { return may_lose_data_ || may_miss_cached_; }
  void set_may_miss_cached() { may_miss_cached_ = true; }

 private:
  struct HostFrame {
    std::vector<Row> rows;
    PageIndex page;
    bool damaged = false;
  };
  struct NvmeFrame {
    std::vector<Row> rows;
    BlockKey key;
    BlockKey parent_key;
    Stamp stamp;
    uint32_t group = 0;
    bool complete = false;
    bool damaged = false;
    bool excused = false;  // A lost write: the header is not what the core thinks.
  };
  struct Operation {
    CopyOp copy;
    uint64_t due_ns = 0;
    std::vector<Row> rows;  // Those read at the start.
    NvmeFrame overwritten;  // What stood in an NVMe target.
  };

  std::vector<Row>& RowsOf(Tier tier, FrameIndex frame);
  Outcome CheckSource(const CopyOp& copy);
  Outcome CheckNvme(const CopyOp& copy);
  void Spoil(const CopyOp& copy, const Operation& operation);
  void Write(const Operation& operation);
  void LandOnNvme(const Operation& operation);
  void ForgetMemory();

  const uint32_t page_tokens_;
  const uint32_t num_groups_;
  uint64_t incarnation_;
  std::array<ChannelSpeed, kChannelCount> speeds_;
  std::array<uint64_t, kChannelCount> slowdown_;
  std::array<uint64_t, kChannelCount> busy_until_ns_{};
  Faults faults_;
  testing::Random& random_;
  bool may_lose_data_ = false;
  bool may_miss_cached_ = false;
  bool nvme_lost_ = false;

  std::vector<std::vector<Row>> hbm_;
  std::vector<HostFrame> host_;
  std::vector<NvmeFrame> nvme_;
  std::vector<NvmeFrame> nvme_flushed_;
  std::vector<Operation> operations_;
};

}  // namespace kvpager::sim

#endif  // KVPAGER_TESTS_SIM_FAKE_TIERS_H_
