// Proves that the checksum is CRC32C as published, and that it can be continued.

#include "memmgr/base/crc32c.h"

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/types/span.h"
#include "gtest/gtest.h"

namespace kvpager {
namespace {

absl::Span<const std::byte> Bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Bit by bit, from the definition.
uint32_t SlowCrc32c(absl::Span<const std::byte> bytes) {
  uint32_t crc = ~uint32_t{0};
  for (std::byte byte : bytes) {
    crc ^= static_cast<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78u : 0);
  }
  return ~crc;
}

TEST(Crc32c, HasThePublishedCheckValues) {
  EXPECT_EQ(Crc32c(Bytes("123456789")), 0xe3069283u);
  EXPECT_EQ(Crc32c(Bytes("")), 0u);
  // RFC 3720, B.4: 32 bytes of zeroes, 32 bytes of ones.
  EXPECT_EQ(Crc32c(std::vector<std::byte>(32, std::byte{0})), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::vector<std::byte>(32, std::byte{0xff})), 0x62a8ab43u);
}

TEST(Crc32c, AgreesWithTheDefinitionAtEveryLengthAndOffset) {
  std::vector<std::byte> bytes(600);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 131 + 7);
  for (size_t length = 0; length < 300; ++length) {
    const auto part = absl::MakeConstSpan(bytes).subspan(length % 17, length);
    ASSERT_EQ(Crc32c(part), SlowCrc32c(part)) << length;
  }
}

TEST(Crc32c, OfTwoPartsIsThatOfTheWhole) {
  const std::string_view text = "the quick brown fox jumps over the lazy dog";
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    EXPECT_EQ(Crc32c(Bytes(text.substr(cut)), Crc32c(Bytes(text.substr(0, cut)))),
              Crc32c(Bytes(text)));
  }
}

}  // namespace
}  // namespace kvpager
