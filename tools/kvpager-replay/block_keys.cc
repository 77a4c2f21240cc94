#include "tools/kvpager-replay/block_keys.h"

#include <cstring>

#include "tools/kvpager-replay/random.h"

namespace kvpager::replay {

std::vector<kvp_block_key> PromptKeys(const Request& request) {
  std::vector<kvp_block_key> keys(request.full_blocks());
  for (size_t i = 0; i < keys.size(); ++i) {
    const uint64_t id = request.hash_ids[i];
    const uint32_t tokens[2] = {static_cast<uint32_t>(id), static_cast<uint32_t>(id >> 32)};
    kvp_hash_block(i == 0 ? nullptr : &keys[i - 1], tokens, 2, &keys[i]);
  }
  return keys;
}

uint64_t NamespaceIdentity(std::string_view name_space) {
  uint64_t identity = name_space.size();
  for (const char c : name_space) identity = MixTogether(identity, static_cast<uint8_t>(c));
  return identity;
}

uint64_t BlockIdentity(uint64_t name_space, const kvp_block_key& key) {
  uint64_t words[4];
  static_assert(sizeof words == sizeof key.bytes);
  std::memcpy(words, key.bytes, sizeof words);
  return MixTogether(MixTogether(name_space, MixTogether(words[0], words[1])),
                     MixTogether(words[2], words[3]));
}

uint64_t PrivateBlockIdentity(uint64_t name_space, uint64_t request, uint64_t block) {
  return MixTogether(name_space ^ 0x70726976617465u, MixTogether(request, block));
}

}  // namespace kvpager::replay
