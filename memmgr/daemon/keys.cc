#include "memmgr/daemon/keys.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "memmgr/base/check.h"

namespace kvpager {
namespace {

constexpr std::string_view kBlockLabel("kvpager block key 1\0", 20);
constexpr std::string_view kNamespaceLabel("kvpager namespace secret 1\0", 27);

void Update(EVP_MD_CTX* context, std::string_view bytes) {
  KVP_CHECK(EVP_DigestUpdate(context, bytes.data(), bytes.size()) == 1);
}

void UpdateNumber(EVP_MD_CTX* context, uint64_t number) {
  uint8_t bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(number >> (8 * i));
  KVP_CHECK(EVP_DigestUpdate(context, bytes, sizeof bytes) == 1);
}

uint64_t ReadNumber(const uint8_t* bytes) {
  uint64_t number = 0;
  for (int i = 0; i < 8; ++i) number |= uint64_t{bytes[i]} << (8 * i);
  return number;
}

Digest256 Finish(EVP_MD_CTX* context) {
  Digest256 digest;
  unsigned length = 0;
  KVP_CHECK(EVP_DigestFinal_ex(context, digest.data(), &length) == 1);
  KVP_CHECK_EQ(length, digest.size());
  return digest;
}

}  // namespace

Digest256 Sha256(std::string_view bytes) {
  Digest256 digest;
  unsigned length = 0;
  KVP_CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.data(), &length, EVP_sha256(), nullptr) ==
            1);
  KVP_CHECK_EQ(length, digest.size());
  return digest;
}

std::string NamespaceSecretFrom(std::string_view data_secret, std::string_view name) {
  std::string bytes(kNamespaceLabel);
  bytes.append(data_secret).append(name);
  const Digest256 digest = Sha256(bytes);
  return std::string(digest.begin(), digest.end());
}

bool EqualSecrets(std::string_view a, std::string_view b) {
  // Of the digests, so that not even the lengths show.
  const Digest256 digest_a = Sha256(a);
  const Digest256 digest_b = Sha256(b);
  return CRYPTO_memcmp(digest_a.data(), digest_b.data(), digest_a.size()) == 0;
}

void KeyDeriver::Free::operator()(evp_md_ctx_st* context) const { EVP_MD_CTX_free(context); }

KeyDeriver::KeyDeriver(std::string_view secret, uint64_t geometry_fingerprint,
                       std::string_view model)
    : prefix_(EVP_MD_CTX_new()), scratch_(EVP_MD_CTX_new()) {
  KVP_CHECK(prefix_ != nullptr);
  KVP_CHECK(scratch_ != nullptr);
  KVP_CHECK(EVP_DigestInit_ex(prefix_.get(), EVP_sha256(), nullptr) == 1);
  Update(prefix_.get(), kBlockLabel);
  UpdateNumber(prefix_.get(), secret.size());
  Update(prefix_.get(), secret);
  UpdateNumber(prefix_.get(), geometry_fingerprint);
  UpdateNumber(prefix_.get(), model.size());
  Update(prefix_.get(), model);
}

BlockKey KeyDeriver::Derive(const Digest256& digest) const {
  KVP_CHECK(EVP_MD_CTX_copy_ex(scratch_.get(), prefix_.get()) == 1);
  KVP_CHECK(EVP_DigestUpdate(scratch_.get(), digest.data(), digest.size()) == 1);
  const Digest256 hash = Finish(scratch_.get());
  BlockKey key{{ReadNumber(hash.data()), ReadNumber(hash.data() + 8)}};
  if (key.is_none()) key.words[0] = 1;
  return key;
}

}  // namespace kvpager
