// That engines may die anywhere, and hang, without anything being lost or left behind: a thousand
// kills beside an engine that verifies its bytes all the time, leases, and revocation of engines
// that may be killed and that may not.
//
// How: mortal_engine.cc, killed where it says "at" or at times drawn from a seed. What is left is
// what kvpagerctl says, and what the kernel says of the daemon.

#include <signal.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "tests/e2e/test_engine.h"
#include "tests/e2e/testbed.h"

namespace kvpager::e2e {
namespace {

constexpr uint64_t kSeed = 20261123;
constexpr uint32_t kPrompts = 8;  // As mortal_engine.cc.
constexpr uint32_t kPromptBlocks = 4;
constexpr uint32_t kTimeoutMs = 60'000;
constexpr uid_t kNobody = 65534;

// Until `done` or the time is over; true if done.
template <typename Done>
bool Eventually(Done done) {
  for (uint32_t waited_ms = 0; waited_ms < kTimeoutMs; waited_ms += 10) {
    if (done()) return true;
    usleep(10'000);
  }
  return done();
}

class Death : public ::testing::Test {
 protected:
  void Start(const DaemonOptions& options) {
    daemon_ = std::make_unique<Daemon>(directory_, options);
    ASSERT_TRUE(daemon_->WaitUntilReady()) << daemon_->Log();
    // The pool is made, and what every engine knows is durable.
    TestEngine engine;
    ASSERT_EQ(engine.Open(OptionsOf()), KVP_OK) << engine.error();
    for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
      ASSERT_EQ(engine.Serve(prompt, kPromptBlocks, KVP_NAME_DURABLE).status, KVP_OK);
    }
  }

  EngineOptions OptionsOf() const {
    EngineOptions options;
    options.socket_path = daemon_->socket_path();
    return options;
  }

  std::unique_ptr<Process> Launch(const std::string& mode, uint64_t seed, const std::string& file) {
    ProcessOptions options;
    options.command = {ProgramPath("mortal_engine"), daemon_->socket_path(), mode,
                       std::to_string(seed)};
    options.output_path = directory_.File(file);
    WriteFileText(options.output_path, "");
    return std::make_unique<Process>(std::move(options));
  }

  static bool Said(const Process& process, const std::string& words) {
    return process.Output().find(words) != std::string::npos;
  }

  void AwaitPlace(Process& process) {
    ASSERT_TRUE(Eventually([&] { return Said(process, "at\n") || !process.running(); }));
    ASSERT_TRUE(Said(process, "at\n")) << process.Output();
  }

  Facts Status() { return RunCtl(*daemon_, directory_, {"status"}); }
  Facts Clients() { return RunCtl(*daemon_, directory_, {"clients"}); }

  // Path of the entry of the engine with this pid in Clients(); empty: there is none.
  static std::string EntryOf(const Facts& clients, const Process& process) {
    for (int i = 0; clients.has(absl::StrCat("/clients/", i, "/pid")); ++i) {
      const std::string entry = absl::StrCat("/clients/", i);
      if (clients.Text(entry + "/pid") == std::to_string(process.pid())) return entry;
    }
    return "";
  }

  void ExpectServed() {
    TestEngine engine;
    ASSERT_EQ(engine.Open(OptionsOf()), KVP_OK) << engine.error();
    for (uint64_t prompt = 1; prompt <= kPrompts; ++prompt) {
      const Served served = engine.Serve(prompt, kPromptBlocks, 0);
      EXPECT_EQ(served.status, KVP_OK) << engine.error();
      EXPECT_EQ(served.reused_blocks, kPromptBlocks) << "prompt " << prompt;
      EXPECT_EQ(served.mismatched_blocks, 0u) << "prompt " << prompt;
    }
  }

  TemporaryDirectory directory_;
  std::unique_ptr<Daemon> daemon_;
};

uint64_t DescriptorsOf(pid_t pid) {
  uint64_t count = 0;
  const std::string path = absl::StrCat("/proc/", pid, "/fd");
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    count += entry.path().empty() ? 0 : 1;
  }
  return count;
}

// What the process has for itself; shared memory is bounded by its size.
uint64_t AnonymousKib(pid_t pid) {
  const std::string status = ReadFileText(absl::StrCat("/proc/", pid, "/status"));
  const size_t at = status.find("RssAnon:");
  return at == std::string::npos ? 0 : std::strtoull(status.c_str() + at + 8, nullptr, 10);
}

bool Sanitized() { return std::getenv("KVPAGER_TEST_SANITIZED") != nullptr; }

// ---- A thousand kills

class ManyDeaths : public Death {
 protected:
  struct Victim {
    std::unique_ptr<Process> process;
    bool anywhere = false;  // Killed at a time, not at a place.
    uint32_t lives_ms = 0;
    uint64_t prompt = 0;  // That it names durably; 0: none.
  };

  Victim Send(uint64_t number) {
    static const std::vector<std::string> kModes = {
        "run", "free", "run", "ready", "run", "pending", "posted", "silent", "unread", "named"};
    const std::string& mode = kModes[number % kModes.size()];
    Victim victim;
    victim.anywhere = mode == "run";
    victim.lives_ms = static_cast<uint32_t>(random_() % 40);
    if (mode == "named") victim.prompt = 1000 + number;
    victim.process = Launch(mode, mode == "named" ? victim.prompt : random_() % 1'000'000,
                            absl::StrCat("victim", number % kAtOnce, ".out"));
    return victim;
  }

  void Kill(Victim& victim) {
    if (victim.process == nullptr) return;
    if (victim.anywhere) {
      victim.process->EndsWithin(victim.lives_ms);
    } else {
      AwaitPlace(*victim.process);
    }
    // It must be alive until then: one that gave up has found something wrong.
    EXPECT_TRUE(victim.process->running()) << victim.process->Output();
    victim.process->Signal(SIGKILL);
    victim.process->Wait(60);
    if (victim.prompt != 0) named_.push_back(victim.prompt);
    victim.process.reset();
  }

  void KillMany(uint64_t end) {
    for (; killed_ < end; ++killed_) {
      Victim& victim = victims_[killed_ % kAtOnce];
      Kill(victim);
      victim = Send(killed_);
      if (HasFailure()) return;
    }
    for (Victim& victim : victims_) Kill(victim);
  }

  // Connections of who has just left are closed by another thread.
  void AwaitDescriptors() {
    uint32_t same = 0;
    ASSERT_TRUE(Eventually([&] {
      const uint64_t now = DescriptorsOf(pid());
      same = now == descriptors_ ? same + 1 : 0;
      descriptors_ = now;
      return same == 30;
    }));
  }

  // Everything that the victims had is back; `engines` are left.
  void ExpectSettled(uint64_t engines) {
    EXPECT_TRUE(Eventually([&] {
      const Facts status = Status();
      return status.Number("/engines") == engines && status.Counter("operations_in_flight") == 0 &&
             status.Counter("limbo_frames") == 0;
    })) << daemon_->Log();
    EXPECT_TRUE(Eventually([&] { return DescriptorsOf(pid()) == descriptors_; }))
        << DescriptorsOf(pid()) << " descriptors instead of " << descriptors_;
  }

  void Measure() {
    ExpectSettled(1);
    anonymous_kib_.push_back(AnonymousKib(pid()));
    std::printf("after %4llu kills: %llu descriptors, %llu KiB of its own\n",
                static_cast<unsigned long long>(killed_),
                static_cast<unsigned long long>(DescriptorsOf(pid())),
                static_cast<unsigned long long>(anonymous_kib_.back()));
  }

  void ExpectNothingLeft();
  pid_t pid() const { return daemon_->process().pid(); }

  static constexpr uint32_t kAtOnce = 4;
  std::mt19937_64 random_{kSeed};
  Victim victims_[kAtOnce];
  uint64_t killed_ = 0;
  uint64_t descriptors_ = 0;
  std::vector<uint64_t> named_;
  std::vector<uint64_t> anonymous_kib_;
};

void ManyDeaths::ExpectNothingLeft() {
  TestEngine engine;
  ASSERT_EQ(engine.Open(OptionsOf()), KVP_OK) << engine.error();
  for (const uint64_t prompt : named_) {
    const Served served = engine.Serve(prompt, 2, 0);
    EXPECT_EQ(served.status, KVP_OK) << engine.error();
    EXPECT_EQ(served.reused_blocks, 2u) << "prompt " << prompt << " was named";
    EXPECT_EQ(served.mismatched_blocks, 0u) << "prompt " << prompt;
  }
  engine.Close();
  ExpectServed();
  ExpectSettled(0);
  const Facts status = Status();
  EXPECT_EQ(status.Number("/sequences"), 0u);
  EXPECT_EQ(status.Number("/steps"), 0u);
  EXPECT_EQ(status.Counter("quarantined_frames"), 0u);
  EXPECT_EQ(status.Counter("engines_cut_off"), 0u);
  EXPECT_EQ(status.Counter("engines_revoked"), 0u);
  for (const std::string tier : {"/tiers/0", "/tiers/1", "/tiers/2"}) {
    EXPECT_EQ(status.Number(tier + "/pinned_pages"), 0u) << tier;
    // A block has one page here.
    const uint64_t used =
        status.Number(tier + "/capacity_frames") - status.Number(tier + "/free_frames");
    EXPECT_EQ(used, status.Number(tier + "/blocks")) << tier;
  }
  EXPECT_EQ(status.Counter("blocks_known"), kPrompts * kPromptBlocks + 2 * named_.size());
}

TEST_F(ManyDeaths, LeaveNothingBehind) {
  DaemonOptions options;
  options.blocks_hbm = 128;  // Room for what four of them do at once.
  options.blocks_host = 160;
  Start(options);
  ASSERT_FALSE(HasFatalFailure());
  const std::unique_ptr<Process> witness = Launch("witness", kSeed, "witness.out");
  AwaitPlace(*witness);
  AwaitDescriptors();
  const uint64_t all = Rounds(1000);
  for (const uint64_t part : {all / 5, all / 2, all}) {
    KillMany(part);
    ASSERT_FALSE(HasFailure()) << daemon_->Log();
    Measure();
  }
  // Half of the kills are between the last two: what each leaves behind adds up.
  const uint64_t growth_kib =
      anonymous_kib_[2] > anonymous_kib_[1] ? anonymous_kib_[2] - anonymous_kib_[1] : 0;
  if (!Sanitized()) {
    EXPECT_LT(growth_kib, (all - all / 2) / 2) << "half a KiB per kill";
  }
  witness->Signal(SIGTERM);
  EXPECT_EQ(witness->Wait(60), 0) << witness->Output();
  EXPECT_TRUE(Said(*witness, "closed")) << witness->Output();
  std::printf("witness: %s", witness->Output().c_str());
  const uint64_t with_witness = descriptors_;
  AwaitDescriptors();
  EXPECT_LT(descriptors_, with_witness);
  ExpectNothingLeft();
  EXPECT_EQ(daemon_->Stop(), 0) << daemon_->Log();
}

// ---- Engines that hang

class Hanging : public Death, public ::testing::WithParamInterface<std::string> {};

TEST_P(Hanging, IsRevokedWhenItsLeaseIsOver) {
  DaemonOptions options;
  options.flags = {"--limits.step_lease=2"};
  Start(options);
  ASSERT_FALSE(HasFatalFailure());
  const std::unique_ptr<Process> witness = Launch("witness", kSeed, "witness.out");
  AwaitPlace(*witness);
  const std::unique_ptr<Process> hangs = Launch(GetParam(), 1, "hangs.out");
  AwaitPlace(*hangs);
  EXPECT_EQ(hangs->Wait(60), 128 + SIGKILL) << hangs->Output();
  EXPECT_TRUE(Eventually([&] { return Status().Number("/engines") == 1; }));
  const Facts status = Status();
  EXPECT_EQ(status.Counter("engines_overdue"), 1u);
  EXPECT_EQ(status.Counter("engines_revoked"), 1u);
  EXPECT_EQ(status.Counter("quarantined_frames"), 0u) << "it was killed";
  EXPECT_NE(daemon_->Log().find("limits.step_lease is 2 s; killed"), std::string::npos)
      << daemon_->Log();
  witness->Signal(SIGTERM);
  EXPECT_EQ(witness->Wait(60), 0) << witness->Output();
  ExpectServed();
}

TEST_P(Hanging, IsSeenAndRevokedByAnAdministrator) {
  Start({});
  ASSERT_FALSE(HasFatalFailure());
  const std::unique_ptr<Process> hangs = Launch(GetParam(), 1, "hangs.out");
  AwaitPlace(*hangs);
  std::string entry;
  Facts clients{{}};
  ASSERT_TRUE(Eventually([&] {
    clients = Clients();
    entry = EntryOf(clients, *hangs);
    return !entry.empty() && clients.Number(entry + "/step_oldest_us") > 100'000;
  }));
  EXPECT_EQ(clients.Text(entry + "/state"), "attached");
  EXPECT_EQ(clients.Number(entry + "/pinned_pages") > 0, GetParam() != "free");
  const std::string id = clients.Text(entry + "/client");
  RunCtl(*daemon_, directory_, {"revoke", id});
  EXPECT_EQ(hangs->Wait(60), 128 + SIGKILL) << hangs->Output();
  EXPECT_EQ(Status().Number("/engines"), 0u) << "the answer comes when it is done";
  int exit_status = 0;
  RunCtl(*daemon_, directory_, {"revoke", id}, &exit_status);
  EXPECT_EQ(exit_status, 4) << "there is no such engine any more";
  ExpectServed();
}

INSTANTIATE_TEST_SUITE_P(Kinds, Hanging, ::testing::Values("free", "ready", "pending"),
                         [](const auto& test) { return test.param; });

// The daemon is nobody, the engine root: it may not be killed.
class Untouchable : public Death, public ::testing::WithParamInterface<std::string> {
 protected:
  void SetUp() override {
    if (geteuid() != 0) GTEST_SKIP() << "only root can start a daemon as another user";
    place_.GiveTo(kNobody);
    std::filesystem::copy_file(ProgramPath("kvpagerd"), place_.File("kvpagerd"));
  }

  void StartAsNobody(const std::vector<std::string>& flags) {
    DaemonOptions options;
    options.program_path = place_.File("kvpagerd");
    options.uid = kNobody;
    options.flags = flags;
    options.nvme_path = place_.File("nvme");
    options.socket_path = place_.File("kvpager.sock");
    Start(options);
  }

  TemporaryDirectory place_{Place::kSystem};
};

TEST_P(Untouchable, KeepsWhatItCouldWriteAndIsToldWhenItWakes) {
  StartAsNobody({});
  ASSERT_FALSE(HasFatalFailure());
  const std::unique_ptr<Process> hangs = Launch(GetParam(), 1, "hangs.out");
  AwaitPlace(*hangs);
  Facts clients = Clients();
  std::string entry = EntryOf(clients, *hangs);
  ASSERT_FALSE(entry.empty());
  const std::string id = clients.Text(entry + "/client");
  const Facts revoked = RunCtl(*daemon_, directory_, {"revoke", id});
  EXPECT_GT(revoked.Number("/quarantined_frames"), 0u);
  EXPECT_TRUE(hangs->running());
  clients = Clients();
  entry = EntryOf(clients, *hangs);
  EXPECT_EQ(clients.Text(entry + "/state"), "revoked");
  const Facts status = Status();
  EXPECT_EQ(status.Counter("quarantined_frames"), revoked.Number("/quarantined_frames"));
  EXPECT_EQ(status.Number("/sequences"), 0u);
  EXPECT_EQ(status.Number("/tiers/0/pinned_pages"), 0u);
  ExpectServed();  // By what is left.
  hangs->Signal(SIGUSR1);
  EXPECT_EQ(hangs->Wait(60), 0) << hangs->Output();
  EXPECT_TRUE(Said(*hangs, absl::StrCat("end ", KVP_ABORTED, " "))) << hangs->Output();
  EXPECT_TRUE(Said(*hangs, absl::StrCat("then ", KVP_ABORTED, "\n"))) << hangs->Output();
  EXPECT_TRUE(Eventually([&] { return Status().Number("/engines") == 0; }));
  EXPECT_EQ(Status().Counter("quarantined_frames"), 0u);
  ExpectServed();
}

TEST_P(Untouchable, IsRevokedByItsLeaseAndLetGoOfWhenItDies) {
  StartAsNobody({"--limits.step_lease=2"});
  ASSERT_FALSE(HasFatalFailure());
  const std::unique_ptr<Process> hangs = Launch(GetParam(), 1, "hangs.out");
  AwaitPlace(*hangs);
  ASSERT_TRUE(Eventually([&] { return Status().Counter("engines_revoked") == 1; }));
  EXPECT_GT(Status().Counter("quarantined_frames"), 0u);
  EXPECT_NE(daemon_->Log().find("it cannot be killed"), std::string::npos) << daemon_->Log();
  EXPECT_TRUE(hangs->running());
  hangs->Signal(SIGKILL);
  EXPECT_TRUE(Eventually([&] { return Status().Number("/engines") == 0; }));
  EXPECT_EQ(Status().Counter("quarantined_frames"), 0u);
  ExpectServed();
}

INSTANTIATE_TEST_SUITE_P(Kinds, Untouchable, ::testing::Values("free", "ready"),
                         [](const auto& test) { return test.param; });

}  // namespace
}  // namespace kvpager::e2e
