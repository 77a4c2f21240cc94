#include "engine_plugin/attention_engine/kvpager_attention.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine_plugin/attention_engine/attention_engine.h"

using kvpager::attention::AttentionEngine;
using kvpager::attention::AttentionEngineOptions;
using kvpager::attention::KeepOrDiscard;
using kvpager::attention::Mode;
using kvpager::attention::Workers;

struct kvp_attention {
  std::unique_ptr<AttentionEngine> engine;
  uint32_t num_layers = 0;
  uint32_t layers_done = 0;
  bool open = false;    // A pass.
  bool failed = false;  // A layer of it.
  std::string error;
};

namespace {

static_assert(static_cast<int>(Mode::kResident) == KVP_ATTENTION_RESIDENT);
static_assert(static_cast<int>(Mode::kAuto) == KVP_ATTENTION_AUTO);

thread_local std::string g_open_error;

kvp_status Fail(kvp_attention* engine, const absl::Status& status) {
  (engine == nullptr ? g_open_error : engine->error) = std::string(status.message());
  return static_cast<kvp_status>(status.code());
}

kvp_status Finish(kvp_attention* engine, const absl::Status& status) {
  return status.ok() ? KVP_OK : Fail(engine, status);
}

kvp_status Misused(kvp_attention* engine, const std::string& what) {
  return Fail(engine, absl::FailedPreconditionError(what));
}

Workers WorkersOf(const kvp_attention_options& options) {
  if (options.workers == 0 || options.run == nullptr) return Workers();
  const auto run = options.run;
  void* const user_data = options.user_data;
  return Workers(static_cast<int32_t>(options.workers),
                 [run, user_data](const Workers::Work& work) {
                   run(
                       user_data,
                       [](void* context, int32_t worker) {
                         (*static_cast<const Workers::Work*>(context))(worker);
                       },
                       const_cast<Workers::Work*>(&work));
                 });
}

absl::Status Check(const kvp_attention_options* options) {
  if (options == nullptr) return absl::InvalidArgumentError("options is NULL");
  if (options->struct_size != sizeof(kvp_attention_options)) {
    return absl::InvalidArgumentError(absl::StrCat("options.struct_size is ", options->struct_size,
                                                   "; set it to ", sizeof(kvp_attention_options),
                                                   ", or build with the library's header"));
  }
  if (options->geometry == nullptr) return absl::InvalidArgumentError("options.geometry is NULL");
  return absl::OkStatus();
}

AttentionEngineOptions OptionsOf(const kvp_attention_options& options) {
  AttentionEngineOptions result;
  result.client = options.client;
  result.geometry = *options.geometry;
  result.query_heads = options.query_heads;
  result.head_dim_v = options.head_dim_v;
  result.scale = options.scale;
  result.chunk_blocks = options.chunk_blocks;
  result.workers = WorkersOf(options);
  if (options.timeout_us != 0) result.timeout_us = options.timeout_us;
  for (uint32_t i = 0; options.windows != nullptr && i < options.geometry->num_layers; ++i) {
    result.windows.push_back({options.windows[i].tokens, options.windows[i].sinks});
  }
  return result;
}

}  // namespace

kvp_status kvp_attention_open(const kvp_attention_options* options, kvp_attention** engine) {
  if (engine == nullptr) return Fail(nullptr, absl::InvalidArgumentError("engine is NULL"));
  *engine = nullptr;
  if (const absl::Status checked = Check(options); !checked.ok()) return Fail(nullptr, checked);
  auto made = AttentionEngine::Create(OptionsOf(*options));
  if (!made.ok()) return Fail(nullptr, made.status());
  auto opened = std::make_unique<kvp_attention>();
  opened->engine = *std::move(made);
  opened->num_layers = options->geometry->num_layers;
  *engine = opened.release();
  return KVP_OK;
}

void kvp_attention_close(kvp_attention* engine) { delete engine; }

const char* kvp_attention_error(const kvp_attention* engine) {
  return engine == nullptr ? g_open_error.c_str() : engine->error.c_str();
}

kvp_status kvp_attention_begin(kvp_attention* engine, int32_t mode,
                               const kvp_attention_entry* entries, size_t num_entries,
                               const kvp_attention_drafts* drafts) {
  if (engine == nullptr) return Fail(nullptr, absl::InvalidArgumentError("engine is NULL"));
  if (engine->open) return Misused(engine, "a pass is open; end it first");
  if (mode < KVP_ATTENTION_RESIDENT || mode > KVP_ATTENTION_AUTO) {
    return Fail(engine, absl::InvalidArgumentError(
                            absl::StrCat("mode is ", mode, "; it must be KVP_ATTENTION_*")));
  }
  if (entries == nullptr && num_entries > 0) {
    return Fail(engine, absl::InvalidArgumentError("entries is NULL"));
  }
  std::vector<kvpager::attention::PassEntry> list;
  for (size_t i = 0; i < num_entries; ++i) list.push_back({entries[i].seq, entries[i].new_tokens});
  kvpager::attention::Drafts wanted;
  if (drafts != nullptr) {
    if (drafts->bits == nullptr || drafts->words < 1) {
      return Fail(engine, absl::InvalidArgumentError(
                              "drafts has no bits; give at least one word for each new token"));
    }
    wanted = {drafts->bits, drafts->words};
  }
  const absl::Status begun = engine->engine->BeginPass(static_cast<Mode>(mode), list, wanted);
  engine->open = begun.ok();
  engine->layers_done = 0;
  engine->failed = false;
  return Finish(engine, begun);
}

kvp_status kvp_attention_layer(kvp_attention* engine, uint32_t layer, const float* query,
                               const float* k, const float* v, float* output, float* lse) {
  if (engine == nullptr) return Fail(nullptr, absl::InvalidArgumentError("engine is NULL"));
  if (!engine->open) return Misused(engine, "no pass is open; begin one");
  if (layer != engine->layers_done || layer == engine->num_layers) {
    return Misused(engine, absl::StrCat("layer ", layer, " is out of turn: the next of ",
                                        engine->num_layers, " is ", engine->layers_done));
  }
  ++engine->layers_done;
  const absl::Status attended = engine->engine->AttendLayer(layer, {query, k, v}, {output, lse});
  engine->failed |= !attended.ok();
  return Finish(engine, attended);
}

kvp_status kvp_attention_end(kvp_attention* engine, int32_t keep) {
  if (engine == nullptr) return Fail(nullptr, absl::InvalidArgumentError("engine is NULL"));
  if (!engine->open) return Misused(engine, "no pass is open; begin one");
  engine->open = false;
  const bool whole = engine->layers_done == engine->num_layers && !engine->failed;
  const bool kept = keep != 0 && whole;
  const absl::Status ended =
      engine->engine->EndPass(kept ? KeepOrDiscard::kKeep : KeepOrDiscard::kDiscard);
  if (ended.ok() && keep != 0 && !whole) {
    if (engine->failed) return Misused(engine, "a layer has failed; the pass was discarded");
    return Misused(engine, absl::StrCat("only ", engine->layers_done, " of ", engine->num_layers,
                                        " layers were attended; the pass was discarded"));
  }
  return Finish(engine, ended);
}

int32_t kvp_attention_mode(const kvp_attention* engine, const char** why) {
  if (why != nullptr) *why = engine->engine->why().c_str();
  return static_cast<int32_t>(engine->engine->mode());
}
