// mortal_engine SOCKET MODE SEED: an engine that is made to be killed. It gets to the place that
// its mode names, says "at", and stays there until it is killed, or until SIGUSR1 lets it go on:
// then it ends its step, says what the library said ("end 0"), closes its client and says "closed".
//
//   silent        connected, has not asked to attach
//   unread        has asked to attach, and does not read the answer
//   free          inside a step without a message, which appends a row
//   ready         inside a pinned step: it appends two blocks, more than a credit holds
//   pending       has begun a step and not waited for it
//   posted        has posted names, truncations, suspensions and closes
//   named         has named two blocks of prompt SEED durably
//   run           at no place: it runs until it is killed
//   witness       serves and verifies until SIGTERM; exits with 1 if a byte was wrong

#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "ipc/attach.h"
#include "tests/e2e/test_engine.h"

namespace kvpager::e2e {
namespace {

constexpr uint32_t kPrompts = 8;  // That every engine knows.
constexpr uint32_t kPromptBlocks = 4;
constexpr uint32_t kPageTokens = 16;

volatile sig_atomic_t g_stop = 0;

void Say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

[[noreturn]] void GiveUp(const TestEngine& engine, const char* where) {
  Say(std::string("cannot ") + where + ": " + engine.error());
  std::_Exit(3);
}

void Must(kvp_status status, const TestEngine& engine, const char* where) {
  if (status != KVP_OK) GiveUp(engine, where);
}

void StayHere() {
  Say("at");
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  int got = 0;
  while (sigwait(&signals, &got) != 0) {
  }
}

// A raw connection, which asks to attach or does not.
void Knock(const std::string& path, bool ask) {
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  path.copy(address.sun_path, sizeof(address.sun_path) - 1);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    std::_Exit(3);
  }
  AttachRequest request;
  request.pool = "e2e";
  request.model = "test-model-1";
  request.engine_name = "unread";
  request.message_free = true;
  request.geometry = {.page_tokens = kPageTokens,
                      .num_layers = 2,
                      .layers_per_page = 2,
                      .num_kv_heads = 2,
                      .head_dim_k = 64,
                      .head_dim_v = 64};
  MessageBytes message;
  if (ask && (!EncodeAttachRequest(request, message).ok() ||
              send(fd, message.data(), message.size(), MSG_NOSIGNAL) < 0)) {
    std::_Exit(3);
  }
  StayHere();
}

// A sequence of `tokens` tokens that nobody else has.
kvp_seq OpenOwn(TestEngine& engine, uint32_t tokens) {
  kvp_seq sequence = 0;
  uint32_t reused = 0;
  Must(engine.OpenPrompt(0, 0, &sequence, &reused), engine, "open");
  kvp_step* step = nullptr;
  Must(engine.Begin(sequence, tokens, &step), engine, "begin");
  Must(kvp_step_wait(step, 60'000'000), engine, "wait");
  Must(engine.WriteLastRow(step, tokens), engine, "write");
  Must(kvp_step_end(step, KVP_STEP_KEEP), engine, "end");
  return sequence;
}

void StayInside(TestEngine& engine, uint32_t append_tokens, bool wait) {
  constexpr uint32_t kOwnTokens = 5 * kPageTokens + 5;
  const kvp_seq sequence = OpenOwn(engine, kOwnTokens);
  kvp_step* step = nullptr;
  Must(engine.Begin(sequence, append_tokens, &step), engine, "begin");
  if (wait) {
    Must(kvp_step_wait(step, 60'000'000), engine, "wait");
    Must(engine.WriteLastRow(step, kOwnTokens + append_tokens), engine, "write");
  }
  StayHere();
  if (wait) engine.WriteLastRow(step, kOwnTokens + append_tokens);  // A kernel that was late.
  const kvp_status ended = kvp_step_end(step, KVP_STEP_KEEP);
  Say("end " + std::to_string(ended) + " " + kvp_client_error(engine.client()));
  uint64_t length = 0;
  Say("then " + std::to_string(kvp_seq_length(engine.client(), sequence, &length)));
}

void Post(TestEngine& engine, uint64_t seed) {
  const uint64_t prompt = seed % kPrompts + 1;
  for (int i = 0; i < 4; ++i) {
    kvp_seq sequence = 0;
    uint32_t reused = 0;
    Must(engine.OpenPrompt(prompt, kPromptBlocks, &sequence, &reused), engine, "open");
    const kvp_seq own = OpenOwn(engine, 3 * kPageTokens + 3);
    Must(engine.NamePrompt(sequence, prompt, reused, 0), engine, "name");
    Must(kvp_seq_truncate(engine.client(), own, kPageTokens + 1), engine, "truncate");
    Must(kvp_seq_suspend(engine.client(), sequence), engine, "suspend");
    if (i % 2 == 0) Must(kvp_seq_close(engine.client(), own), engine, "close");
  }
  StayHere();
}

// Everything, in any order.
void Run(TestEngine& engine, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<kvp_seq> kept;
  Say("at");
  for (;;) {
    const Served served = engine.Serve(random() % kPrompts + 1, kPromptBlocks, 0);
    Must(served.status, engine, "serve");
    if (served.mismatched_blocks != 0) GiveUp(engine, "read what was written");
    uint32_t tokens = static_cast<uint32_t>(random() % 60 + 1);
    const kvp_seq own = OpenOwn(engine, tokens);
    for (uint64_t i = random() % 30; i > 0; --i) {
      kvp_step* step = nullptr;
      Must(engine.Begin(own, 1, &step), engine, "begin");
      Must(kvp_step_wait(step, 60'000'000), engine, "wait");
      Must(engine.WriteLastRow(step, ++tokens), engine, "write");
      Must(kvp_step_end(step, KVP_STEP_KEEP), engine, "end");
    }
    kept.push_back(own);
    if (random() % 2 == 0 && kept.size() < 3) continue;
    for (const kvp_seq sequence : kept) {
      Must(kvp_seq_close(engine.client(), sequence), engine, "close");
    }
    kept.clear();
  }
}

int Witness(TestEngine& engine, uint64_t seed) {
  std::mt19937_64 random(seed);
  uint64_t rounds = 0;
  for (; g_stop == 0; ++rounds) {
    const uint64_t prompt = random() % kPrompts + 1;
    kvp_seq sequence = 0;
    Served served;
    Must(engine.OpenPrompt(prompt, kPromptBlocks, &sequence, &served.reused_blocks), engine,
         "open");
    if (served.reused_blocks != kPromptBlocks) GiveUp(engine, "find what is durable");
    for (int i = 0; i < 4; ++i) {  // The later ones without a message.
      kvp_step* step = nullptr;
      Must(engine.Begin(sequence, 0, &step), engine, "begin");
      Must(kvp_step_wait(step, 60'000'000), engine, "wait");
      Must(engine.CheckAndFill(step, prompt, kPromptBlocks, served), engine, "check");
      Must(kvp_step_end(step, KVP_STEP_KEEP), engine, "end");
      if (served.mismatched_blocks != 0) {
        Say("wrong bytes in prompt " + std::to_string(prompt));
        return 1;
      }
    }
    Must(kvp_seq_close(engine.client(), sequence), engine, "close");
    if (rounds == 0) Say("at");
    usleep(1000);  // Others want the processor, too.
  }
  Say("rounds " + std::to_string(rounds));
  return 0;
}

int Main(const std::string& path, const std::string& mode, uint64_t seed) {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGUSR1);
  sigprocmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGTERM, [](int) { g_stop = 1; });
  if (mode == "silent" || mode == "unread") {
    Knock(path, mode == "unread");
    return 0;
  }
  TestEngine engine;
  EngineOptions options;
  options.socket_path = path;
  options.engine_name = mode.c_str();
  Must(engine.Open(options), engine, "attach");
  int status = 0;
  if (mode == "free") {
    StayInside(engine, 1, true);
  } else if (mode == "ready") {
    StayInside(engine, 2 * kPageTokens, true);
  } else if (mode == "pending") {
    StayInside(engine, 24 * kPageTokens, false);
  } else if (mode == "posted") {
    Post(engine, seed);
  } else if (mode == "named") {
    Must(engine.Serve(seed, 2, KVP_NAME_DURABLE).status, engine, "name");
    StayHere();
  } else if (mode == "run") {
    Run(engine, seed);
  } else if (mode == "witness") {
    status = Witness(engine, seed);
  } else {
    return 2;
  }
  engine.Close();
  Say("closed");
  return status;
}

}  // namespace
}  // namespace kvpager::e2e

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  return kvpager::e2e::Main(argv[1], argv[2], std::strtoull(argv[3], nullptr, 10));
}
