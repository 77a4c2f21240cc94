// memmgr/daemon/config_values.h
//
// One text of the configuration as a value, with errors that say where the text came from and what
// to write instead.
//
// Errors: the first one sticks; getters after it return zero values, so that a resolver reads as a
// list. Thread-safety: none.

#ifndef KVPAGER_MEMMGR_DAEMON_CONFIG_VALUES_H_
#define KVPAGER_MEMMGR_DAEMON_CONFIG_VALUES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "memmgr/daemon/config.h"

namespace kvpager {

// "hbm.size = \"12 apples\" (from --hbm.size)".
std::string Quote(const RawConfig& raw, Key key);

std::vector<std::string> SplitList(std::string_view text);

class ValueReader {
 public:
  explicit ValueReader(const RawConfig& raw) : raw_(raw) {}

  SizeSetting Size(Key key);
  uint64_t Number(Key key, uint64_t value_min, uint64_t value_max);
  uint32_t Permille(Key key);
  bool Boolean(Key key);
  // The index of the text in `choices`.
  size_t Choice(Key key, absl::Span<const std::string_view> choices);
  std::string Text(Key key) const { return raw_[key].text; }

  // Remembers "<key = text (from where)>: <complaint>" unless something was remembered before.
  void Refuse(Key key, std::string_view complaint);

  const absl::Status& status() const { return status_; }

 private:
  const RawConfig& raw_;
  absl::Status status_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_CONFIG_VALUES_H_
