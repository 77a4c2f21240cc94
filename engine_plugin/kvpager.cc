// engine_plugin/kvpager.cc
//
// The C ABI: each function checks its arguments, calls the client and maps the status. Here, in
// kvpager_async.cc and in abi.cc, and nowhere else, C types and C++ types meet.

#include "engine_plugin/kvpager.h"

#include <sched.h>

#include <cstddef>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "engine_plugin/abi.h"
#include "engine_plugin/client.h"
#include "engine_plugin/pool_layout.h"
#include "memmgr/base/geometry.h"
#include "memmgr/base/status_macros.h"

namespace engine = kvpager::engine;
using kvpager::engine::CheckKeys;
using kvpager::engine::CheckRead;
using kvpager::engine::CheckTier;
using kvpager::engine::CheckWritten;
using kvpager::engine::Fail;
using kvpager::engine::Finish;
using kvpager::engine::Invalid;
using kvpager::engine::LastError;

namespace {

std::string OrEmpty(const char* text) { return text == nullptr ? std::string() : text; }

absl::Status CheckText(const char* what, const char* text) {
  if (text != nullptr && *text != '\0') return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("options.", what, " is NULL or empty"));
}

// Looking again for about as long as a wake-up takes, but only where nobody is likely to want the
// processor meanwhile: on two, the daemon or the engine's own threads get later what we spin away.
uint32_t SpinUsDefault() {
  constexpr uint32_t kSpinUs = 20;
  constexpr int kProcessorsMin = 4;
  cpu_set_t processors;
  if (sched_getaffinity(0, sizeof(processors), &processors) != 0) return 0;
  return CPU_COUNT(&processors) >= kProcessorsMin ? kSpinUs : 0;
}

// Members behind those of version 1.0; a caller that does not have them gets the defaults.
absl::Status ReadTransport(const kvp_client_options& options, engine::ClientOptions& result) {
  constexpr uint32_t kSpinUsMax = 1000;
  result.spin_us = SpinUsDefault();
  if (options.struct_size < offsetof(kvp_client_options, memory)) return absl::OkStatus();
  if (options.transport > KVP_TRANSPORT_RING) {
    return absl::InvalidArgumentError(absl::StrCat("options.transport is ", options.transport,
                                                   "; it must be a KVP_TRANSPORT_* value"));
  }
  if (options.spin_us > kSpinUsMax && options.spin_us != KVP_SPIN_NONE) {
    return absl::InvalidArgumentError(absl::StrCat("options.spin_us is ", options.spin_us,
                                                   "; it must be at most ", kSpinUsMax,
                                                   ", or KVP_SPIN_NONE"));
  }
  constexpr engine::Transport kTransports[] = {engine::Transport::kAutomatic,
                                               engine::Transport::kZmq, engine::Transport::kRing};
  result.transport = kTransports[options.transport];
  if (options.spin_us == KVP_SPIN_NONE) result.spin_us = 0;
  if (options.spin_us != 0 && options.spin_us != KVP_SPIN_NONE) result.spin_us = options.spin_us;
  return absl::OkStatus();
}

// A member of version 1.2.
absl::Status ReadMemory(const kvp_client_options& options, engine::ClientOptions& result) {
  if (options.struct_size < offsetof(kvp_client_options, memory) + sizeof(options.memory)) {
    return absl::OkStatus();
  }
  if (options.memory > KVP_MEMORY_CUDA) {
    return absl::InvalidArgumentError(
        absl::StrCat("options.memory is ", options.memory, "; it must be a KVP_MEMORY_* value"));
  }
  result.gpu = options.memory == KVP_MEMORY_CUDA;
  return absl::OkStatus();
}

absl::StatusOr<engine::ClientOptions> ToOptions(const kvp_client_options* options) {
  if (options == nullptr) return absl::InvalidArgumentError("options is NULL");
  KVP_RETURN_IF_ERROR(CheckRead("kvp_client_options", options->struct_size,
                                offsetof(kvp_client_options, transport),
                                sizeof(kvp_client_options)));
  if (options->abi_version >> 16 != KVP_ABI_MAJOR) {
    return absl::UnimplementedError(absl::StrCat(
        "options.abi_version says ", options->abi_version >> 16, ".", options->abi_version & 0xffff,
        "; this libkvpager is ", KVP_ABI_MAJOR, ".", KVP_ABI_MINOR,
        ": compile against its kvpager.h, or load the library that fits"));
  }
  KVP_RETURN_IF_ERROR(CheckText("pool", options->pool));
  KVP_RETURN_IF_ERROR(CheckText("model", options->model));
  if (options->timeout_us == 0) {
    return absl::InvalidArgumentError(
        "options.timeout_us is 0; say how long a call may wait for the daemon");
  }
  if (options->pinned_steps > 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("options.pinned_steps is ", options->pinned_steps, "; it must be 0 or 1"));
  }
  if (options->geometry == nullptr) return absl::InvalidArgumentError("options.geometry is NULL");
  const kvp_geometry& geometry = *options->geometry;
  KVP_RETURN_IF_ERROR(
      CheckRead("kvp_geometry", geometry.struct_size, sizeof(kvp_geometry), sizeof(kvp_geometry)));
  engine::ClientOptions result;
  KVP_ASSIGN_OR_RETURN(result.geometry, engine::ToGeometry(geometry));
  result.socket_path = OrEmpty(options->socket_path);
  result.pool = options->pool;
  result.name_space = OrEmpty(options->name_space);
  result.token = OrEmpty(options->token);
  result.model = options->model;
  result.engine_name = OrEmpty(options->engine_name);
  result.timeout_us = options->timeout_us;
  result.message_free = options->pinned_steps == 0;
  KVP_RETURN_IF_ERROR(ReadTransport(*options, result));
  KVP_RETURN_IF_ERROR(ReadMemory(*options, result));
  return result;
}

}  // namespace

// ---- Client -------------------------------------------------------------------------------------

uint32_t kvp_abi_version(void) { return KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR; }

kvp_status kvp_client_open(const kvp_client_options* options, kvp_client** client) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL; nowhere to put the handle");
  *client = nullptr;
  absl::StatusOr<engine::ClientOptions> checked = ToOptions(options);
  if (!checked.ok()) return Fail(nullptr, checked.status());
  absl::StatusOr<std::unique_ptr<engine::Client>> opened = engine::Client::Open(*checked);
  if (!opened.ok()) return Fail(nullptr, opened.status());
  auto made = std::make_unique<kvp_client>();
  made->client = *std::move(opened);
  *client = made.release();
  return KVP_OK;
}

void kvp_client_close(kvp_client* client) {
  if (client == nullptr) return;
  client->client->Finish();
  delete client;
}

const char* kvp_client_error(const kvp_client* client) {
  return client == nullptr ? "client is NULL" : client->error.c_str();
}

const char* kvp_last_error(void) { return LastError().c_str(); }

kvp_status kvp_client_pool_info(kvp_client* client, kvp_pool_info* info) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  if (info == nullptr) return Invalid(client, "info is NULL");
  const absl::Status size = CheckWritten("kvp_pool_info", info->struct_size, sizeof(kvp_pool_info));
  if (!size.ok()) return Fail(client, size);
  const uint32_t struct_size = info->struct_size;
  *info = engine::PoolInfoOf(client->client->pool(), client->client->geometry());
  info->struct_size = struct_size;
  return KVP_OK;
}

kvp_status kvp_client_layer(kvp_client* client, int32_t tier, uint32_t layer, void** k_data,
                            void** v_data) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  if (k_data == nullptr || v_data == nullptr) {
    return Invalid(client, "k_data or v_data is NULL; nowhere to put the addresses");
  }
  const absl::Status tier_ok =
      CheckTier(tier, KVP_TIER_HBM, KVP_TIER_HOST, "KVP_TIER_HBM or KVP_TIER_HOST");
  if (!tier_ok.ok()) return Fail(client, tier_ok);
  const kvpager::Geometry& geometry = client->client->geometry();
  if (layer >= geometry.num_layers) {
    return Invalid(
        client, absl::StrCat("layer ", layer, " of a model with ", geometry.num_layers, " layers"));
  }
  uint8_t* frames = client->client->frames(static_cast<kvpager::Tier>(tier));
  if (frames == nullptr) {
    return Fail(client, absl::FailedPreconditionError("this pool has no frames in host memory"));
  }
  uint8_t* k = frames + (layer % geometry.layers_per_page) * geometry.layer_bytes();
  *k_data = k;
  *v_data = geometry.head_dim_v == 0 ? k : k + geometry.k_bytes();
  return KVP_OK;
}

// ---- Sequences ----------------------------------------------------------------------------------

kvp_status kvp_seq_open(kvp_client* client, const kvp_block_key* keys, size_t num_keys,
                        kvp_seq* seq, kvp_reuse* reuse) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  if (seq == nullptr) return Invalid(client, "seq is NULL; nowhere to put the handle");
  absl::Status checked = CheckKeys(keys, num_keys);
  if (checked.ok() && reuse != nullptr) {
    checked = CheckWritten("kvp_reuse", reuse->struct_size, sizeof(kvp_reuse));
  }
  if (!checked.ok()) return Fail(client, checked);
  engine::Reuse found;
  const auto opened = client->client->OpenSequence({keys, num_keys}, &found);
  if (!opened.ok()) return Fail(client, opened.status());
  *seq = *opened;
  if (reuse != nullptr) {
    reuse->tokens = static_cast<uint32_t>(found.tokens);
    for (int tier = 0; tier < KVP_TIER_COUNT; ++tier) {
      reuse->hit_blocks[tier] = found.hit_blocks[static_cast<size_t>(tier)];
    }
  }
  return KVP_OK;
}

kvp_status kvp_seq_fork(kvp_client* client, kvp_seq parent, kvp_seq* child) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  if (child == nullptr) return Invalid(client, "child is NULL; nowhere to put the handle");
  const auto forked = client->client->Fork(parent);
  if (!forked.ok()) return Fail(client, forked.status());
  *child = *forked;
  return KVP_OK;
}

kvp_status kvp_seq_name(kvp_client* client, kvp_seq seq, uint32_t first_block,
                        const kvp_block_key* keys, size_t num_keys, uint32_t flags,
                        uint64_t timeout_us) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  const absl::Status checked = CheckKeys(keys, num_keys);
  if (!checked.ok()) return Fail(client, checked);
  if ((flags & ~uint32_t{KVP_NAME_DURABLE}) != 0) {
    return Invalid(client, absl::StrCat("flags is ", flags, "; only KVP_NAME_DURABLE is known"));
  }
  const bool durable = (flags & KVP_NAME_DURABLE) != 0;
  if (durable && timeout_us == 0) {
    return Invalid(client, "timeout_us is 0; a durable name waits for the disk, say how long");
  }
  engine::NameOptions options;
  options.block_first = first_block;
  options.durable = durable;
  options.timeout_us = timeout_us;
  return Finish(client, client->client->Name(seq, {keys, num_keys}, options));
}

kvp_status kvp_seq_truncate(kvp_client* client, kvp_seq seq, uint64_t tokens) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  return Finish(client, client->client->Truncate(seq, tokens));
}

kvp_status kvp_seq_compact(kvp_client* client, kvp_seq seq, uint32_t lane, uint64_t base_tokens,
                           const uint32_t* accepted, size_t num_accepted) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  if (accepted == nullptr && num_accepted > 0) {
    return Invalid(client, absl::StrCat("accepted is NULL, num_accepted is ", num_accepted));
  }
  if (lane >= engine::kLaneCount) {
    return Invalid(client, absl::StrCat("lane is ", lane, "; lanes are 0 to 7"));
  }
  return Finish(client, client->client->Compact(seq, lane, base_tokens, {accepted, num_accepted}));
}

kvp_status kvp_seq_length(kvp_client* client, kvp_seq seq, uint64_t* tokens) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  if (tokens == nullptr) return Invalid(client, "tokens is NULL; nowhere to put the length");
  const auto length = client->client->Length(seq);
  if (!length.ok()) return Fail(client, length.status());
  *tokens = *length;
  return KVP_OK;
}

kvp_status kvp_seq_suspend(kvp_client* client, kvp_seq seq) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  return Finish(client, client->client->Suspend(seq));
}

kvp_status kvp_seq_resume(kvp_client* client, kvp_seq seq) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  return Finish(client, client->client->Resume(seq));
}

kvp_status kvp_seq_prefetch(kvp_client* client, kvp_seq seq, int32_t tier, uint64_t deadline_us,
                            uint32_t priority) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  const absl::Status tier_ok =
      CheckTier(tier, KVP_TIER_HBM, KVP_TIER_HOST, "KVP_TIER_HBM or KVP_TIER_HOST");
  if (!tier_ok.ok()) return Fail(client, tier_ok);
  const engine::PrefetchOptions options{static_cast<kvpager::Tier>(tier), deadline_us, priority};
  return Finish(client, client->client->Prefetch(seq, options));
}

kvp_status kvp_prefetch_keys(kvp_client* client, const kvp_block_key* keys, size_t num_keys,
                             int32_t tier, uint64_t deadline_us, uint32_t priority) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  absl::Status checked = CheckKeys(keys, num_keys);
  if (checked.ok()) {
    checked = CheckTier(tier, KVP_TIER_HBM, KVP_TIER_HOST, "KVP_TIER_HBM or KVP_TIER_HOST");
  }
  if (!checked.ok()) return Fail(client, checked);
  const engine::PrefetchOptions options{static_cast<kvpager::Tier>(tier), deadline_us, priority};
  return Finish(client, client->client->PrefetchKeys({keys, num_keys}, options));
}

kvp_status kvp_seq_evict(kvp_client* client, kvp_seq seq, int32_t tier) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  const absl::Status tier_ok =
      CheckTier(tier, KVP_TIER_HOST, KVP_TIER_NVME, "KVP_TIER_HOST or KVP_TIER_NVME");
  if (!tier_ok.ok()) return Fail(client, tier_ok);
  return Finish(client, client->client->Evict(seq, static_cast<kvpager::Tier>(tier)));
}

kvp_status kvp_seq_close(kvp_client* client, kvp_seq seq) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  return Finish(client, client->client->Close(seq));
}

// ---- Steps --------------------------------------------------------------------------------------

kvp_status kvp_step_begin(kvp_client* client, const kvp_step_options* options,
                          const kvp_step_entry* entries, size_t num_entries, kvp_step** step) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  if (step == nullptr) return Invalid(client, "step is NULL; nowhere to put the handle");
  *step = nullptr;
  uint32_t lane = 0;
  uint32_t residency = KVP_RESIDENT;
  if (options != nullptr) {
    const absl::Status size = CheckRead("kvp_step_options", options->struct_size,
                                        sizeof(kvp_step_options), sizeof(kvp_step_options));
    if (!size.ok()) return Fail(client, size);
    lane = options->lane;
    residency = options->residency;
  }
  if (lane >= engine::kLaneCount) {
    return Invalid(client, absl::StrCat("options.lane is ", lane, "; lanes are 0 to 7"));
  }
  if (residency == KVP_STREAMED) {
    return Fail(client, absl::UnimplementedError(
                            "KVP_STREAMED steps are not in this version; read a long sequence in "
                            "ranges of groups or blocks, or with KVP_SPLIT"));
  }
  if (residency != KVP_RESIDENT && residency != KVP_SPLIT) {
    return Invalid(client, absl::StrCat("options.residency is ", residency,
                                        "; it must be KVP_RESIDENT or KVP_SPLIT"));
  }
  if (entries == nullptr || num_entries == 0) {
    return Invalid(client, "a step needs at least one entry");
  }
  const auto begun = client->client->BeginStep(
      lane,
      residency == KVP_SPLIT ? engine::StepResidency::kSplit : engine::StepResidency::kResident,
      {entries, num_entries});
  if (!begun.ok()) return Fail(client, begun.status());
  if (client->spare_steps.empty()) {
    client->steps.emplace_back();
    client->spare_steps.push_back(&client->steps.back());
  }
  *step = client->spare_steps.back();
  client->spare_steps.pop_back();
  **step = kvp_step{client, *begun};
  return KVP_OK;
}

kvp_status kvp_step_wait(kvp_step* step, uint64_t timeout_us) {
  if (step == nullptr) return Invalid(nullptr, "step is NULL");
  return Finish(step->client, step->client->client->WaitStep(step->step, timeout_us));
}

kvp_status kvp_step_view(kvp_step* step, uint32_t group, int32_t tier, kvp_view* view) {
  if (step == nullptr) return Invalid(nullptr, "step is NULL");
  kvp_client* client = step->client;
  if (view == nullptr) return Invalid(client, "view is NULL");
  absl::Status checked = CheckWritten("kvp_view", view->struct_size, sizeof(kvp_view));
  if (checked.ok()) {
    checked = CheckTier(tier, KVP_TIER_HBM, KVP_TIER_HOST, "KVP_TIER_HBM or KVP_TIER_HOST");
  }
  if (!checked.ok()) return Fail(client, checked);
  const auto lists = client->client->ViewStep(step->step, group, static_cast<kvpager::Tier>(tier));
  if (!lists.ok()) return Fail(client, lists.status());
  view->batch_size = static_cast<int32_t>((*lists)->last_page_len.size());
  view->page_tokens = static_cast<int32_t>(client->client->geometry().page_tokens);
  view->reserved = 0;
  view->indptr = (*lists)->indptr.data();
  view->indices = (*lists)->indices.data();
  view->last_page_len = (*lists)->last_page_len.data();
  view->positions = (*lists)->positions.data();
  return KVP_OK;
}

kvp_status kvp_step_get_times(kvp_step* step, kvp_step_times* times) {
  if (step == nullptr) return Invalid(nullptr, "step is NULL");
  kvp_client* client = step->client;
  if (times == nullptr) return Invalid(client, "times is NULL");
  const absl::Status size =
      CheckWritten("kvp_step_times", times->struct_size, sizeof(kvp_step_times));
  if (!size.ok()) return Fail(client, size);
  const auto measured = client->client->TimesOfStep(step->step);
  if (!measured.ok()) return Fail(client, measured.status());
  times->reserved = 0;
  times->queue_ns = measured->queue_ns;
  times->room_ns = measured->room_ns;
  times->nvme_ns = measured->nvme_ns;
  times->host_ns = measured->host_ns;
  times->promoted_host_pages = measured->promoted_host_pages;
  times->promoted_nvme_pages = measured->promoted_nvme_pages;
  return KVP_OK;
}

kvp_status kvp_step_end(kvp_step* step, int32_t keep_or_discard) {
  if (step == nullptr) return Invalid(nullptr, "step is NULL");
  kvp_client* client = step->client;
  engine::Step* ended = step->step;
  client->spare_steps.push_back(step);
  const bool known = keep_or_discard == KVP_STEP_KEEP || keep_or_discard == KVP_STEP_DISCARD;
  const absl::Status status = client->client->EndStep(ended, keep_or_discard == KVP_STEP_KEEP
                                                                 ? engine::KeepOrDiscard::kKeep
                                                                 : engine::KeepOrDiscard::kDiscard);
  if (!known) {
    return Invalid(client, absl::StrCat("keep_or_discard is ", keep_or_discard,
                                        "; it must be KVP_STEP_KEEP or KVP_STEP_DISCARD; the step "
                                        "was discarded"));
  }
  return Finish(client, status);
}
