/* engine_plugin/examples/decode_loop.c: a complete engine: prefill, name, decode, and once more
 * from the cache. Its model is a formula for K and V, to check against. Usage: decode_loop [SOCKET]
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine_plugin/kvpager.h"

enum { PAGE = 16, LAYERS = 4, HEADS = 2, DIM = 32, PROMPT_BLOCKS = 6, DECODE_STEPS = 40 };

static kvp_client* client;
static kvp_pool_info pool = {.struct_size = sizeof(pool)};
static float worst; /* largest difference between attention over pages and over the formula */

static void must(kvp_status status, const char* what) {
  if (status == KVP_OK) return;
  fprintf(stderr, "%s: %s\n", what, client ? kvp_client_error(client) : kvp_last_error());
  exit(1);
}

static float formula(int is_v, uint32_t layer, int head, int dim, uint64_t token) {
  return sinf((float)(token * 7 + layer * 11 + (uint64_t)(dim * 3 + head * 5 + is_v * 13)));
}

static float* row(int is_v, uint32_t layer, int head, const kvp_view* view, uint64_t token) {
  void *k, *v;
  must(kvp_client_layer(client, KVP_TIER_HBM, layer, &k, &v), "layer");
  const int64_t* strides = is_v ? pool.v_strides : pool.k_strides; /* NHD: page, token, head */
  return (float*)(is_v ? v : k) + view->indices[token / PAGE] * strides[0] +
         (int64_t)(token % PAGE) * strides[1] + head * strides[2];
}

/* Decode attention of the query cos(dim), over the formula [0] and over the pages [1]. */
static void attend(const kvp_view* view, uint32_t layer, int head, uint64_t tokens) {
  float out[2][DIM] = {{0}}, sum[2] = {0, 0};
  for (uint64_t token = 0; token < tokens; ++token) {
    const float *k = row(0, layer, head, view, token), *v = row(1, layer, head, view, token);
    for (int paged = 0; paged < 2; ++paged) {
      float score = 0;
      for (int dim = 0; dim < DIM; ++dim)
        score += cosf((float)dim) * (paged ? k[dim] : formula(0, layer, head, dim, token));
      for (int dim = 0; dim < DIM; ++dim)
        out[paged][dim] += expf(score) * (paged ? v[dim] : formula(1, layer, head, dim, token));
      sum[paged] += expf(score);
    }
  }
  for (int dim = 0; dim < DIM; ++dim)
    worst = fmaxf(worst, fabsf(out[0][dim] / sum[0] - out[1][dim] / sum[1]));
}

/* One forward pass: writes K and V of `append` new tokens, then attends all of them. */
static void forward(kvp_seq seq, uint32_t append) {
  kvp_step* step;
  const kvp_step_entry entry = {seq, append, 0, 0, KVP_ALL, 0, KVP_ALL};
  must(kvp_step_begin(client, NULL, &entry, 1, &step), "begin");
  must(kvp_step_wait(step, 10000000), "wait");
  for (uint32_t layer = 0; layer < LAYERS; ++layer) {
    kvp_view view = {.struct_size = sizeof(view)};
    must(kvp_step_view(step, layer / (LAYERS / pool.num_groups), KVP_TIER_HBM, &view), "view");
    const uint64_t tokens = (uint64_t)(PAGE * (view.indptr[1] - 1) + view.last_page_len[0]);
    for (uint64_t token = tokens - append; token < tokens; ++token)
      for (int i = 0; i < 2 * HEADS * DIM; ++i) {
        const int is_v = i / (HEADS * DIM), head = i / DIM % HEADS, dim = i % DIM;
        row(is_v, layer, head, &view, token)[dim] = formula(is_v, layer, head, dim, token);
      }
    for (int head = 0; head < HEADS; ++head) attend(&view, layer, head, tokens);
  }
  must(kvp_step_end(step, KVP_STEP_KEEP), "end");
}

int main(int argc, char** argv) {
  const kvp_geometry geometry = {sizeof(geometry), PAGE,          LAYERS, LAYERS, HEADS, DIM, DIM,
                                 KVP_DTYPE_F32,    KVP_LAYOUT_NHD};
  kvp_client_options options = {.struct_size = sizeof(options), .geometry = &geometry};
  options.abi_version = KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR;
  options.socket_path = argc > 1 ? argv[1] : NULL;
  options.pool = options.model = "decode-loop";
  options.timeout_us = 10000000;
  must(kvp_client_open(&options, &client), "open");
  must(kvp_client_pool_info(client, &pool), "pool info");
  kvp_block_key keys[PROMPT_BLOCKS]; /* from the tokens of the prompt: here 0, 1, 2, ... */
  for (uint32_t block = 0, tokens[PAGE]; block < PROMPT_BLOCKS; ++block) {
    for (uint32_t i = 0; i < PAGE; ++i) tokens[i] = block * PAGE + i;
    kvp_hash_block(block ? &keys[block - 1] : NULL, tokens, PAGE, &keys[block]);
  }
  kvp_reuse reuse = {.struct_size = sizeof(reuse)};
  for (int round = 0; round < 2; ++round) { /* the second finds what the first has named */
    kvp_seq seq;
    must(kvp_seq_open(client, keys, PROMPT_BLOCKS, &seq, &reuse), "seq open");
    if (reuse.tokens < PROMPT_BLOCKS * PAGE) forward(seq, PROMPT_BLOCKS * PAGE - reuse.tokens);
    must(kvp_seq_name(client, seq, 0, keys, PROMPT_BLOCKS, 0, 0), "name");
    for (int i = 0; i < DECODE_STEPS; ++i) forward(seq, 1);
    must(kvp_seq_close(client, seq), "close");
    printf("round %d: %u prompt tokens reused, error %.1e\n", round, reuse.tokens, (double)worst);
  }
  kvp_client_close(client);
  return reuse.tokens == PROMPT_BLOCKS * PAGE && worst < 1e-5f ? 0 : 1;
}
