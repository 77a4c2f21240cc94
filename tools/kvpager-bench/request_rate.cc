// Requests per second with 1, 8 and 64 engines, each with some under way all the time, beside as
// many bare sockets whose messages come straight back.

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpager-bench/bare_echo.h"
#include "tools/kvpager-bench/control.h"
#include "tools/kvpager-bench/engine.h"
#include "tools/kvpager-bench/sample.h"
#include "tools/support/clock.h"

namespace kvpager::bench {
namespace {

constexpr uint32_t kMessagesPerTurn = 32;  // Of each engine.
constexpr double kNsPerSecond = 1e9;

class Engines {
 public:
  explicit Engines(const Bench& bench) : bench_(bench) {}

  absl::Status Attach(uint32_t count) {
    for (uint32_t i = 0; i < count; ++i) {
      KVP_ASSIGN_OR_RETURN(
          std::unique_ptr<Engine> engine,
          Engine::Attach({.socket = bench_.socket, .name = absl::StrCat("kvpager-bench-", i)}));
      kvp_seq sequence = 0;
      KVP_RETURN_IF_ERROR(
          engine->StatusOf(kvp_seq_open(engine->client(), nullptr, 0, &sequence, nullptr)));
      engines_.push_back(std::move(engine));
      sequences_.push_back(sequence);
    }
    return absl::OkStatus();
  }

  // A truncate to the length that it has is the smallest request that is answered; an evict is
  // waited for, so all before it have been answered too.
  absl::Status Flood() {
    for (size_t i = 0; i < engines_.size(); ++i) {
      for (uint32_t message = 1; message < kMessagesPerTurn; ++message) {
        KVP_RETURN_IF_ERROR(
            engines_[i]->StatusOf(kvp_seq_truncate(engines_[i]->client(), sequences_[i], 0)));
      }
    }
    for (size_t i = 0; i < engines_.size(); ++i) {
      KVP_RETURN_IF_ERROR(engines_[i]->StatusOf(
          kvp_seq_evict(engines_[i]->client(), sequences_[i], KVP_TIER_HOST)));
    }
    return absl::OkStatus();
  }

  size_t count() const { return engines_.size(); }

 private:
  const Bench& bench_;
  std::vector<std::unique_ptr<Engine>> engines_;
  std::vector<kvp_seq> sequences_;
};

}  // namespace

absl::Status MeasureRequestRate(const Bench& bench) {
  const uint32_t turns = bench.options.quick ? 5 : 101;
  for (const uint32_t count : {1u, 8u, 64u}) {
    Engines engines(bench);
    KVP_RETURN_IF_ERROR(engines.Attach(count));
    KVP_ASSIGN_OR_RETURN(const std::unique_ptr<BareEcho> echo, BareEcho::Start(count));
    Samples ours;
    Samples bare;
    for (uint32_t turn = 0; turn < turns; ++turn) {
      uint64_t begin_ns = tools::NowNs();
      KVP_RETURN_IF_ERROR(engines.Flood());
      ours.Add(static_cast<double>(tools::NowNs() - begin_ns));
      begin_ns = tools::NowNs();
      echo->Flood(kMessagesPerTurn);
      bare.Add(static_cast<double>(tools::NowNs() - begin_ns));
    }
    const double requests = double{kMessagesPerTurn} * count;
    bench.figures.push_back(Figure{.part = "rate",
                                   .name = absl::StrCat(count, count == 1 ? " engine" : " engines",
                                                        ", ", kMessagesPerTurn, " under way each"),
                                   .unit = "req/s",
                                   .ours = requests / ours.Median() * kNsPerSecond,
                                   .limit = requests / bare.Median() * kNsPerSecond,
                                   .limit_name = "bare messages there and back",
                                   .better = Better::kLarger,
                                   .samples = ours.count()});
  }
  return absl::OkStatus();
}

}  // namespace kvpager::bench
