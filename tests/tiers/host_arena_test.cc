// Proves where the frames of the arena are, that others can map it for reading only, and that a
// size that cannot be had is refused with a sentence.

#include "tiers/host/host_arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tiers/tier_testing.h"

namespace kvpager {
namespace {

using ::testing::HasSubstr;

std::unique_ptr<HostArena> MakeArena(HugePages huge_pages) {
  auto arena = HostArena::Create(
      {.geometry = testing::SmallGeometry(), .frames = 40, .huge_pages = huge_pages});
  EXPECT_TRUE(arena.ok()) << arena.status();
  return *std::move(arena);
}

TEST(HostArena, LaysOutPayloadThenHeader) {
  const auto arena = MakeArena(HugePages::kNever);
  const uint64_t payload_bytes = testing::SmallGeometry().payload_bytes();
  EXPECT_EQ(arena->frame_bytes(), payload_bytes + kFrameHeaderBytes);
  EXPECT_EQ(arena->frame(FrameIndex{3}), arena->base() + 3 * arena->frame_bytes());
  EXPECT_EQ(arena->payload(FrameIndex{3}).data(), arena->frame(FrameIndex{3}));
  EXPECT_EQ(arena->payload(FrameIndex{3}).size(), payload_bytes);
  EXPECT_EQ(arena->header(FrameIndex{3}), arena->frame(FrameIndex{3}) + payload_bytes);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(arena->frame(FrameIndex{7})) % kFrameAlignment, 0u);
  EXPECT_THAT(std::string(arena->detail()), HasSubstr("ordinary pages"));
}

TEST(HostArena, SaysWhichPagesItGot) {
  const auto arena = MakeArena(HugePages::kTry);
  EXPECT_THAT(std::string(arena->detail()), HasSubstr("huge pages"));
}

TEST(HostArena, CanBeMappedByOthersForReadingOnly) {
  const auto arena = MakeArena(HugePages::kTry);
  arena->frame(FrameIndex{0})[0] = std::byte{42};
  void* readable = mmap(nullptr, arena->bytes(), PROT_READ, MAP_SHARED, arena->fd(), 0);
  ASSERT_NE(readable, MAP_FAILED);
  EXPECT_EQ(*static_cast<const std::byte*>(readable), std::byte{42});
  EXPECT_NE(mprotect(readable, arena->bytes(), PROT_READ | PROT_WRITE), 0);
  munmap(readable, arena->bytes());
  EXPECT_EQ(mmap(nullptr, arena->bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, arena->fd(), 0),
            MAP_FAILED);
  EXPECT_NE(ftruncate(arena->fd(), 0), 0);
  EXPECT_NE(ftruncate(arena->fd(), 1 << 30), 0);
}

TEST(HostArena, RefusesASizeThatIsNotToBeHad) {
  Geometry huge = testing::SmallGeometry();
  huge.page_tokens = 4096;
  huge.num_kv_heads = 512;
  ASSERT_TRUE(huge.Validate(1).ok());
  const auto arena = HostArena::Create({.geometry = huge, .frames = 1u << 25});
  ASSERT_EQ(arena.status().code(), absl::StatusCode::kResourceExhausted) << arena.status();
  EXPECT_THAT(std::string(arena.status().message()), HasSubstr("make this tier smaller"));
}

TEST(HostArena, NeedsAFrame) {
  const auto arena = HostArena::Create({.geometry = testing::SmallGeometry(), .frames = 0});
  EXPECT_EQ(arena.status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace kvpager
