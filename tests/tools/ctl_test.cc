// That kvpagerctl reads its command line as documented, prints what people can read, and JSON that
// programs can.

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tools/kvpagerctl/connection.h"
#include "tools/kvpagerctl/options.h"
#include "tools/kvpagerctl/reports.h"
#include "tools/kvpagerctl/text.h"

namespace kvpager::ctl {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

absl::StatusOr<Options> Parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "kvpagerctl");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  return ParseOptions(static_cast<int>(arguments.size()), argv.data());
}

TEST(CtlOptions, EveryVerbIsUnderstood) {
  const std::pair<std::vector<std::string>, Verb> lines[] = {
      {{"status"}, Verb::kStatus},
      {{"tiers"}, Verb::kTiers},
      {{"seq", "ls"}, Verb::kSequenceList},
      {{"seq", "show", "1-0002"}, Verb::kSequenceShow},
      {{"clients"}, Verb::kClients},
      {{"revoke", "3"}, Verb::kRevoke},
      {{"namespaces"}, Verb::kNamespaces},
      {{"evict", "1-0002", "--tier", "nvme"}, Verb::kEvict},
      {{"prefetch", "1-0002", "--tier", "hbm"}, Verb::kPrefetch},
      {{"version"}, Verb::kVersion},
      {{"--help"}, Verb::kHelp},
  };
  for (const auto& [arguments, verb] : lines) {
    const auto options = Parse(arguments);
    ASSERT_TRUE(options.ok()) << arguments[0] << ": " << options.status();
    EXPECT_EQ(options->verb, verb) << arguments[0];
  }
}

TEST(CtlOptions, CommonFlagsMayStandBeforeAndBehindTheVerb) {
  const auto before = Parse({"--json", "--socket", "/s", "seq", "ls"});
  const auto behind = Parse({"seq", "ls", "--json", "--socket", "/s"});
  for (const auto* options : {&before, &behind}) {
    ASSERT_TRUE(options->ok()) << options->status();
    EXPECT_TRUE((*options)->json);
    EXPECT_EQ((*options)->socket_path, "/s");
  }
}

TEST(CtlOptions, WrongLinesAreRefused) {
  EXPECT_FALSE(Parse({}).ok());
  EXPECT_FALSE(Parse({"seq"}).ok());
  EXPECT_FALSE(Parse({"seq", "show"}).ok());
  EXPECT_FALSE(Parse({"revoke"}).ok());
  EXPECT_FALSE(Parse({"revoke", "all"}).ok());
  EXPECT_FALSE(Parse({"evict", "1-2"}).ok());
  EXPECT_FALSE(Parse({"evict", "1-2", "--tier", "hbm"}).ok());
  EXPECT_FALSE(Parse({"prefetch", "1-2", "--tier", "nvme"}).ok());
  EXPECT_FALSE(Parse({"status", "--timeout", "-1"}).ok());
  EXPECT_FALSE(Parse({"status", "--frobnicate"}).ok());
}

TEST(CtlOptions, SequencesReadBackAsTheyAreShown) {
  for (const uint64_t value : {uint64_t{1} << 32, uint64_t{0x9f3c} << 32 | 0x12, ~uint64_t{1}}) {
    const auto parsed = ParseSequence(FormatSequence(SequenceId{value}));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(parsed->value, value);
  }
  EXPECT_EQ(FormatSequence(SequenceId{uint64_t{0x9f3c} << 32 | 0x12}), "9f3c-0012");
  EXPECT_EQ(ParseSequence("0x10")->value, 16u);
  EXPECT_EQ(ParseSequence("10")->value, 10u);
  for (const char* wrong : {"", "-", "1-", "-1", "zz", "0x", "1-2-3", "123456789abc-1"}) {
    EXPECT_FALSE(ParseSequence(wrong).ok()) << wrong;
  }
}

TEST(CtlText, NumbersAreWrittenForPeople) {
  EXPECT_EQ(CountText(0), "0");
  EXPECT_EQ(CountText(999), "999");
  EXPECT_EQ(CountText(1000), "1,000");
  EXPECT_EQ(CountText(1234567), "1,234,567");
  EXPECT_EQ(BytesText(512, ByteUnits::kScaled), "512 B");
  EXPECT_EQ(BytesText(64ull << 20, ByteUnits::kScaled), "64.0 MiB");
  EXPECT_EQ(BytesText(3ull << 39, ByteUnits::kScaled), "1.5 TiB");
  EXPECT_EQ(BytesText(64ull << 20, ByteUnits::kRaw), "67108864");
  EXPECT_EQ(ShareText(93, 100), "93%");
  EXPECT_EQ(ShareText(0, 0), "-");
  EXPECT_EQ(DurationText(131'000'000), "00:02:11");
  EXPECT_EQ(DurationText(uint64_t{3} * 86400 * 1'000'000 + 15'120'000'000), "3d 04:12:00");
}

TEST(CtlText, ColumnsAreAsWideAsTheirWidestCell) {
  Table table({"SEQ", "N"});
  table.Add({"long-name", "5"});
  table.Add({"x", "12"});
  EXPECT_EQ(table.Text(2), "  SEQ         N\n  long-name   5\n  x          12\n");
}

TEST(CtlReports, StatusJsonHasASchemaAndNumbers) {
  StatusReport status;
  status.pid = 42;
  status.tiers = {{.name = "hbm", .frames = 10, .frames_free = 4, .frame_bytes = 4096}};
  status.counters = {{"lookup_blocks", 7}};
  EXPECT_THAT(
      StatusJson(status, {}),
      AllOf(HasSubstr(R"("schema":"kvpager.status/1")"), HasSubstr(R"("health":"HEALTH_OK")"),
            HasSubstr(R"("used_bytes":24576)"), HasSubstr(R"("capacity_bytes":40960)"),
            HasSubstr(R"("lookup_blocks":7)"), HasSubstr(R"("pid":42)")));
}

TEST(CtlReports, ANameThatIsNoUtf8DoesNotBreakTheJson) {
  EXPECT_THAT(ClientsJson({{.name = "bad\xff\"name"}}), HasSubstr("\\\"name"));
}

TEST(CtlReports, LossesAndBadDisksAreWarnings) {
  StatusReport status;
  EXPECT_TRUE(WarningsOf(status).empty());
  status.counters = {{"blocks_lost", 3}, {"nvme_corrupt", 0}, {"nvme_failed", 1}};
  const std::vector<Warning> warnings = WarningsOf(status);
  ASSERT_EQ(warnings.size(), 2u);
  EXPECT_EQ(warnings[0].name, "BLOCKS_LOST");
  EXPECT_THAT(warnings[0].text, HasSubstr("3 blocks lost"));
  EXPECT_EQ(warnings[1].name, "NVME_FAILED");
}

TEST(CtlExitCodes, AreThoseOfTheDocument) {
  EXPECT_EQ(ExitCodeOf(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeOf(absl::FailedPreconditionError("")), 1);
  EXPECT_EQ(ExitCodeOf(absl::UnavailableError("")), 3);
  EXPECT_EQ(ExitCodeOf(absl::NotFoundError("")), 4);
  EXPECT_EQ(ExitCodeOf(absl::PermissionDeniedError("")), 5);
  EXPECT_EQ(ExitCodeOf(absl::DeadlineExceededError("")), 6);
  EXPECT_EQ(ExitCodeOf(absl::UnimplementedError("")), 7);
}

}  // namespace
}  // namespace kvpager::ctl
