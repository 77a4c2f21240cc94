/* engine_plugin/examples/decode_event_loop.c: several requests at once in one thread that waits in
 * poll() only. Each is opened, prefilled, decoded, and named durably; a second round finds all
 * prompts. Every row is checked against a formula. Usage: decode_event_loop [SOCKET]
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine_plugin/kvpager.h"

enum { PAGE = 16, LAYERS = 4, HEADS = 2, DIM = 32, JOBS = 6, BLOCKS = 3, DECODE_STEPS = 20 };

struct job {
  kvp_block_key keys[BLOCKS]; /* of its prompt */
  kvp_seq seq;
  kvp_step* step;
  uint32_t append; /* tokens of the step */
  int steps_left;
};

static kvp_client* client;
static kvp_pool_info pool = {.struct_size = sizeof(pool)};
static struct job jobs[JOBS];
static int jobs_open;
static uint32_t tokens_reused;
static uint64_t rows_wrong;

static void must(kvp_status status, const char* what, const char* error) {
  if (status == KVP_OK) return;
  fprintf(stderr, "%s: %s\n", what, error);
  exit(1);
}

static void call(kvp_status status, const char* what) {
  must(status, what, client ? kvp_client_error(client) : kvp_last_error());
}

/* What would wait is submitted; its completion comes to on_completion. */
static void submit(uint32_t op, struct job* job) {
  kvp_request request = {.struct_size = sizeof(request), .op = op, .seq = job->seq};
  request.user_data = (uint64_t)(job - jobs);
  request.step = job->step;
  request.keys = job->keys;
  request.num_keys = BLOCKS;
  size_t accepted;
  call(kvp_submit(client, &request, 1, &accepted), "submit");
}

static void begin(struct job* job, uint32_t append) {
  const kvp_step_entry entry = {job->seq, append, 0, 0, KVP_ALL, 0, KVP_ALL};
  job->append = append;
  /* A lane each: the steps of a lane become ready and end in order. */
  const kvp_step_options options = {sizeof(options), (uint32_t)(job - jobs), KVP_RESIDENT};
  call(kvp_step_begin(client, &options, &entry, 1, &job->step), "begin");
  submit(KVP_OP_STEP, job);
}

static float formula(const struct job* job, uint32_t layer, int i, uint64_t token) {
  return (float)((job - jobs) * 100000 + (int64_t)token * 100 + layer * 10) + (float)i / 64;
}

/* The forward pass of a step that is ready: writes its new rows and reads all of them. */
static void forward(struct job* job) {
  for (uint32_t layer = 0; layer < LAYERS; ++layer) {
    kvp_view view = {.struct_size = sizeof(view)};
    call(kvp_step_view(job->step, layer / (LAYERS / pool.num_groups), KVP_TIER_HBM, &view), "view");
    void *k, *v;
    call(kvp_client_layer(client, KVP_TIER_HBM, layer, &k, &v), "layer");
    const uint64_t tokens = (uint64_t)(PAGE * (view.indptr[1] - 1) + view.last_page_len[0]);
    for (uint64_t token = 0; token < tokens; ++token) { /* NHD: page, token, head and dim */
      float* row = (float*)k + view.indices[token / PAGE] * pool.k_strides[0] +
                   (int64_t)(token % PAGE) * pool.k_strides[1];
      for (int i = 0; i < HEADS * DIM; ++i) {
        if (token + job->append >= tokens) row[i] = formula(job, layer, i, token);
        if (row[i] != formula(job, layer, i, token)) ++rows_wrong;
      }
    }
  }
}

static void on_completion(const kvp_completion* done) {
  struct job* job = &jobs[done->user_data];
  must(done->status, "completion", done->error);
  switch (done->op) {
    case KVP_OP_OPEN:
      job->seq = done->seq;
      job->steps_left = DECODE_STEPS;
      tokens_reused += done->reuse_tokens;
      begin(job, done->reuse_tokens < BLOCKS * PAGE ? BLOCKS * PAGE - done->reuse_tokens : 1);
      break;
    case KVP_OP_STEP:
      forward(job);
      call(kvp_step_end(job->step, KVP_STEP_KEEP), "end");
      if (job->steps_left-- > 0) {
        begin(job, 1);
      } else {
        submit(KVP_OP_NAME, job);
      }
      break;
    default: /* named, and would survive a power cut */
      call(kvp_seq_close(client, job->seq), "close");
      --jobs_open;
  }
}

int main(int argc, char** argv) {
  const kvp_geometry geometry = {sizeof(geometry), PAGE,          LAYERS, LAYERS, HEADS, DIM, DIM,
                                 KVP_DTYPE_F32,    KVP_LAYOUT_NHD};
  kvp_client_options options = {.struct_size = sizeof(options), .geometry = &geometry};
  options.abi_version = KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR;
  options.socket_path = argc > 1 ? argv[1] : NULL;
  options.pool = options.model = "decode-event-loop";
  options.timeout_us = 10000000;
  call(kvp_client_open(&options, &client), "open");
  call(kvp_client_pool_info(client, &pool), "pool info");
  struct pollfd watch = {.events = POLLIN}; /* an engine has more of them: requests, kernels */
  call(kvp_event_fd(client, &watch.fd), "event fd");
  for (uint32_t job = 0; job < JOBS; ++job)
    for (uint32_t block = 0, tokens[PAGE]; block < BLOCKS; ++block) {
      for (uint32_t i = 0; i < PAGE; ++i) tokens[i] = job << 16 | (block * PAGE + i);
      kvp_hash_block(block ? &jobs[job].keys[block - 1] : NULL, tokens, PAGE,
                     &jobs[job].keys[block]);
    }
  for (int round = 0; round < 2; ++round) { /* the second finds what the first has named */
    tokens_reused = 0;
    for (jobs_open = 0; jobs_open < JOBS; ++jobs_open) submit(KVP_OP_OPEN, &jobs[jobs_open]);
    while (jobs_open > 0) {
      kvp_completion done[4] = {{.struct_size = sizeof(done[0])}};
      size_t count;
      if (poll(&watch, 1, -1) < 0) continue; /* a signal */
      do {
        call(kvp_drain(client, done, 4, &count), "drain");
        for (size_t i = 0; i < count; ++i) on_completion(&done[i]);
      } while (count == 4);
    }
    printf("round %d: %u prompt tokens reused, %llu wrong numbers\n", round, tokens_reused,
           (unsigned long long)rows_wrong);
  }
  kvp_client_close(client);
  return tokens_reused == JOBS * BLOCKS * PAGE && rows_wrong == 0 ? 0 : 1;
}
