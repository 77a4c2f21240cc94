/* engine_plugin/attention_engine/kvpager_attention.h
 *
 * The C face of the attention engine (attention_engine.h), for engines in any language: attention
 * over sequences that kvpagerd holds, wherever their pages are.
 *
 *   kvp_attention_open(&options, &engine)
 *   kvp_attention_begin(engine, KVP_ATTENTION_AUTO, entries, n, NULL)
 *   for each layer: kvp_attention_layer(engine, layer, query, k, v, output, lse)
 *   kvp_attention_end(engine, 1)
 *
 * Ownership: the caller's, also of the kvp_client, which outlives the engine. Thread-safety: one
 * thread at a time; `run` of the options brings the caller's threads. Errors: kvp_status, with a
 * text; after one of them, end the pass with keep = 0. Units: tokens; arrays are row-major, their
 * shapes are in brackets. */

#ifndef KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_KVPAGER_ATTENTION_H_
#define KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_KVPAGER_ATTENTION_H_

#include <stddef.h>
#include <stdint.h>

#include "engine_plugin/kvpager.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kvp_attention kvp_attention;

enum {
  KVP_ATTENTION_RESIDENT = 0,
  KVP_ATTENTION_STREAMED = 1,
  KVP_ATTENTION_SPLIT = 2,
  KVP_ATTENTION_AUTO = 3
};

typedef struct kvp_attention_window {
  int64_t tokens; /* how many a query sees, itself included; 0: all before it */
  int64_t sinks;  /* of the first tokens, seen too */
} kvp_attention_window;

typedef struct kvp_attention_options {
  uint32_t struct_size;
  uint32_t query_heads; /* a multiple of the geometry's num_kv_heads */
  kvp_client* client;
  const kvp_geometry* geometry;        /* that of the pool */
  uint32_t head_dim_v;                 /* of the output, where the geometry's is 0; else 0 */
  float scale;                         /* of the logits; 0: 1 / sqrt(head_dim_k) */
  const kvp_attention_window* windows; /* [num_layers], or NULL: all layers see everything */
  uint32_t chunk_blocks;               /* at most, of one chunk; 0: chosen */
  uint32_t workers;                    /* how many times `run` calls its argument; 0: no `run` */
  /* Calls work(context, 0) to work(context, workers - 1) at once, and returns when all have. */
  void (*run)(void* user_data, void (*work)(void* context, int32_t worker), void* context);
  void* user_data;
  uint64_t timeout_us; /* per step; 0: a minute */
} kvp_attention_options;

/* On failure *engine is NULL and kvp_attention_error(NULL) says why. */
KVP_MUST_CHECK kvp_status kvp_attention_open(const kvp_attention_options* options,
                                             kvp_attention** engine);
/* Discards a pass that is open. NULL is allowed. */
void kvp_attention_close(kvp_attention* engine);

/* The text of the last error of `engine`; of NULL, of the last kvp_attention_open that failed in
 * this thread. Never NULL; valid until the next call. */
const char* kvp_attention_error(const kvp_attention* engine);

typedef struct kvp_attention_entry {
  kvp_seq seq;
  uint32_t new_tokens; /* at least 1 */
} kvp_attention_entry;

/* Makes the new tokens drafts: see kvp_step_entry, and kernels/attention.h for the bits. */
typedef struct kvp_attention_drafts {
  const uint64_t* bits; /* [new tokens of all entries, words] */
  int32_t words;
} kvp_attention_drafts;

/* `drafts` may be NULL. KVP_FAILED_PRECONDITION while a pass is open. */
KVP_MUST_CHECK kvp_status kvp_attention_begin(kvp_attention* engine, int32_t mode,
                                              const kvp_attention_entry* entries,
                                              size_t num_entries,
                                              const kvp_attention_drafts* drafts);

/* Layers in order, each once. `query` NULL: K and V are appended, nothing is attended. `v` is not
 * used where V is the start of K's rows; `lse` may be NULL. */
KVP_MUST_CHECK kvp_status
kvp_attention_layer(kvp_attention* engine, uint32_t layer,
                    const float* query, /* [new tokens, query_heads, head_dim_k] */
                    const float* k,     /* [new tokens, num_kv_heads, head_dim_k] */
                    const float* v,     /* [new tokens, num_kv_heads, head_dim_v] */
                    float* output,      /* [new tokens, query_heads, head_dim_v] */
                    float* lse);        /* [new tokens, query_heads], natural logarithm */

/* keep 1: the new tokens stay, if all layers were attended (else KVP_FAILED_PRECONDITION, and the
 * pass is discarded); 0: they are forgotten. */
KVP_MUST_CHECK kvp_status kvp_attention_end(kvp_attention* engine, int32_t keep);

/* KVP_ATTENTION_* of the pass that is open, or was last: what AUTO has chosen; `why`, unless NULL,
 * becomes a line for people, valid until the next call. */
int32_t kvp_attention_mode(const kvp_attention* engine, const char** why);

#ifdef __cplusplus
}
#endif

#endif /* KVPAGER_ENGINE_PLUGIN_ATTENTION_ENGINE_KVPAGER_ATTENTION_H_ */
