// tools/kvpager-replay/block_keys.h
//
// The keys of a prompt's blocks, as an engine would compute them: a chain of digests, here over the
// trace's ids, since a trace has no tokens. And the 64-bit identities that contents are made from.

#ifndef KVPAGER_TOOLS_KVPAGER_REPLAY_BLOCK_KEYS_H_
#define KVPAGER_TOOLS_KVPAGER_REPLAY_BLOCK_KEYS_H_

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine_plugin/kvpager.h"
#include "tools/kvpager-replay/trace.h"

namespace kvpager::replay {

// One key per full block. Two requests share a key exactly where they share the ids up to there.
std::vector<kvp_block_key> PromptKeys(const Request& request);

// What everything that a namespace holds is mixed with.
uint64_t NamespaceIdentity(std::string_view name_space);

// Of a named block.
uint64_t BlockIdentity(uint64_t name_space, const kvp_block_key& key);

// Of a block that only this request has: the prompt's partial tail and what is decoded behind it.
uint64_t PrivateBlockIdentity(uint64_t name_space, uint64_t request, uint64_t block);

}  // namespace kvpager::replay

#endif  // KVPAGER_TOOLS_KVPAGER_REPLAY_BLOCK_KEYS_H_
