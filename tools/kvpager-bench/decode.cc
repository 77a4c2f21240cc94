#include "tools/kvpager-bench/decode.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "kernels/cpu/target.h"

namespace kvpager::bench {
namespace {

using kernels::Dtype;

constexpr int64_t kKi = 1024;
constexpr int64_t kQuickTokensMax = 2 * kKi;

std::string DtypeName(Dtype dtype) {
  switch (dtype) {
    case Dtype::kF16:
      return "f16";
    case Dtype::kBf16:
      return "bf16";
    case Dtype::kF32:
      return "f32";
    case Dtype::kF8E4m3:
      return "f8";
  }
  return "";
}

class Cases {
 public:
  explicit Cases(const Options& options) : options_(options) {}

  // With 1 and 2 threads.
  void Add(const std::string& part, const std::string& what, BatchShape shape, bool promised) {
    if (part.find(options_.only) == std::string::npos) return;
    if (options_.quick) shape.context_tokens = std::min(shape.context_tokens, kQuickTokensMax);
    for (const int32_t threads : {1, 2}) {
      const std::string name =
          absl::StrCat(DtypeName(shape.dtype), " ratio ", shape.ratio, ", ",
                       shape.context_tokens / kKi, "K x ", shape.entries, what.empty() ? "" : ", ",
                       what, threads == 1 ? ", 1 thread" : ", 2 threads");
      cases_.push_back({part, name, shape, threads, promised});
    }
  }

  std::vector<DecodeCase> Take() { return std::move(cases_); }

 private:
  const Options& options_;
  std::vector<DecodeCase> cases_;
};

void AddShapes(Cases& cases) {
  BatchShape shape;
  shape.context_tokens = 32 * kKi;
  BatchShape hnd = shape;
  hnd.layout = kernels::Layout::kHnd;
  cases.Add("shape", "HND", hnd, false);
  for (const int32_t dim : {64, 96, 256}) {
    BatchShape other = shape;
    other.head_dim_k = other.head_dim_v = dim;
    cases.Add("shape", absl::StrCat("head dim ", dim), other, false);
  }
  BatchShape sixteen = shape;
  sixteen.ratio = 16;
  cases.Add("shape", "", sixteen, false);
  BatchShape latent = shape;
  latent.dtype = Dtype::kBf16;
  latent.shares_rows = true;
  latent.kv_heads = 1;
  latent.ratio = 16;
  latent.head_dim_k = 576;
  latent.head_dim_v = 512;
  cases.Add("shape", "latent 512 + 64", latent, false);
  BatchShape prefill = shape;
  prefill.context_tokens = 4 * kKi;
  prefill.query_tokens = 64;
  cases.Add("shape", "prefill of the last 64", prefill, false);
}

std::vector<DecodeCase> AllCases(const Options& options) {
  Cases cases(options);
  for (const Dtype dtype : {Dtype::kF16, Dtype::kBf16, Dtype::kF32, Dtype::kF8E4m3}) {
    for (const int32_t ratio : {1, 4, 8}) {
      BatchShape shape;
      shape.dtype = dtype;
      shape.ratio = ratio;
      shape.context_tokens = 32 * kKi;
      cases.Add("types", "", shape, dtype != Dtype::kF32);
    }
  }
  for (const int64_t context : {1, 4, 128, 1024}) {
    BatchShape shape;
    shape.context_tokens = context * kKi;
    cases.Add("context", "", shape, context >= 32);
  }
  for (const int32_t entries : {8, 64}) {
    BatchShape shape;
    shape.context_tokens = 4 * kKi;
    shape.entries = entries;
    cases.Add("batch", "", shape, false);
  }
  AddShapes(cases);
  return cases.Take();
}

}  // namespace

absl::Status MeasureDecode(const Options& options, std::vector<Figure>& figures) {
  std::printf("instruction set: %s\n", kernels::CpuTarget().c_str());
  for (const DecodeCase& one : AllCases(options)) {
    absl::StatusOr<Figure> figure = MeasureDecodeCase(one, options);
    if (figure.ok()) {
      figures.push_back(*std::move(figure));
    } else if (absl::IsResourceExhausted(figure.status())) {
      std::fprintf(stderr, "left out: %s: %s\n", one.name.c_str(),
                   std::string(figure.status().message()).c_str());
    } else {
      return figure.status();
    }
  }
  return absl::OkStatus();
}

}  // namespace kvpager::bench
