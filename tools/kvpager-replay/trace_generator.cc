#include "tools/kvpager-replay/trace_generator.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tools/kvpager-replay/random.h"

namespace kvpager::replay {
namespace {

constexpr double kHourMs = 3600.0 * 1000.0;
constexpr uint64_t kPromptTokensMax = 122880;

// What one kind of traffic looks like. Tokens, unless named otherwise.
struct Kind {
  uint64_t prefixes;     // How many system prompts or tool descriptions there are ...
  double prefix_tokens;  // ... and their median length.
  double first_median;   // The first message,
  double first_sigma;
  double next_median;  // the later ones,
  double next_sigma;
  double output_median;
  double output_sigma;
  double again;          // probability of one more turn,
  double gap_median_ms;  // and how soon.
  double gap_sigma;
};

constexpr Kind kChat = {6, 900, 5000, 1.2, 900, 1.3, 350, 0.75, 0.40, 55000, 1.0};
constexpr Kind kAgent = {10, 4000, 2000, 0.9, 900, 1.0, 90, 0.9, 0.74, 9000, 0.9};
constexpr double kAgentShareOfSessions = 0.18;  // A session makes many calls: about a third of all.

uint64_t Tokens(double value, uint64_t least, uint64_t most) {
  return std::clamp(static_cast<uint64_t>(std::llround(value)), least, most);
}

// The first prefix is the most used one: 1 / rank.
uint64_t PickPrefix(uint64_t prefixes, Random& random) {
  double total = 0;
  for (uint64_t i = 1; i <= prefixes; ++i) total += 1.0 / static_cast<double>(i);
  double left = random.Unit() * total;
  for (uint64_t i = 1; i < prefixes; ++i) {
    left -= 1.0 / static_cast<double>(i);
    if (left < 0) return i - 1;
  }
  return prefixes - 1;
}

class Generator {
 public:
  explicit Generator(const TraceGeneratorOptions& options)
      : options_(options), random_(options.seed) {}

  std::vector<Request> Run() {
    while (requests_.size() < options_.requests) AddSession();
    requests_.resize(options_.requests);
    std::stable_sort(requests_.begin(), requests_.end(), [](const Request& a, const Request& b) {
      return a.timestamp_ms < b.timestamp_ms;
    });
    Renumber();
    return std::move(requests_);
  }

 private:
  void AddSession() {
    const bool is_agent = random_.Unit() < kAgentShareOfSessions;
    const Kind& kind = is_agent ? kAgent : kChat;
    const uint64_t prefix = PickPrefix(kind.prefixes, random_);
    // A prefix has its own length, the same in every session.
    const uint64_t prefix_name = MixTogether(is_agent ? 2 : 1, prefix);
    Random of_prefix(MixTogether(options_.seed, prefix_name));
    const uint64_t prefix_tokens =
        Tokens(of_prefix.Lognormal(kind.prefix_tokens, 0.5), 64, kPromptTokensMax / 4);

    // Poisson arrivals: given their number, starts are uniform over the hour.
    double now_ms = random_.Unit() * kHourMs;
    uint64_t context =
        prefix_tokens +
        Tokens(random_.Lognormal(kind.first_median, kind.first_sigma), 16, kPromptTokensMax / 2);
    std::vector<uint64_t> ids;
    const uint64_t turns = 1 + random_.Geometric(kind.again);
    for (uint64_t turn = 0; turn < turns; ++turn) {
      if (context > kPromptTokensMax || now_ms >= kHourMs) break;
      const uint64_t output =
          Tokens(random_.Lognormal(kind.output_median, kind.output_sigma), 1, 2000);
      AddRequest(now_ms, context, output, prefix_name, prefix_tokens, ids);
      context += output + Tokens(random_.Lognormal(kind.next_median, kind.next_sigma), 4,
                                 kPromptTokensMax / 4);
      now_ms += static_cast<double>(output) * 20.0 +  // Twenty milliseconds a token.
                random_.Lognormal(kind.gap_median_ms, kind.gap_sigma);
    }
  }

  // `ids` are those of the session's full blocks so far, and grow.
  void AddRequest(double now_ms, uint64_t input, uint64_t output, uint64_t prefix_name,
                  uint64_t prefix_tokens, std::vector<uint64_t>& ids) {
    const uint64_t full = input / kTraceBlockTokens;
    while (ids.size() < full) {
      const bool shared = (ids.size() + 1) * kTraceBlockTokens <= prefix_tokens;
      ids.push_back(shared ? MixTogether(prefix_name, ids.size()) : MixTogether(~id_next_++, 0));
    }
    Request request;
    request.timestamp_ms = static_cast<uint64_t>(now_ms);
    request.input_tokens = input;
    request.output_tokens = output;
    request.hash_ids = ids;
    // The partial block; the next turn finds it full, under another id.
    if (input % kTraceBlockTokens != 0) request.hash_ids.push_back(MixTogether(~id_next_++, 0));
    requests_.push_back(std::move(request));
  }

  // Small ids in order of appearance, as the published traces have them.
  void Renumber() {
    std::vector<std::pair<uint64_t, uint64_t>> names;  // (name, first place it is seen at)
    uint64_t place = 0;
    for (const Request& request : requests_) {
      for (const uint64_t id : request.hash_ids) names.emplace_back(id, place++);
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end(),
                            [](const auto& a, const auto& b) { return a.first == b.first; }),
                names.end());
    std::vector<uint64_t> places;
    places.reserve(names.size());
    for (const auto& name : names) places.push_back(name.second);
    std::sort(places.begin(), places.end());
    for (auto& name : names) {
      name.second = static_cast<uint64_t>(
          std::lower_bound(places.begin(), places.end(), name.second) - places.begin());
    }
    for (Request& request : requests_) {
      for (uint64_t& id : request.hash_ids) {
        id = std::lower_bound(names.begin(), names.end(), std::pair<uint64_t, uint64_t>(id, 0))
                 ->second;
      }
    }
  }

  const TraceGeneratorOptions options_;
  Random random_;
  uint64_t id_next_ = 0;
  std::vector<Request> requests_;
};

}  // namespace

Trace GenerateTrace(const TraceGeneratorOptions& options) {
  Trace trace;
  trace.name = absl::StrCat("an hour of chat and agent traffic, generated (", options.requests,
                            " requests, seed ", options.seed, ")");
  trace.requests = Generator(options).Run();
  return trace;
}

}  // namespace kvpager::replay
