// Proves that a trace is read as written, plain or packed, and that what makes no sense is refused
// with its place, or counted where that was asked for.

#include "tools/kvpager-replay/trace_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>
#include <zstd.h>

#include <cstdio>
#include <string>

#include "absl/strings/str_cat.h"

namespace kvpager::replay {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kGood[] =
    R"({"timestamp": 7, "input_length": 1100, "output_length": 3, "hash_ids": [5, 9, 4]})";

class TraceReader : public testing::Test {
 protected:
  ~TraceReader() override { std::remove(path_.c_str()); }

  void Write(const std::string& text) {
    std::FILE* file = std::fopen(path_.c_str(), "wb");
    ASSERT_NE(file, nullptr);
    ASSERT_EQ(std::fwrite(text.data(), 1, text.size(), file), text.size());
    ASSERT_EQ(std::fclose(file), 0);
  }
  absl::StatusOr<Trace> Read(BadLines bad_lines = BadLines::kRefuse) {
    TraceReaderOptions options;
    options.path = path_;
    options.bad_lines = bad_lines;
    return ReadTrace(options);
  }
  static std::string Pack(const std::string& text) {
    std::string packed(ZSTD_compressBound(text.size()), '\0');
    packed.resize(ZSTD_compress(packed.data(), packed.size(), text.data(), text.size(), 3));
    return packed;
  }

  std::string path_ = absl::StrCat(testing::TempDir(), "/trace_reader_test.", getpid());
};

TEST_F(TraceReader, ReadsWhatWasWritten) {
  Write(absl::StrCat(kGood, "\n\n", R"({"session": 3, "timestamp": 9.5, "input_length": 512,)",
                     R"( "output_length": 0, "hash_ids": [18446744073709551615]})"));
  const auto trace = Read();
  ASSERT_TRUE(trace.ok()) << trace.status();
  ASSERT_EQ(trace->requests.size(), 2u);
  EXPECT_EQ(trace->requests[0].timestamp_ms, 7u);
  EXPECT_EQ(trace->requests[0].input_tokens, 1100u);
  EXPECT_EQ(trace->requests[0].output_tokens, 3u);
  EXPECT_EQ(trace->requests[0].full_blocks(), 2u);
  EXPECT_THAT(trace->requests[0].hash_ids, ElementsAre(5, 9, 4));
  EXPECT_EQ(trace->requests[1].timestamp_ms, 9u);
  EXPECT_THAT(trace->requests[1].hash_ids, ElementsAre(~uint64_t{0}));
}

TEST_F(TraceReader, UnpacksZstdByItsContent) {
  std::string text;
  for (int i = 0; i < 20000; ++i) absl::StrAppend(&text, kGood, "\n");
  Write(Pack(text));
  const auto trace = Read();
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->requests.size(), 20000u);
}

TEST_F(TraceReader, ReadsPackedFilesThatWereJoined) {
  Write(Pack(absl::StrCat(kGood, "\n")) + Pack(absl::StrCat(kGood, "\n")));
  const auto trace = Read();
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->requests.size(), 2u);
}

TEST_F(TraceReader, RefusesAPackedFileThatIsCutOff) {
  const std::string packed = Pack(absl::StrCat(kGood, "\n"));
  Write(packed.substr(0, packed.size() - 5));
  const auto trace = Read();
  EXPECT_EQ(trace.status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(trace.status().message()), HasSubstr("middle of its compression"));
}

TEST_F(TraceReader, NamesFileAndLineOfGarbage) {
  struct Case {
    const char* line;
    const char* said;
  };
  const Case cases[] = {
      {"garbage", "not JSON"},
      {"[1, 2]", "not a JSON object"},
      {R"({"input_length": 1, "output_length": 1, "hash_ids": []})", "\"timestamp\" is missing"},
      {R"({"timestamp": -1, "input_length": 1, "output_length": 1, "hash_ids": []})",
       "\"timestamp\" is not a number of 0 or more"},
      {R"({"timestamp": 0, "input_length": "x", "output_length": 1, "hash_ids": []})",
       "\"input_length\" is not a number"},
      {R"({"timestamp": 0, "input_length": 1e30, "output_length": 1, "hash_ids": []})",
       "\"input_length\" is too large"},
      {R"({"timestamp": 0, "input_length": 5000000000, "output_length": 1, "hash_ids": []})",
       "more than 4294967296 tokens"},
      {R"({"timestamp": 0, "input_length": 1, "output_length": 1})", "\"hash_ids\" is missing"},
      {R"({"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [1.5]})",
       "not a whole number"},
      {R"({"timestamp": 0, "input_length": 2048, "output_length": 1, "hash_ids": [1, 2, 3]})",
       "\"hash_ids\" has 3 ids, but the prompt has 4 full blocks of 512 tokens"},
  };
  for (const Case& c : cases) {
    Write(absl::StrCat(kGood, "\n", c.line, "\n"));
    const auto trace = Read();
    ASSERT_EQ(trace.status().code(), absl::StatusCode::kInvalidArgument) << c.line;
    const std::string said(trace.status().message());
    EXPECT_THAT(said, HasSubstr(absl::StrCat(path_, ":2: ")));
    EXPECT_THAT(said, HasSubstr(c.said));
    EXPECT_THAT(said, HasSubstr("--skip-bad-lines"));
  }
}

TEST_F(TraceReader, CountsBadLinesWhereToldToSkipThem) {
  Write(absl::StrCat("garbage\n", kGood, "\n{}\n", kGood, "\n{\"timestamp\": 1"));
  const auto trace = Read(BadLines::kSkip);
  ASSERT_TRUE(trace.ok()) << trace.status();
  EXPECT_EQ(trace->requests.size(), 2u);
  EXPECT_EQ(trace->lines_skipped, 3u);
}

TEST_F(TraceReader, RefusesAFileWithoutRequestsAndAFileThatIsNotThere) {
  Write("\n\n");
  EXPECT_THAT(std::string(Read().status().message()), HasSubstr("has no requests"));
  std::remove(path_.c_str());
  EXPECT_EQ(Read().status().code(), absl::StatusCode::kNotFound);
}

}  // namespace
}  // namespace kvpager::replay
