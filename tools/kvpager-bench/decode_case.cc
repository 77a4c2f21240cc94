// One case of the attention bench: verified on a few rows, then measured in turns with its limits.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <memory>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "kernels/cpu/ceiling.h"
#include "kernels/cpu/split_attention.h"
#include "kernels/reference/attend.h"
#include "kernels/work_plan.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpager-bench/decode.h"
#include "tools/kvpager-bench/sample.h"
#include "tools/support/crew.h"

namespace kvpager::bench {
namespace {

constexpr uint64_t kSliceNs = 100'000'000;
constexpr uint64_t kSliceQuickNs = 1'000'000;
constexpr int kRounds = 11;
constexpr int64_t kMultiplyRounds = 100'000;  // Per call: a third of a millisecond.
constexpr float kTolerance = 2e-5f;
constexpr double kPromisedOfReads = 0.85;
constexpr double kPromisedOfAdds = 0.7;
constexpr double kPromisedOfF8 = 0.6;

// Means of one run each, of one round.
struct Round {
  double ours_ns;
  double read_ns;
  double add_ns;
};

class Measurement {
 public:
  Measurement(const DecodeCase& one, const PagedBatch& batch)
      : case_(one),
        batch_(batch),
        crew_(one.threads),
        attention_(batch.kv(), batch.query(),
                   kernels::PlanWork(batch.kv(), batch.query(), one.threads)),
        output_(Rows() * static_cast<size_t>(one.shape.head_dim_v)),
        lse_(Rows()) {}

  void Attend() {
    crew_.Run([&](int32_t worker) { attention_.Attend(batch_.kv(), batch_.query(), worker); });
    crew_.Run([&](int32_t worker) {
      attention_.Finish(batch_.query(), {output_.data(), lse_.data()}, worker);
    });
  }

  // The first and the last row, which no other than the first and the last worker computed.
  absl::Status Verify() const {
    const BatchShape& shape = case_.shape;
    const kernels::ReferenceRow first = {0, 0, 0};
    const kernels::ReferenceRow last = {shape.entries - 1, shape.query_tokens - 1,
                                        shape.query_heads() - 1};
    KVP_RETURN_IF_ERROR(VerifyRow(first, 0));
    return VerifyRow(last, lse_.size() - 1);
  }

  Round Measure(uint64_t slice_ns) {
    Round round = {};
    round.ours_ns = MeanOf(slice_ns, runs_[0], [&] { Attend(); });
    round.read_ns = MeanOf(slice_ns, runs_[1], [&] { Read(); });
    const BatchShape& shape = case_.shape;
    const double add_rate =
        MultiplyRate(slice_ns, runs_[2], [] { return kernels::CpuMultiplyAdds(kMultiplyRounds); });
    double logit_rate = add_rate;
    if (shape.dtype == kernels::Dtype::kBf16 && kernels::CpuBf16Dots(1) > 0) {
      logit_rate =
          MultiplyRate(slice_ns, runs_[3], [] { return kernels::CpuBf16Dots(kMultiplyRounds); });
    }
    round.add_ns = shape.logit_operations() / logit_rate + shape.value_operations() / add_rate;
    return round;
  }

 private:
  size_t Rows() const {
    return static_cast<size_t>(case_.shape.entries) *
           static_cast<size_t>(case_.shape.query_tokens * case_.shape.query_heads());
  }

  template <typename Function>
  static double MeanOf(uint64_t slice_ns, uint64_t& runs, const Function& once) {
    Samples samples;
    TimeSlice(slice_ns, runs, samples, once);
    return samples.Median();
  }

  // Operations per nanosecond, all threads together.
  template <typename Function>
  double MultiplyRate(uint64_t slice_ns, uint64_t& runs, const Function& multiply) {
    std::atomic<int64_t> operations = 0;
    const double ns = MeanOf(slice_ns, runs, [&] {
      operations = 0;
      crew_.Run([&](int32_t /*worker*/) { operations += multiply(); });
    });
    return static_cast<double>(operations) / ns;
  }

  void Read() {
    const kernels::WorkPlan& plan = attention_.plan();
    crew_.Run([&](int32_t worker) {
      uint64_t sum = 0;
      const auto index = static_cast<size_t>(worker);
      for (int32_t i = plan.worker_first[index]; i < plan.worker_first[index + 1]; ++i) {
        const kernels::WorkPiece& piece = plan.pieces[static_cast<size_t>(i)];
        sum ^= kernels::CpuReadRange(batch_.kv(), piece.entry, piece.tokens);
      }
      read_sum_ ^= sum;
    });
  }

  absl::Status VerifyRow(const kernels::ReferenceRow& row, size_t index) const {
    const kernels::ReferenceResult expected =
        kernels::ReferenceAttendRow(batch_.kv(), batch_.query(), row);
    const size_t dim = expected.output.size();
    bool equal = std::fabs(lse_[index] - expected.lse) <=
                 kTolerance * std::fmax(1.0f, std::fabs(expected.lse));
    for (size_t i = 0; i < dim; ++i) {
      equal = equal && std::fabs(output_[index * dim + i] - expected.output[i]) <= kTolerance;
    }
    if (equal) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat(case_.name, ": row ", index, " is not what the reference says"));
  }

  const DecodeCase& case_;
  const PagedBatch& batch_;
  tools::Crew crew_;
  kernels::SplitAttention attention_;
  std::vector<float> output_;
  std::vector<float> lse_;
  uint64_t runs_[4] = {1, 1, 1, 1};
  std::atomic<uint64_t> read_sum_ = 0;
};

double Median(const std::vector<Round>& rounds, double (*value)(const Round&)) {
  Samples samples;
  for (const Round& round : rounds) samples.Add(value(round));
  return samples.Median();
}

Figure FigureOf(const DecodeCase& one, const std::vector<Round>& rounds) {
  const double bytes = one.shape.bytes();
  const double ours = bytes / Median(rounds, [](const Round& r) { return r.ours_ns; });
  const double reads = bytes / Median(rounds, [](const Round& r) { return r.read_ns; });
  const double adds = bytes / Median(rounds, [](const Round& r) { return r.add_ns; });
  const double ratio =
      Median(rounds, [](const Round& r) { return std::max(r.read_ns, r.add_ns) / r.ours_ns; });
  Figure figure;
  figure.part = one.part;
  figure.name = one.name;
  figure.unit = "GB/s";
  figure.ours = ours;
  figure.limit = ours / ratio;  // So that the ratio is the median of ratios.
  figure.limit_name = absl::StrFormat("%s (reads %.1f, multiply-adds %.1f)",
                                      reads < adds ? "reads" : "multiply-adds", reads, adds);
  figure.also = {{"reads", reads}, {"multiply_adds", adds}};
  figure.better = Better::kLarger;
  figure.samples = rounds.size();
  if (one.promised) {
    const double share = one.shape.dtype == kernels::Dtype::kF8E4m3 ? kPromisedOfF8
                         : reads < adds                             ? kPromisedOfReads
                                                                    : kPromisedOfAdds;
    figure.allowed = share * figure.limit;
  }
  return figure;
}

}  // namespace

absl::StatusOr<Figure> MeasureDecodeCase(const DecodeCase& one, const Options& options) {
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<PagedBatch> batch, PagedBatch::Make(one.shape));
  Measurement measurement(one, *batch);
  measurement.Attend();
  KVP_RETURN_IF_ERROR(measurement.Verify());
  std::vector<Round> rounds;
  for (int i = 0; i < (options.quick ? 1 : kRounds); ++i) {
    rounds.push_back(measurement.Measure(options.quick ? kSliceQuickNs : kSliceNs));
  }
  KVP_RETURN_IF_ERROR(measurement.Verify());
  return FigureOf(one, rounds);
}

}  // namespace kvpager::bench
