// The random engine on the fake daemon, and on the real one with so little memory that everything
// moves all the time. Prints the seed that fails; KVPAGER_TEST_SEED=N starts at another one.

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "ipc/deadline.h"
#include "tests/engine_plugin/engine_fixture.h"
#include "tests/engine_plugin/random_engine.h"

namespace kvpager::engine {
namespace {

struct Shape {
  uint32_t layers_per_page = 1;
  uint32_t layout = KVP_LAYOUT_NHD;
};

uint64_t SeedFirst() {
  const char* text = std::getenv("KVPAGER_TEST_SEED");
  return text == nullptr ? 1 : std::strtoull(text, nullptr, 10);
}

// In turns, and not in step with the other things that alternate.
uint32_t TransportOf(uint64_t seed) {
  return seed / 4 % 2 == 0 ? KVP_TRANSPORT_RING : KVP_TRANSPORT_ZMQ;
}

constexpr Shape kShapes[] = {{1, KVP_LAYOUT_NHD}, {2, KVP_LAYOUT_HND}};

// A kvpagerd of our own, killed when this goes.
class RealDaemon {
 public:
  RealDaemon() {
    std::vector<std::string> words = {KVPAGER_DAEMON_PATH,
                                      "--config=",
                                      "--hbm.blocks=24",
                                      "--host.blocks=30",
                                      "--nvme.blocks=400",
                                      "--nvme.admit=always",
                                      "--log.level=warning",
                                      "--nvme.path=" + directory_.path(),
                                      "--listen.socket=" + socket_path()};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      execv(arguments[0], arguments.data());
      _exit(127);
    }
  }
  ~RealDaemon() {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  RealDaemon(const RealDaemon&) = delete;
  RealDaemon& operator=(const RealDaemon&) = delete;

  std::string socket_path() const { return directory_.path() + "/kvpager.sock"; }

  // Null if it does not come up.
  kvp_client* Attach(const EngineSetup& setup) const {
    const OpenArguments arguments(socket_path(), setup);
    kvp_client* client = nullptr;
    const Deadline deadline = Deadline::AfterUs(kLongUs);
    while (kvp_client_open(&arguments.options, &client) != KVP_OK && !deadline.passed()) {
      if (waitpid(pid_, nullptr, WNOHANG) == pid_) break;
    }
    return client;
  }

 private:
  TemporaryDirectory directory_;
  pid_t pid_ = -1;
};

TEST(RandomEngine, SeesItsOwnRowsOnTheFakeDaemon) {
  const uint64_t seed_first = SeedFirst();
  for (uint64_t seed = seed_first; seed < seed_first + 30 && !testing::Test::HasFailure(); ++seed) {
    const Shape& shape = kShapes[seed % 2];
    FakeDaemon daemon({.blocks_max = 512});
    const OpenArguments arguments(daemon.socket_path(),
                                  {.layers_per_page = shape.layers_per_page,
                                   .layout = shape.layout,
                                   .pinned_steps = static_cast<uint32_t>(seed / 2 % 2),
                                   .transport = TransportOf(seed)});
    kvp_client* client = nullptr;
    ASSERT_EQ(kvp_client_open(&arguments.options, &client), KVP_OK) << kvp_last_error();
    RandomEngine engine(client, {.seed = seed, .layout = shape.layout});
    engine.Run(200);
    EXPECT_GT(engine.rows_checked(), 1000u);
    kvp_client_close(client);
  }
}

TEST(RandomEngine, SeesItsOwnRowsOnTheRealDaemonWhateverMoves) {
  if (access(KVPAGER_DAEMON_PATH, X_OK) != 0) GTEST_SKIP() << "no kvpagerd in this build";
  const uint64_t seed_first = SeedFirst();
  uint64_t tokens_reused = 0;
  uint64_t host_pages_seen = 0;
  for (const Shape& shape : kShapes) {
    const RealDaemon daemon;
    for (uint64_t seed = seed_first; seed < seed_first + 8 && !testing::Test::HasFailure();
         ++seed) {
      kvp_client* client = daemon.Attach({.layers_per_page = shape.layers_per_page,
                                          .layout = shape.layout,
                                          .pinned_steps = static_cast<uint32_t>(seed % 2),
                                          .transport = TransportOf(seed)});
      ASSERT_NE(client, nullptr) << kvp_last_error();
      // At most 6 sequences of 40 tokens: 60 blocks want to live in 24.
      RandomEngine engine(client, {.seed = seed, .layout = shape.layout, .durable_names = true});
      engine.Run(300);
      EXPECT_GT(engine.rows_checked(), 1000u);
      tokens_reused += engine.tokens_reused();
      host_pages_seen += engine.host_pages_seen();
      kvp_client_close(client);
    }
  }
  EXPECT_GT(tokens_reused, 0u);
  EXPECT_GT(host_pages_seen, 0u);
}

}  // namespace
}  // namespace kvpager::engine
