#include "tools/kvpager-replay/flags.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <string>

#include "engine_plugin/kvpager.h"

namespace kvpager::replay {
namespace {

const std::map<std::string, uint32_t> kTransports = {
    {"auto", KVP_TRANSPORT_AUTO}, {"ring", KVP_TRANSPORT_RING}, {"zmq", KVP_TRANSPORT_ZMQ}};

constexpr char kFooter[] =
    "Exit codes: 0 every page was right; 1 a wrong page, or a request that could not be served;\n"
    "2 bad options, a bad trace or an attach that was refused; 3 the daemon was lost.";

void AddTraceFlags(CLI::App& app, Options& options) {
  app.add_option("--trace", options.trace,
                 "JSON lines, also packed with zstd: timestamp, input_length, output_length, "
                 "hash_ids. Without it an hour of chat and agent traffic is generated");
  app.add_option("--requests", options.requests_max,
                 "Only the first N of the trace; or how many to generate, instead of 4000")
      ->check(CLI::Range(uint64_t{1}, uint64_t{100'000'000}));
  app.add_option("--seed", options.seed, "Of the generated traffic and of injected faults")
      ->capture_default_str();
  app.add_flag("--skip-bad-lines", options.skip_bad_lines,
               "Count lines of the trace that make no sense, instead of refusing it");
}

void AddDaemonFlags(CLI::App& app, Options& options) {
  app.add_option("--socket", options.socket,
                 "The daemon's socket; else $KVPAGER_SOCKET, else the default");
  app.add_option("--pool", options.pool, "Name of the pool; the first attach creates it")
      ->capture_default_str();
  app.add_option("--namespace", options.name_space, "Whose blocks they are")->capture_default_str();
  app.add_option("--token", options.token, "Of the namespace, where the daemon asks for one");
  app.add_option("--engines", options.engines,
                 "Engines at once, each with all requests, each in a namespace of its own")
      ->check(CLI::Range(1, 8))
      ->capture_default_str();
  app.add_flag("--shared-namespace", options.shared_namespace,
               "All engines in one namespace; each follows the one before it");
  app.add_option("--reconnect-seconds", options.reconnect_seconds,
                 "How long to try to reach a daemon that went away")
      ->capture_default_str();
  app.add_option("--stall-seconds", options.stall_seconds,
                 "Give up when no step becomes ready for so long")
      ->check(CLI::Range(1, 86400))
      ->capture_default_str();
}

void AddGeometryFlags(CLI::App& app, Options& options, uint32_t& head_dim, std::string& layout) {
  Geometry& geometry = options.geometry;
  app.add_option("--page-tokens", geometry.page_tokens,
                 "Tokens per block; one 512-token block of the trace becomes one of these")
      ->check(CLI::Range(1, 512))
      ->capture_default_str();
  app.add_option("--layers", geometry.num_layers)->capture_default_str();
  app.add_option("--layers-per-page", geometry.layers_per_page, "Divides --layers")
      ->capture_default_str();
  app.add_option("--kv-heads", geometry.num_kv_heads)->capture_default_str();
  app.add_option("--head-dim", head_dim, "Of K and of V; elements are float16")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  app.add_option("--layout", layout, "nhd or hnd")
      ->check(CLI::IsMember({"nhd", "hnd"}))
      ->capture_default_str();
  app.add_option("--query-heads", options.query_heads, "A multiple of --kv-heads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
}

void AddRunFlags(CLI::App& app, Options& options) {
  app.add_flag("--pinned-steps", options.pinned_steps,
               "Ask the daemon for every step, also for those whose pages are all in HBM");
  app.add_option("--transport", options.transport,
                 "What carries the messages: auto (a ring if the daemon has one), ring, zmq")
      ->transform(CLI::CheckedTransformer(kTransports))
      ->default_str("auto");
  app.add_option("--in-flight", options.in_flight, "Requests at once, per engine")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_option("--prefill-blocks", options.prefill_blocks, "Blocks that one prefill step adds")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  app.add_option("--check-every", options.check_every,
                 "One decode step in so many is compared with the reference attention")
      ->check(CLI::Range(1, 1'000'000'000))
      ->capture_default_str();
  app.add_option("--ideal-places", options.ideal_places,
                 "Blocks of the ideal LRU to compare with; else as many as the tiers hold");
  app.add_option("--max-ratio-gap", options.ratio_gap_max,
                 "Fail if the hit ratio is more than so many points away from the ideal LRU's")
      ->check(CLI::Range(0.0, 100.0));
}

void AddReportFlags(CLI::App& app, Options& options, std::string& inject) {
  app.add_option("--inject", inject,
                 "corrupt=N flips N bits in host frames and in the NVMe file during the run");
  app.add_option("--inject-file", options.inject_file,
                 "The NVMe file to flip bits in; else the one that the daemon names");
  app.add_option("--json", options.json, "Write the numbers to this file too");
  app.add_flag("--quiet", options.quiet, "No progress bar, no table");
}

// What CLI11 cannot say of one flag alone. Empty: all is well.
std::string Contradiction(Options& options, const std::string& inject) {
  if (!inject.empty()) {
    unsigned long long count = 0;
    char rest = 0;
    if (std::sscanf(inject.c_str(), "corrupt=%llu%c", &count, &rest) != 1 || count == 0) {
      return "--inject takes corrupt=N with N of at least 1, not \"" + inject + "\"";
    }
    options.inject_corrupt = count;
  }
  if (!options.inject_file.empty() && options.inject_corrupt == 0) {
    return "--inject-file is for --inject corrupt=N; give both";
  }
  if (options.shared_namespace && options.engines < 2) {
    return "--shared-namespace needs --engines 2 or more";
  }
  if (options.geometry.num_kv_heads == 0 ||
      options.query_heads % options.geometry.num_kv_heads != 0) {
    return "--query-heads must be a multiple of --kv-heads";
  }
  const absl::Status geometry = options.geometry.Validate(1);
  return geometry.ok() ? std::string() : std::string(geometry.message());
}

}  // namespace

std::optional<Options> ParseFlags(int argc, char** argv, int& exit_code) {
  Options options;
  options.geometry.num_layers = 4;
  options.geometry.layers_per_page = 4;
  options.geometry.num_kv_heads = 2;
  uint32_t head_dim = 64;
  std::string layout = "nhd";
  std::string inject;
  CLI::App app(
      "kvpager-replay: serves a request trace through a running kvpagerd, and verifies every page.",
      "kvpager-replay");
  app.footer(kFooter);
  AddTraceFlags(app, options);
  AddDaemonFlags(app, options);
  AddGeometryFlags(app, options, head_dim, layout);
  AddRunFlags(app, options);
  AddReportFlags(app, options, inject);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? kExitPassed : kExitUsage;
    return std::nullopt;
  }
  options.geometry.head_dim_k = head_dim;
  options.geometry.head_dim_v = head_dim;
  options.geometry.layout = layout == "hnd" ? KvLayout::kHnd : KvLayout::kNhd;
  if (const std::string wrong = Contradiction(options, inject); !wrong.empty()) {
    std::fprintf(stderr, "kvpager-replay: %s\n", wrong.c_str());
    exit_code = kExitUsage;
    return std::nullopt;
  }
  return options;
}

}  // namespace kvpager::replay
