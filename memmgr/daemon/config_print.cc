#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/config_values.h"

namespace kvpager {
namespace {

std::string TomlString(std::string_view text) {
  std::string quoted = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') quoted.push_back('\\');
    if (static_cast<unsigned char>(c) >= ' ') quoted.push_back(c);
  }
  return quoted + "\"";
}

// A share may be written as a percentage, which TOML wants quoted.
bool IsPlainNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789.") == std::string_view::npos &&
         text.front() != '.' && text.back() != '.';
}

std::string TomlValue(const KeyInfo& info, const std::string& text) {
  switch (info.shape) {
    case ValueShape::kString:
      return TomlString(text);
    case ValueShape::kNumber:
      return IsPlainNumber(text) ? text : TomlString(text);
    case ValueShape::kBoolean:
      return text;
    case ValueShape::kStringList: {
      std::string list = "[";
      for (const std::string& item : SplitList(text)) {
        absl::StrAppend(&list, list.size() > 1 ? ", " : "", TomlString(item));
      }
      return list + "]";
    }
  }
  return TomlString(text);
}

std::string ResolvedNote(const Config& config, Key key) {
  const auto bytes_note = [](const SizeSetting& size) {
    if (size.unit == SizeUnit::kBlocks) return std::string(", replaced by the number of blocks");
    return size.bytes == 0 ? "" : absl::StrCat(", is ", FormatBytes(size.bytes));
  };
  switch (key) {
    case Key::kHbmSize:
      return bytes_note(config.hbm);
    case Key::kHostSize:
      return bytes_note(config.host);
    case Key::kNvmeSize:
      return config.nvme_path.empty() ? ", unused: nvme.path is empty" : bytes_note(config.nvme);
    case Key::kNvmePath:
      return config.nvme_path.empty() ? ", no NVMe tier" : absl::StrCat(", is ", config.nvme_path);
    case Key::kListenSocket:
      return absl::StrCat(", is ", config.socket_path);
    default:
      return "";
  }
}

// A number of blocks that is not in effect would contradict its twin when read back.
bool IsCommentedOut(const Config& config, Key key) {
  switch (key) {
    case Key::kHbmBlocks:
      return config.hbm.unit != SizeUnit::kBlocks;
    case Key::kHostBlocks:
      return config.host.unit != SizeUnit::kBlocks;
    case Key::kNvmeBlocks:
      return config.nvme.unit != SizeUnit::kBlocks;
    case Key::kHbmSize:
      return config.hbm.unit == SizeUnit::kBlocks;
    case Key::kHostSize:
      return config.host.unit == SizeUnit::kBlocks;
    case Key::kNvmeSize:
      return config.nvme.unit == SizeUnit::kBlocks || config.nvme_path.empty();
    default:
      return false;
  }
}

}  // namespace

std::string PrintConfig(const Config& config) {
  std::string out;
  std::string_view table;
  for (const KeyInfo& info : ConfigKeys()) {
    const size_t dot = info.name.find('.');
    if (info.name.substr(0, dot) != table) {
      table = info.name.substr(0, dot);
      absl::StrAppend(&out, out.empty() ? "" : "\n", "[", std::string(table), "]\n");
    }
    const RawValue& value = config.raw[info.key];
    std::string line =
        absl::StrCat(IsCommentedOut(config, info.key) ? "# " : "",
                     std::string(info.name.substr(dot + 1)), " = ", TomlValue(info, value.text));
    if (line.size() < 40) line.resize(40, ' ');
    absl::StrAppend(&out, line, "  # from ", value.where, ResolvedNote(config, info.key), "\n");
  }
  for (const RawNamespace& entry : config.raw.namespaces) {
    absl::StrAppend(&out, "\n[[namespace]]  # from ", entry.where, "\n");
    absl::StrAppend(&out, "name = ", TomlString(entry.name), "\n");
    if (!entry.token.empty()) absl::StrAppend(&out, "# token is set, not shown\n");
    if (!entry.secret.empty()) absl::StrAppend(&out, "# secret is set, not shown\n");
    if (!entry.secret_file.empty()) {
      absl::StrAppend(&out, "secret_file = ", TomlString(entry.secret_file), "\n");
    }
    if (!entry.share.empty()) absl::StrAppend(&out, "share = ", entry.share, "\n");
    for (size_t tier = 0; tier < kTierCount; ++tier) {
      const std::string name(kQuotaTables[tier]);
      const auto print = [&](const char* key, const std::string& text) {
        if (!text.empty()) absl::StrAppend(&out, name, ".", key, " = ", TomlString(text), "\n");
      };
      print("guaranteed", entry.guaranteed[tier]);
      print("max", entry.max[tier]);
    }
  }
  return out;
}

}  // namespace kvpager
