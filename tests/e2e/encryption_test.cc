// That an encrypted tier holds sealed frames only, is warm after a kill, refuses any key but its
// own, and that what a forgotten namespace wrote is gone while the others keep theirs.

#include <sys/stat.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>

#include "gtest/gtest.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"

namespace kvpager::e2e {
namespace {

constexpr uint64_t kPrompts = 6;
constexpr uint32_t kBlocks = 4;

class Encryption : public ::testing::Test {
 protected:
  Encryption() {
    key_ = WriteKey("key", 'k');
    options_.flags = {"--nvme.encryption_key_file=" + key_};
  }

  std::string WriteKey(const std::string& name, char fill) {
    const std::string path = directory_.path() + "/" + name;
    std::ofstream(path) << std::string(32, fill);
    EXPECT_EQ(chmod(path.c_str(), 0600), 0);
    return path;
  }

  void Start() {
    daemon_ = std::make_unique<Daemon>(directory_, options_);
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
  }

  // Blocks of all prompts that were found.
  uint32_t ServeAll(const std::string& name_space, uint32_t flags) {
    TestEngine engine;
    EngineOptions options;
    options.socket_path = daemon_->socket_path();
    options.name_space = name_space;
    EXPECT_EQ(engine.Open(options), KVP_OK) << engine.error();
    uint32_t reused = 0;
    for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
      Served served = engine.Serve(prompt, kBlocks, flags);
      // What turns out to be lost when it is read is found to be missing by the next try.
      if (served.status == KVP_DATA_LOSS) served = engine.Serve(prompt, kBlocks, flags);
      EXPECT_EQ(served.status, KVP_OK) << engine.error();
      EXPECT_EQ(served.mismatched_blocks, 0u);
      reused += served.reused_blocks;
    }
    return reused;
  }

  std::string RefusalWith(const std::vector<std::string>& flags) {
    DaemonOptions options;
    options.flags = flags;
    Daemon daemon(directory_, options);
    EXPECT_EQ(daemon.process().Wait(60), 1);
    return daemon.Log();
  }

  TemporaryDirectory directory_;
  std::string key_;
  DaemonOptions options_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(Encryption, FramesAreSealedAndWarmAfterAKill) {
  Start();
  EXPECT_EQ(ServeAll("alice", KVP_NAME_DURABLE), 0u);
  daemon_->Kill();
  std::ifstream file(directory_.path() + "/nvme/pages.kvp", std::ios::binary);
  std::stringstream stream;
  stream << file.rdbuf();
  const std::string bytes = stream.str();
  uint32_t frames = 0;
  for (size_t at = bytes.find("KVPFRAME"); at != std::string::npos;
       at = bytes.find("KVPFRAME", at + 1)) {
    EXPECT_EQ(bytes[at + 8], 2);  // The version of sealed frames.
    ++frames;
  }
  EXPECT_GE(frames, kPrompts * kBlocks);
  Start();
  EXPECT_EQ(ServeAll("alice", 0), kPrompts * kBlocks);
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
}

TEST_F(Encryption, AnotherKeyOrNoneIsRefusedAndNothingIsLost) {
  Start();
  EXPECT_EQ(ServeAll("alice", KVP_NAME_DURABLE), 0u);
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
  EXPECT_NE(RefusalWith({}).find("is encrypted"), std::string::npos);
  const std::string other = WriteKey("other", 'o');
  EXPECT_NE(RefusalWith({"--nvme.encryption_key_file=" + other}).find("is not the one"),
            std::string::npos);
  Start();
  EXPECT_EQ(ServeAll("alice", 0), kPrompts * kBlocks);
}

TEST_F(Encryption, AForgottenNamespaceIsGoneAndOthersKeepTheirs) {
  Start();
  EXPECT_EQ(ServeAll("alice", KVP_NAME_DURABLE), 0u);
  EXPECT_EQ(ServeAll("bob", KVP_NAME_DURABLE), 0u);
  EXPECT_NE(RefusalWith({options_.flags[0], "--forget-namespace=alice"}).find("stop it"),
            std::string::npos);
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
  DaemonOptions forget = options_;
  forget.flags.push_back("--forget-namespace=alice");
  EXPECT_EQ(Daemon(directory_, forget).process().Wait(60), 0);
  EXPECT_NE(RefusalWith(forget.flags).find("forgotten before"), std::string::npos);
  Start();
  EXPECT_EQ(ServeAll("alice", KVP_NAME_DURABLE), 0u);
  EXPECT_EQ(ServeAll("bob", 0), kPrompts * kBlocks);
  EXPECT_EQ(ServeAll("alice", 0), kPrompts * kBlocks);
}

TEST_F(Encryption, ThreadsSealAsIoUringDoes) {
  options_.forbid_uring = true;
  Start();
  EXPECT_EQ(ServeAll("alice", KVP_NAME_DURABLE), 0u);
  daemon_->Kill();
  options_.forbid_uring = false;
  Start();
  EXPECT_EQ(ServeAll("alice", 0), kPrompts * kBlocks);
}

}  // namespace
}  // namespace kvpager::e2e
