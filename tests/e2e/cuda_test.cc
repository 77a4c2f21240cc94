// That the real daemon and the real library serve pages from a pool on a GPU: chosen by the
// configuration, handed over as descriptors, moved through all tiers, verified; and what each of
// them says where the GPU is not there, too small, lost, or not what an engine expects.
//
// How: kvpagerd finds the fake driver as libcuda.so.1 in LD_LIBRARY_PATH, this process by having
// loaded it. The CPU cannot follow the fake's device addresses, so what reads frames here does it
// by the driver's copies, as it would on a GPU.

#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memmgr/base/check.h"
#include "memmgr/cuda/driver_table.h"
#include "memmgr/cuda/scoped_context.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"
#include "tests/fake_cuda/loaded.h"

namespace kvpager::e2e {
namespace {

using ::testing::HasSubstr;

constexpr uint32_t kBlocks = 8;

void CopyByDriver(void* target, const void* source, size_t bytes) {
  KVP_CHECK(cuda::ProcessDriver()->copy(reinterpret_cast<cuda::DevicePointer>(target),
                                        reinterpret_cast<cuda::DevicePointer>(source),
                                        bytes) == cuda::kSuccess);
}

class CudaServing : public ::testing::Test {
 protected:
  void SetUp() override {
    fake_cuda::Steer();  // Loads it.
    KVP_CHECK(cuda::ProcessDriver().ok());
    context_ = *cuda::PrimaryContext::Open(*cuda::ProcessDriver(), 0);
    current_ = std::make_unique<cuda::ScopedContext>(*context_);
    options_.flags = {"--hbm.device=cuda:0"};
    options_.environment = {{"LD_LIBRARY_PATH", KVPAGER_FAKE_CUDA_FOLDER}};
  }

  void Start() {
    daemon_ = std::make_unique<Daemon>(directory_, options_);
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
  }

  EngineOptions OnGpu() const {
    EngineOptions options;
    options.socket_path = daemon_->socket_path();
    options.memory = KVP_MEMORY_CUDA;
    options.copy = CopyByDriver;
    return options;
  }

  // Serves prompts twice; returns how many blocks the second round found again.
  uint32_t ServeTwice(TestEngine& engine, uint64_t prompts) {
    uint32_t reused = 0;
    for (int round = 0; round < 2; ++round) {
      for (uint64_t prompt = 1; prompt <= prompts; ++prompt) {
        const Served served = engine.Serve(prompt, kBlocks, 0);
        EXPECT_EQ(served.status, KVP_OK) << engine.error() << daemon_->Log();
        EXPECT_EQ(served.mismatched_blocks, 0u) << "prompt " << prompt;
        reused += served.reused_blocks;
      }
    }
    return reused;
  }

  std::string TierDetail() {
    return RunCtl(*daemon_, directory_, {"tiers"}).Text("/tiers/0/detail");
  }

  TemporaryDirectory directory_;
  DaemonOptions options_;
  std::unique_ptr<Daemon> daemon_;
  std::unique_ptr<cuda::PrimaryContext> context_;
  std::unique_ptr<cuda::ScopedContext> current_;
};

TEST_F(CudaServing, PagesGoThroughAllTiersAndComeBackRight) {
  Start();
  TestEngine engine;
  ASSERT_EQ(engine.Open(OnGpu()), KVP_OK) << engine.error() << daemon_->Log();
  EXPECT_GT(ServeTwice(engine, 40), 40 * kBlocks / 2);  // 320 blocks; 48 fit HBM, 128 host memory.
  EXPECT_THAT(TierDetail(), HasSubstr("cuda:0 Fake GPU"));
  EXPECT_THAT(TierDetail(), HasSubstr("GB/s"));
  const Facts status = RunCtl(*daemon_, directory_, {"status"});
  EXPECT_GT(status.Counter("moved_bytes_hbm_to_host"), 0u);
  EXPECT_GT(status.Counter("moved_bytes_host_to_hbm"), 0u);
  EXPECT_GT(status.Counter("moved_bytes_nvme_to_host"), 0u);
  EXPECT_EQ(status.Counter("copies_failed_hbm_to_host"), 0u);
  engine.Close();
  EXPECT_EQ(fake_cuda::Steer().live().mappings, 0u);
  EXPECT_EQ(fake_cuda::Steer().live().handles, 0u);
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
}

TEST_F(CudaServing, LayersMayBePagedOneByOne) {
  Start();
  TestEngine engine;
  EngineOptions options = OnGpu();
  options.layers_per_page = 1;
  ASSERT_EQ(engine.Open(options), KVP_OK) << engine.error() << daemon_->Log();
  EXPECT_GT(ServeTwice(engine, 20), 0u);
}

TEST_F(CudaServing, TwoEnginesSeeOnePool) {
  Start();
  TestEngine first;
  TestEngine second;
  ASSERT_EQ(first.Open(OnGpu()), KVP_OK) << first.error() << daemon_->Log();
  ASSERT_EQ(second.Open(OnGpu()), KVP_OK) << second.error();
  EXPECT_EQ(first.Serve(7, kBlocks, 0).status, KVP_OK) << first.error();
  const Served served = second.Serve(7, kBlocks, 0);
  EXPECT_EQ(served.status, KVP_OK) << second.error();
  EXPECT_EQ(served.reused_blocks, kBlocks);
  EXPECT_EQ(served.mismatched_blocks, 0u);
}

TEST_F(CudaServing, ARestartFindsWhatWasOnNvme) {
  Start();
  TestEngine engine;
  ASSERT_EQ(engine.Open(OnGpu()), KVP_OK) << engine.error() << daemon_->Log();
  for (uint64_t prompt = 1; prompt <= 10; ++prompt) {
    ASSERT_EQ(engine.ServeAndEvict(prompt, kBlocks).status, KVP_OK) << engine.error();
  }
  engine.Close();
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
  Start();
  ASSERT_EQ(engine.Open(OnGpu()), KVP_OK) << engine.error();
  for (uint64_t prompt = 1; prompt <= 10; ++prompt) {
    const Served served = engine.Serve(prompt, kBlocks, 0);
    EXPECT_EQ(served.status, KVP_OK) << engine.error();
    EXPECT_EQ(served.reused_blocks, kBlocks) << "prompt " << prompt;
    EXPECT_EQ(served.mismatched_blocks, 0u) << "prompt " << prompt;
  }
}

TEST_F(CudaServing, WhereHostMemoryIsNotRegisteredItIsStaged) {
  options_.environment.emplace_back("KVPAGER_FAKE_CUDA_FAIL", "cuMemHostRegister_v2=800");
  Start();
  TestEngine engine;
  ASSERT_EQ(engine.Open(OnGpu()), KVP_OK) << engine.error() << daemon_->Log();
  ServeTwice(engine, 20);
  EXPECT_THAT(TierDetail(), HasSubstr("host arena staged: registration was refused"));
}

TEST_F(CudaServing, ADriverWithoutBatchesServes) {
  options_.environment.emplace_back("KVPAGER_FAKE_CUDA_FAIL", "cuMemcpyBatchAsync_v2=801");
  Start();
  TestEngine engine;
  ASSERT_EQ(engine.Open(OnGpu()), KVP_OK) << engine.error() << daemon_->Log();
  ServeTwice(engine, 20);
}

TEST_F(CudaServing, ALostDeviceEndsTheDaemonAndWhatWasDurableIsFoundAgain) {
  options_.environment.emplace_back("KVPAGER_FAKE_CUDA_LOSE", "300");
  Start();
  TestEngine engine;
  ASSERT_EQ(engine.Open(OnGpu()), KVP_OK) << engine.error() << daemon_->Log();
  uint64_t durable = 0;
  kvp_status status = KVP_OK;
  while (status == KVP_OK && durable < 1000) {
    status = engine.Serve(durable + 1, kBlocks, KVP_NAME_DURABLE).status;
    if (status == KVP_OK) ++durable;
  }
  EXPECT_GT(durable, 0u);
  EXPECT_NE(status, KVP_OK);
  EXPECT_EQ(daemon_->process().Wait(60), 1);
  EXPECT_THAT(daemon_->Log(), HasSubstr("is lost: CUDA_ERROR_LAUNCH_FAILED"));
  engine.Close();
  options_.environment.pop_back();
  Start();
  ASSERT_EQ(engine.Open(OnGpu()), KVP_OK) << engine.error() << daemon_->Log();
  for (uint64_t prompt = 1; prompt <= durable; ++prompt) {
    const Served served = engine.Serve(prompt, kBlocks, 0);
    EXPECT_EQ(served.status, KVP_OK) << engine.error();
    EXPECT_EQ(served.reused_blocks, kBlocks) << "prompt " << prompt;
    EXPECT_EQ(served.mismatched_blocks, 0u) << "prompt " << prompt;
  }
}

TEST_F(CudaServing, AnEngineOnTheCpuIsRefused) {
  Start();
  TestEngine engine;
  EngineOptions options = OnGpu();
  options.memory = KVP_MEMORY_HOST;
  EXPECT_EQ(engine.Open(options), KVP_FAILED_PRECONDITION);
  EXPECT_THAT(engine.error(), HasSubstr("on the GPU cuda:0"));
}

TEST_F(CudaServing, AnEngineOnAGpuIsRefusedFramesInOrdinaryMemory) {
  options_.flags = {"--hbm.device=host"};
  Start();
  TestEngine engine;
  EXPECT_EQ(engine.Open(OnGpu()), KVP_FAILED_PRECONDITION);
  EXPECT_THAT(engine.error(), HasSubstr("--hbm.device=cuda:0"));
}

TEST_F(CudaServing, APoolThatIsTooLargeForTheDeviceIsRefusedWithBothSizes) {
  options_.environment.emplace_back("KVPAGER_FAKE_CUDA_MEMORY", "2097152");
  options_.blocks_hbm = 4096;
  Start();
  TestEngine engine;
  EXPECT_EQ(engine.Open(OnGpu()), KVP_RESOURCE_EXHAUSTED);
  EXPECT_THAT(engine.error(), HasSubstr("only 2097152 of its 2097152 are free"));
}

TEST_F(CudaServing, WithoutADriverCudaIsRefusedAndAutoSaysWhyItIsNot) {
  WriteFileText(directory_.File("libcuda.so.1"), "no library");
  options_.environment = {{"LD_LIBRARY_PATH", directory_.path()}};
  Daemon refused(directory_, options_);
  EXPECT_FALSE(refused.WaitUntilReady());
  EXPECT_THAT(refused.Log(), HasSubstr("no CUDA driver"));
  EXPECT_THAT(refused.Log(), HasSubstr("hbm.device = \"cuda:0\""));
  options_.flags = {"--hbm.device=auto"};
  Start();
  TestEngine engine;
  EngineOptions options;
  options.socket_path = daemon_->socket_path();
  ASSERT_EQ(engine.Open(options), KVP_OK) << engine.error();
  EXPECT_EQ(engine.Serve(1, kBlocks, 0).status, KVP_OK);
  EXPECT_THAT(daemon_->Log(), HasSubstr("HBM is ordinary memory, because no CUDA driver"));
}

}  // namespace
}  // namespace kvpager::e2e
