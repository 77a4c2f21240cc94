// That the driver is looked up, and that a range grows, is shared and is given back by the driver's
// rules, also where a call in the middle fails. The driver is the fake one.

#include <unistd.h>

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memmgr/cuda/device_range.h"
#include "memmgr/cuda/driver_table.h"
#include "memmgr/cuda/scoped_context.h"
#include "tests/fake_cuda/loaded.h"

namespace kvpager::cuda {
namespace {

using fake_cuda::kGranularityBytes;
using fake_cuda::Live;
using fake_cuda::Steer;
using ::testing::HasSubstr;

class Driver : public ::testing::Test {
 protected:
  void SetUp() override {
    driver_ = *LoadDriver(fake_cuda::kLibraryPath);
    context_ = *PrimaryContext::Open(driver_, 0);
    current_ = std::make_unique<ScopedContext>(*context_);
  }
  void TearDown() override {
    Steer().Reset();
    current_.reset();
    context_.reset();
    EXPECT_TRUE(Steer().live() == Live{}) << "something was not given back";
  }

  DriverTable driver_;
  std::unique_ptr<PrimaryContext> context_;
  std::unique_ptr<ScopedContext> current_;
};

TEST(DriverTable, AMachineWithoutADriverIsASentence) {
  const auto driver = LoadDriver("libcuda-of-nobody.so.1");
  EXPECT_EQ(driver.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(driver.status().message()), HasSubstr("no CUDA driver"));
}

TEST(DriverTable, ALibraryThatIsNoDriverIsNamed) {
  const auto driver = LoadDriver("libm.so.6");
  EXPECT_EQ(driver.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(driver.status().message()), HasSubstr("has no cuInit"));
}

TEST_F(Driver, ADeviceThatIsNotThereIsCounted) {
  const auto context = PrimaryContext::Open(driver_, 3);
  EXPECT_EQ(context.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(context.status().message()), HasSubstr("no CUDA device 3"));
}

TEST_F(Driver, TheDeviceIsFoundByItsUuid) {
  const auto found = PrimaryContext::OpenUuid(driver_, context_->uuid());
  ASSERT_TRUE(found.ok()) << found.status();
  EXPECT_EQ((*found)->name(), "Fake GPU");
  Uuid other = context_->uuid();
  other[0] ^= 1;
  EXPECT_FALSE(PrimaryContext::OpenUuid(driver_, other).ok());
}

TEST_F(Driver, ARangeIsSharedByDescriptors) {
  auto owner = *DeviceRange::Reserve(*context_, 4 * kGranularityBytes);
  ASSERT_TRUE(owner->Grow(kGranularityBytes).ok());
  ASSERT_TRUE(owner->Grow(2 * kGranularityBytes).ok());
  auto reader = *DeviceRange::Reserve(*context_, 3 * kGranularityBytes);
  for (size_t part = 0; part < owner->parts(); ++part) {
    const int fd = *owner->Export(part);
    EXPECT_TRUE(reader->Import(fd, owner->part_bytes(part)).ok());
    close(fd);
  }
  // Across the border of the parts.
  const std::string wrote = "what the one process writes, the other one reads";
  std::string read(wrote.size(), ' ');
  const uint64_t at = kGranularityBytes - 7;
  const auto text = reinterpret_cast<DevicePointer>(wrote.data());
  EXPECT_EQ(driver_.copy(owner->base() + at, text, wrote.size()), kSuccess);
  owner.reset();  // The memory lives as long as somebody maps it.
  EXPECT_EQ(
      driver_.copy(reinterpret_cast<DevicePointer>(read.data()), reader->base() + at, read.size()),
      kSuccess);
  EXPECT_EQ(read, wrote);
}

TEST_F(Driver, APartThatCannotBeHadLeavesTheRangeAsItWas) {
  auto range = *DeviceRange::Reserve(*context_, 4 * kGranularityBytes);
  ASSERT_TRUE(range->Grow(kGranularityBytes).ok());
  for (const char* entry : {"cuMemCreate", "cuMemMap", "cuMemSetAccess"}) {
    Steer().Fail(entry, kOutOfMemory, 0, 1);
    const absl::Status status = range->Grow(kGranularityBytes);
    EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted) << entry;
    EXPECT_THAT(std::string(status.message()), HasSubstr("CUDA_ERROR_OUT_OF_MEMORY"));
    EXPECT_EQ(range->mapped_bytes(), kGranularityBytes);
    EXPECT_EQ(Steer().live().handles, 1u) << entry;
    EXPECT_EQ(Steer().live().mappings, 1u) << entry;
  }
  EXPECT_FALSE(range->Grow(4 * kGranularityBytes).ok());  // More than is reserved.
  EXPECT_TRUE(range->Grow(3 * kGranularityBytes).ok());
}

TEST_F(Driver, WhatIsNoDeviceMemoryIsNotImported) {
  auto range = *DeviceRange::Reserve(*context_, kGranularityBytes);
  EXPECT_FALSE(range->Import(0, kGranularityBytes).ok());
}

TEST_F(Driver, LosingTheDeviceIsToldFromMistakes) {
  EXPECT_TRUE(IsDeviceLost(kIllegalAddress));
  EXPECT_TRUE(IsDeviceLost(kEccUncorrectable));
  for (const Result error : {kSuccess, kInvalidValue, kOutOfMemory, kNotReady, kNotSupported}) {
    EXPECT_FALSE(IsDeviceLost(error)) << error;
  }
  EXPECT_EQ(ToStatus(driver_, kIllegalAddress, "x").code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(ToStatus(driver_, kNotSupported, "x").code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace kvpager::cuda
