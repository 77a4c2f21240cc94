/* engine_plugin/kvpager.h
 *
 * The C ABI between an inference engine and kvpager, the pager of its KV cache.
 *
 * The daemon owns every KV page of a model. An engine attaches to a pool, opens sequences and runs
 * steps. A step is one forward pass over a batch:
 *
 *     kvp_step_begin   say which sequences take part and how many tokens each will gain
 *     kvp_step_wait    until every page is where it must be, and pinned there
 *     kvp_step_view    per group of layers: indptr / indices / last_page_len, to run kernels on
 *     kvp_step_end     the kernels are done: keep or discard the new tokens, unpin
 *
 * Words
 *   block        page_tokens consecutive tokens of a sequence; the unit of naming and sharing
 *   group        layers_per_page consecutive layers
 *   page         the K and V of one block in one group; FlashInfer's "page index" in a view is the
 *                frame that holds the page
 *   lane         one stream of an engine (or one thread of a CPU engine): its steps end in order
 *
 * Conventions
 *   Errors       Every call that can fail returns kvp_status; the numbers are the canonical codes
 *                of absl::StatusCode. kvp_client_error gives the text for a person. A failed call
 *                changes nothing, unless its comment says otherwise. Some calls are posted: they do
 *                not wait for the daemon (truncate, name, suspend, close, prefetch, step end). What
 *                it answers is reported by the next call on the same sequence that can fail for it;
 *                that call then does nothing else. An error of a prefetch is reported by the next
 *                prefetch. After KVP_UNAVAILABLE, and after a
 *                KVP_ABORTED because the client was revoked, every call on the client returns the
 *                same: close it and open a new one. What came of steps that were open is void.
 *   Ownership    Handles are made by *_open / *_begin and freed by *_close / *_end, once. Pointers
 *                that a call hands out belong to the library; its comment says for how long.
 *   Threads      One client, with its sequences and steps, is used by one thread at a time. Several
 *                clients are independent. The library calls nothing back. A client on the ring
 *                starts no thread; one on ZeroMQ that library's I/O thread, which kvp_client_close
 *                joins.
 *   Units        *_tokens, *_blocks, *_bytes, *_us. Strides are in elements, not bytes.
 *   Growth       A struct that may gain members starts with struct_size, which the caller sets to
 *                sizeof. Members are only added at the end; enumerators are never renumbered.
 *   Fork         A client does not survive fork().
 */
#ifndef KVPAGER_ENGINE_PLUGIN_KVPAGER_H_
#define KVPAGER_ENGINE_PLUGIN_KVPAGER_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define KVP_EXPORT __attribute__((visibility("default")))
#define KVP_MUST_CHECK __attribute__((warn_unused_result))
#else
#define KVP_EXPORT
#define KVP_MUST_CHECK
#endif

#define KVP_ABI_MAJOR 1 /* changes when an old caller would break */
#define KVP_ABI_MINOR 2 /* changes when something is added */

typedef int32_t kvp_status;
enum {
  KVP_OK = 0,
  KVP_INVALID_ARGUMENT = 3,    /* malformed call; retrying cannot help */
  KVP_DEADLINE_EXCEEDED = 4,   /* not yet; nothing changed, wait again */
  KVP_NOT_FOUND = 5,           /* no such sequence */
  KVP_PERMISSION_DENIED = 7,   /* this user may not use this socket or namespace */
  KVP_RESOURCE_EXHAUSTED = 8,  /* no room for this now; end other steps, then retry */
  KVP_FAILED_PRECONDITION = 9, /* right call, wrong state */
  KVP_ABORTED = 10,            /* the step was cancelled, or this client was revoked */
  KVP_UNIMPLEMENTED = 12,      /* the daemon speaks another version, or does not do this yet */
  KVP_UNAVAILABLE = 14, /* the daemon cannot be reached; close the client and open a new one */
  KVP_DATA_LOSS = 15    /* some tokens are gone; kvp_seq_length says what is left */
};

typedef struct kvp_client kvp_client;
typedef struct kvp_step kvp_step;
typedef uint64_t kvp_seq; /* 0 is never a sequence */

/* What a full block holds: a digest of all tokens up to its end, and of all else that changes K and
 * V and is not in the geometry or the model fingerprint (adapter, positions). The daemon derives
 * its own key from it, with the namespace's secret. All zero means "no key". */
typedef struct kvp_block_key {
  uint8_t bytes[32];
} kvp_block_key;

enum { KVP_LAYOUT_NHD = 0, KVP_LAYOUT_HND = 1 }; /* numerically equal to flashinfer::QKVLayout */
enum { KVP_DTYPE_F16 = 0, KVP_DTYPE_BF16 = 1, KVP_DTYPE_F32 = 2, KVP_DTYPE_F8_E4M3 = 3 };
enum { KVP_TIER_HBM = 0, KVP_TIER_HOST = 1, KVP_TIER_NVME = 2, KVP_TIER_COUNT = 3 };

typedef struct kvp_geometry {
  uint32_t struct_size;
  uint32_t page_tokens; /* tokens per block */
  uint32_t num_layers;
  uint32_t layers_per_page; /* divides num_layers */
  uint32_t num_kv_heads;
  uint32_t head_dim_k;
  uint32_t head_dim_v; /* 0: V is the start of K's rows (multi-head latent attention) */
  uint32_t dtype;      /* KVP_DTYPE_* */
  uint32_t layout;     /* KVP_LAYOUT_* */
} kvp_geometry;

/* ---- Client ---------------------------------------------------------------------------------- */

/* The library's version as KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR. Callable before all else. */
KVP_EXPORT uint32_t kvp_abi_version(void);

enum {
  KVP_TRANSPORT_AUTO = 0, /* a ring in shared memory if the daemon has one, else ZeroMQ */
  KVP_TRANSPORT_ZMQ = 1,
  KVP_TRANSPORT_RING = 2 /* KVP_UNIMPLEMENTED if the daemon has none */
};

enum {
  KVP_MEMORY_HOST = 0, /* frames of HBM are read and written with the CPU */
  KVP_MEMORY_CUDA = 1  /* with kernels on the daemon's GPU; the CPU never follows an address */
};

#define KVP_SPIN_NONE 0xffffffffu

typedef struct kvp_client_options {
  uint32_t struct_size;
  uint32_t abi_version;    /* KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR of this header */
  const char* socket_path; /* the daemon's unix socket; NULL: $KVPAGER_SOCKET, then the default */
  const char* pool;        /* name of the pool; the first attach creates it */
  const char* name_space;  /* tenant; NULL: "default" */
  const char* token;       /* of the namespace, where the daemon asks for one; else NULL */
  const char* model;       /* model fingerprint: everything beside the geometry that changes K and
                              V; engines with different ones never share a block */
  const char* engine_name; /* for people: shown by kvpagerctl clients; NULL: the process name */
  const kvp_geometry* geometry; /* must match the pool; a refusal names the field that differs */
  uint32_t timeout_us;   /* for every call that asks the daemon, unless it takes its own; not 0 */
  uint32_t pinned_steps; /* 0: a step whose pages are all in HBM sends no message; 1: every step
                            asks the daemon, which pins its pages: slower, for comparison */
  uint32_t transport;    /* KVP_TRANSPORT_*: what carries the messages */
  uint32_t spin_us;      /* how long a call that waits for the daemon looks into the ring before it
                            sleeps; at most 1000. 0: the library chooses, none with fewer than four
                            processors; KVP_SPIN_NONE: none */
  uint32_t memory;       /* KVP_MEMORY_*: how this engine reaches frames of HBM. A daemon that keeps
                            them elsewhere refuses: KVP_FAILED_PRECONDITION. Since 1.2 */
} kvp_client_options;

/* Attaches: creates the pool or matches it, maps the page table, the device frames and the host
 * frames. On failure *client is NULL and kvp_last_error says why. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_client_open(const kvp_client_options* options,
                                                     kvp_client** client);

/* Detaches: steps still open are ended and discarded, sequences still open are closed; named blocks
 * stay. What was submitted and not drained is forgotten. The caller's kernels must have finished.
 * NULL is allowed. */
KVP_EXPORT void kvp_client_close(kvp_client* client);

/* The text of the last error of `client`. Never NULL; valid until the next call on it. */
KVP_EXPORT const char* kvp_client_error(const kvp_client* client);

/* The text of the last kvp_client_open that failed in this thread. Never NULL. */
KVP_EXPORT const char* kvp_last_error(void);

typedef struct kvp_pool_info {
  uint32_t struct_size;
  uint32_t num_groups;
  uint32_t frames_hbm;      /* every index of a device view is in [0, frames_hbm) */
  uint32_t frames_host;     /* likewise, host views */
  uint64_t frame_bytes_hbm; /* distance between frames: the page stride, in bytes */
  uint64_t frame_bytes_host;
  uint64_t blocks_nvme;
  /* Strides of one layer's K and V, in elements, as flashinfer::paged_kv_t takes them: NHD [page,
   * token, head], HND [page, head, token]; head_dim has stride 1. A page keeps all its layers, so
   * strides[0] spans all of them. Host views have strides[0] of their own. */
  int64_t k_strides[3];
  int64_t v_strides[3];
  int64_t host_page_stride;
} kvp_pool_info;

/* Constant for the life of the client. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_client_pool_info(kvp_client* client, kvp_pool_info* info);

/* Addresses of frame 0 of K and V of one layer (the same where V is the start of K's rows), in
 * `tier` KVP_TIER_HBM (device addresses where the pool is on a GPU) or KVP_TIER_HOST (read-only).
 * Mapped until kvp_client_close. Touch only frames that a view lists, between wait and end. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_client_layer(kvp_client* client, int32_t tier,
                                                      uint32_t layer, void** k_data, void** v_data);

/* ---- Sequences ------------------------------------------------------------------------------- */

typedef struct kvp_reuse {
  uint32_t struct_size;
  uint32_t tokens;                     /* a multiple of page_tokens; 0 if nothing was known */
  uint32_t hit_blocks[KVP_TIER_COUNT]; /* where the reused blocks were, by their slowest page */
} kvp_reuse;

/* Opens a sequence that starts with the longest known prefix of keys[0 .. num_keys). `reuse` may be
 * NULL. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_open(kvp_client* client, const kvp_block_key* keys,
                                                  size_t num_keys, kvp_seq* seq, kvp_reuse* reuse);

/* Opens a sequence with the contents of `parent`: blocks are shared; a partial tail is copied when
 * one of the two appends. Allowed while `parent` is in a step; if that step appends, the child has
 * the new tokens as far as the step keeps them, and can be used when the step has ended
 * (KVP_FAILED_PRECONDITION until then). */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_fork(kvp_client* client, kvp_seq parent,
                                                  kvp_seq* child);

enum {
  KVP_NAME_DURABLE = 1
}; /* answer when the blocks, and all before them, would survive a power cut */

/* Names the full blocks [first_block, first_block + num_keys), so that they outlive the sequence
 * and a later kvp_seq_open can find them. A block without a name goes with its last sequence.
 * Without KVP_NAME_DURABLE the call is posted; blocks that an open step still writes are named when
 * that step has ended with keep. With it, timeout_us applies, and no open step may be writing them.
 */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_name(kvp_client* client, kvp_seq seq,
                                                  uint32_t first_block, const kvp_block_key* keys,
                                                  size_t num_keys, uint32_t flags,
                                                  uint64_t timeout_us);

/* Drops the tokens at and after `tokens`, as after a rejected speculation; what is left is no
 * longer a draft. Posted. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_truncate(kvp_client* client, kvp_seq seq,
                                                      uint64_t tokens);

/* Keeps of the draft tokens behind `base_tokens` only those at base_tokens + accepted[i]
 * (ascending, distinct), moves them to the front in that order and drops the rest; what is kept is
 * no longer a draft. Runs a step of its own on `lane`; needs no step of `seq` to be open. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_compact(kvp_client* client, kvp_seq seq, uint32_t lane,
                                                     uint64_t base_tokens, const uint32_t* accepted,
                                                     size_t num_accepted);

/* The tokens of `seq`, as the daemon last said, plus those of steps that are open. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_length(kvp_client* client, kvp_seq seq,
                                                    uint64_t* tokens);

/* Out of use for a while: its pages are the first to go down. Steps need kvp_seq_resume first. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_suspend(kvp_client* client, kvp_seq seq);
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_resume(kvp_client* client, kvp_seq seq);

/* Brings the pages of `seq` towards `tier` (HBM or HOST), out of free stock, without pinning them,
 * and gives up after deadline_us (0: no deadline). Higher priority first. Does not wait. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_prefetch(kvp_client* client, kvp_seq seq, int32_t tier,
                                                      uint64_t deadline_us, uint32_t priority);

/* The same for the longest known prefix of keys, before a sequence is open. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_prefetch_keys(kvp_client* client,
                                                       const kvp_block_key* keys, size_t num_keys,
                                                       int32_t tier, uint64_t deadline_us,
                                                       uint32_t priority);

/* Moves the pages of `seq` down to `tier` (HOST or NVME), except those a step reads; returns when
 * they have moved. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_evict(kvp_client* client, kvp_seq seq, int32_t tier);

/* Frees the handle. KVP_FAILED_PRECONDITION while `seq` is in a step of this client; after any
 * other error, which is that of an earlier posted call, the handle is freed all the same. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_seq_close(kvp_client* client, kvp_seq seq);

/* ---- Steps ----------------------------------------------------------------------------------- */

enum {
  KVP_RESIDENT = 0, /* all pages in HBM */
  KVP_STREAMED = 1, /* through a window of HBM; KVP_UNIMPLEMENTED in this version: use ranges */
  KVP_SPLIT = 2     /* each page where it is, in HBM or host memory */
};

#define KVP_ALL 0xffffffffu

typedef struct kvp_step_entry {
  kvp_seq seq; /* at most once per step */
  uint32_t
      append_tokens; /* tokens the kernels will write, behind the sequence's end; 0: only read */
  uint32_t draft;    /* 1: the new tokens may be rolled back or compacted; never sealed before */
  /* The part that the step reads; all of it: {0, KVP_ALL, 0, KVP_ALL}. With num_groups = 1 or with
   * few blocks at a time, a sequence larger than HBM runs too. */
  uint32_t first_group, num_groups;
  uint32_t first_block, num_blocks;
} kvp_step_entry;

typedef struct kvp_step_options {
  uint32_t struct_size;
  uint32_t lane;      /* [0, 8) */
  uint32_t residency; /* KVP_RESIDENT, KVP_SPLIT */
} kvp_step_options;

/* Asks for all pages of all entries, all or nothing, and returns without waiting. The entries are
 * copied. Steps may overlap: the next may begin before this one has ended, also with the same
 * sequences if it is in the same lane. KVP_RESOURCE_EXHAUSTED, from here or from kvp_step_wait, if
 * they cannot fit even when nothing else is in use; if they only cannot fit now, the step waits its
 * turn. Steps of one client become ready in the order of begin. `options` NULL: lane 0, resident.
 */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_step_begin(kvp_client* client,
                                                    const kvp_step_options* options,
                                                    const kvp_step_entry* entries,
                                                    size_t num_entries, kvp_step** step);

/* Waits until the step is ready. KVP_DEADLINE_EXCEEDED leaves it pending; timeout_us 0 polls. After
 * any other error the step must still be ended, with discard. After KVP_DATA_LOSS the sequences
 * have been cut to what is still good: kvp_seq_length, then recompute from there. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_step_wait(kvp_step* step, uint64_t timeout_us);

/* One batch, as FlashInfer takes it. Entry i has the pages indices[indptr[i] .. indptr[i + 1]) and
 *     length_i = page_tokens * (indptr[i + 1] - indptr[i] - 1) + last_page_len[i]
 * tokens, the new ones included: an append kernel writes to the last append_tokens positions.
 * An entry that has no page in the list has indptr[i] == indptr[i + 1] and last_page_len[i] == 0.
 * In a SPLIT step each page of an entry is in exactly one of the two lists; positions[j] is the
 * block position, within its sequence, of the page at indices[j]. */
typedef struct kvp_view {
  uint32_t struct_size;
  int32_t batch_size;
  int32_t page_tokens;
  int32_t reserved;             /* zero */
  const int32_t* indptr;        /* [batch_size + 1], indptr[0] == 0 */
  const int32_t* indices;       /* [indptr[batch_size]], frames */
  const int32_t* last_page_len; /* [batch_size], each in [1, page_tokens] */
  const int32_t* positions;     /* [indptr[batch_size]], block positions, ascending per entry */
} kvp_view;

/* The pages of `group` in `tier` (HBM or HOST). Only after kvp_step_wait returned KVP_OK. The
 * arrays are valid until the next kvp_step_view of this step, or kvp_step_end. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_step_view(kvp_step* step, uint32_t group, int32_t tier,
                                                   kvp_view* view);

/* Where the time of a ready step went, as the daemon saw it. */
typedef struct kvp_step_times {
  uint32_t struct_size;
  uint32_t reserved; /* zero */
  uint64_t queue_ns; /* behind other steps */
  uint64_t room_ns;  /* waiting for a frame: a demotion */
  uint64_t nvme_ns;  /* reads from NVMe */
  uint64_t host_ns;  /* copies from host memory */
  uint64_t promoted_host_pages;
  uint64_t promoted_nvme_pages;
} kvp_step_times;

KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_step_get_times(kvp_step* step, kvp_step_times* times);

enum { KVP_STEP_KEEP = 0, KVP_STEP_DISCARD = 1 };

/* Ends the step: keeps the new tokens, or forgets them. Frees `step` whatever it returns. By this
 * call the caller promises that no kernel that reads or writes these pages is still running; the
 * daemon may reuse them at once. Steps of one lane end in order (KVP_FAILED_PRECONDITION otherwise:
 * the step is discarded when its turn comes). A step that is not ready may be ended too (with
 * discard), which cancels it. A SPLIT step may be KVP_ABORTED, and is discarded, if a page moved
 * while it was read: run it again. Discard drops the tokens of later open steps of the same
 * sequences with it. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_step_end(kvp_step* step, int32_t keep_or_discard);

/* ---- Without waiting ------------------------------------------------------------------------- */

/* For event loops: what would wait for the daemon is submitted; the descriptor of kvp_event_fd
 * polls readable when there is something to fetch; kvp_drain fetches it. All other calls may be
 * made in between, also those that wait; what they take in for submissions is kept for kvp_drain.
 *
 *     kvp_event_fd(client, &fd);                    once; add fd to the loop, level-triggered
 *     kvp_submit(client, requests, n, &accepted);   any time
 *     kvp_drain(client, out, max, &count);          when fd is readable, until count < max
 *
 * There is no cancel. A wait for a step ends with kvp_step_end, everything else with its timeout;
 * what has an effect that is not wanted any more is undone when it completes (close the sequence).
 * Compaction cannot be submitted: it runs a step of its own, and the steps of its lane that were
 * begun later could not end before it does. */
enum {
  KVP_OP_OPEN = 1,   /* keys: kvp_seq_open */
  KVP_OP_FORK = 2,   /* seq, the parent: kvp_seq_fork; completes when the child can be used, which
                        is after the end of a step that appends to the parent */
  KVP_OP_RESUME = 3, /* seq: kvp_seq_resume */
  KVP_OP_EVICT = 4,  /* seq, tier: kvp_seq_evict */
  KVP_OP_NAME = 5,   /* seq, first_block, keys: kvp_seq_name with KVP_NAME_DURABLE */
  KVP_OP_STEP = 6    /* step: kvp_step_wait */
};

/* Submitted and not yet drained, at most. */
enum { KVP_SUBMITTED_MAX = 1024 };

typedef struct kvp_request {
  uint32_t struct_size; /* the same in all requests of one call */
  uint32_t op;          /* KVP_OP_*, which says what else is looked at */
  uint64_t user_data;   /* returned with the completion; any value */
  uint64_t timeout_us;  /* 0: the client's */
  kvp_seq seq;
  kvp_step* step;            /* of this client */
  const kvp_block_key* keys; /* [num_keys], copied */
  size_t num_keys;
  uint32_t first_block;
  int32_t tier; /* KVP_TIER_* */
} kvp_request;

/* Starts requests[0 .. *accepted), in this order, and never waits. Each of these completes exactly
 * once; whatever goes wrong with one, KVP_NOT_FOUND for its sequence for instance, is its
 * completion's status. One sequence's operations take effect in the order of their calls, submitted
 * or not. If a request is malformed (KVP_INVALID_ARGUMENT), none is started.
 * KVP_RESOURCE_EXHAUSTED: the rest, from *accepted on, finds KVP_SUBMITTED_MAX, or too many
 * requests that the daemon has not answered; drain, then submit the rest. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_submit(kvp_client* client, const kvp_request* requests,
                                                size_t num_requests, size_t* accepted);

/* A descriptor that polls readable (level-triggered) whenever kvp_drain may have something to do:
 * a completion, bytes from the daemon, a timeout, or its end, after which it stays readable. A poll
 * after a kvp_drain that returned count < max misses nothing that has come since. It may be
 * readable without need. Always the same one; it belongs to the client, which closes it. Poll it,
 * do nothing else with it; any thread may. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_event_fd(kvp_client* client, int* fd);

typedef struct kvp_completion {
  uint32_t struct_size;
  uint32_t op; /* KVP_OP_* */
  uint64_t user_data;
  /* What the call of the same name would have returned. KVP_DEADLINE_EXCEEDED: nobody waits for it
   * any more; a sequence that is opened or forked late is closed again, a resume, eviction or name
   * may still happen, a step stays pending. A wait for a step that was ended is KVP_ABORTED;
   * operations on a sequence that was closed meanwhile are what the daemon says, KVP_NOT_FOUND for
   * one. */
  kvp_status status;
  uint32_t reuse_tokens;               /* OPEN: as kvp_reuse */
  uint32_t hit_blocks[KVP_TIER_COUNT]; /* likewise */
  uint32_t reserved;                   /* zero */
  kvp_seq seq;                         /* OPEN, FORK: the new sequence, if KVP_OK; else 0 */
  const char* error; /* for a person, never NULL; valid until the next kvp_drain of the client */
} kvp_completion;

/* Takes in what has come, never waits, and writes the completions out[0 .. *count), *count <= max,
 * oldest first: in the order in which they became complete. out[0].struct_size says how large the
 * caller's elements are, all of them; with max 0, `out` may be NULL. Once the client is dead, what
 * is outstanding completes with the same status, KVP_UNAVAILABLE for instance, and when all of it
 * has been fetched, that is what the call returns. */
KVP_EXPORT KVP_MUST_CHECK kvp_status kvp_drain(kvp_client* client, kvp_completion* out, size_t max,
                                               size_t* count);

/* ---- Helpers --------------------------------------------------------------------------------- */

/* The key of a block from the key of the block before it (NULL: the first) and its tokens: SHA-256
 * over the parent's 32 bytes (NULL: zeros), the number of tokens as 64 bits and the tokens as 32
 * bits each, little-endian. For engines that have no digest of their own. */
KVP_EXPORT void kvp_hash_block(const kvp_block_key* parent, const uint32_t* tokens,
                               size_t num_tokens, kvp_block_key* key);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* KVPAGER_ENGINE_PLUGIN_KVPAGER_H_ */
