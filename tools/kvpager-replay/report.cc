#include "tools/kvpager-replay/report.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace kvpager::replay {
namespace {

constexpr const char* kTierNames[KVP_TIER_COUNT] = {"hbm", "host", "nvme"};

double Percent(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0.0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

std::string Row(const char* name, const std::string& value, const std::string& remark = "") {
  return absl::StrFormat("  %-20s %14s   %s\n", name, value, remark);
}

std::string Hits(const Metrics& metrics, const Summary& summary) {
  std::string text = Row("blocks looked up", WithCommas(metrics.lookup_blocks));
  text += Row(
      "hit", WithCommas(metrics.hits()),
      absl::StrFormat("%5.1f %%   an ideal LRU of %s blocks: %.1f %%", 100.0 * metrics.hit_ratio(),
                      WithCommas(summary.ideal_places), 100.0 * summary.ideal_lru_hit_ratio));
  static constexpr const char* kNames[KVP_TIER_COUNT] = {"  in hbm", "  in host memory",
                                                         "  on nvme"};
  for (size_t tier = 0; tier < KVP_TIER_COUNT; ++tier) {
    text +=
        Row(kNames[tier], WithCommas(metrics.hit_blocks[tier]),
            absl::StrFormat("%5.1f %%", Percent(metrics.hit_blocks[tier], metrics.lookup_blocks)));
  }
  return text;
}

std::string Verified(const Metrics& metrics) {
  const auto verdict = [](uint64_t wrong) {
    return wrong == 0 ? std::string("all right") : absl::StrCat(WithCommas(wrong), " WRONG");
  };
  return Row("pages compared", WithCommas(metrics.pages_verified),
             verdict(metrics.pages_mismatched)) +
         Row("attention checked", WithCommas(metrics.attention_checked),
             verdict(metrics.attention_mismatched));
}

std::string WaitRow(const char* name, const Histogram& histogram) {
  return absl::StrFormat("  %-20s %11s %11s %11s %11s\n", name,
                         DurationText(histogram.Percentile(0.5)),
                         DurationText(histogram.Percentile(0.99)),
                         DurationText(histogram.Percentile(0.999)), DurationText(histogram.max()));
}

std::string Waits(const Metrics& metrics) {
  std::string text = absl::StrFormat("  %-20s %11s %11s %11s %11s\n", "a step waited", "p50", "p99",
                                     "p99.9", "max");
  text += WaitRow("  in all", metrics.wait_ns.total);
  text += WaitRow("  copies from host", metrics.wait_ns.host);
  text += WaitRow("  reads from nvme", metrics.wait_ns.nvme);
  text += WaitRow("  for room", metrics.wait_ns.room);
  text += WaitRow("  behind other steps", metrics.wait_ns.queue);
  return text;
}

std::string Moved(const Summary& summary) {
  if (!summary.daemon_told) return "";
  return absl::StrFormat("  %-20s %11s %11s %11s %11s\n  %-20s %11s %11s %11s %11s\n", "moved",
                         "hbm>host", "host>hbm", "host>nvme", "nvme>host", "",
                         BytesText(summary.moved_bytes[0]), BytesText(summary.moved_bytes[1]),
                         BytesText(summary.moved_bytes[2]), BytesText(summary.moved_bytes[3]));
}

std::string Trouble(const Metrics& metrics, const Summary& summary) {
  std::string text;
  const auto add = [&text](uint64_t count, const char* what) {
    if (count > 0) text += Row("", WithCommas(count), what);
  };
  add(summary.trace_lines_skipped, "bad lines of the trace skipped");
  add(summary.injected_host, "bits flipped in host frames");
  add(summary.injected_nvme, "bits flipped in the NVMe file");
  add(summary.copies_corrupt, "copies found corrupt by the daemon");
  add(metrics.data_losses, "times a sequence was cut");
  add(metrics.blocks_recomputed, "blocks computed again");
  add(metrics.exhausted_retries, "refusals for want of room, tried again");
  add(metrics.reconnects, "times the daemon was lost and found again");
  add(metrics.requests_restarted, "requests started over");
  return text.empty() ? "" : absl::StrCat("\n", text);
}

std::string JsonString(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += absl::StrFormat("\\u%04x", static_cast<unsigned>(c));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string JsonWait(const Histogram& histogram) {
  const auto us = [](uint64_t ns) { return static_cast<double>(ns) / 1000.0; };
  return absl::StrFormat(R"({"p50": %.3f, "p99": %.3f, "p999": %.3f, "max": %.3f})",
                         us(histogram.Percentile(0.5)), us(histogram.Percentile(0.99)),
                         us(histogram.Percentile(0.999)), us(histogram.max()));
}

// Members of an object, in the order in which they are added.
class JsonObject {
 public:
  void Add(const char* name, const std::string& json) {
    absl::StrAppend(&text_, text_.empty() ? "" : ",\n", "  \"", name, "\": ", json);
  }
  void AddCount(const char* name, uint64_t value) { Add(name, absl::StrCat(value)); }
  void AddReal(const char* name, double value) {
    Add(name, absl::StrFormat("%.6f", std::isfinite(value) ? value : 0.0));
  }
  std::string Text() const { return absl::StrCat("{\n", text_, "\n}\n"); }

 private:
  std::string text_;
};

void AddHits(const Metrics& metrics, const Summary& summary, JsonObject& json) {
  std::string hits;
  for (size_t tier = 0; tier < KVP_TIER_COUNT; ++tier) {
    absl::StrAppend(&hits, tier == 0 ? "{" : ", ", "\"", kTierNames[tier],
                    "\": ", metrics.hit_blocks[tier]);
  }
  json.AddCount("lookup_blocks", metrics.lookup_blocks);
  absl::StrAppend(&hits, "}");
  json.Add("hit_blocks", hits);
  json.AddReal("prefix_hit_ratio", metrics.hit_ratio());
  json.AddReal("ideal_lru_hit_ratio", summary.ideal_lru_hit_ratio);
  json.AddCount("ideal_lru_places", summary.ideal_places);
}

void AddMoved(const Summary& summary, JsonObject& json) {
  std::string moved;
  for (size_t link = 0; link < kLinkCount; ++link) {
    absl::StrAppend(&moved, link == 0 ? "{" : ", ", "\"", kLinkNames[link],
                    "\": ", summary.moved_bytes[link]);
  }
  absl::StrAppend(&moved, "}");
  json.Add("moved_bytes", moved);
  json.AddCount("nvme_written_bytes", summary.nvme_written_bytes);
}

}  // namespace

bool Passed(const Metrics& metrics, const Summary& summary) {
  return metrics.content_is_right() && summary.failure.empty() &&
         metrics.requests == summary.requests_total;
}

std::string WithCommas(uint64_t number) {
  std::string digits = absl::StrCat(number);
  for (size_t i = digits.size(); i > 3; i -= 3) digits.insert(i - 3, 1, ',');
  return digits;
}

std::string DurationText(uint64_t ns) {
  const auto value = static_cast<double>(ns);
  if (ns == 0) return "0";
  if (value < 1e3) return absl::StrFormat("%d ns", ns);
  if (value < 1e5) return absl::StrFormat("%.1f us", value / 1e3);
  if (value < 1e6) return absl::StrFormat("%.0f us", value / 1e3);
  if (value < 1e8) return absl::StrFormat("%.1f ms", value / 1e6);
  if (value < 1e9) return absl::StrFormat("%.0f ms", value / 1e6);
  return absl::StrFormat("%.1f s", value / 1e9);
}

std::string BytesText(uint64_t bytes) {
  static constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return absl::StrFormat(unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
}

std::string ReportTable(const Metrics& metrics, const Summary& summary) {
  const double seconds = summary.wall_seconds;
  std::string text = absl::StrCat("\n  ", summary.trace, "\n\n");
  text += Row(
      "requests", WithCommas(metrics.requests),
      absl::StrFormat(
          "in %.1f s, %d at a time%s", seconds, summary.in_flight,
          summary.engines == 1 ? "" : absl::StrCat(" in each of ", summary.engines, " engines")));
  text += Hits(metrics, summary);
  text += Row("tokens prefilled", WithCommas(metrics.prefilled_tokens));
  text += Row("tokens decoded", WithCommas(metrics.decoded_tokens),
              absl::StrFormat("in %s steps, %.0f steps a second", WithCommas(metrics.steps),
                              seconds > 0 ? static_cast<double>(metrics.steps) / seconds : 0.0));
  text += Verified(metrics);
  absl::StrAppend(&text, "\n", Waits(metrics));
  if (const std::string moved = Moved(summary); !moved.empty()) absl::StrAppend(&text, "\n", moved);
  text += Trouble(metrics, summary);
  if (Passed(metrics, summary)) return text + "\n  PASSED: every page was right.\n";
  if (!metrics.content_is_right()) {
    return text + absl::StrCat("\n  FAILED: ", WithCommas(metrics.pages_mismatched),
                               " wrong pages, ", WithCommas(metrics.attention_mismatched),
                               " wrong attention outputs.\n");
  }
  return text + absl::StrCat(
                    "\n  FAILED: ",
                    summary.failure.empty()
                        ? absl::StrCat("only ", WithCommas(metrics.requests), " of ",
                                       WithCommas(summary.requests_total), " requests were served")
                        : summary.failure,
                    "\n");
}

std::string ReportJson(const Metrics& metrics, const Summary& summary) {
  JsonObject json;
  json.Add("trace", JsonString(summary.trace));
  json.Add("result", Passed(metrics, summary) ? "\"passed\"" : "\"failed\"");
  json.Add("failure", JsonString(summary.failure));
  json.AddCount("requests", metrics.requests);
  json.AddCount("requests_total", summary.requests_total);
  AddHits(metrics, summary, json);
  json.AddCount("pages_verified", metrics.pages_verified);
  json.AddCount("pages_mismatched", metrics.pages_mismatched);
  json.AddCount("attention_checked", metrics.attention_checked);
  json.AddCount("attention_mismatched", metrics.attention_mismatched);
  json.AddCount("steps", metrics.steps);
  json.Add("step_wait_us", JsonWait(metrics.wait_ns.total));
  json.Add("step_wait_us_by_cause",
           absl::StrCat("{\"host\": ", JsonWait(metrics.wait_ns.host),
                        ", \"nvme\": ", JsonWait(metrics.wait_ns.nvme),
                        ", \"room\": ", JsonWait(metrics.wait_ns.room),
                        ", \"queue\": ", JsonWait(metrics.wait_ns.queue), "}"));
  AddMoved(summary, json);
  json.AddCount("promoted_host_pages", metrics.promoted_host_pages);
  json.AddCount("promoted_nvme_pages", metrics.promoted_nvme_pages);
  json.AddReal("stalled_seconds", static_cast<double>(metrics.stalled_ns) / 1e9);
  json.AddReal("wall_seconds", summary.wall_seconds);
  json.AddCount("prefilled_tokens", metrics.prefilled_tokens);
  json.AddCount("decoded_tokens", metrics.decoded_tokens);
  json.AddCount("page_bytes", summary.page_bytes);
  json.AddCount("data_losses", metrics.data_losses);
  json.AddCount("blocks_recomputed", metrics.blocks_recomputed);
  json.AddCount("exhausted_retries", metrics.exhausted_retries);
  json.AddCount("reconnects", metrics.reconnects);
  json.AddCount("requests_restarted", metrics.requests_restarted);
  json.AddCount("trace_lines_skipped", summary.trace_lines_skipped);
  json.AddCount("injected_host", summary.injected_host);
  json.AddCount("injected_nvme", summary.injected_nvme);
  json.AddCount("copies_corrupt", summary.copies_corrupt);
  return json.Text();
}

}  // namespace kvpager::replay
