// That one daemon serves many engines: 64 at once and not one more, each namespace within its
// quota, and a quiet engine beside a greedy one.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"

namespace kvpager::e2e {
namespace {

class ManyEngines : public ::testing::Test {
 protected:
  void Start(DaemonOptions options, const std::string& configuration = "") {
    if (!configuration.empty()) {
      WriteFileText(directory_.File("kvpager.toml"), configuration);
      options.config_path = directory_.File("kvpager.toml");
    }
    daemon_ = std::make_unique<Daemon>(directory_, options);
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
  }

  EngineOptions OptionsFor(const std::string& name_space) {
    EngineOptions options;
    options.socket_path = daemon_->socket_path();
    options.name_space = name_space;
    return options;
  }

  DaemonStatus Ask() {
    const DaemonStatus status = AskStatus(directory_, daemon_->socket_path());
    EXPECT_TRUE(status.present) << daemon_->Log();
    return status;
  }
  DaemonStatus::Use UseOf(const std::string& name_space, const std::string& tier) {
    return Ask().UseOf(name_space, tier);
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Daemon> daemon_;
};

TEST_F(ManyEngines, SixtyFourAreServedAndTheNextIsToldWhatToChange) {
  constexpr uint32_t kEngines = 64;
  Start({.blocks_hbm = 256, .blocks_host = 512});
  std::vector<std::unique_ptr<TestEngine>> engines;
  for (uint32_t i = 0; i < kEngines; ++i) {
    engines.push_back(std::make_unique<TestEngine>());
    ASSERT_EQ(engines.back()->Open(OptionsFor(absl::StrCat("tenant", i % 8))), KVP_OK)
        << i << ": " << engines.back()->error();
  }
  TestEngine one_more;
  EXPECT_EQ(one_more.Open(OptionsFor("default")), KVP_RESOURCE_EXHAUSTED);
  EXPECT_NE(one_more.error().find("64 engines are attached already"), std::string::npos)
      << one_more.error();
  EXPECT_NE(one_more.error().find("limits.clients"), std::string::npos) << one_more.error();
  for (uint32_t round = 0; round < Rounds(20); ++round) {
    for (uint32_t i = 0; i < kEngines; ++i) {
      const Served served = engines[i]->Serve(i, 3, 0);
      ASSERT_EQ(served.status, KVP_OK) << engines[i]->error();
      ASSERT_EQ(served.mismatched_blocks, 0u);
      ASSERT_EQ(served.reused_blocks, round == 0 ? 0u : 3u);
    }
  }
  EXPECT_EQ(Ask().engines, kEngines);
  engines.pop_back();
  // The place is free once the daemon has let go of everything.
  kvp_status status = KVP_RESOURCE_EXHAUSTED;
  for (int i = 0; i < 1000 && status == KVP_RESOURCE_EXHAUSTED; ++i) {
    status = one_more.Open(OptionsFor("default"));
  }
  EXPECT_EQ(status, KVP_OK) << one_more.error();
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
}

TEST_F(ManyEngines, QuotasHoldAndAStepAboveTheMaximumIsToldWhy) {
  Start({.blocks_hbm = 40, .blocks_host = 80, .blocks_nvme = 200},
        "[[namespace]]\n"
        "name = \"quiet\"\n"
        "hbm.guaranteed = \"25%\"\n"
        "host = { guaranteed = \"20 blocks\" }\n"
        "[[namespace]]\n"
        "name = \"greedy\"\n"
        "hbm.max = \"50%\"\n"
        "host.max = \"60 blocks\"\n"
        "share = 2\n");
  EngineOptions small = OptionsFor("quiet");
  TestEngine quiet;
  ASSERT_EQ(quiet.Open(small), KVP_OK) << quiet.error();
  EXPECT_EQ(quiet.Serve(1, 8, 0).status, KVP_OK) << quiet.error();
  const uint64_t groups = UseOf("greedy", "hbm").max_frames / 20;
  EXPECT_EQ(UseOf("quiet", "hbm").guaranteed_frames, 10 * groups);
  EXPECT_EQ(UseOf("quiet", "hbm").max_frames, 40 * groups);
  EXPECT_EQ(UseOf("quiet", "host").guaranteed_frames, 20 * groups);
  EXPECT_EQ(UseOf("greedy", "host").max_frames, 60 * groups);
  ASSERT_EQ(UseOf("quiet", "hbm").frames, 8 * groups);

  TestEngine greedy;
  ASSERT_EQ(greedy.Open(OptionsFor("greedy")), KVP_OK) << greedy.error();
  TestEngine other;  // No quota: it may have what is guaranteed to nobody.
  ASSERT_EQ(other.Open(OptionsFor("other")), KVP_OK) << other.error();
  for (uint64_t prompt = 100; prompt < 100 + Rounds(40); ++prompt) {
    ASSERT_EQ(greedy.Serve(prompt, 12, 0).status, KVP_OK) << greedy.error();
    ASSERT_EQ(other.Serve(prompt, 16, 0).status, KVP_OK) << other.error();
    ASSERT_LE(UseOf("greedy", "hbm").frames, 20 * groups);
    ASSERT_LE(UseOf("greedy", "host").frames, 60 * groups);
    ASSERT_EQ(UseOf("quiet", "hbm").frames, 8 * groups);
  }
  const Served again = quiet.Serve(1, 8, 0);
  EXPECT_EQ(again.status, KVP_OK) << quiet.error();
  EXPECT_EQ(again.reused_blocks, 8u);
  EXPECT_EQ(again.mismatched_blocks, 0u);

  EXPECT_EQ(greedy.Serve(1000, 21, 0).status, KVP_RESOURCE_EXHAUSTED);
  EXPECT_EQ(greedy.error(),
            absl::StrCat("the step needs ", 21 * groups, " pages of hbm, and namespace \"greedy\" ",
                         "may have ", 20 * groups,
                         "; read fewer blocks or groups at a time, or raise its hbm.max"));
  EXPECT_EQ(greedy.Serve(1001, 20, 0).status, KVP_OK) << greedy.error();

  // The counters agree: what is charged is what is used.
  const DaemonStatus status = Ask();
  ASSERT_EQ(status.used_frames.size(), 3u);
  for (const auto& [tier, used_frames] : status.used_frames) {
    uint64_t charged = 0;
    for (const DaemonStatus::Use& use : status.uses) charged += use.tier == tier ? use.frames : 0;
    EXPECT_EQ(charged, used_frames) << tier;
  }
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
}

TEST_F(ManyEngines, QuotasThatDoNotFitAreRefusedWithASentence) {
  Start({.blocks_hbm = 40, .blocks_host = 80},
        "[[namespace]]\nname = \"a\"\nhbm.guaranteed = \"60%\"\n"
        "[[namespace]]\nname = \"b\"\nhbm.guaranteed = \"20 blocks\"\n");
  TestEngine engine;
  EXPECT_EQ(engine.Open(OptionsFor("a")), KVP_INVALID_ARGUMENT);
  EXPECT_NE(engine.error().find("guaranteed"), std::string::npos) << engine.error();
  EXPECT_NE(engine.error().find("lower some hbm.guaranteed"), std::string::npos) << engine.error();
}

// One prompt after another, each larger than what the quiet engine uses, until told to stop.
class GreedyEngine {
 public:
  explicit GreedyEngine(const EngineOptions& options) {
    thread_ = std::thread([this, options] {
      TestEngine engine;
      bool good = engine.Open(options) == KVP_OK;
      for (uint64_t prompt = 1'000'000; good && !stop_; ++prompt) {
        good = engine.Serve(prompt, 24, 0).status == KVP_OK;
        served_ += good ? 1 : 0;
      }
      failed_ = !good;
    });
  }
  ~GreedyEngine() {
    stop_ = true;
    thread_.join();
  }
  uint64_t served() const { return served_; }
  bool failed() const { return failed_; }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> served_ = 0;
  std::atomic<bool> failed_ = false;
  std::thread thread_;
};

uint64_t NowUs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

// Serves three prompts in turn, which HBM holds; appends what each took to `waits_us`.
void ServeQuietly(TestEngine& engine, uint32_t rounds, std::vector<uint64_t>& waits_us) {
  for (uint32_t round = 0; round < rounds; ++round) {
    const uint64_t begin_us = NowUs();
    const Served served = engine.Serve(round % 3, 2, 0);
    waits_us.push_back(NowUs() - begin_us);
    ASSERT_EQ(served.status, KVP_OK) << engine.error();
    ASSERT_EQ(served.mismatched_blocks, 0u);
  }
}

uint64_t P99(std::vector<uint64_t> waits_us) {
  std::sort(waits_us.begin(), waits_us.end());
  return waits_us[waits_us.size() * 99 / 100];
}

// The times are printed, not judged: what is judged is that the quiet engine is served, every time,
// while greedy ones are at it, and that its guaranteed pages are still in HBM.
TEST_F(ManyEngines, AQuietEngineIsServedBesideGreedyOnes) {
  constexpr uint32_t kGreedy = 3;
  constexpr uint32_t kPhases = 3;
  const uint32_t rounds = Rounds(200);
  Start({.blocks_hbm = 64, .blocks_host = 128, .blocks_nvme = 512},
        "[[namespace]]\nname = \"quiet\"\nhbm.guaranteed = \"10 blocks\"\n");
  TestEngine quiet;
  ASSERT_EQ(quiet.Open(OptionsFor("quiet")), KVP_OK) << quiet.error();
  std::vector<uint64_t> alone_us;
  std::vector<uint64_t> beside_us;
  for (uint32_t phase = 0; phase < kPhases; ++phase) {
    ServeQuietly(quiet, rounds, alone_us);
    if (HasFatalFailure()) return;
    std::vector<std::unique_ptr<GreedyEngine>> greedy;
    for (uint32_t i = 0; i < kGreedy; ++i) {
      greedy.push_back(
          std::make_unique<GreedyEngine>(OptionsFor(absl::StrCat("greedy", phase, "-", i))));
    }
    for (const auto& engine : greedy) {
      while (engine->served() == 0 && !engine->failed()) ServeQuietly(quiet, 1, beside_us);
    }
    ServeQuietly(quiet, rounds, beside_us);
    if (HasFatalFailure()) return;
    const uint64_t groups = UseOf("quiet", "hbm").guaranteed_frames / 10;
    EXPECT_GE(UseOf("quiet", "hbm").frames, 6 * groups);
    for (const auto& engine : greedy) {
      EXPECT_GT(engine->served(), 0u);
      EXPECT_FALSE(engine->failed());
    }
  }
  std::printf(
      "p99 of a small request: %llu us alone, %llu us beside %u greedy engines, ratio %.1f\n",
      static_cast<unsigned long long>(P99(alone_us)),
      static_cast<unsigned long long>(P99(beside_us)), kGreedy,
      static_cast<double>(P99(beside_us)) / static_cast<double>(P99(alone_us)));
}

}  // namespace
}  // namespace kvpager::e2e
