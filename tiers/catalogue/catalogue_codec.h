// tiers/catalogue/catalogue_codec.h
//
// How the catalogue's database names and writes things. Strings of bytes; little-endian values.
//
//   key                          value
//   "b" + 16 bytes key + "e"     entry: parent key 16, stamp 16, last use 8, first frame 4
//   "b" + 16 bytes key + "f"     stamp 16: the entry with this stamp is durable
//   "m:pool"                     version 4, geometry fingerprint 8, model hash 8
//   "m:clean"                    "1" while nobody has it open and the last owner closed it
//
// On disk: do not renumber; a change needs a new version.

#ifndef KVPAGER_TIERS_CATALOGUE_CATALOGUE_CODEC_H_
#define KVPAGER_TIERS_CATALOGUE_CATALOGUE_CODEC_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "memmgr/base/geometry.h"
#include "memmgr/base/ids.h"
#include "memmgr/core/effect.h"
#include "tiers/catalogue/catalogue.h"

namespace kvpager {

inline constexpr uint32_t kCatalogueVersion = 1;
inline constexpr std::string_view kCataloguePoolKey = "m:pool";
inline constexpr std::string_view kCatalogueCleanKey = "m:clean";

std::string EntryKey(const BlockKey& key);
std::string DurableKey(const BlockKey& key);
std::string EncodeEntry(const CatalogueWrite& write);
std::string EncodeStamp(const Stamp& stamp);
std::string EncodePool(const Geometry& geometry, std::string_view model_fingerprint);

// In words: which part of two different pool values differs first.
std::string DifferingPoolPart(std::string_view a, std::string_view b);

// What a row of the database is. Unknown rows, and rows of a wrong size, are kOther.
enum class CatalogueRow : uint8_t { kOther, kEntry, kDurable };

// Reads a row; fills `entry` for kEntry, and its key and stamp for kDurable.
CatalogueRow DecodeRow(std::string_view key, std::string_view value, CatalogueEntry& entry);

}  // namespace kvpager

#endif  // KVPAGER_TIERS_CATALOGUE_CATALOGUE_CODEC_H_
