// Proves that the CUDA device moves the right bytes by the driver's rules, in every way it can be
// made to: with batches and without, with host memory registered, partly, or refused, with pages
// across parts and regions; and that refused copies, a full device and a lost one end as they
// should, with everything given back. The driver is the fake one, which keeps the real one's rules
// and whose device memory the CPU cannot follow.

#include "tiers/hbm/cuda_device.h"

#include <errno.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memmgr/base/units.h"
#include "tests/fake_cuda/loaded.h"
#include "tests/tiers/tier_testing.h"
#include "tiers/hbm/device_executor.h"
#include "tiers/host/host_arena.h"
#include "tiers/nvme/frame_header.h"

namespace kvpager {
namespace {

using fake_cuda::Live;
using fake_cuda::Steer;
using testing::Await;
using testing::Fill;
using testing::HasFill;
using ::testing::HasSubstr;
using ::testing::Not;
using testing::Perform;

// One page of 5 MiB: larger than a staging slot, a demotion piece and a part.
Geometry LargeGeometry() {
  return {.page_tokens = 16,
          .num_layers = 5,
          .layers_per_page = 5,
          .num_kv_heads = 64,
          .head_dim_k = 260,
          .head_dim_v = 260};
}

class Cuda : public ::testing::Test {
 protected:
  enum class Register { kAll, kNothing };

  void SetUp() override {
    Steer().Reset();
    driver_ = *cuda::LoadDriver(fake_cuda::kLibraryPath);
  }
  void TearDown() override {
    executor_.reset();
    device_.reset();
    arena_.reset();
    Steer().Go();
    EXPECT_EQ(Steer().counts().pageable_copies, 0u);
    Steer().Reset();
    EXPECT_TRUE(Steer().live() == Live{}) << "something was not given back";
  }

  CudaDevice::Options Options(uint32_t frames = 8) const {
    return {.driver = driver_,
            .frames = frames,
            .frame_bytes = geometry_.frame_bytes_hbm(),
            .part_bytes = 4 * kMiB};
  }

  void Build(const CudaDevice::Options& options, Register host = Register::kAll) {
    auto device = CudaDevice::Create(options);
    ASSERT_TRUE(device.ok()) << device.status();
    device_ = *std::move(device);
    arena_ = *HostArena::Create({.geometry = geometry_, .frames = options.frames});
    if (host == Register::kAll) {
      ASSERT_TRUE(device_->RegisterHostMemory(arena_->base(), arena_->bytes()).ok());
      AwaitRegistration();
    }
    executor_ = *DeviceExecutor::Create(
        {.device = device_.get(), .arena = arena_.get(), .geometry = geometry_});
  }

  void AwaitRegistration() {
    const CudaRegistrar& registrar = *device_->registrar();
    while (registrar.registered_bytes() < registrar.bytes() &&
           registrar.refusal() == cuda::kSuccess) {
      std::this_thread::yield();
    }
  }

  CopyOp Copy(Channel channel, uint32_t source, uint32_t target, uint32_t page) {
    return {.op = {.slot = next_op_++, .generation = 1},
            .channel = channel,
            .source = FrameIndex{source},
            .target = FrameIndex{target},
            .page = PageIndex{page}};
  }

  cuda::DevicePointer AddressOf(uint32_t frame) const {
    return reinterpret_cast<cuda::DevicePointer>(device_->pool_base()) +
           frame * device_->frame_bytes();
  }
  void FillFrame(uint32_t frame, uint64_t seed) {
    std::vector<std::byte> bytes(geometry_.payload_bytes());
    Fill(absl::MakeSpan(bytes), seed);
    ASSERT_EQ(driver_.copy(AddressOf(frame), reinterpret_cast<cuda::DevicePointer>(bytes.data()),
                           bytes.size()),
              cuda::kSuccess);
  }
  std::vector<std::byte> ReadFrame(uint32_t frame) {
    std::vector<std::byte> bytes(geometry_.payload_bytes());
    EXPECT_EQ(driver_.copy(reinterpret_cast<cuda::DevicePointer>(bytes.data()), AddressOf(frame),
                           bytes.size()),
              cuda::kSuccess);
    return bytes;
  }
  bool FrameHas(uint32_t frame, uint64_t seed) { return HasFill(ReadFrame(frame), seed); }

  // Every channel, with several pages at once.
  void ExpectRightBytes() {
    std::vector<CopyOp> down;
    for (uint32_t i = 0; i < 4; ++i) {
      FillFrame(i, 10 + i);
      down.push_back(Copy(Channel::kHbmToHost, i, 3 - i, i));
    }
    executor_->Submit(down);
    for (const Completion& done : Await(*executor_, 4)) EXPECT_EQ(done.outcome, Outcome::kOk);
    std::vector<CopyOp> up;
    for (uint32_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(HasFill(arena_->payload(FrameIndex{3 - i}), 10 + i)) << i;
      up.push_back(Copy(Channel::kHostToHbm, 3 - i, 4 + i, i));
    }
    executor_->Submit(up);
    for (const Completion& done : Await(*executor_, 4)) EXPECT_EQ(done.outcome, Outcome::kOk);
    for (uint32_t i = 0; i < 4; ++i) EXPECT_TRUE(FrameHas(4 + i, 10 + i)) << i;
    EXPECT_EQ(Perform(*executor_, Copy(Channel::kHbmToHbm, 5, 0, 1)).outcome, Outcome::kOk);
    EXPECT_TRUE(FrameHas(0, 11));
    EXPECT_EQ(Perform(*executor_, Copy(Channel::kScrub, FrameIndex::kNone, 5, 1)).outcome,
              Outcome::kOk);
    EXPECT_THAT(ReadFrame(5), ::testing::Each(std::byte{0}));
    EXPECT_TRUE(FrameHas(4, 10));
    EXPECT_TRUE(FrameHas(6, 12));
    EXPECT_EQ(Steer().counts().misuses, 0u);
  }

  Geometry geometry_ = testing::SmallGeometry();
  cuda::DriverTable driver_;
  std::unique_ptr<CudaDevice> device_;
  std::unique_ptr<HostArena> arena_;
  std::unique_ptr<DeviceExecutor> executor_;
  uint32_t next_op_ = 0;
};

TEST_F(Cuda, EveryChannelMovesTheRightBytes) {
  Build(Options());
  ExpectRightBytes();
  EXPECT_EQ(device_->staged_bytes(), 0u);
  EXPECT_GT(Steer().counts().batches, 0u);
  EXPECT_GT(device_->rates().to_host, 0u);
  EXPECT_THAT(std::string(device_->detail()), HasSubstr("host arena registered"));
}

TEST_F(Cuda, PagesMayLieAcrossPartsOfThePool) {
  geometry_ = LargeGeometry();
  Build(Options());
  EXPECT_EQ(device_->parts().size(), 11u);
  ExpectRightBytes();
}

TEST_F(Cuda, WithoutBatchesCopiesGoOneByOne) {
  driver_.copy_batch = nullptr;
  Build(Options());
  ExpectRightBytes();
  EXPECT_EQ(Steer().counts().batches, 0u);
}

TEST_F(Cuda, ADriverThatHasTheEntryAndCannotServeItIsAskedOncePerDirection) {
  Steer().Fail("cuMemcpyBatchAsync_v2", cuda::kCallRequiresNewerDriver, 0, 2);
  Build(Options());
  ExpectRightBytes();
  EXPECT_EQ(Steer().counts().batches, 0u);
}

TEST_F(Cuda, WhereRegistrationIsRefusedCopiesAreStaged) {
  Steer().Fail("cuMemHostRegister_v2", cuda::kNotPermitted, 0, 1);
  for (const Geometry& geometry : {testing::SmallGeometry(), LargeGeometry()}) {
    geometry_ = geometry;
    Steer().Fail("cuMemHostRegister_v2", cuda::kNotPermitted, 0, 1);
    Build(Options());
    ExpectRightBytes();
    EXPECT_EQ(device_->staged_bytes(), 8 * geometry.payload_bytes());
    EXPECT_THAT(std::string(device_->detail()), HasSubstr("registration was refused"));
    executor_.reset();
    device_.reset();
  }
}

TEST_F(Cuda, BeforeRegistrationCopiesAreStaged) {
  geometry_ = LargeGeometry();
  Build(Options(), Register::kNothing);
  ExpectRightBytes();
  EXPECT_GT(device_->staged_bytes(), 0u);
}

TEST_F(Cuda, CopiesAcrossTwoRegionsAreCut) {
  geometry_ = LargeGeometry();
  CudaDevice::Options options = Options();
  options.register_region_bytes = 3 * kMiB;
  Build(options);
  EXPECT_GT(Steer().live().registrations, 8u);
  ExpectRightBytes();
  EXPECT_EQ(device_->staged_bytes(), 0u);
}

TEST_F(Cuda, AHalfRegisteredArenaIsHalfStaged) {
  geometry_ = LargeGeometry();
  CudaDevice::Options options = Options();
  options.register_region_bytes = 7 * kMiB;
  Steer().Fail("cuMemHostRegister_v2", cuda::kOutOfMemory, 1, 1);  // The second and all behind.
  Build(options);
  EXPECT_EQ(Steer().live().registrations, 1u);
  ExpectRightBytes();
  EXPECT_GT(device_->staged_bytes(), 0u);
  EXPECT_LT(device_->staged_bytes(), 8 * geometry_.payload_bytes());
}

TEST_F(Cuda, ManyMoreThanTheDeviceTakesAtOnceAreDone) {
  Build(Options(600));
  std::vector<CopyOp> copies;
  for (uint32_t i = 0; i < 600; ++i) {
    FillFrame(i, i);
    copies.push_back(Copy(Channel::kHbmToHost, i, 599 - i, i));
  }
  executor_->Submit(copies);
  for (const Completion& done : Await(*executor_, 600)) EXPECT_EQ(done.outcome, Outcome::kOk);
  for (uint32_t i = 0; i < 600; ++i) {
    ASSERT_TRUE(HasFill(arena_->payload(FrameIndex{599 - i}), i)) << i;
  }
}

TEST_F(Cuda, NeighboursBecomeOneCopy) {
  Build(Options());
  const uint64_t fills = Steer().counts().fills;
  std::vector<CopyOp> scrubs;
  for (uint32_t i = 2; i < 7; ++i) {
    scrubs.push_back(Copy(Channel::kScrub, FrameIndex::kNone, i, i));
  }
  executor_->Submit(scrubs);
  Await(*executor_, 5);
  EXPECT_EQ(Steer().counts().fills, fills + 1);
}

TEST_F(Cuda, SubmitDoesNotWaitAndNothingEndsBeforeTheDeviceIsDone) {
  Build(Options());
  FillFrame(1, 5);
  Steer().Hold();
  executor_->Submit(std::vector<CopyOp>{Copy(Channel::kHbmToHost, 1, 2, 9)});
  std::vector<Completion> out(4);
  EXPECT_EQ(executor_->Poll(absl::MakeSpan(out)), 0u);
  EXPECT_TRUE(Steer().RunOne());  // The copy; its event is still to come.
  EXPECT_EQ(executor_->Poll(absl::MakeSpan(out)), 0u);
  EXPECT_TRUE(executor_->wants_poll());
  EXPECT_TRUE(Steer().RunOne());
  EXPECT_EQ(Await(*executor_, 1)[0].outcome, Outcome::kOk);
  EXPECT_TRUE(HasFill(arena_->payload(FrameIndex{2}), 5));
}

TEST_F(Cuda, APromotionDoesNotWaitForADemotionUnderWay) {
  Build(Options());
  FillFrame(1, 5);
  Perform(*executor_, Copy(Channel::kHbmToHost, 1, 2, 9));
  Steer().Hold();
  executor_->Submit(std::vector<CopyOp>{Copy(Channel::kHbmToHost, 1, 3, 9)});
  executor_->Submit(std::vector<CopyOp>{Copy(Channel::kHostToHbm, 2, 4, 9)});
  // In turn: one operation of each direction, and so both copies before both events.
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(Steer().RunOne());
  Await(*executor_, 2);
  EXPECT_TRUE(FrameHas(4, 5));
}

TEST_F(Cuda, ACopyThatIsRefusedFailsAndTheNextIsFine) {
  Build(Options());
  FillFrame(1, 5);
  Steer().Fail("cuMemcpyAsync", cuda::kInvalidValue, 0, 1);
  const Completion failed = Perform(*executor_, Copy(Channel::kHbmToHost, 1, 2, 9));
  EXPECT_EQ(failed.outcome, Outcome::kFailed);
  EXPECT_EQ(failed.os_error, EIO);
  EXPECT_TRUE(device_->health().ok());
  EXPECT_THAT(std::string(device_->detail()), HasSubstr("1 copies failed"));
  EXPECT_EQ(Perform(*executor_, Copy(Channel::kHbmToHost, 1, 2, 9)).outcome, Outcome::kOk);
  EXPECT_TRUE(HasFill(arena_->payload(FrameIndex{2}), 5));
}

TEST_F(Cuda, ABatchThatIsRefusedEndsBehindItsEvent) {
  Build(Options(), Register::kNothing);
  FillFrame(1, 5);
  FillFrame(2, 6);
  Steer().Fail("cuMemcpyBatchAsync_v2", cuda::kInvalidValue, 0, 1);
  Steer().Hold();
  executor_->Submit(
      std::vector<CopyOp>{Copy(Channel::kHbmToHost, 1, 1, 1), Copy(Channel::kHbmToHost, 2, 2, 2)});
  std::vector<Completion> out(4);
  EXPECT_EQ(executor_->Poll(absl::MakeSpan(out)), 0u);  // The event has not passed.
  Steer().Go();
  for (const Completion& done : Await(*executor_, 2)) {
    EXPECT_EQ(done.outcome, Outcome::kFailed);
    EXPECT_EQ(done.os_error, EIO);
  }
  ExpectRightBytes();  // No staging slot was lost.
}

TEST_F(Cuda, AnEventThatIsRefusedMakesTheDeviceWaitForItsCopies) {
  Build(Options());
  FillFrame(1, 5);
  Steer().Fail("cuEventRecord", cuda::kOutOfMemory, 0, 1);
  EXPECT_EQ(Perform(*executor_, Copy(Channel::kHbmToHost, 1, 2, 9)).outcome, Outcome::kOk);
  EXPECT_TRUE(HasFill(arena_->payload(FrameIndex{2}), 5));
}

TEST_F(Cuda, ALostDeviceFailsWhatRunsAndWhatComes) {
  for (const Register host : {Register::kAll, Register::kNothing}) {
    geometry_ = LargeGeometry();
    Build(Options(), host);
    SetHostPart(arena_->header(FrameIndex{1}), PageIndex{1}, arena_->payload(FrameIndex{1}));
    Steer().Hold();
    executor_->Submit(std::vector<CopyOp>{
        Copy(Channel::kHbmToHost, 0, 0, 0), Copy(Channel::kHostToHbm, 1, 1, 1),
        Copy(Channel::kHbmToHbm, 2, 3, 2), Copy(Channel::kScrub, FrameIndex::kNone, 4, 4)});
    EXPECT_TRUE(device_->health().ok());
    Steer().LoseDevice();
    for (const Completion& done : Await(*executor_, 4)) {
      EXPECT_EQ(done.outcome, Outcome::kFailed);
      EXPECT_EQ(done.os_error, ENODEV);
    }
    EXPECT_EQ(device_->health().code(), absl::StatusCode::kUnavailable);
    EXPECT_THAT(std::string(device_->health().message()), HasSubstr("LAUNCH_FAILED"));
    EXPECT_THAT(std::string(device_->detail()), HasSubstr("LOST"));
    EXPECT_EQ(Perform(*executor_, Copy(Channel::kHbmToHbm, 5, 6, 7)).os_error, ENODEV);
    Steer().Reset();
    Steer().Go();
    executor_.reset();
    device_.reset();
  }
}

TEST_F(Cuda, APoolThatDoesNotFitIsRefusedWithBothSizes) {
  const auto device = CudaDevice::Create(Options(1 << 20));
  EXPECT_EQ(device.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(device.status().message()), HasSubstr("8589934592 bytes"));
  EXPECT_THAT(std::string(device.status().message()), HasSubstr("lower hbm.size"));
}

TEST_F(Cuda, WhatFailsAtTheStartIsASentenceAndGivesEverythingBack) {
  geometry_ = LargeGeometry();
  for (const char* entry :
       {"cuDevicePrimaryCtxRetain", "cuCtxPushCurrent_v2", "cuMemGetAllocationGranularity",
        "cuMemGetInfo_v2", "cuMemAddressReserve", "cuMemExportToShareableHandle", "cuMemHostAlloc",
        "cuStreamCreate", "cuMemsetD8Async", "cuStreamSynchronize", "cuMemcpyAsync"}) {
    Steer().Fail(entry, cuda::kOutOfMemory, 0, 1);
    const auto device = CudaDevice::Create(Options());
    EXPECT_EQ(device.status().code(), absl::StatusCode::kResourceExhausted) << entry;
    EXPECT_THAT(std::string(device.status().message()), HasSubstr("OUT_OF_MEMORY")) << entry;
    EXPECT_TRUE(Steer().live() == Live{}) << entry;
  }
  for (const char* entry : {"cuMemCreate", "cuMemMap", "cuEventCreate"}) {  // In the middle.
    Steer().Fail(entry, cuda::kOutOfMemory, 5, 1);
    EXPECT_FALSE(CudaDevice::Create(Options()).ok()) << entry;
    EXPECT_TRUE(Steer().live() == Live{}) << entry;
  }
}

TEST_F(Cuda, ItSaysWhichGpuItsPartsAreOf) {
  Build(Options());
  EXPECT_TRUE(device_->gpu().has_value());
  EXPECT_FALSE(device_->cpu_addressable());
  ASSERT_EQ(device_->parts().size(), 1u);
  EXPECT_EQ(device_->parts()[0].bytes, 2 * kMiB);
  EXPECT_THAT(std::string(device_->detail()), Not(HasSubstr("LOST")));
}

}  // namespace
}  // namespace kvpager
