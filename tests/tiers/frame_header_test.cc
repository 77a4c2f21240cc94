// Proves that a header vouches for exactly the payload and identity that were written, and that any
// single flipped byte is noticed.

#include "tiers/nvme/frame_header.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "tests/tiers/tier_testing.h"

namespace kvpager {
namespace {

constexpr uint64_t kFingerprint = 77;

class FrameHeaderTest : public ::testing::Test {
 protected:
  FrameHeaderTest() : payload_(1000) {
    testing::Fill(absl::MakeSpan(payload_), 1);
    SetHostPart(block_, PageIndex{5}, payload_);
    SealForNvme(block_, kFingerprint, identity_);
  }

  bool Verify() { return VerifyFrame(block_, kFingerprint, identity_, payload_); }

  FrameIdentity identity_{.key = {{1, 2}},
                          .parent_key = {{3, 4}},
                          .stamp = {.incarnation = 5, .counter = 6},
                          .group = 7};
  std::vector<std::byte> payload_;
  alignas(8) std::byte block_[kFrameHeaderBytes] = {};
};

TEST_F(FrameHeaderTest, VouchesForWhatWasWritten) {
  EXPECT_TRUE(Verify());
  FrameIdentity found;
  ASSERT_TRUE(ReadIdentity(block_, kFingerprint, found));
  EXPECT_EQ(found.key, identity_.key);
  EXPECT_EQ(found.parent_key, identity_.parent_key);
  EXPECT_EQ(found.stamp, identity_.stamp);
  EXPECT_EQ(found.group, identity_.group);
  EXPECT_TRUE(HostPartNames(block_, PageIndex{5}, 1000));
  EXPECT_FALSE(HostPartNames(block_, PageIndex{6}, 1000));
  EXPECT_FALSE(HostPartNames(block_, PageIndex{5}, 999));
}

TEST_F(FrameHeaderTest, StillVouchesAfterThePageChanged) {
  SetPageIndex(block_, PageIndex{9});
  EXPECT_TRUE(Verify());
  EXPECT_TRUE(HostPartNames(block_, PageIndex{9}, 1000));
}

TEST_F(FrameHeaderTest, NoticesEveryFlippedByteOfTheHeader) {
  for (size_t i = 0; i < sizeof(FrameHeader); ++i) {
    block_[i] ^= std::byte{0x10};
    EXPECT_FALSE(Verify()) << "byte " << i;
    block_[i] ^= std::byte{0x10};
  }
  EXPECT_TRUE(Verify());
}

TEST_F(FrameHeaderTest, NoticesEveryFlippedByteOfThePayload) {
  for (std::byte& byte : payload_) {
    byte ^= std::byte{1};
    EXPECT_FALSE(Verify());
    byte ^= std::byte{1};
  }
}

TEST_F(FrameHeaderTest, RefusesAnotherKeyStampGroupGeometryOrLength) {
  FrameIdentity other = identity_;
  other.key.words[1] ^= 1;
  EXPECT_FALSE(VerifyFrame(block_, kFingerprint, other, payload_));
  other = identity_;
  other.stamp.counter += 1;
  EXPECT_FALSE(VerifyFrame(block_, kFingerprint, other, payload_));
  other = identity_;
  other.stamp.incarnation += 1;
  EXPECT_FALSE(VerifyFrame(block_, kFingerprint, other, payload_));
  other = identity_;
  other.group += 1;
  EXPECT_FALSE(VerifyFrame(block_, kFingerprint, other, payload_));
  EXPECT_FALSE(VerifyFrame(block_, kFingerprint + 1, identity_, payload_));
  payload_.pop_back();
  EXPECT_FALSE(Verify());
}

// Golden: the bytes on disk. If this fails, old files become unreadable.
TEST_F(FrameHeaderTest, HasTheDocumentedBytes) {
  EXPECT_EQ(std::memcmp(block_, "KVPFRAME", 8), 0);
  const uint8_t version_and_group[] = {1, 0, 0, 0, 7, 0, 0, 0};
  EXPECT_EQ(std::memcmp(block_ + 8, version_and_group, 8), 0);
  const uint8_t key[] = {1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(std::memcmp(block_ + 24, key, 16), 0);
  const uint8_t length[] = {0xe8, 3, 0, 0, 0, 0, 0, 0};
  EXPECT_EQ(std::memcmp(block_ + 80, length, 8), 0);
}

}  // namespace
}  // namespace kvpager
