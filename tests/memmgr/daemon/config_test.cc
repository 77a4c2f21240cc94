// That every configuration is either understood, with the right source winning, or refused with one
// sentence that names the key, where it came from, and what to change.

#include "memmgr/daemon/config.h"

#include <stdlib.h>

#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memmgr/base/units.h"

namespace kvpager {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Machine TestMachine() {
  return {.memory_free_bytes = 16 * kGiB,
          .disk_free_bytes = 100 * kGiB,
          .runtime_directory = "/run/user/7/kvpager",
          .state_directory = "/home/seven/.local/state/kvpager"};
}

class ConfigTest : public ::testing::Test {
 protected:
  ConfigTest() {
    char name[] = "/tmp/kvpager_config_XXXXXX";
    directory_ = mkdtemp(name);
  }
  ~ConfigTest() override {
    if (!file_.empty()) std::remove(file_.c_str());
    std::remove(directory_.c_str());
  }

  void WriteFile(const std::string& text) {
    file_ = directory_ + "/kvpager.toml";
    std::ofstream(file_) << text;
  }

  absl::StatusOr<Config> Read(std::vector<std::string> arguments) {
    arguments.push_back("--config=" + file_);
    const absl::StatusOr<CommandLine> command_line = ParseCommandLine(arguments);
    if (!command_line.ok()) return command_line.status();
    const absl::StatusOr<RawConfig> raw = LoadRawConfig(*command_line, environment_);
    if (!raw.ok()) return raw.status();
    return ResolveConfig(*raw, machine_);
  }

  Config ReadOrDie(const std::vector<std::string>& arguments) {
    absl::StatusOr<Config> config = Read(arguments);
    EXPECT_TRUE(config.ok()) << config.status();
    return config.ok() ? *std::move(config) : Config{};
  }

  std::string Refusal(const std::vector<std::string>& arguments) {
    const absl::StatusOr<Config> config = Read(arguments);
    if (config.ok()) return "(accepted)";
    EXPECT_EQ(config.status().code(), absl::StatusCode::kInvalidArgument);
    const std::string text(config.status().message());
    EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    return text;
  }

  std::string directory_;
  std::string file_;  // Empty: none.
  Environment environment_;
  Machine machine_ = TestMachine();
};

TEST_F(ConfigTest, WithoutAnyConfigurationEverythingHasAValue) {
  const Config config = ReadOrDie({});
  EXPECT_EQ(config.hbm.bytes, kGiB);
  EXPECT_EQ(config.host.bytes, 4 * kGiB);
  EXPECT_TRUE(config.nvme_path.empty());
  EXPECT_EQ(config.socket_path, "/run/user/7/kvpager/kvpager.sock");
  EXPECT_EQ(config.socket_mode, 0600u);
  EXPECT_EQ(config.pool.admission, Admission::kSecondTouch);
  EXPECT_EQ(config.pool.free_hbm.low_permille, 20u);
  EXPECT_EQ(config.pool.clean_host.high_permille, 850u);
  EXPECT_EQ(config.pool.durable_permille, 500u);
}

TEST_F(ConfigTest, AutomaticSizesFollowASmallMachine) {
  machine_.memory_free_bytes = 512 * kMiB;
  const Config config = ReadOrDie({});
  EXPECT_EQ(config.hbm.bytes, 32 * kMiB);
  EXPECT_EQ(config.host.bytes, 128 * kMiB);
}

TEST_F(ConfigTest, AFlagWinsOverTheEnvironmentAndThatOverTheFile) {
  WriteFile("[hbm]\nsize = \"1MiB\"\n[host]\nsize = \"2MiB\"\n[limits]\nsteps = 7\n");
  environment_ = {{"KVPAGER_HOST_SIZE", "4MiB"}, {"KVPAGER_HBM_SIZE", "8MiB"}};
  const Config config = ReadOrDie({"--hbm.size=16MiB"});
  EXPECT_EQ(config.hbm.bytes, 16 * kMiB);
  EXPECT_EQ(config.host.bytes, 4 * kMiB);
  EXPECT_EQ(config.pool.steps_max, 7u);
  EXPECT_EQ(config.raw[Key::kHbmSize].where, "--hbm.size");
  EXPECT_EQ(config.raw[Key::kHostSize].where, "KVPAGER_HOST_SIZE");
  EXPECT_EQ(config.raw[Key::kLimitsSteps].where, "kvpager.toml:6");
  EXPECT_EQ(config.raw[Key::kLogLevel].where, "default");
}

TEST_F(ConfigTest, EveryKeyIsAFlagAnEnvironmentVariableAndAFileKey) {
  for (const KeyInfo& info : ConfigKeys()) {
    const std::string value(info.default_text);
    const std::string name(info.name);
    const auto parsed = ParseCommandLine({"--" + name, value});
    ASSERT_TRUE(parsed.ok()) << name << ": " << parsed.status();
    ASSERT_EQ(parsed->options.size(), 1u) << name;
    EXPECT_EQ(parsed->options[0].second, value) << name;
    environment_ = {{EnvironmentName(info.name), value}};
    file_.clear();
    const Config config = ReadOrDie({});
    EXPECT_EQ(config.raw[info.key].source, ConfigSource::kEnvironment) << name;
    environment_.clear();
    const std::string quoted = info.shape == ValueShape::kStringList ? "[]" : "\"" + value + "\"";
    WriteFile(name + " = " + quoted + "\n");
    EXPECT_EQ(ReadOrDie({}).raw[info.key].source, ConfigSource::kFile) << name;
  }
}

TEST_F(ConfigTest, SizesAreBytesUnitsPercentOrAuto) {
  EXPECT_EQ(ReadOrDie({"--hbm.size=67108864"}).hbm.bytes, 64 * kMiB);
  EXPECT_EQ(ReadOrDie({"--hbm.size=64MiB"}).hbm.bytes, 64 * kMiB);
  EXPECT_EQ(ReadOrDie({"--hbm.size", "1.5 GiB"}).hbm.bytes, 3 * kGiB / 2);
  EXPECT_EQ(ReadOrDie({"--hbm.size=25%"}).hbm.bytes, 16 * kGiB / 100 * 25);
  EXPECT_EQ(ReadOrDie({"--hbm.size=auto"}).hbm.bytes, kGiB);
  const Config blocks = ReadOrDie({"--hbm.blocks=1000"});
  EXPECT_EQ(blocks.hbm.unit, SizeUnit::kBlocks);
  EXPECT_EQ(blocks.hbm.value, 1000u);
  EXPECT_EQ(blocks.hbm.bytes, 0u);
}

TEST_F(ConfigTest, BadSizesSayHowToWriteThem) {
  EXPECT_THAT(Refusal({"--hbm.size=12 apples"}),
              AllOf(HasSubstr("hbm.size = \"12 apples\" (from --hbm.size)"), HasSubstr("64MiB")));
  EXPECT_THAT(Refusal({"--hbm.size=64MB"}), HasSubstr("ambiguous; write KiB, MiB, GiB or TiB"));
  EXPECT_THAT(Refusal({"--hbm.size=101%"}), HasSubstr("at most \"100%\""));
  EXPECT_THAT(Refusal({"--hbm.size=0"}), HasSubstr("leaves no room"));
  EXPECT_THAT(Refusal({"--hbm.size=99999999TiB"}), HasSubstr("larger than any machine"));
  EXPECT_THAT(Refusal({"--hbm.size=-5"}), HasSubstr("is not a size"));
  EXPECT_THAT(Refusal({"--hbm.blocks=many"}), HasSubstr("is not a whole number"));
  EXPECT_THAT(Refusal({"--hbm.size=64MiB", "--hbm.blocks=99999999999999999999"}),
              HasSubstr("is not a whole number"));
}

TEST_F(ConfigTest, SizeAndBlocksFromOneSourceContradict) {
  EXPECT_THAT(Refusal({"--host.size=64MiB", "--host.blocks=100"}),
              AllOf(HasSubstr("host.blocks = \"100\""), HasSubstr("host.size = \"64MiB\""),
                    HasSubstr("set one")));
}

TEST_F(ConfigTest, OfSizeAndBlocksFromTwoSourcesThePrecedingWins) {
  WriteFile("[hbm]\nsize = \"64MiB\"\n");
  EXPECT_EQ(ReadOrDie({"--hbm.blocks=12"}).hbm.unit, SizeUnit::kBlocks);
  WriteFile("[hbm]\nblocks = 12\n");
  EXPECT_EQ(ReadOrDie({"--hbm.size=64MiB"}).hbm.unit, SizeUnit::kBytes);
}

TEST_F(ConfigTest, HostMemoryNeedsTwoBlocks) {
  EXPECT_THAT(Refusal({"--host.blocks=1"}), HasSubstr("give at least 2 blocks"));
  EXPECT_TRUE(Read({"--host.blocks=2"}).ok());
}

TEST_F(ConfigTest, MoreMemoryThanIsFreeIsRefused) {
  EXPECT_THAT(Refusal({"--host.size=17GiB"}),
              AllOf(HasSubstr("17.0 GiB"), HasSubstr("only 16.0 GiB of memory are free")));
  EXPECT_THAT(Refusal({"--host.size=10GiB", "--hbm.size=10GiB"}),
              AllOf(HasSubstr("together 20.0 GiB"), HasSubstr("lower one")));
}

TEST_F(ConfigTest, HbmIsOrdinaryMemoryUnlessAGpuIsAskedFor) {
  machine_.gpu_free_bytes = 100 * kGiB;
  EXPECT_FALSE(ReadOrDie({}).hbm_on_gpu);
  EXPECT_EQ(ReadOrDie({}).hbm.bytes, kGiB);
  EXPECT_FALSE(ReadOrDie({"--hbm.device=host"}).hbm_on_gpu);
  const Config config = ReadOrDie({"--hbm.device=cuda:3"});
  EXPECT_TRUE(config.hbm_on_gpu);
  EXPECT_EQ(config.gpu_ordinal, 3);
  EXPECT_TRUE(ReadOrDie({"--hbm.device=auto"}).hbm_on_gpu);
  for (const char* text : {"gpu", "cuda", "cuda:", "cuda:x", "cuda:-1", "cuda:64", ""}) {
    EXPECT_THAT(Refusal({absl::StrCat("--hbm.device=", text)}), HasSubstr("\"cuda:0\"")) << text;
  }
}

TEST_F(ConfigTest, SizesOnAGpuAreOfItsFreeMemory) {
  machine_.gpu_free_bytes = 100 * kGiB;
  EXPECT_EQ(ReadOrDie({"--hbm.device=cuda:0"}).hbm.bytes, 80 * kGiB);
  EXPECT_EQ(ReadOrDie({"--hbm.device=cuda:0", "--hbm.size=25%"}).hbm.bytes, 25 * kGiB);
  // More than the machine's memory, which it does not take.
  EXPECT_EQ(ReadOrDie({"--hbm.device=cuda:0", "--hbm.size=90GiB"}).hbm.bytes, 90 * kGiB);
  EXPECT_THAT(Refusal({"--hbm.device=cuda:0", "--hbm.size=101GiB"}),
              HasSubstr("only 100.0 GiB of cuda:0 are free"));
}

TEST_F(ConfigTest, AGpuThatIsNotThereIsRefusedOrExplained) {
  machine_.gpu_free_bytes = absl::UnavailableError("no CUDA driver: nobody installed one");
  EXPECT_THAT(Refusal({"--hbm.device=cuda:0"}),
              AllOf(HasSubstr("from --hbm.device"), HasSubstr("nobody installed one"),
                    HasSubstr("\"host\"")));
  const Config config = ReadOrDie({"--hbm.device=auto"});
  EXPECT_FALSE(config.hbm_on_gpu);
  EXPECT_EQ(config.hbm.bytes, kGiB);
  EXPECT_THAT(config.no_gpu_reason, HasSubstr("nobody installed one"));
}

TEST_F(ConfigTest, AFileSizeLimitBelowATierIsRefused) {
  machine_.file_size_bytes_max = 8 * kMiB;
  EXPECT_THAT(Refusal({"--hbm.size=64MiB"}), HasSubstr("ulimit -f"));
  EXPECT_THAT(Refusal({"--hbm.blocks=2", "--host.blocks=2", "--nvme.path=/x", "--nvme.size=1GiB"}),
              AllOf(HasSubstr("nvme.size"), HasSubstr("ulimit -f")));
}

TEST_F(ConfigTest, NvmeIsOffUntilItHasADirectory) {
  EXPECT_EQ(ReadOrDie({"--nvme.path=auto"}).nvme_path, "/home/seven/.local/state/kvpager");
  EXPECT_EQ(ReadOrDie({"--nvme.path=/data/kv/"}).nvme_path, "/data/kv");
  EXPECT_EQ(ReadOrDie({"--nvme.path=/data/kv"}).nvme.bytes, 50 * kGiB);
  EXPECT_THAT(Refusal({"--nvme.size=1GiB"}),
              AllOf(HasSubstr("nvme.path is empty"), HasSubstr("set nvme.path")));
  EXPECT_THAT(Refusal({"--nvme.blocks=10"}), HasSubstr("nvme.path is empty"));
  EXPECT_THAT(Refusal({"--nvme.path=data"}), HasSubstr("starts with /"));
  EXPECT_THAT(Refusal({"--nvme.encryption_key_file=/k"}), HasSubstr("nvme.path is empty"));
  EXPECT_THAT(Refusal({"--nvme.path=/data", "--nvme.encryption_key_file=k"}),
              HasSubstr("credential:NAME"));
}

TEST_F(ConfigTest, AnEmptyPathFlagSwitchesTheTierOfTheFileOff) {
  WriteFile("[nvme]\npath = \"/data\"\nsize = \"1GiB\"\n");
  EXPECT_FALSE(ReadOrDie({}).nvme_path.empty());
  EXPECT_TRUE(ReadOrDie({"--nvme.path="}).nvme_path.empty());
}

TEST_F(ConfigTest, MoreDiskThanIsFreeIsRefused) {
  EXPECT_THAT(Refusal({"--nvme.path=/data", "--nvme.size=101GiB"}),
              AllOf(HasSubstr("101.0 GiB"), HasSubstr("only 100.0 GiB are free in /data"),
                    HasSubstr("lower it")));
}

TEST_F(ConfigTest, WatermarksMustBeInOrder) {
  EXPECT_THAT(Refusal({"--policy.hbm_free_low=0.05"}),
              AllOf(HasSubstr("policy.hbm_free_low"), HasSubstr("below policy.hbm_free_high")));
  EXPECT_THAT(Refusal({"--policy.host_clean_high=0.1"}), HasSubstr("policy.host_clean_low"));
  EXPECT_THAT(Refusal({"--policy.host_clean_high=150%"}), HasSubstr("at most 1"));
  EXPECT_THAT(Refusal({"--policy.host_clean_high=most"}), HasSubstr("is not a share"));
  EXPECT_EQ(ReadOrDie({"--policy.host_clean_high=90%"}).pool.clean_host.high_permille, 900u);
}

TEST_F(ConfigTest, UnknownKeysAreRefusedWithTheLikelyOne) {
  WriteFile("[hbm]\nsise = \"64MiB\"\n");
  EXPECT_THAT(Refusal({}), AllOf(HasSubstr("kvpager.toml:2"), HasSubstr("\"hbm.sise\""),
                                 HasSubstr("did you mean \"hbm.size\"?")));
  WriteFile("[hmb]\nsize = \"64MiB\"\n");
  EXPECT_THAT(Refusal({}), HasSubstr("did you mean \"hbm.size\"?"));
  WriteFile("[quantum]\nentanglement = 3\n");
  EXPECT_THAT(Refusal({}), AllOf(HasSubstr("unknown key"), Not(HasSubstr("did you mean"))));
  WriteFile("");
  environment_ = {{"KVPAGER_NVME_BLOCK", "3"}};
  EXPECT_THAT(Refusal({}), AllOf(HasSubstr("KVPAGER_NVME_BLOCK"), HasSubstr("NVME_BLOCKS")));
}

TEST_F(ConfigTest, VariablesOfOtherProgramsAreLeftAlone) {
  environment_ = {{"KVPAGER_SOCKET", "/x"}, {"KVPAGER_CRASH_AT", "y"}, {"PATH", "/bin"}};
  EXPECT_TRUE(Read({}).ok());
}

TEST_F(ConfigTest, UnknownOptionsAreUsageErrorsWithTheLikelyOne) {
  const auto option = ParseCommandLine({"--nvme.block=12"});
  ASSERT_FALSE(option.ok());
  EXPECT_THAT(std::string(option.status().message()),
              AllOf(HasSubstr("--nvme.block"), HasSubstr("did you mean \"nvme.blocks\"?")));
  const auto argument = ParseCommandLine({"start"});
  ASSERT_FALSE(argument.ok());
  EXPECT_THAT(std::string(argument.status().message()), HasSubstr("unexpected argument \"start\""));
  EXPECT_FALSE(ParseCommandLine({"--hbm.size"}).ok());
}

TEST_F(ConfigTest, BrokenTomlIsNamedWithItsLine) {
  WriteFile("[hbm]\nsize = \n");
  EXPECT_THAT(Refusal({}), HasSubstr("kvpager.toml:2"));
  WriteFile("[hbm]\nsize = [\"1MiB\"]\n");
  EXPECT_THAT(Refusal({}), HasSubstr("hbm.size is one value, not a list"));
  file_ = "/nonexistent/kvpager.toml";
  EXPECT_THAT(Refusal({}), HasSubstr("cannot read the configuration file"));
  file_.clear();
}

TEST_F(ConfigTest, ChoicesNameTheirAlternatives) {
  EXPECT_THAT(Refusal({"--nvme.admit=twice"}), HasSubstr("never, second-touch, always"));
  for (const char* budget : {"lots", "0", "0%", "auto", "12 blocks"}) {
    EXPECT_THAT(Refusal({absl::StrCat("--nvme.write_budget=", budget)}),
                HasSubstr("\"50%\" of the tier, or \"none\""));
  }
  EXPECT_THAT(Refusal({"--log.level=inf"}), HasSubstr("did you mean \"info\"?"));
  EXPECT_THAT(Refusal({"--host.hugepages=perhaps"}), HasSubstr("auto, off"));
  EXPECT_THAT(Refusal({"--security.require_token=maybe"}), HasSubstr("neither true nor false"));
  EXPECT_THAT(Refusal({"--limits.clients=0"}), HasSubstr("must be in [1, 1024]"));
}

TEST_F(ConfigTest, SocketsArePrivateOrForOneGroup) {
  EXPECT_THAT(Refusal({"--listen.mode=0666"}), HasSubstr("0600, 0660"));
  EXPECT_THAT(Refusal({"--listen.mode=0660"}), HasSubstr("say which with listen.group"));
  EXPECT_THAT(Refusal({"--listen.group=users"}), HasSubstr("set listen.mode"));
  EXPECT_THAT(Refusal({"--listen.mode=0660", "--listen.group=users"}),
              HasSubstr("private directory"));
  const Config config = ReadOrDie(
      {"--listen.mode=0660", "--listen.group=users", "--listen.socket=/srv/kvp/kvpager.sock"});
  EXPECT_EQ(config.socket_mode, 0660u);
  EXPECT_THAT(Refusal({"--listen.socket=kvpager.sock"}), HasSubstr("starts with /"));
  EXPECT_THAT(Refusal({"--listen.socket=/" + std::string(200, 'x')}), HasSubstr("shorter"));
}

TEST_F(ConfigTest, NamespacesAreTablesWithNamesAndSecrets) {
  WriteFile(
      "[security]\nrequire_token = true\n[pool]\nnamespaces = [\"a\", \"b\"]\n"
      "[[namespace]]\nname = \"a\"\ntoken = \"t\"\nsecret = \"s\"\n"
      "[[namespace]]\nname = \"b\"\nsecret_file = \"/etc/b\"\n");
  const Config config = ReadOrDie({});
  ASSERT_EQ(config.namespaces.size(), 2u);
  EXPECT_EQ(config.namespaces[0].token, "t");
  EXPECT_EQ(config.namespaces[1].secret_file, "/etc/b");
  EXPECT_EQ(config.pool_namespaces, (std::vector<std::string>{"a", "b"}));
}

TEST_F(ConfigTest, BadNamespacesAreRefused) {
  WriteFile("[[namespace]]\nname = \"a\"\ntokn = \"t\"\n");
  EXPECT_THAT(Refusal({}), AllOf(HasSubstr("kvpager.toml:3"), HasSubstr("\"token\"")));
  WriteFile("[[namespace]]\nname = \"a\"\n[[namespace]]\nname = \"a\"\n");
  EXPECT_THAT(Refusal({}), HasSubstr("listed twice"));
  WriteFile("[[namespace]]\nname = \"a b\"\n");
  EXPECT_THAT(Refusal({}), HasSubstr("printable characters without spaces"));
  WriteFile("[[namespace]]\nname = \"a\"\nsecret = \"x\"\nsecret_file = \"/y\"\n");
  EXPECT_THAT(Refusal({}), HasSubstr("keep one"));
  WriteFile("[security]\nrequire_token = true\n");
  EXPECT_THAT(Refusal({}), HasSubstr("nobody could attach"));
}

TEST_F(ConfigTest, NamespacesHaveQuotasInEveryTier) {
  WriteFile(
      "[[namespace]]\nname = \"a\"\nshare = 3\nhbm.guaranteed = \"10%\"\nhbm.max = \"50%\"\n"
      "host = { max = \"12 blocks\" }\nnvme.max = 1048576\n[[namespace]]\nname = \"b\"\n");
  const Config config = ReadOrDie({});
  ASSERT_EQ(config.namespaces.size(), 2u);
  const NamespaceConfig& a = config.namespaces[0];
  EXPECT_TRUE(a.has_quota());
  EXPECT_FALSE(config.namespaces[1].has_quota());
  EXPECT_EQ(a.share, 3u);
  EXPECT_EQ(a.quotas[0].guaranteed.unit, SizeUnit::kPercent);
  EXPECT_EQ(a.quotas[0].guaranteed.value, 10u);
  EXPECT_EQ(a.quotas[0].max.value, 50u);
  EXPECT_EQ(a.quotas[1].guaranteed.unit, SizeUnit::kAuto);
  EXPECT_EQ(a.quotas[1].max.unit, SizeUnit::kBlocks);
  EXPECT_EQ(a.quotas[1].max.value, 12u);
  EXPECT_EQ(a.quotas[2].max.bytes, kMiB);
  const std::string printed = PrintConfig(config);
  EXPECT_THAT(printed, HasSubstr("hbm.guaranteed = \"10%\""));
  EXPECT_THAT(printed, HasSubstr("share = 3"));
  WriteFile(printed);
  EXPECT_EQ(ReadOrDie({}).namespaces[0].quotas[1].max.value, 12u);
}

TEST_F(ConfigTest, QuotasThatMakeNoSenseAreRefusedWithTheirNamespace) {
  const auto problem = [&](const std::string& line) {
    WriteFile("[[namespace]]\nname = \"a\"\n" + line + "\n");
    return std::string(Read({}).status().message());
  };
  EXPECT_THAT(problem("hbm.max = \"lots\""),
              AllOf(HasSubstr("namespace \"a\""), HasSubstr("hbm.max")));
  EXPECT_THAT(problem("hbm.max = \"auto\""), HasSubstr("is no quota"));
  EXPECT_THAT(problem("hbm.maks = \"5%\""), HasSubstr("did you mean \"max\""));
  EXPECT_THAT(problem("hbm = \"5%\""), HasSubstr("hbm.guaranteed"));
  EXPECT_THAT(problem("host.max = \"200%\""), HasSubstr("more than everything"));
  EXPECT_THAT(problem("share = 0"), HasSubstr("must be a whole number in [1, 1000]"));
  EXPECT_THAT(problem("share = \"2\""), HasSubstr("must be a number"));
  EXPECT_THAT(problem("nvme.guaranteed = \"5%\"\nnvme.max = \"4%\""),
              HasSubstr("nvme.guaranteed = 5% is more than nvme.max = 4%"));
}

TEST_F(ConfigTest, WhatIsPrintedReadsBackTheSameAndHidesSecrets) {
  WriteFile(
      "[host]\nsize = \"64MiB\"\n[policy]\nhbm_free_high = \"5%\"\n"
      "[[namespace]]\nname = \"a\"\ntoken = \"tell-nobody\"\nsecret = \"hush-hush\"\n");
  environment_ = {{"KVPAGER_LOG_LEVEL", "debug"}};
  const std::string printed = PrintConfig(ReadOrDie({"--hbm.blocks=77"}));
  EXPECT_THAT(printed,
              AllOf(HasSubstr("# from --hbm.blocks"), HasSubstr("# from KVPAGER_LOG_LEVEL"),
                    HasSubstr("# from kvpager.toml:2"), HasSubstr("# from default")));
  EXPECT_THAT(printed, AllOf(Not(HasSubstr("tell-nobody")), Not(HasSubstr("hush-hush"))));
  environment_.clear();
  WriteFile(printed);
  const Config again = ReadOrDie({});
  EXPECT_EQ(again.hbm.unit, SizeUnit::kBlocks);
  EXPECT_EQ(again.hbm.value, 77u);
  EXPECT_EQ(again.host.bytes, 64 * kMiB);
  EXPECT_EQ(again.pool.free_hbm.high_permille, 50u);
  EXPECT_EQ(again.log_level, "debug");
}

TEST_F(ConfigTest, TheActionsAreFlags) {
  EXPECT_EQ(ParseCommandLine({})->action, CommandAction::kRun);
  EXPECT_EQ(ParseCommandLine({"--check-config"})->action, CommandAction::kCheckConfig);
  EXPECT_EQ(ParseCommandLine({"--print-config"})->action, CommandAction::kPrintConfig);
  EXPECT_EQ(ParseCommandLine({"--version"})->action, CommandAction::kVersion);
  const auto help = ParseCommandLine({"--help"});
  EXPECT_EQ(help->action, CommandAction::kHelp);
  for (const KeyInfo& info : ConfigKeys()) {
    EXPECT_THAT(help->help_text, HasSubstr("--" + std::string(info.name)));
  }
}

TEST_F(ConfigTest, AnEmptyConfigFlagMeansNoFile) {
  for (const std::vector<std::string>& arguments :
       {std::vector<std::string>{"--config="}, std::vector<std::string>{"--config", ""}}) {
    const auto parsed = ParseCommandLine(arguments);
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_TRUE(parsed->config_given);
    environment_ = {{"KVPAGER_CONFIG", "/nonexistent/kvpager.toml"}};
    EXPECT_TRUE(LoadRawConfig(*parsed, environment_).ok());
  }
  EXPECT_FALSE(LoadRawConfig(*ParseCommandLine({}), environment_).ok());
}

}  // namespace
}  // namespace kvpager
