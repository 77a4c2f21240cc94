#include "tiers/catalogue/catalogue_codec.h"

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace kvpager {
namespace {

constexpr char kBlockPrefix = 'b';
constexpr char kEntrySuffix = 'e';
constexpr char kDurableSuffix = 'f';  // Sorts right behind its entry.
constexpr size_t kKeyBytes = 16;
constexpr size_t kStampBytes = 16;
constexpr size_t kEntryBytes = kKeyBytes + kStampBytes + sizeof(uint64_t) + sizeof(uint32_t);

template <typename T>
void Append(T value, std::string& out) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &value, sizeof(T));
  out.append(bytes, sizeof(T));
}

template <typename T>
T Take(std::string_view& in) {
  T value;
  std::memcpy(&value, in.data(), sizeof(T));
  in.remove_prefix(sizeof(T));
  return value;
}

void AppendKey(const BlockKey& key, std::string& out) {
  for (uint64_t word : key.words) Append(word, out);
}

BlockKey TakeKey(std::string_view& in) {
  BlockKey key;
  for (uint64_t& word : key.words) word = Take<uint64_t>(in);
  return key;
}

Stamp TakeStamp(std::string_view& in) {
  Stamp stamp;
  stamp.incarnation = Take<uint64_t>(in);
  stamp.counter = Take<uint64_t>(in);
  return stamp;
}

std::string RowKey(const BlockKey& key, char suffix) {
  std::string row(1, kBlockPrefix);
  AppendKey(key, row);
  row.push_back(suffix);
  return row;
}

}  // namespace

std::string EntryKey(const BlockKey& key) { return RowKey(key, kEntrySuffix); }
std::string DurableKey(const BlockKey& key) { return RowKey(key, kDurableSuffix); }

std::string EncodeEntry(const CatalogueWrite& write) {
  std::string value;
  AppendKey(write.parent_key, value);
  value += EncodeStamp(write.stamp);
  Append(write.last_use, value);
  Append(write.frame_first.value, value);
  return value;
}

std::string EncodeStamp(const Stamp& stamp) {
  std::string value;
  Append(stamp.incarnation, value);
  Append(stamp.counter, value);
  return value;
}

std::string EncodePool(const Geometry& geometry, std::string_view model_fingerprint) {
  std::string value;
  Append(kCatalogueVersion, value);
  Append(Fingerprint(geometry), value);
  uint64_t hash = 14695981039346656037ull;  // FNV-1a, as in the superblock of the page file.
  for (char byte : model_fingerprint) {
    hash = (hash ^ static_cast<unsigned char>(byte)) * 1099511628211ull;
  }
  Append(hash, value);
  return value;
}

std::string DifferingPoolPart(std::string_view a, std::string_view b) {
  constexpr size_t kVersionBytes = sizeof(kCatalogueVersion);
  constexpr size_t kGeometryBytes = sizeof(uint64_t);
  if (a.size() != b.size() || a.substr(0, kVersionBytes) != b.substr(0, kVersionBytes)) {
    return "format version";
  }
  a.remove_prefix(kVersionBytes);
  b.remove_prefix(kVersionBytes);
  return a.substr(0, kGeometryBytes) != b.substr(0, kGeometryBytes) ? "geometry" : "model";
}

CatalogueRow DecodeRow(std::string_view key, std::string_view value, CatalogueEntry& entry) {
  if (key.size() != kKeyBytes + 2 || key.front() != kBlockPrefix) return CatalogueRow::kOther;
  const char suffix = key.back();
  key.remove_prefix(1);
  entry = CatalogueEntry();
  entry.key = TakeKey(key);
  if (suffix == kDurableSuffix && value.size() == kStampBytes) {
    entry.stamp = TakeStamp(value);
    return CatalogueRow::kDurable;
  }
  if (suffix != kEntrySuffix || value.size() != kEntryBytes) return CatalogueRow::kOther;
  entry.parent_key = TakeKey(value);
  entry.stamp = TakeStamp(value);
  entry.last_use = Take<uint64_t>(value);
  entry.frame_first.value = Take<uint32_t>(value);
  return CatalogueRow::kEntry;
}

}  // namespace kvpager
