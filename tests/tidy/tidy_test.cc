// That each rule of rules.h complains about what breaks it, and about nothing else.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/tidy/rules.h"

namespace kvpager::tidy {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Sentences(const std::vector<Complaint>& complaints) {
  std::vector<std::string> sentences;
  for (const Complaint& complaint : complaints) sentences.push_back(Format(complaint));
  return sentences;
}

std::vector<std::string> IncludesOf(const std::string& path, const std::string& text) {
  return Sentences(CheckIncludes(SourceFile(path, text)));
}

std::vector<std::string> TextOf(const std::string& path, const std::string& text) {
  return Sentences(CheckText(SourceFile(path, text), {}));
}

TEST(Includes, PointDown) {
  EXPECT_THAT(IncludesOf("memmgr/core/core.cc", "#include \"memmgr/base/ids.h\"\n"), IsEmpty());
  EXPECT_THAT(IncludesOf("memmgr/core/core.cc", "\n#include \"tiers/executor.h\"\n"),
              ElementsAre(HasSubstr("memmgr/core/core.cc:2: memmgr/core may not include")));
  EXPECT_THAT(IncludesOf("memmgr/base/ids.h", "#include \"memmgr/core/effect.h\"\n"),
              ElementsAre(HasSubstr("memmgr/base may not include")));
  EXPECT_THAT(IncludesOf("tools/kvpagerctl/main.cc", "#include \"memmgr/daemon/daemon.h\"\n"),
              ElementsAre(HasSubstr("tools may not include")));
}

TEST(Includes, TiersSeeOfTheCoreOnlyItsEffects) {
  EXPECT_THAT(IncludesOf("tiers/executor.h", "#include \"memmgr/core/effect.h\"\n"), IsEmpty());
  EXPECT_THAT(IncludesOf("tiers/executor.h", "#include \"memmgr/core/core.h\"\n"),
              ElementsAre(HasSubstr("tiers may not include memmgr/core/core.h")));
}

TEST(Includes, TheCoreHasNoClockThreadOrFile) {
  EXPECT_THAT(IncludesOf("memmgr/core/core.cc", "#include <chrono>\n#include <vector>\n"),
              ElementsAre(HasSubstr("<chrono> belongs to")));
  EXPECT_THAT(IncludesOf("tiers/nvme/uring.cc", "#include <chrono>\n"), IsEmpty());
}

TEST(Includes, TheCAbiStandsAlone) {
  EXPECT_THAT(IncludesOf("engine_plugin/kvpager.h", "#include <stdint.h>\n"), IsEmpty());
  EXPECT_THAT(IncludesOf("engine_plugin/kvpager.h", "#include <stdio.h>\n"),
              ElementsAre(HasSubstr("only <stddef.h> and <stdint.h>")));
}

TEST(Includes, LibrariesBelongToLayers) {
  EXPECT_THAT(IncludesOf("ipc/zmq_server.cc", "#include <zmq.h>\n"), IsEmpty());
  EXPECT_THAT(IncludesOf("tiers/nvme/uring.cc", "#include <zmq.h>\n"),
              ElementsAre(HasSubstr("tiers may not use zmq.h")));
  EXPECT_THAT(IncludesOf("kernels/cpu/decode.cc", "#include \"absl/types/span.h\"\n"),
              ElementsAre(HasSubstr("kernels may not use absl/types/span.h")));
  EXPECT_THAT(IncludesOf("ipc/wire.cc", "#include <cuda_runtime.h>\n"),
              ElementsAre(HasSubstr("CUDA stays in")));
}

TEST(Includes, AreWrittenFromTheRoot) {
  EXPECT_THAT(IncludesOf("ipc/wire.cc", "#include \"wire.h\"\n"),
              ElementsAre(HasSubstr("from the root of the checkout")));
  EXPECT_THAT(IncludesOf("ipc/wire.cc", "#include <ipc/wire.h>\n"),
              ElementsAre(HasSubstr("write #include \"ipc/wire.h\"")));
}

TEST(Includes, InCommentsDoNotCount) {
  EXPECT_THAT(IncludesOf("ipc/wire.cc", "// #include \"tiers/executor.h\"\n"), IsEmpty());
}

TEST(Includes, AFileOutsideEveryLayerIsNamed) {
  EXPECT_THAT(IncludesOf("memmgr/other/a.cc", ""), ElementsAre(HasSubstr("is in no layer")));
}

TEST(Words, BannedOnesNameTheirReplacement) {
  EXPECT_THAT(TextOf("ipc/a.cc", "  assert(x);\n"), ElementsAre(HasSubstr("use KVP_CHECK")));
  EXPECT_THAT(TextOf("ipc/a.cc", "using namespace std;\n"),
              ElementsAre(HasSubstr("the names you need")));
  EXPECT_THAT(TextOf("ipc/a.cc", "int a = rand();\n"), ElementsAre(HasSubstr("rng.h")));
}

TEST(Words, ThatOnlyLookBannedPass) {
  EXPECT_THAT(TextOf("ipc/a.cc", "static_assert(true);\nint b = operand(1);\n"), IsEmpty());
  EXPECT_THAT(TextOf("ipc/a.cc", "// rand() and assert( in prose\nauto s = \"assert(\";\n"),
              IsEmpty());
}

TEST(Words, SomeAreBannedOnlySomewhere) {
  EXPECT_THAT(TextOf("memmgr/core/a.cc", "std::unordered_map<int, int> m;\n"),
              ElementsAre(HasSubstr("a table of fixed size")));
  EXPECT_THAT(TextOf("tiers/a.cc", "std::unordered_map<int, int> m;\nstd::thread t;\n"), IsEmpty());
  EXPECT_THAT(TextOf("memmgr/daemon/a.cc", "std::thread t;\n"),
              ElementsAre(HasSubstr("threads live in tiers and ipc")));
}

TEST(Words, UnfinishedBusinessCountsInCommentsToo) {
  EXPECT_THAT(TextOf("ipc/a.cc",
                     "// FIX"
                     "ME: later\n"),
              ElementsAre(HasSubstr("finish it")));
}

TEST(Words, AreAscii) {
  EXPECT_THAT(TextOf("ipc/a.cc", "// caf\xc3\xa9\n"), ElementsAre(HasSubstr("ASCII")));
}

TEST(Length, OfAFileIsCappedUnlessExcepted) {
  const SourceFile file("ipc/a.cc", std::string(kFileLinesMax + 1, '\n'));
  EXPECT_THAT(Sentences(CheckText(file, {})), ElementsAre(HasSubstr("has 801 lines")));
  EXPECT_THAT(Sentences(CheckText(file, {{"ipc/a.cc", "2030-01-31"}})), IsEmpty());
  EXPECT_THAT(TextOf("ipc/a.cc", std::string(kFileLinesMax, '\n')), IsEmpty());
}

std::string FunctionOf(size_t lines) {
  std::string text = "uint64_t Sum(int a,\n             int b) {\n";
  for (size_t i = 3; i < lines; ++i) text += "  Go(a, b);\n";
  return text + "}\n";
}

TEST(Length, OfAFunctionIsCapped) {
  EXPECT_THAT(TextOf("ipc/a.cc", FunctionOf(kFunctionLinesMax)), IsEmpty());
  EXPECT_THAT(TextOf("ipc/a.cc", "int a;\n" + FunctionOf(kFunctionLinesMax + 1)),
              ElementsAre(HasSubstr("ipc/a.cc:2: Sum has 71 lines")));
}

TEST(Length, OfATableOrANamespaceIsNotThatOfAFunction) {
  std::string table = "constexpr Row kRows[] = {\n";
  for (size_t i = 0; i < 100; ++i) table += "    {Make(1), 2},\n";
  EXPECT_THAT(TextOf("ipc/a.cc", table + "};\n"), IsEmpty());
}

TEST(Guard, IsThePathOfTheHeader) {
  EXPECT_EQ(GuardOf("memmgr/core/page_state.h"), "KVPAGER_MEMMGR_CORE_PAGE_STATE_H_");
  EXPECT_THAT(TextOf("ipc/a.h", "#ifndef KVPAGER_IPC_A_H_\n"), IsEmpty());
  EXPECT_THAT(TextOf("ipc/a.h", "#ifndef A_H\n"), ElementsAre(HasSubstr("KVPAGER_IPC_A_H_")));
}

TEST(Guard, OfAFileForEveryInstructionSetIsHighways) {
  EXPECT_THAT(TextOf("kernels/cpu/a-inl.h",
                     "#if defined(KVPAGER_KERNELS_CPU_A_INL_H_) == defined(HWY_TARGET_TOGGLE)\n"),
              IsEmpty());
  EXPECT_THAT(TextOf("kernels/cpu/a-inl.h", "#ifndef KVPAGER_KERNELS_CPU_A_INL_H_\n"),
              ElementsAre(HasSubstr("HWY_TARGET_TOGGLE")));
}

TEST(Blanking, KeepsCodeAndLines) {
  EXPECT_EQ(BlankCommentsAndLiterals("a/*x\ny*/b"), "a   \n   b");
  EXPECT_EQ(BlankCommentsAndLiterals("a\"\\\"//\"b"), "a      b");
  EXPECT_EQ(BlankCommentsAndLiterals("1'000 + '\"' + 2"), "1'000 +     + 2");
  EXPECT_EQ(BlankCommentsAndLiterals("R\"(a\"b)\" c"), "         c");
}

TEST(Tree, EverySourceFileIsInACMakeList) {
  const std::vector<SourceFile> lists = {
      {"ipc/CMakeLists.txt", "kvp_library(ipc SRCS wire.cc sub/deep.cc)\n# old.cc\n"}};
  EXPECT_THAT(Sentences(CheckTree({{"ipc/wire.cc", ""}, {"ipc/sub/deep.cc", ""}}, lists, {})),
              IsEmpty());
  EXPECT_THAT(Sentences(CheckTree({{"ipc/ire.cc", ""}, {"ipc/old.cc", ""}}, lists, {})),
              ElementsAre(HasSubstr("ipc/ire.cc: is in no"), HasSubstr("ipc/old.cc: is in no")));
}

TEST(Tree, ALoopOverNamesListsTheirTests) {
  const std::vector<SourceFile> lists = {
      {"tests/ipc/CMakeLists.txt",
       "foreach(name wire attach)\n  kvp_test(SRCS ${name}_test.cc)\n"}};
  EXPECT_THAT(Sentences(CheckTree({{"tests/ipc/wire_test.cc", ""}}, lists, {})), IsEmpty());
  EXPECT_THAT(Sentences(CheckTree({{"tests/ipc/other_test.cc", ""}}, lists, {})),
              ElementsAre(HasSubstr("other_test.cc: is in no")));
}

TEST(Tree, EverySourceFileOfTheCoreHasATest) {
  const std::vector<SourceFile> lists = {
      {"memmgr/core/CMakeLists.txt", "planner.cc"},
      {"tests/memmgr/core/CMakeLists.txt", "planner_test.cc core_test.cc"}};
  const SourceFile planner("memmgr/core/planner.cc", "");
  const SourceFile planner_test("tests/memmgr/core/planner_test.cc", "");
  const SourceFile core_test("tests/memmgr/core/core_test.cc", "");
  EXPECT_THAT(Sentences(CheckTree({planner, planner_test}, lists, {})), IsEmpty());
  EXPECT_THAT(Sentences(CheckTree({planner, core_test}, lists, {})),
              ElementsAre(HasSubstr("has no tests/memmgr/core/planner_test.cc")));
  const TestedElsewhere row = {"memmgr/core/planner.cc", "tests/memmgr/core/core_test.cc"};
  EXPECT_THAT(Sentences(CheckTree({planner, core_test}, lists, {row})), IsEmpty());
  EXPECT_THAT(Sentences(CheckTree({core_test}, lists, {row})), ElementsAre(HasSubstr("is gone")));
}

TEST(Tree, SlowLibrariesAreIncludedOncePerProgram) {
  const std::vector<SourceFile> lists = {{"tools/CMakeLists.txt", "x/a.cc x/b.cc y/c.cc"}};
  const std::string text = "#include <CLI/CLI.hpp>\n";
  EXPECT_THAT(Sentences(CheckTree({{"tools/x/a.cc", text}, {"tools/y/c.cc", text}}, lists, {})),
              IsEmpty());
  EXPECT_THAT(Sentences(CheckTree({{"tools/x/a.cc", text}, {"tools/x/b.cc", text}}, lists, {})),
              ElementsAre(HasSubstr("already included by tools/x/a.cc")));
  EXPECT_THAT(Sentences(CheckTree({{"tools/x/a.h", text}}, lists, {})),
              ElementsAre(HasSubstr("not in a header")));
}

TEST(Links, LeadSomewhere) {
  const auto exists = [](const std::string& path) { return path == "docs/A.md"; };
  const SourceFile good("docs/B.md", "see [a](A.md#part), [w](https://example.org)\n");
  const SourceFile bad("docs/B.md", "see [c](C.md)\n```\n[d](D.md)\n```\n");
  EXPECT_THAT(Sentences(CheckLinks(good, exists)), IsEmpty());
  EXPECT_THAT(Sentences(CheckLinks(bad, exists)), ElementsAre(HasSubstr("C.md is dead")));
}

}  // namespace
}  // namespace kvpager::tidy
