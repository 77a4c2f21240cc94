// Opens the catalogue in the folder it is given, writes COUNT durable entries, waits for their
// completions and kills itself: for catalogue_test. A program of its own, because a process in
// which RocksDB has threads cannot fork.

#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/tiers/tier_testing.h"
#include "tiers/catalogue/rocksdb_catalogue.h"

namespace kvpager {
namespace {

int WriteAndDie(const std::string& path, uint32_t count) {
  const auto catalogue = OpenRocksdbCatalogue(
      {.path = path, .geometry = testing::SmallGeometry(), .model_fingerprint = "m"});
  KVP_CHILD_CHECK(catalogue.ok());
  for (uint64_t key = 1; key <= count; ++key) {
    const CatalogueWrite write{.op = {.slot = static_cast<uint32_t>(key), .generation = 1},
                               .key = {{key, 1}},
                               .parent_key = {{key - 1, 1}},
                               .frame_first = FrameIndex{static_cast<uint32_t>(key * 4)},
                               .stamp = {.incarnation = 3, .counter = key},
                               .last_use = key + 1000};
    (*catalogue)->Submit({&write, 1});
  }
  for (const Completion& completion : testing::Await(**catalogue, count)) {
    KVP_CHILD_CHECK(completion.outcome == Outcome::kOk);
  }
  kill(getpid(), SIGKILL);
  return 1;
}

}  // namespace
}  // namespace kvpager

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: %s FOLDER COUNT\n", argv[0]);
    return 2;
  }
  return kvpager::WriteAndDie(argv[1], static_cast<uint32_t>(std::strtoul(argv[2], nullptr, 10)));
}
