// tests/ipc/wire_fuzz.cc
//
// Proves that no sequence of bytes crashes the decoder, and that no list longer than the bounds
// gets past it: starting from well-formed messages, bytes are flipped, overwritten with interesting
// numbers, cut, inserted and spliced, 200,000 times with a fixed seed; everything that is accepted
// is then read in full. Run under the address sanitizer, reading one byte outside is an error, too.
// tests/fuzz has libFuzzer look for more.

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <random>

#include "tests/ipc/wire_corpus.h"

namespace kvpager {
namespace {

constexpr WireBounds kBounds = {.keys_max = 64, .step_entries_max = 64};
uint64_t g_sum = 0;  // Keeps the reads from being optimised away.

// True if the decoder accepted it.
bool DecodeAndRead(const MessageBytes& bytes) {
  const absl::StatusOr<MessageView> view = DecodeMessage(bytes, kBounds);
  if (!view.ok()) {
    KVP_CHECK(!view.status().message().empty());
    return false;
  }
  g_sum += ReadEverything(*view, kBounds);
  return true;
}

constexpr uint64_t kSeed = 20260101;
constexpr int kMutants = 200'000;

using Random = std::mt19937_64;

size_t Below(Random& random, size_t end) { return static_cast<size_t>(random() % end); }

void Overwrite(MessageBytes& bytes, Random& random) {
  constexpr uint64_t kNumbers[] = {0,      1,          4,          63,         64,
                                   65,     255,        1023,       1024,       4096,
                                   0xffff, 0x7fffffff, 0x80000000, 0xfffffffc, 0xffffffff};
  const uint64_t number = kNumbers[Below(random, std::size(kNumbers))];
  const size_t width = size_t{1} << Below(random, 4);
  if (bytes.size() < width) return;
  size_t at = Below(random, bytes.size() - width + 1);
  if (random() % 2 == 0) at = at / width * width;
  std::memcpy(bytes.data() + at, &number, width);
}

// Makes the length in the header true again, so that the body is looked at.
void RepairLength(MessageBytes& bytes) {
  if (bytes.size() < kWireHeaderBytes) return;
  const auto body_bytes = static_cast<uint32_t>(bytes.size() - kWireHeaderBytes);
  std::memcpy(bytes.data() + 12, &body_bytes, sizeof(body_bytes));
}

void Mutate(MessageBytes& bytes, const MessageBytes& other, Random& random) {
  switch (random() % 6) {
    case 0:
      if (!bytes.empty()) {
        bytes[Below(random, bytes.size())] ^= static_cast<uint8_t>(1u << (random() % 8));
      }
      break;
    case 1:
    case 2:
      Overwrite(bytes, random);
      break;
    case 3:
      bytes.resize(Below(random, bytes.size() + 1));
      break;
    case 4:
      bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(Below(random, bytes.size() + 1)),
                   Below(random, 64), static_cast<uint8_t>(random()));
      break;
    case 5: {  // The head of one message, the tail of another.
      const size_t at = Below(random, std::min(bytes.size(), other.size()) + 1);
      std::copy(other.begin() + static_cast<std::ptrdiff_t>(at), other.end(),
                std::back_inserter(bytes));
      break;
    }
  }
}

TEST(WireFuzz, NoMutatedMessageCrashesTheDecoderOrPassesALongList) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  const std::vector<MessageBytes> corpus = WireCorpus();
  Random random(kSeed);
  int accepted = 0;
  for (int i = 0; i < kMutants; ++i) {
    MessageBytes bytes = corpus[Below(random, corpus.size())];
    const size_t rounds = 1 + Below(random, 4);
    for (size_t round = 0; round < rounds; ++round) {
      Mutate(bytes, corpus[Below(random, corpus.size())], random);
    }
    if (random() % 8 != 0) RepairLength(bytes);
    if (DecodeAndRead(bytes)) ++accepted;
  }
  // Both ways must have been taken often, or this would prove nothing.
  EXPECT_GT(accepted, kMutants / 20);
  EXPECT_LT(accepted, kMutants * 9 / 10);
}

TEST(WireFuzz, RandomBytesBehindAGoodHeaderNeverCrashTheDecoder) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  const std::vector<MessageBytes> corpus = WireCorpus();
  Random random(kSeed + 1);
  int refused = 0;
  for (int i = 0; i < 50'000; ++i) {
    MessageBytes bytes = corpus[Below(random, corpus.size())];
    bytes.resize(kWireHeaderBytes + Below(random, 256));
    for (size_t at = kWireHeaderBytes; at < bytes.size(); ++at) {
      bytes[at] = static_cast<uint8_t>(random() % 4 == 0 ? random() : random() % 16);
    }
    RepairLength(bytes);
    if (!DecodeAndRead(bytes)) ++refused;
  }
  EXPECT_GT(refused, 25'000);
}

TEST(WireFuzz, EveryPrefixOfEveryMessageIsRefused) {
  for (const MessageBytes& whole : WireCorpus()) {
    for (size_t bytes = 0; bytes < whole.size(); ++bytes) {
      const MessageBytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(bytes));
      EXPECT_FALSE(DecodeAndRead(cut));
    }
    EXPECT_TRUE(DecodeAndRead(whole));
  }
}

}  // namespace
}  // namespace kvpager
