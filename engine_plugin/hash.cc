// engine_plugin/hash.cc
//
// kvp_hash_block: SHA-256 over the parent's 32 bytes (zeros for the first block), the token count
// as 64 bits and the tokens as 32 bits each, all little-endian.

#include <openssl/evp.h>

#include <array>
#include <cstdint>

#include "engine_plugin/kvpager.h"
#include "memmgr/base/check.h"

namespace {

template <size_t kBytes>
std::array<uint8_t, kBytes> LittleEndian(uint64_t value) {
  std::array<uint8_t, kBytes> bytes{};
  for (size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<uint8_t>(value >> (8 * i));
  return bytes;
}

// Tokens are hashed in pieces of this many, so that nothing is allocated.
constexpr size_t kPieceTokens = 64;

void UpdateTokens(EVP_MD_CTX* context, const uint32_t* tokens, size_t num_tokens) {
  std::array<uint8_t, kPieceTokens * 4> piece;
  size_t filled_bytes = 0;
  for (size_t i = 0; i < num_tokens; ++i) {
    for (uint8_t byte : LittleEndian<4>(tokens[i])) piece[filled_bytes++] = byte;
    if (filled_bytes == piece.size() || i + 1 == num_tokens) {
      KVP_CHECK(EVP_DigestUpdate(context, piece.data(), filled_bytes) == 1);
      filled_bytes = 0;
    }
  }
}

}  // namespace

extern "C" void kvp_hash_block(const kvp_block_key* parent, const uint32_t* tokens,
                               size_t num_tokens, kvp_block_key* key) {
  KVP_CHECK(key != nullptr);
  KVP_CHECK(tokens != nullptr || num_tokens == 0);
  const kvp_block_key first{};
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  KVP_CHECK(context != nullptr);
  KVP_CHECK(EVP_DigestInit_ex(context, EVP_sha256(), nullptr) == 1);
  KVP_CHECK(EVP_DigestUpdate(context, parent != nullptr ? parent->bytes : first.bytes,
                             sizeof(first.bytes)) == 1);
  const std::array<uint8_t, 8> count = LittleEndian<8>(num_tokens);
  KVP_CHECK(EVP_DigestUpdate(context, count.data(), count.size()) == 1);
  UpdateTokens(context, tokens, num_tokens);
  unsigned int size = 0;
  KVP_CHECK(EVP_DigestFinal_ex(context, key->bytes, &size) == 1);
  KVP_CHECK_EQ(size, sizeof(key->bytes));
  EVP_MD_CTX_free(context);
}
