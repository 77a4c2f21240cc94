#include "tools/kvpager-decode/flags.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <map>
#include <string>

#include "tools/kvpager-decode/presets.h"

namespace kvpager::decode {
namespace {

using attention::Mode;

const std::map<std::string, Mode> kModes = {
    {"streamed", Mode::kStreamed}, {"split", Mode::kSplit}, {"auto", Mode::kAuto}};
const std::map<std::string, uint32_t> kDtypes = {{"f16", KVP_DTYPE_F16},
                                                 {"bf16", KVP_DTYPE_BF16},
                                                 {"f32", KVP_DTYPE_F32},
                                                 {"f8", KVP_DTYPE_F8_E4M3}};
const std::map<std::string, uint32_t> kLayouts = {{"nhd", KVP_LAYOUT_NHD}, {"hnd", KVP_LAYOUT_HND}};

constexpr char kFooter[] =
    "Sizes are bytes, or have a unit: 64MiB; tokens may be 128K or 1M.\n"
    "Exit codes: 0 every output that was checked is right; 1 one is wrong, or something failed; 2 "
    "bad options.";

// What replaces fields of the preset.
struct Changes {
  std::string preset = "small";
  uint32_t layers = 0;
  uint32_t layers_per_page = 0;
  uint32_t kv_heads = 0;
  uint32_t query_heads = 0;
  uint32_t head_dim = 0;
  uint32_t page_tokens = 0;
  std::string dtype;
  std::string layout;
};

void AddShapeFlags(CLI::App& app, Changes& changes) {
  app.add_option("--preset", changes.preset, "Shape of a model")
      ->check(CLI::IsMember(PresetNames()))
      ->capture_default_str();
  app.add_option("--layers", changes.layers, "Instead of the preset's; so are the next ones");
  app.add_option("--layers-per-page", changes.layers_per_page, "Divides the layers");
  app.add_option("--kv-heads", changes.kv_heads);
  app.add_option("--query-heads", changes.query_heads, "A multiple of the K and V heads");
  app.add_option("--head-dim", changes.head_dim, "Of K and of V; not for latent attention");
  app.add_option("--page-tokens", changes.page_tokens, "Tokens per block");
  app.add_option("--dtype", changes.dtype)->check(CLI::IsMember(kDtypes));
  app.add_option("--layout", changes.layout)->check(CLI::IsMember(kLayouts));
}

void AddRunFlags(CLI::App& app, Options& options, std::vector<std::string>& modes) {
  app.add_option("--context", options.context_tokens, "Tokens before the first that is decoded")
      ->transform(CLI::AsSizeValue(false))
      ->check(CLI::PositiveNumber)
      ->default_str("128K");
  app.add_option("--hbm", options.hbm_bytes, "Emulated HBM; else 1/16 of the sequence")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--host", options.host_bytes, "Host memory; else 7/16 of the sequence")
      ->transform(CLI::AsSizeValue(false));
  app.add_option("--nvme-folder", options.nvme_parent,
                 "On the disk whose speed matters; a folder is made there, and removed")
      ->check(CLI::ExistingDirectory)
      ->capture_default_str();
  app.add_option("--tokens", options.decode_tokens, "To decode, per mode")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  app.add_option("--modes", modes, "Of streamed, split, auto")
      ->delimiter(',')
      ->check(CLI::IsMember(kModes))
      ->default_str("streamed,split");
  app.add_flag("!--no-resident", options.resident, "Not also with everything in HBM");
  app.add_option("--threads", options.threads, "That attend; else one per processor")
      ->check(CLI::Range(1, 1024));
  app.add_option("--chunk-blocks", options.chunk_blocks, "Of one chunk; else the engine chooses");
  app.add_flag("--full-prefill", options.full_prefill,
               "Attend all of the prompt, not just some chunks");
  app.add_option("--checks", options.checks, "Outputs to compare with the reference, per mode")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "Of K, V and queries")->capture_default_str();
  app.add_option("--kvpagerd", options.kvpagerd, "The daemon; else the one beside this program");
}

std::string Apply(const Changes& changes, Options& options) {
  options.model = *FindPreset(changes.preset);
  kvp_geometry& geometry = options.model.geometry;
  const auto replace = [](uint32_t value, uint32_t& field) {
    if (value != 0) field = value;
  };
  replace(changes.layers, geometry.num_layers);
  replace(changes.layers_per_page, geometry.layers_per_page);
  replace(changes.kv_heads, geometry.num_kv_heads);
  replace(changes.query_heads, options.model.query_heads);
  replace(changes.page_tokens, geometry.page_tokens);
  if (!changes.dtype.empty()) geometry.dtype = kDtypes.at(changes.dtype);
  if (!changes.layout.empty()) geometry.layout = kLayouts.at(changes.layout);
  if (changes.head_dim != 0) {
    if (geometry.head_dim_v == 0) return "--head-dim is not for latent attention; leave it out";
    geometry.head_dim_k = geometry.head_dim_v = options.model.head_dim_v = changes.head_dim;
  }
  if (geometry.num_layers % geometry.layers_per_page != 0) {
    return "--layers-per-page does not divide --layers";
  }
  if (options.model.query_heads % geometry.num_kv_heads != 0) {
    return "--query-heads must be a multiple of --kv-heads";
  }
  return "";
}

}  // namespace

std::optional<Options> ParseFlags(int argc, char** argv, int& exit_code) {
  Options options;
  options.context_tokens = 128 * 1024;
  options.nvme_parent = "/var/tmp";
  options.decode_tokens = 50;
  options.checks = 10;
  options.seed = 1;
  Changes changes;
  std::vector<std::string> modes = {"streamed", "split"};
  CLI::App app(
      "kvpager-decode: decodes a sequence whose K and V are larger than HBM, or than all memory, "
      "over a kvpagerd of its own; checks the outputs and says what each token took.",
      "kvpager-decode");
  app.footer(kFooter);
  AddShapeFlags(app, changes);
  AddRunFlags(app, options, modes);
  app.add_option("--json", options.json, "Write the numbers to this file too");
  app.add_option("--plot", options.plot, "Draw each token's time into this file (SVG)");
  app.add_flag("--quiet", options.quiet, "No progress, no table");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? kExitPassed : kExitUsage;
    return std::nullopt;
  }
  for (const std::string& mode : modes) options.modes.push_back(kModes.at(mode));
  if (options.threads == 0) {
    options.threads = static_cast<uint32_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  }
  if (const std::string problem = Apply(changes, options); !problem.empty()) {
    std::fprintf(stderr, "kvpager-decode: %s\n", problem.c_str());
    exit_code = kExitUsage;
    return std::nullopt;
  }
  return options;
}

}  // namespace kvpager::decode
