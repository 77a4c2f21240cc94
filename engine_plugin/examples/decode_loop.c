/* engine_plugin/examples/decode_loop.c
 *
 * A complete engine on kvpager: prefill, name, decode, close, open again from the cache. Its
 * "model" is a formula for K and V, so every page it is given back can be checked. usage:
 * decode_loop SOCKET */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine_plugin/kvpager.h"

enum { PAGE = 16, LAYERS = 4, HEADS = 2, DIM = 32, PROMPT_BLOCKS = 6, DECODE_STEPS = 40 };

static kvp_client* client;
static kvp_pool_info pool = {.struct_size = sizeof pool};
static float worst; /* largest difference between paged attention and the same on the formula */

static void must(kvp_status status, const char* what) {
  if (status == KVP_OK) return;
  fprintf(stderr, "%s: %s\n", what, client ? kvp_client_error(client) : kvp_last_error());
  exit(1);
}

static float formula(int is_v, int layer, int head, int dim, uint64_t token) {
  return sinf((float)(token * 7 + (uint64_t)(dim * 3 + head * 5 + layer * 11 + is_v * 13)));
}

static float* row(int is_v, uint32_t layer, int head, int32_t frame, int32_t slot) { /* NHD */
  void *k, *v;
  must(kvp_client_layer(client, KVP_TIER_HBM, layer, &k, &v), "layer");
  const int64_t* strides = is_v ? pool.v_strides : pool.k_strides;
  return (float*)(is_v ? v : k) + frame * strides[0] + slot * strides[1] + head * strides[2];
}

/* Decode attention of one query over entry 0, page by page, and over the formula beside it. */
static void attend(const kvp_view* view, uint32_t layer, int head, uint64_t tokens) {
  float out[2][DIM] = {{0}}, weight_sum[2] = {0, 0};
  for (uint64_t token = 0; token < tokens; ++token) {
    const int32_t frame = view->indices[token / PAGE], slot = (int32_t)(token % PAGE);
    const float *k = row(0, layer, head, frame, slot), *v = row(1, layer, head, frame, slot);
    float score[2] = {0, 0};
    for (int dim = 0; dim < DIM; ++dim) { /* the query is cos(dim) */
      score[0] += cosf((float)dim) * k[dim];
      score[1] += cosf((float)dim) * formula(0, (int)layer, head, dim, token);
    }
    for (int which = 0; which < 2; ++which) weight_sum[which] += expf(score[which]);
    for (int dim = 0; dim < DIM; ++dim) {
      out[0][dim] += expf(score[0]) * v[dim];
      out[1][dim] += expf(score[1]) * formula(1, (int)layer, head, dim, token);
    }
  }
  for (int dim = 0; dim < DIM; ++dim)
    worst = fmaxf(worst, fabsf(out[0][dim] / weight_sum[0] - out[1][dim] / weight_sum[1]));
}

/* One forward pass: writes K and V of `append` new tokens, then attends all of them. */
static void forward(kvp_seq seq, uint32_t append) {
  kvp_step* step;
  kvp_step_entry entry = {seq, append, 0, 0, KVP_ALL, 0, KVP_ALL};
  must(kvp_step_begin(client, NULL, &entry, 1, &step), "begin");
  must(kvp_step_wait(step, 10000000), "wait");
  for (uint32_t layer = 0; layer < LAYERS; ++layer) {
    kvp_view view = {.struct_size = sizeof view};
    must(kvp_step_view(step, layer / (LAYERS / pool.num_groups), KVP_TIER_HBM, &view), "view");
    uint64_t tokens = (uint64_t)(PAGE * (view.indptr[1] - 1) + view.last_page_len[0]);
    for (uint64_t token = tokens - append; token < tokens; ++token)
      for (int i = 0; i < 2 * HEADS * DIM; ++i) {
        const int is_v = i / (HEADS * DIM), head = i / DIM % HEADS, dim = i % DIM;
        row(is_v, layer, head, view.indices[token / PAGE], (int32_t)(token % PAGE))[dim] =
            formula(is_v, (int)layer, head, dim, token);
      }
    for (int head = 0; head < HEADS; ++head) attend(&view, layer, head, tokens);
  }
  must(kvp_step_end(step, KVP_STEP_KEEP), "end");
}

int main(int argc, char** argv) {
  const kvp_geometry geometry = {sizeof geometry, PAGE,          LAYERS, LAYERS, HEADS, DIM, DIM,
                                 KVP_DTYPE_F32,   KVP_LAYOUT_NHD};
  const kvp_client_options options = {.struct_size = sizeof options,
                                      .model = "decode-loop-1",
                                      .abi_version = KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR,
                                      .pool = "decode-loop",
                                      .socket_path = argc > 1 ? argv[1] : NULL,
                                      .geometry = &geometry,
                                      .timeout_us = 10000000};
  must(kvp_client_open(&options, &client), "open");
  must(kvp_client_pool_info(client, &pool), "pool info");

  kvp_block_key keys[PROMPT_BLOCKS]; /* from the tokens of the prompt: here 0, 1, 2, ... */
  for (uint32_t block = 0, tokens[PAGE]; block < PROMPT_BLOCKS; ++block) {
    for (uint32_t i = 0; i < PAGE; ++i) tokens[i] = block * PAGE + i;
    kvp_hash_block(block ? &keys[block - 1] : NULL, tokens, PAGE, &keys[block]);
  }
  kvp_reuse reuse = {.struct_size = sizeof reuse};
  for (int round = 0; round < 2; ++round) { /* the second round finds what the first one named */
    kvp_seq seq;
    must(kvp_seq_open(client, keys, PROMPT_BLOCKS, &seq, &reuse), "seq open");
    if (reuse.tokens < PROMPT_BLOCKS * PAGE) forward(seq, PROMPT_BLOCKS * PAGE - reuse.tokens);
    must(kvp_seq_name(client, seq, 0, keys, PROMPT_BLOCKS, 0, 0), "name");
    for (int i = 0; i < DECODE_STEPS; ++i) forward(seq, 1);
    must(kvp_seq_close(client, seq), "close");
    printf("round %d: %u of %d prompt tokens from the cache, error %.1e\n", round, reuse.tokens,
           PROMPT_BLOCKS * PAGE, (double)worst);
  }
  kvp_client_close(client);
  return reuse.tokens == PROMPT_BLOCKS * PAGE && worst < 1e-5f ? 0 : 1;
}
