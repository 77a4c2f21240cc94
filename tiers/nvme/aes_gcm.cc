#include "tiers/nvme/aes_gcm.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr size_t kPieceBytesMax = size_t{1} << 30;  // OpenSSL counts in int.

struct FreeContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

uint8_t* Bytes(std::byte* bytes) { return reinterpret_cast<uint8_t*>(bytes); }
const uint8_t* Bytes(const std::byte* bytes) { return reinterpret_cast<const uint8_t*>(bytes); }

Context Begin(const Key256& key, const GcmSeal& seal, bool encrypt) {
  Context context(EVP_CIPHER_CTX_new());
  KVP_CHECK(context != nullptr);
  // The nonce's length is the mode's own, 12 bytes.
  KVP_CHECK(EVP_CipherInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(),
                              Bytes(seal.nonce.data()), encrypt ? 1 : 0) == 1);
  return context;
}

// To `out`, or, if that is null, into the tag alone.
void Update(EVP_CIPHER_CTX* context, absl::Span<const std::byte> bytes, std::byte* out) {
  while (!bytes.empty()) {
    const size_t piece = std::min(bytes.size(), kPieceBytesMax);
    int length = 0;
    KVP_CHECK(EVP_CipherUpdate(context, out == nullptr ? nullptr : Bytes(out), &length,
                               Bytes(bytes.data()), static_cast<int>(piece)) == 1);
    bytes.remove_prefix(piece);
    if (out != nullptr) out += piece;
  }
}

bool Finish(EVP_CIPHER_CTX* context) {
  uint8_t rest[16];  // GCM leaves nothing over.
  int length = 0;
  return EVP_CipherFinal_ex(context, rest, &length) == 1;
}

}  // namespace

GcmSeal GcmEncrypt(const Key256& key, absl::Span<const std::byte> associated,
                   absl::Span<const std::byte> plain, std::byte* out) {
  GcmSeal seal;
  KVP_CHECK(RAND_bytes(Bytes(seal.nonce.data()), static_cast<int>(seal.nonce.size())) == 1);
  const Context context = Begin(key, seal, true);
  Update(context.get(), associated, nullptr);
  Update(context.get(), plain, out);
  KVP_CHECK(Finish(context.get()));
  KVP_CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG,
                                static_cast<int>(seal.tag.size()), seal.tag.data()) == 1);
  return seal;
}

bool GcmDecrypt(const Key256& key, absl::Span<const std::byte> associated, const GcmSeal& seal,
                absl::Span<const std::byte> sealed, std::byte* out) {
  const Context context = Begin(key, seal, false);
  Update(context.get(), associated, nullptr);
  Update(context.get(), sealed, out);
  GcmSeal wanted = seal;  // OpenSSL takes no const.
  KVP_CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_SET_TAG,
                                static_cast<int>(wanted.tag.size()), wanted.tag.data()) == 1);
  return Finish(context.get());
}

Key256 DeriveKey(const Key256& key, absl::Span<const std::byte> info) {
  Key256 derived;
  unsigned length = 0;
  KVP_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(info.data()),
                 info.size(), derived.data(), &length) != nullptr);
  KVP_CHECK_EQ(length, derived.size());
  return derived;
}

Key256 RandomKey() {
  Key256 key;
  KVP_CHECK(RAND_priv_bytes(key.data(), static_cast<int>(key.size())) == 1);
  return key;
}

}  // namespace kvpager
