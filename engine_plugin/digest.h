// engine_plugin/digest.h
//
// The engine's name for a block's contents, as it crosses the C ABI and the wire: 32 bytes. All
// zero means "no name". Plain value.

#ifndef KVPAGER_ENGINE_PLUGIN_DIGEST_H_
#define KVPAGER_ENGINE_PLUGIN_DIGEST_H_

#include "engine_plugin/kvpager.h"

namespace kvpager::engine {

using Digest = ::kvp_block_key;

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_DIGEST_H_
