// That block keys follow the rule written in keys.h, and that whatever must separate them does. The
// vectors were computed with Python's hashlib from that rule.

#include "memmgr/daemon/keys.h"

#include <cstdint>
#include <string>

#include "gtest/gtest.h"

namespace kvpager {
namespace {

Digest256 DigestOfByte(uint8_t byte) {
  Digest256 digest;
  digest.fill(byte);
  return digest;
}

TEST(KeyDeriver, FollowsTheWrittenRule) {
  const KeyDeriver keys("secret", 0x1122334455667788, "llama");
  EXPECT_EQ(keys.Derive(DigestOfByte(0xab)), (BlockKey{{0xec38c89e9c5ecc43, 0xbccae4486dac7eff}}));
  const KeyDeriver empty("", 1, "");
  EXPECT_EQ(empty.Derive(DigestOfByte(0)), (BlockKey{{0xddc833255f6c1c5e, 0x7f7d67da522b9b36}}));
}

TEST(KeyDeriver, DerivesTheSameKeyEveryTime) {
  const KeyDeriver keys("secret", 1, "model");
  const BlockKey first = keys.Derive(DigestOfByte(1));
  EXPECT_NE(keys.Derive(DigestOfByte(2)), first);
  EXPECT_EQ(keys.Derive(DigestOfByte(1)), first);
}

TEST(KeyDeriver, SecretGeometryModelAndDigestAllSeparate) {
  const BlockKey base = KeyDeriver("s", 1, "m").Derive(DigestOfByte(1));
  EXPECT_NE(KeyDeriver("t", 1, "m").Derive(DigestOfByte(1)), base);
  EXPECT_NE(KeyDeriver("s", 2, "m").Derive(DigestOfByte(1)), base);
  EXPECT_NE(KeyDeriver("s", 1, "n").Derive(DigestOfByte(1)), base);
  EXPECT_NE(KeyDeriver("s", 1, "m").Derive(DigestOfByte(2)), base);
}

TEST(KeyDeriver, SecretAndModelCannotFlowIntoEachOther) {
  const std::string zeros(8, '\0');
  EXPECT_NE(KeyDeriver("ab", 1, "c").Derive(DigestOfByte(1)),
            KeyDeriver("a", 1, "bc").Derive(DigestOfByte(1)));
  EXPECT_NE(KeyDeriver("a" + zeros, 0, "").Derive(DigestOfByte(1)),
            KeyDeriver("a", 0, zeros).Derive(DigestOfByte(1)));
}

TEST(NamespaceSecret, FollowsTheWrittenRuleAndSeparatesNames) {
  const std::string secret = NamespaceSecretFrom("data", "default");
  std::string hex;
  for (const char c : secret) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex.push_back(kDigits[static_cast<uint8_t>(c) >> 4]);
    hex.push_back(kDigits[static_cast<uint8_t>(c) & 15]);
  }
  EXPECT_EQ(hex, "367180c4eaecace2c7ca7bd288926b518a39259cf291affa1c2255bc226e1a8e");
  EXPECT_NE(NamespaceSecretFrom("data", "other"), secret);
  EXPECT_NE(NamespaceSecretFrom("date", "default"), secret);
}

TEST(EqualSecrets, ComparesWholeTexts) {
  EXPECT_TRUE(EqualSecrets("", ""));
  EXPECT_TRUE(EqualSecrets("token", "token"));
  EXPECT_FALSE(EqualSecrets("token", "tokem"));
  EXPECT_FALSE(EqualSecrets("token", "token2"));
  EXPECT_FALSE(EqualSecrets("", "token"));
}

}  // namespace
}  // namespace kvpager
