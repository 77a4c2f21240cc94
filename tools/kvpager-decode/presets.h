// tools/kvpager-decode/presets.h
//
// Shapes of attention of known models, from their published configurations, and a small one that
// fits anywhere. One layer per page: a layer that is streamed reads nothing but itself.

#ifndef KVPAGER_TOOLS_KVPAGER_DECODE_PRESETS_H_
#define KVPAGER_TOOLS_KVPAGER_DECODE_PRESETS_H_

#include <optional>
#include <string>
#include <vector>

#include "tools/kvpager-decode/options.h"

namespace kvpager::decode {

std::vector<std::string> PresetNames();
std::optional<ModelShape> FindPreset(const std::string& name);

}  // namespace kvpager::decode

#endif  // KVPAGER_TOOLS_KVPAGER_DECODE_PRESETS_H_
