// Golden files of the format on disk (docs/NVME_FORMAT.md): this version writes them byte for byte,
// and it and every later one must read them, or refuse them with a reason.
//
//   golden/pages-v1.kvp       a page file of 4 frames: one whole block, then one that was cut short
//   golden/catalogue-v1.txt   rows of a catalogue, key and value in hexadecimal
//
// golden_test --rewrite writes what the code writes now. A difference is a new format: it needs a
// new version number and files of its own; the old ones stay.

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "memmgr/base/crc32c.h"
#include "tests/tiers/tier_testing.h"
#include "tiers/catalogue/catalogue_codec.h"
#include "tiers/nvme/frame_header.h"
#include "tiers/nvme/nvme_executor.h"
#include "tiers/nvme/page_file.h"
#include "tiers/nvme/page_sealer.h"
#include "tiers/nvme/scan.h"

namespace kvpager {
namespace {

using ::testing::HasSubstr;

bool rewrite = false;

constexpr Stamp kStamp{.incarnation = 7, .counter = 1};
constexpr BlockKey kKey{{0x1122334455667788, 2}};
constexpr BlockKey kParent{{3, 0x99aabbccddeeff00}};
constexpr uint32_t kFrames = 4;
constexpr char kModel[] = "golden-model";

Geometry GoldenGeometry() {
  return {.page_tokens = 2,
          .num_layers = 2,
          .layers_per_page = 1,
          .num_kv_heads = 1,
          .head_dim_k = 64,
          .head_dim_v = 64};
}

std::string GoldenPath(const std::string& name) { return KVP_GOLDEN_FOLDER + ("/" + name); }

std::string ReadBytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void WriteBytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// The tiers over one page file.
struct Tiers {
  Tiers(const std::string& path, uint64_t incarnation, const PageSealer* sealer = nullptr) {
    auto opened = PageFile::Open({.path = path,
                                  .geometry = GoldenGeometry(),
                                  .model_fingerprint = kModel,
                                  .frames = kFrames,
                                  .incarnation = incarnation});
    status = opened.status();
    if (!opened.ok()) return;
    file = *std::move(opened);
    arena = *HostArena::Create({.geometry = GoldenGeometry(), .frames = 2});
    executor = *NvmeExecutor::Create({.arena = arena.get(), .file = file.get(), .sealer = sealer});
  }

  static CopyOp Copy(Channel channel, uint32_t nvme, uint32_t group, Stamp stamp) {
    const bool read = channel == Channel::kNvmeToHost;
    return {.op = {.slot = 1},
            .channel = channel,
            .source = FrameIndex{read ? nvme : 0},
            .target = FrameIndex{read ? 0 : nvme},
            .page = PageIndex{group},
            .key = kKey,
            .parent_key = kParent,
            .stamp = stamp,
            .group = group,
            .name_space = NamespaceId{0}};
  }
  void Write(uint32_t nvme, uint32_t group, Stamp stamp) const {
    testing::Fill(arena->payload(FrameIndex{0}), 10 + group);
    SetHostPart(arena->header(FrameIndex{0}), PageIndex{group}, arena->payload(FrameIndex{0}));
    const CopyOp copy = Copy(Channel::kHostToNvme, nvme, group, stamp);
    ASSERT_EQ(testing::Perform(*executor, copy).outcome, Outcome::kOk);
  }
  Outcome Read(uint32_t nvme, uint32_t group, Stamp stamp) const {
    return testing::Perform(*executor, Copy(Channel::kNvmeToHost, nvme, group, stamp)).outcome;
  }

  absl::Status status;
  std::unique_ptr<PageFile> file;
  std::unique_ptr<HostArena> arena;
  std::unique_ptr<NvmeExecutor> executor;
};

class Golden : public ::testing::Test {
 protected:
  std::string CopyOfPages() const {
    std::filesystem::copy_file(GoldenPath("pages-v1.kvp"), folder_.File("pages"));
    return folder_.File("pages");
  }
  // Changes `bytes` of the copy at `offset`.
  static void Change(const std::string& path, uint64_t offset, const std::string& bytes) {
    std::string all = ReadBytes(path);
    all.replace(offset, bytes.size(), bytes);
    WriteBytes(path, all);
  }

  testing::TempFolder folder_;
};

TEST_F(Golden, PageFilesAreWrittenAsTheyWereInVersion1) {
  {
    Tiers tiers(folder_.File("pages"), 7);
    ASSERT_TRUE(tiers.status.ok()) << tiers.status;
    tiers.Write(0, 0, kStamp);
    tiers.Write(1, 1, kStamp);
    tiers.Write(2, 0, {.incarnation = 7, .counter = 2});
  }
  const std::string now = ReadBytes(folder_.File("pages"));
  if (rewrite) WriteBytes(GoldenPath("pages-v1.kvp"), now);
  EXPECT_TRUE(now == ReadBytes(GoldenPath("pages-v1.kvp"))) << "the format has changed";
}

TEST_F(Golden, PageFilesOfVersion1AreRead) {
  Tiers tiers(CopyOfPages(), 8);
  ASSERT_TRUE(tiers.status.ok()) << tiers.status;
  EXPECT_FALSE(tiers.file->was_clean());
  EXPECT_EQ(tiers.file->incarnation_previous(), 7u);
  const auto scan = ScanHeaders(*tiers.file);
  ASSERT_TRUE(scan.ok());
  ASSERT_EQ(scan->blocks.size(), 1u);
  EXPECT_EQ(scan->runs_torn, 1u);
  EXPECT_EQ(scan->blocks[0].key, kKey);
  EXPECT_EQ(scan->blocks[0].parent_key, kParent);
  EXPECT_EQ(scan->blocks[0].stamp, kStamp);
  for (uint32_t group = 0; group < 2; ++group) {
    EXPECT_EQ(tiers.Read(group, group, kStamp), Outcome::kOk);
    EXPECT_TRUE(testing::HasFill(tiers.arena->payload(FrameIndex{0}), 10 + group));
  }
}

TEST_F(Golden, PageFilesOfAnotherVersionAreRefusedByItsNumberAndLeftAlone) {
  const std::string path = CopyOfPages();
  Change(path, 8, std::string("\2\0\0\0", 4));
  const std::string before = ReadBytes(path);
  const Tiers tiers(path, 8);
  EXPECT_EQ(tiers.status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(tiers.status.message()),
              HasSubstr("the page file has format version 2, this program knows 1"));
  EXPECT_TRUE(ReadBytes(path) == before);
}

// Nonces are random, so this file cannot be written again byte for byte; it is read.
TEST_F(Golden, SealedFramesOfVersion2AreRead) {
  PageSealer sealer;
  Key256 key;
  for (size_t i = 0; i < key.size(); ++i) key[i] = static_cast<uint8_t>(i);
  sealer.SetKey(NamespaceId{0}, key);
  if (rewrite) {
    {
      const Tiers tiers(folder_.File("new"), 7, &sealer);
      for (uint32_t group = 0; group < 2; ++group) tiers.Write(group, group, kStamp);
    }
    WriteBytes(GoldenPath("sealed-v2.kvp"), ReadBytes(folder_.File("new")));
  }
  std::filesystem::copy_file(GoldenPath("sealed-v2.kvp"), folder_.File("pages"));
  const Tiers tiers(folder_.File("pages"), 8, &sealer);
  ASSERT_TRUE(tiers.status.ok()) << tiers.status;
  const auto scan = ScanHeaders(*tiers.file);
  ASSERT_TRUE(scan.ok());
  ASSERT_EQ(scan->blocks.size(), 1u);
  EXPECT_EQ(scan->blocks[0].key, kKey);
  for (uint32_t group = 0; group < 2; ++group) {
    EXPECT_EQ(tiers.Read(group, group, kStamp), Outcome::kOk);
    EXPECT_TRUE(testing::HasFill(tiers.arena->payload(FrameIndex{0}), 10 + group));
  }
}

// Its checksum is right: it is the version that makes it a miss.
TEST_F(Golden, AFrameOfAnotherVersionIsAMiss) {
  const std::string path = CopyOfPages();
  const uint64_t header = 4096 + GoldenGeometry().frame_bytes_host() - kFrameHeaderBytes;
  Change(path, header + 8, std::string("\3\0\0\0", 4));
  const std::string fields = ReadBytes(path).substr(header, 124);
  const uint32_t crc = Crc32c({reinterpret_cast<const std::byte*>(fields.data()), fields.size()});
  Change(path, header + 124, std::string(reinterpret_cast<const char*>(&crc), sizeof(crc)));
  Tiers tiers(path, 8);
  ASSERT_TRUE(tiers.status.ok()) << tiers.status;
  const auto scan = ScanHeaders(*tiers.file);
  ASSERT_TRUE(scan.ok());
  EXPECT_EQ(scan->blocks.size(), 0u);
  EXPECT_EQ(tiers.Read(0, 0, kStamp), Outcome::kCorrupt);
  EXPECT_EQ(tiers.Read(1, 1, kStamp), Outcome::kOk) << "the other frame is of this version";
}

TEST_F(Golden, RowsOfTheCatalogueAreWrittenAndReadAsInVersion1) {
  const CatalogueWrite write{.key = kKey,
                             .parent_key = kParent,
                             .frame_first = FrameIndex{0x01020304},
                             .stamp = kStamp,
                             .last_use = 0x0506070809};
  const std::vector<std::pair<std::string, std::string>> rows = {
      {std::string(kCataloguePoolKey), EncodePool(GoldenGeometry(), kModel)},
      {EntryKey(kKey), EncodeEntry(write)},
      {DurableKey(kKey), EncodeStamp(kStamp)}};
  std::string now;
  for (const auto& [key, value] : rows) {
    absl::StrAppend(&now, absl::BytesToHexString(key), " ", absl::BytesToHexString(value), "\n");
  }
  if (rewrite) WriteBytes(GoldenPath("catalogue-v1.txt"), now);
  EXPECT_EQ(now, ReadBytes(GoldenPath("catalogue-v1.txt"))) << "the format has changed";
  CatalogueEntry entry;
  EXPECT_EQ(DecodeRow(rows[1].first, rows[1].second, entry), CatalogueRow::kEntry);
  EXPECT_EQ(entry.key, kKey);
  EXPECT_EQ(entry.parent_key, kParent);
  EXPECT_EQ(entry.frame_first, write.frame_first);
  EXPECT_EQ(entry.stamp, kStamp);
  EXPECT_EQ(entry.last_use, write.last_use);
  EXPECT_EQ(DecodeRow(rows[2].first, rows[2].second, entry), CatalogueRow::kDurable);
}

}  // namespace
}  // namespace kvpager

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) kvpager::rewrite |= std::string(argv[i]) == "--rewrite";
  return RUN_ALL_TESTS();
}
