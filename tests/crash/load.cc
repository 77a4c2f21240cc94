#include "tests/crash/load.h"

#include <sys/stat.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "tests/e2e/test_engine.h"

namespace kvpager::crash {
namespace {

constexpr uint32_t kBlocksMax = 8;
constexpr size_t kNotPromisedMax = 100;  // Read back, the newest.

e2e::EngineOptions EngineOf(const std::string& socket_path) {
  e2e::EngineOptions options;
  options.socket_path = socket_path;
  options.engine_name = "kvpager-crash";
  options.call_timeout_us = 120'000'000;  // Whatever else the machine does.
  return options;
}

uint64_t BytesOf(const std::string& path) {
  struct stat info {};
  return !path.empty() && stat(path.c_str(), &info) == 0 ? static_cast<uint64_t>(info.st_size) : 0;
}

void Count(const Named& named, e2e::TestEngine& engine, bool promised, Found& found) {
  const e2e::Served first = engine.Serve(named.prompt, named.blocks, 0);
  e2e::Served served = first;
  for (uint32_t i = 0; i < 2 * named.blocks && served.status == KVP_DATA_LOSS; ++i) {
    served = engine.Serve(named.prompt, named.blocks, 0);
    found.blocks_wrong += served.mismatched_blocks;
  }
  found.blocks_read += first.reused_blocks;
  found.blocks_wrong += first.mismatched_blocks;
  const bool whole = first.status == KVP_OK && first.reused_blocks == named.blocks;
  if (promised) {
    ++found.durable_prompts;
    found.durable_missing += whole ? 0 : 1;
  } else {
    found.blocks_missing += named.blocks - first.reused_blocks;
  }
  if (served.status != KVP_OK) {
    found.error = absl::StrCat("prompt ", named.prompt, " cannot be served: ", engine.error());
  }
}

}  // namespace

void Journal::Add(const Named& named) {
  const std::lock_guard<std::mutex> lock(mutex_);
  all_.push_back(named);
}

std::vector<Named> Journal::All() const {
  const std::lock_guard<std::mutex> lock(mutex_);
  return all_;
}

Load::Load(const Options& options) : options_(options) {
  for (uint32_t i = 0; i < options_.engines; ++i) threads_.emplace_back([this, i] { Run(i); });
  for (uint32_t seen = attached_.load(); seen < options_.engines; seen = attached_.load()) {
    attached_.wait(seen);
  }
}

Load::~Load() {
  for (std::thread& thread : threads_) thread.join();
}

void Load::Run(uint32_t index) {
  e2e::TestEngine engine;
  const bool open = engine.Open(EngineOf(options_.socket_path)) == KVP_OK;
  attached_.fetch_add(1);
  attached_.notify_all();
  bool room = true;  // For durable blocks.
  for (uint64_t turn = index; open; ++turn) {
    Named named{.prompt = options_.journal->TakePrompt()};
    named.blocks = 1 + static_cast<uint32_t>(named.prompt % kBlocksMax);
    const bool durable = room && turn % 3 == 0;
    const e2e::Served served = durable ? engine.Serve(named.prompt, named.blocks, KVP_NAME_DURABLE)
                               : turn % 3 == 1 ? engine.ServeAndEvict(named.prompt, named.blocks)
                                               : engine.Serve(named.prompt, named.blocks, 0);
    mismatched_ += served.mismatched_blocks;
    named.durable = durable && served.status == KVP_OK;
    named.recorded_bytes = BytesOf(options_.record_path);
    options_.journal->Add(named);
    if (served.status == KVP_UNAVAILABLE) return;
    if (served.status == KVP_RESOURCE_EXHAUSTED) room = false;
  }
}

std::string Press(const std::string& socket_path, uint32_t blocks_nvme, Journal& journal) {
  e2e::TestEngine engine;
  if (engine.Open(EngineOf(socket_path)) != KVP_OK) {
    return absl::StrCat("cannot attach: ", engine.error());
  }
  for (uint32_t blocks = 0; blocks < blocks_nvme; blocks += kBlocksMax) {
    const e2e::Served served = engine.ServeAndEvict(journal.TakePrompt(), kBlocksMax);
    if (served.status != KVP_OK) return absl::StrCat("under pressure: ", engine.error());
  }
  return "";
}

Found ReadBack(const std::string& socket_path, const std::vector<Named>& journal,
               uint64_t recorded_bytes) {
  Found found;
  e2e::TestEngine engine;
  if (engine.Open(EngineOf(socket_path)) != KVP_OK) {
    found.error = absl::StrCat("cannot attach: ", engine.error());
    return found;
  }
  size_t others = 0;
  for (const Named& named : journal) others += named.durable ? 0 : 1;
  // What was promised first: what is missing is written again, and takes the place of others.
  std::vector<Named> order = journal;
  std::stable_partition(order.begin(), order.end(),
                        [](const Named& named) { return named.durable; });
  for (const Named& named : order) {
    const bool promised = named.durable && named.recorded_bytes <= recorded_bytes;
    if (!named.durable && others-- > kNotPromisedMax) continue;
    Count(named, engine, promised, found);
    if (!found.error.empty()) return found;
  }
  return found;
}

}  // namespace kvpager::crash
