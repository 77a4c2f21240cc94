// That this checkout keeps the rules of rules.h. What a rule means is tested in tidy_test.cc.

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/tidy/rules.h"

namespace kvpager::tidy {
namespace {

// Longer than kFileLinesMax for now. Keep it empty.
const std::vector<LengthException> kLongFiles = {};

// Sources of the core that a test of another name covers.
const std::vector<TestedElsewhere> kElsewhere = {
    {"memmgr/core/admission.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/background.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/block_table.cc", "tests/sim/sim_main.cc"},
    {"memmgr/core/charges.cc", "tests/memmgr/core/quota_test.cc"},
    {"memmgr/core/client_info.cc", "tests/memmgr/core/quarantine_test.cc"},
    {"memmgr/core/cold_walk.cc", "tests/memmgr/core/quota_test.cc"},
    {"memmgr/core/collector.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/core.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/durable.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/jobs.cc", "tests/memmgr/core/fairness_test.cc"},
    {"memmgr/core/loss.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/lru_policy.cc", "tests/memmgr/core/tables_test.cc"},
    {"memmgr/core/naming.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/nvme_loss.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/pinning.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/planner.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/prefix_index.cc", "tests/memmgr/core/tables_test.cc"},
    {"memmgr/core/quota_stuck.cc", "tests/memmgr/core/quota_test.cc"},
    {"memmgr/core/read_ahead.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/reconcile.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/room.cc", "tests/memmgr/core/quota_test.cc"},
    {"memmgr/core/sequence_table.cc", "tests/memmgr/core/tables_test.cc"},
    {"memmgr/core/sequences.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/state.cc", "tests/sim/sim_main.cc"},
    {"memmgr/core/step_pages.cc", "tests/sim/sim_main.cc"},
    {"memmgr/core/step_queue.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/step_table.cc", "tests/memmgr/core/tables_test.cc"},
    {"memmgr/core/steps.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/stocks.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/core/verify.cc", "tests/sim/sim_main.cc"},
    {"memmgr/core/victims.cc", "tests/memmgr/transcript_test.cc"},
    {"memmgr/daemon/reconciler.cc", "tests/e2e/restart_test.cc"},
};

const std::vector<SourceFile>& Sources() {
  static const std::vector<SourceFile> files =
      ReadTree(KVPAGER_SOURCE_DIR, {".h", ".hpp", ".cc", ".c", ".cu", ".cuh"});
  return files;
}

void ExpectNone(const std::vector<Complaint>& complaints) {
  for (const Complaint& complaint : complaints) ADD_FAILURE() << Format(complaint);
}

TEST(Checkout, IsWhereTheBuildSaysItIs) {
  ASSERT_GT(Sources().size(), 20u) << "nothing to check in " << KVPAGER_SOURCE_DIR;
}

TEST(Checkout, IncludesPointDown) {
  for (const SourceFile& file : Sources()) ExpectNone(CheckIncludes(file));
}

TEST(Checkout, KeepsLengthsWordsAndGuards) {
  for (const SourceFile& file : Sources()) ExpectNone(CheckText(file, kLongFiles));
}

TEST(Checkout, IsListedTestedAndQuickToCompile) {
  ExpectNone(CheckTree(Sources(), ReadTree(KVPAGER_SOURCE_DIR, {"CMakeLists.txt"}), kElsewhere));
}

TEST(Checkout, LinksInDocumentsLeadSomewhere) {
  namespace fs = std::filesystem;
  const fs::path root = KVPAGER_SOURCE_DIR;
  const auto exists = [&](const std::string& path) { return fs::exists(root / path); };
  std::vector<fs::path> documents = {root / "README.md", root / "CONTRIBUTING.md"};
  for (const auto& entry : fs::recursive_directory_iterator(root / "docs")) {
    if (entry.path().extension() == ".md") documents.push_back(entry.path());
  }
  for (const fs::path& path : documents) {
    std::ifstream in(path, std::ios::binary);
    ASSERT_TRUE(in) << path << " is missing";
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    ExpectNone(CheckLinks(SourceFile(fs::relative(path, root).string(), text), exists));
  }
}

}  // namespace
}  // namespace kvpager::tidy
