// The little daemon that crash_point_test kills: opens the tiers in the folder it is given, writes
// one block, makes it durable, says so on standard output, and closes cleanly.
//
// A program of its own, because the crash point is read from the environment once per process.

#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/tiers/crash_point_scene.h"
#include "tiers/nvme/frame_header.h"

namespace kvpager {
namespace {

using testing::kKey;
using testing::kStamp;
using testing::Tiers;

int RunDaemon(const std::string& folder) {
  Tiers tiers(folder, 7);
  KVP_CHILD_CHECK(tiers.status.ok());
  std::vector<CopyOp> writes;
  for (uint32_t group = 0; group < 4; ++group) {
    testing::Fill(tiers.arena->payload(FrameIndex{group}), group);
    SetHostPart(tiers.arena->header(FrameIndex{group}), PageIndex{group},
                tiers.arena->payload(FrameIndex{group}));
    writes.push_back(tiers.Copy(Channel::kHostToNvme, group, 8 + group, group));
  }
  tiers.executor->Submit(writes);
  for (const Completion& completion : testing::Await(*tiers.executor, 4)) {
    KVP_CHILD_CHECK(completion.outcome == Outcome::kOk);
  }
  tiers.catalogue->Submit(std::vector<CatalogueWrite>{
      {.op = {.slot = 9}, .key = kKey, .frame_first = FrameIndex{8}, .stamp = kStamp}});
  KVP_CHILD_CHECK(testing::Await(*tiers.catalogue, 1).front().outcome == Outcome::kOk);
  KVP_CHILD_CHECK(write(STDOUT_FILENO, "x", 1) == 1);
  tiers.executor.reset();
  KVP_CHILD_CHECK(tiers.catalogue->CloseClean().ok());
  KVP_CHILD_CHECK(tiers.file->MarkClean().ok());
  return 0;
}

}  // namespace
}  // namespace kvpager

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
    return 2;
  }
  return kvpager::RunDaemon(argv[1]);
}
