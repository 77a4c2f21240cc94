// AES-256-GCM against the published example, and that nothing that was changed is decrypted.

#include "tiers/nvme/aes_gcm.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gtest/gtest.h"

namespace kvpager {
namespace {

std::vector<std::byte> FromHex(const std::string& hex) {
  const std::string bytes = absl::HexStringToBytes(hex);
  std::vector<std::byte> out(bytes.size());
  std::transform(bytes.begin(), bytes.end(), out.begin(),
                 [](char c) { return static_cast<std::byte>(c); });
  return out;
}

// Test case 14 of D. McGrew, J. Viega, The Galois/Counter Mode of Operation (2004), appendix B:
// key, nonce and plaintext are zero.
TEST(AesGcm, DecryptsThePublishedExample) {
  const std::vector<std::byte> sealed = FromHex("cea7403d4d606b6e074ec5d3baf39d18");
  const std::vector<std::byte> tag = FromHex("d0d1c8a799996bf0265b98b5d48ab919");
  GcmSeal seal;
  std::copy(tag.begin(), tag.end(), seal.tag.begin());
  std::vector<std::byte> plain(16, std::byte{1});
  EXPECT_TRUE(GcmDecrypt(Key256{}, {}, seal, sealed, plain.data()));
  EXPECT_EQ(plain, std::vector<std::byte>(16));
}

TEST(AesGcm, WhatWasChangedIsNotDecrypted) {
  const Key256 key = RandomKey();
  std::vector<std::byte> associated(7, std::byte{3});
  const std::vector<std::byte> plain(100'000, std::byte{5});
  std::vector<std::byte> sealed(plain.size());
  GcmSeal seal = GcmEncrypt(key, associated, plain, sealed.data());
  EXPECT_NE(sealed, plain);
  std::vector<std::byte> back(plain.size());
  const auto opens = [&](const Key256& with) {
    return GcmDecrypt(with, associated, seal, sealed, back.data());
  };
  EXPECT_TRUE(opens(key));
  EXPECT_EQ(back, plain);
  EXPECT_FALSE(opens(RandomKey()));
  for (std::byte* byte : {&associated[6], &sealed[99'999], &seal.nonce[0], &seal.tag[15]}) {
    *byte ^= std::byte{1};
    EXPECT_FALSE(opens(key));
    *byte ^= std::byte{1};
  }
  EXPECT_TRUE(opens(key));
}

TEST(AesGcm, TwoCallsNeverGiveTheSameBytes) {
  const std::vector<std::byte> plain(64);
  std::vector<std::byte> first(plain.size());
  std::vector<std::byte> second(plain.size());
  GcmEncrypt(Key256{}, {}, plain, first.data());
  GcmEncrypt(Key256{}, {}, plain, second.data());
  EXPECT_NE(first, second);
}

// RFC 5869, test case 1: the first block of its output, from its pseudorandom key. HKDF-Expand ends
// the information of the first block with a counter of one byte, which the caller here gives.
TEST(AesGcm, DerivesAsHkdfExpandDoes) {
  const std::vector<std::byte> prk =
      FromHex("077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  const std::vector<std::byte> info = FromHex("f0f1f2f3f4f5f6f7f8f901");
  const std::vector<std::byte> wanted =
      FromHex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
  Key256 key;
  std::transform(prk.begin(), prk.end(), key.begin(),
                 [](std::byte byte) { return static_cast<uint8_t>(byte); });
  const Key256 derived = DeriveKey(key, info);
  EXPECT_TRUE(std::equal(derived.begin(), derived.end(), wanted.begin(),
                         [](uint8_t a, std::byte b) { return a == static_cast<uint8_t>(b); }));
}

}  // namespace
}  // namespace kvpager
