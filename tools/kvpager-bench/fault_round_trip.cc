// A fault of one page that is in host memory, from begin to ready, over ZeroMQ and over the ring,
// beside a bare message there and back of the same kind and a copy of as many bytes. Before each
// fault the page is sent back to host memory.

#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpager-bench/bare_echo.h"
#include "tools/kvpager-bench/control.h"
#include "tools/kvpager-bench/engine.h"
#include "tools/kvpager-bench/sample.h"
#include "tools/kvpager-bench/sequence_set.h"
#include "tools/kvpager-bench/shared_memory_echo.h"
#include "tools/support/clock.h"

namespace kvpager::bench {
namespace {

constexpr uint32_t kSamples = 10'000;
constexpr uint32_t kSamplesQuick = 200;
constexpr uint64_t kSliceNs = 100'000'000;  // Ours and the limit take turns at least so often.
constexpr uint64_t kWaitUs = 10'000'000;
constexpr uint32_t kCopies = 64;  // Places to copy between, so that they are not all in the cache.

struct Way {
  const char* name;
  uint32_t transport;
  double times_bare;  // What is promised of the median, beside the copy.
  uint32_t spin_us;
};
constexpr Way kZeroMq = {"ZeroMQ", KVP_TRANSPORT_ZMQ, 1.5, 0};
constexpr Way kRing = {"the ring", KVP_TRANSPORT_RING, 3, 0};
constexpr Way kRingSpinning = {"the ring, both spin", KVP_TRANSPORT_RING, 3, kSpinUs};

class FaultRoundTrip {
 public:
  FaultRoundTrip(const Bench& bench, const Engine& engine, kvp_seq sequence, uint32_t page_bytes)
      : bench_(bench),
        engine_(engine),
        sequence_(sequence),
        page_bytes_(page_bytes),
        memory_(size_t{page_bytes} * 2 * kCopies, 1) {}

  template <typename Echo>
  absl::Status Measure(const Way& way, Echo& echo) {
    Samples ours;
    Samples bare;
    Samples copy;
    const uint32_t samples = bench_.options.quick ? kSamplesQuick : kSamples;
    while (ours.count() < samples) {
      const uint64_t ours_end_ns = tools::NowNs() + kSliceNs;
      while (tools::NowNs() < ours_end_ns && ours.count() < samples) {
        KVP_RETURN_IF_ERROR(FaultOnce(ours));
      }
      const uint64_t bare_end_ns = tools::NowNs() + kSliceNs;
      while (tools::NowNs() < bare_end_ns && bare.count() < ours.count()) {
        uint64_t begin_ns = tools::NowNs();
        echo.Ping();
        bare.Add(static_cast<double>(tools::NowNs() - begin_ns));
        begin_ns = tools::NowNs();
        CopyOnce();
        copy.Add(static_cast<double>(tools::NowNs() - begin_ns));
      }
    }
    for (const double share : {0.5, 0.99}) {
      const double bare_ns = bare.Quantile(share);
      const double copy_ns = copy.Quantile(share);
      bench_.figures.push_back(
          Figure{.part = "fault",
                 .name = absl::StrCat("a page of ", page_bytes_ / 1024,
                                      " KiB from host memory, over ", way.name, ", p", share * 100),
                 .unit = "ns",
                 .ours = ours.Quantile(share),
                 .limit = bare_ns + copy_ns,
                 .limit_name = "bare message there and back + copy",
                 .allowed = share == 0.5 ? way.times_bare * bare_ns + copy_ns : 0,
                 .samples = ours.count()});
    }
    return absl::OkStatus();
  }

 private:
  absl::Status FaultOnce(Samples& samples) {
    KVP_RETURN_IF_ERROR(
        engine_.StatusOf(kvp_seq_evict(engine_.client(), sequence_, KVP_TIER_HOST)));
    const kvp_step_entry entry = EntryOf(sequence_, 0);
    kvp_step* step = nullptr;
    const uint64_t begin_ns = tools::NowNs();
    KVP_RETURN_IF_ERROR(
        engine_.StatusOf(kvp_step_begin(engine_.client(), nullptr, &entry, 1, &step)));
    const absl::Status waited = engine_.StatusOf(kvp_step_wait(step, kWaitUs));
    samples.Add(static_cast<double>(tools::NowNs() - begin_ns));
    kvp_step_times times = {};
    times.struct_size = sizeof times;
    const bool faulted =
        kvp_step_get_times(step, &times) == KVP_OK && times.promoted_host_pages == 1;
    const absl::Status ended = engine_.StatusOf(kvp_step_end(step, KVP_STEP_KEEP));
    KVP_RETURN_IF_ERROR(waited);
    KVP_RETURN_IF_ERROR(ended);
    return faulted ? absl::OkStatus() : absl::InternalError("the page was in HBM all the time");
  }

  void CopyOnce() {
    uint8_t* const source = memory_.data() + size_t{copies_++ % kCopies} * 2 * page_bytes_;
    std::memcpy(source + page_bytes_, source, page_bytes_);
  }

  const Bench& bench_;
  const Engine& engine_;
  const kvp_seq sequence_;
  const uint32_t page_bytes_;
  std::vector<uint8_t> memory_;
  uint32_t copies_ = 0;
};

template <typename Echo>
absl::Status MeasureOver(const Bench& bench, uint32_t page_bytes, const Way& way, Echo& echo) {
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<Engine> engine,
                       Engine::Attach({.socket = bench.socket,
                                       .transport = way.transport,
                                       .spin_us = way.spin_us,
                                       .page_bytes = page_bytes}));
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<SequenceSet> set, SequenceSet::Make(*engine, {}));
  return FaultRoundTrip(bench, *engine, set->sequences()[0], page_bytes).Measure(way, echo);
}

absl::Status MeasureFaults(const Bench& bench, uint32_t page_bytes) {
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<SharedMemoryEcho> memory, SharedMemoryEcho::Start());
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<BareEcho> messages, BareEcho::Start(1));
  KVP_RETURN_IF_ERROR(MeasureOver(bench, page_bytes, kZeroMq, *messages));
  return MeasureOver(bench, page_bytes, kRing, *memory);
}

}  // namespace

// The daemon spins as long as its flags say.
absl::Status MeasureFaultsSpinning(const Bench& bench) {
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<SharedMemoryEcho> memory, SharedMemoryEcho::Start());
  return MeasureOver(bench, 4096, kRingSpinning, *memory);
}

absl::Status MeasureFaultsOf4KiB(const Bench& bench) { return MeasureFaults(bench, 4096); }
absl::Status MeasureFaultsOf64KiB(const Bench& bench) { return MeasureFaults(bench, 65536); }

}  // namespace kvpager::bench
