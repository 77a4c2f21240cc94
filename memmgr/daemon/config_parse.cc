// The only source of kvpagerd that includes CLI11 and toml++; compiled with exceptions, which end
// here: what they throw becomes a Status.

#include <toml++/toml.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/config_keys.h"

namespace kvpager {
namespace {

std::string FileName(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

std::string Where(const std::string& path, const toml::source_region& region) {
  return absl::StrCat(FileName(path), ":", region.begin.line);
}

absl::Status BadEntry(const std::string& where, const std::string& complaint) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", complaint));
}

// A scalar or a list of strings as the text a flag would give.
absl::StatusOr<std::string> TextOf(const toml::node& node) {
  if (const auto* text = node.as_string()) return text->get();
  if (const auto* flag = node.as_boolean()) return std::string(flag->get() ? "true" : "false");
  if (const auto* number = node.as_integer()) return std::to_string(number->get());
  if (const auto* number = node.as_floating_point()) return absl::StrCat(number->get());
  const auto* list = node.as_array();
  if (list == nullptr) return absl::InvalidArgumentError("is neither text nor a number nor a list");
  std::string joined;
  for (const toml::node& item : *list) {
    const auto* text = item.as_string();
    if (text == nullptr) return absl::InvalidArgumentError("must be a list of texts");
    absl::StrAppend(&joined, joined.empty() ? "" : ",", text->get());
  }
  return joined;
}

absl::Status ReadTable(const toml::table& table, const std::string& prefix, const std::string& path,
                       RawConfig& raw) {
  for (const auto& [toml_key, node] : table) {
    const std::string name = prefix + std::string(toml_key.str());
    const std::string where = Where(path, node.source());
    if (prefix.empty() && name == "namespace" && node.is_array()) continue;  // ReadNamespaces.
    if (const toml::table* inner = node.as_table()) {
      KVP_RETURN_IF_ERROR(ReadTable(*inner, name + ".", path, raw));
      continue;
    }
    const KeyInfo* info = FindKey(name);
    if (info == nullptr) {
      return BadEntry(where, absl::StrCat("unknown key \"", name, "\"", DidYouMean(name)));
    }
    const absl::StatusOr<std::string> text = TextOf(node);
    if (!text.ok()) return BadEntry(where, absl::StrCat(name, " ", text.status().message()));
    if (node.is_array() && info->shape != ValueShape::kStringList) {
      return BadEntry(where, absl::StrCat(name, " is one value, not a list"));
    }
    raw[info->key] = {*text, ConfigSource::kFile, where};
  }
  return absl::OkStatus();
}

// hbm = { guaranteed = "10%", max = "50%" }, or hbm.max = "50%".
absl::Status ReadQuota(const toml::node& node, const std::string& path, size_t tier,
                       RawNamespace& entry) {
  const toml::table* inner = node.as_table();
  const std::string name(kQuotaTables[tier]);
  if (inner == nullptr) {
    return BadEntry(Where(path, node.source()), absl::StrCat("write ", name, ".guaranteed and ",
                                                             name, ".max in [[namespace]]"));
  }
  constexpr std::string_view kNames[] = {"guaranteed", "max"};
  std::string* const fields[] = {&entry.guaranteed[tier], &entry.max[tier]};
  for (const auto& [toml_key, value] : *inner) {
    const auto* const found = std::find(std::begin(kNames), std::end(kNames), toml_key.str());
    const std::string where = Where(path, value.source());
    const std::string key = absl::StrCat(name, ".", std::string(toml_key.str()));
    if (found == std::end(kNames)) {
      return BadEntry(where, absl::StrCat("unknown key \"", key, "\" in [[namespace]]",
                                          DidYouMean(toml_key.str(), kNames)));
    }
    const absl::StatusOr<std::string> text = TextOf(value);
    if (!text.ok() || text->empty() || value.is_array()) {
      return BadEntry(where, absl::StrCat(key, " must be one size or share"));
    }
    *fields[found - std::begin(kNames)] = *text;
  }
  return absl::OkStatus();
}

absl::Status ReadNamespace(const toml::table& table, const std::string& path, RawNamespace& entry) {
  constexpr std::string_view kNames[] = {"name",  "token", "secret", "secret_file",
                                         "share", "hbm",   "host",   "nvme"};
  std::string* const fields[] = {&entry.name, &entry.token, &entry.secret, &entry.secret_file};
  for (const auto& [toml_key, node] : table) {
    const auto* const tier =
        std::find(std::begin(kQuotaTables), std::end(kQuotaTables), toml_key.str());
    if (tier != std::end(kQuotaTables)) {
      const auto index = static_cast<size_t>(tier - std::begin(kQuotaTables));
      KVP_RETURN_IF_ERROR(ReadQuota(node, path, index, entry));
      continue;
    }
    if (toml_key.str() == "share" && node.is_integer()) {
      entry.share = *TextOf(node);
      continue;
    }
    const auto* const found = std::find(std::begin(kNames), std::end(kNames), toml_key.str());
    const std::string where = Where(path, node.source());
    if (found == std::end(kNames)) {
      return BadEntry(
          where, absl::StrCat("unknown key \"", std::string(toml_key.str()), "\" in [[namespace]]",
                              DidYouMean(toml_key.str(), kNames)));
    }
    const auto* text = node.as_string();
    if (text == nullptr || found - std::begin(kNames) >= 4) {
      return BadEntry(where, absl::StrCat("namespace ", std::string(*found), " must be a ",
                                          *found == "share" ? "number" : "text"));
    }
    *fields[found - std::begin(kNames)] = text->get();
  }
  return absl::OkStatus();
}

absl::Status ReadNamespaces(const toml::table& table, const std::string& path, RawConfig& raw) {
  const toml::array* list = table["namespace"].as_array();
  if (list == nullptr) return absl::OkStatus();
  for (const toml::node& node : *list) {
    const toml::table* inner = node.as_table();
    if (inner == nullptr) {
      return BadEntry(Where(path, node.source()), "write each namespace as a [[namespace]] table");
    }
    RawNamespace entry;
    entry.where = Where(path, node.source());
    KVP_RETURN_IF_ERROR(ReadNamespace(*inner, path, entry));
    raw.namespaces.push_back(std::move(entry));
  }
  return absl::OkStatus();
}

absl::Status ReadFile(const std::string& path, RawConfig& raw) {
  std::ifstream stream(path);
  if (!stream) {
    return absl::InvalidArgumentError(absl::StrCat("cannot read the configuration file ", path,
                                                   ": ", std::strerror(errno),
                                                   "; check --config or the file's permissions"));
  }
  std::ostringstream text;
  text << stream.rdbuf();
  toml::table table;
  try {
    table = toml::parse(text.str(), path);
  } catch (const toml::parse_error& error) {
    return BadEntry(Where(path, error.source()), std::string(error.description()));
  }
  KVP_RETURN_IF_ERROR(ReadTable(table, "", path, raw));
  return ReadNamespaces(table, path, raw);
}

const std::string* Lookup(const Environment& environment, std::string_view name) {
  for (const auto& [key, value] : environment) {
    if (key == name) return &value;
  }
  return nullptr;
}

// The file named, or the first of the usual places that exists, or none.
std::string ConfigPath(const CommandLine& command_line, const Environment& environment) {
  if (command_line.config_given) return command_line.config_path;
  if (const std::string* named = Lookup(environment, "KVPAGER_CONFIG")) return *named;
  std::vector<std::string> places;
  if (const std::string* directory = Lookup(environment, "XDG_CONFIG_HOME")) {
    places.push_back(*directory + "/kvpager/kvpager.toml");
  } else if (const std::string* home = Lookup(environment, "HOME")) {
    places.push_back(*home + "/.config/kvpager/kvpager.toml");
  }
  places.push_back("/etc/kvpager/kvpager.toml");
  for (const std::string& place : places) {
    if (access(place.c_str(), F_OK) == 0) return place;
  }
  return "";
}

// A variable that names one of our tables but none of its keys is a typing error; others
// (KVPAGER_SOCKET, KVPAGER_CRASH_AT) belong to other programs.
absl::Status RefuseUnknownVariable(const std::string& name) {
  std::vector<std::string> names;
  bool ours = false;
  for (const KeyInfo& info : ConfigKeys()) {
    const std::string table =
        EnvironmentName(std::string(info.name.substr(0, info.name.find('.'))) + ".");
    ours = ours || name.compare(0, table.size(), table) == 0;
    names.push_back(EnvironmentName(info.name));
    if (names.back() == name) return absl::OkStatus();
  }
  if (!ours) return absl::OkStatus();
  const std::vector<std::string_view> candidates(names.begin(), names.end());
  return absl::InvalidArgumentError(
      absl::StrCat("unknown environment variable ", name, DidYouMean(name, candidates)));
}

absl::Status ReadEnvironment(const Environment& environment, RawConfig& raw) {
  for (const auto& [name, value] : environment) {
    KVP_RETURN_IF_ERROR(RefuseUnknownVariable(name));
  }
  for (const KeyInfo& info : ConfigKeys()) {
    const std::string name = EnvironmentName(info.name);
    if (const std::string* value = Lookup(environment, name)) {
      raw[info.key] = {*value, ConfigSource::kEnvironment, name};
    }
  }
  return absl::OkStatus();
}

absl::Status RefuseArgument(const std::string& argument) {
  if (argument.compare(0, 2, "--") != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("unexpected argument \"", argument, "\"; options start with --, see --help"));
  }
  const std::string name = argument.substr(2, argument.find('=') - 2);
  std::vector<std::string_view> names = {"config",           "check-config", "print-config",
                                         "forget-namespace", "version",      "help"};
  for (const KeyInfo& info : ConfigKeys()) names.push_back(info.name);
  return absl::InvalidArgumentError(
      absl::StrCat("unknown option \"--", name, "\"", DidYouMean(name, names)));
}

// "--name=" as two arguments, because CLI11 takes the one for a missing value.
std::vector<std::string> SplitEmptyValues(const std::vector<std::string>& arguments) {
  std::vector<std::string> split;
  for (const std::string& argument : arguments) {
    const bool empty_value = argument.size() > 3 && argument.compare(0, 2, "--") == 0 &&
                             argument.find('=') == argument.size() - 1;
    split.push_back(empty_value ? argument.substr(0, argument.size() - 1) : argument);
    if (empty_value) split.emplace_back();
  }
  return split;
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments) {
  CLI::App app("kvpagerd: owns the KV pages of this node's engines in HBM, host memory and NVMe.",
               "kvpagerd");
  CommandLine parsed;
  bool check = false;
  bool print = false;
  bool version = false;
  app.add_option("--config", parsed.config_path,
                 "TOML file; empty: none. Default: $KVPAGER_CONFIG, "
                 "~/.config/kvpager/kvpager.toml, /etc/kvpager/kvpager.toml.");
  app.add_flag("--check-config", check, "Check the configuration and exit.");
  app.add_option("--forget-namespace", parsed.forget_namespace,
                 "Destroy the key of a namespace, so that nothing it wrote can be read; and exit.");
  app.add_flag("--print-config", print, "Print every value with its source, as TOML, and exit.");
  app.add_flag("--version", version, "Print the version and exit.");
  std::vector<std::string> texts(kKeyCount);
  for (const KeyInfo& info : ConfigKeys()) {
    const std::string shown = info.default_text.empty() ? "\"\"" : std::string(info.default_text);
    app.add_option("--" + std::string(info.name), texts[KeyIndex(info.key)], std::string(info.help))
        ->type_name("[" + shown + "]")
        ->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)
        ->group("Keys (also in the file, and as KVPAGER_HBM_SIZE etc.)");
  }
  app.allow_extras();
  std::vector<std::string> reversed = SplitEmptyValues(arguments);
  std::reverse(reversed.begin(), reversed.end());  // As CLI11 wants them.
  try {
    app.parse(std::move(reversed));
  } catch (const CLI::CallForHelp&) {
    parsed.action = CommandAction::kHelp;
    parsed.help_text = app.help();
    return parsed;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(error.what());
  }
  if (const std::vector<std::string> extras = app.remaining(); !extras.empty()) {
    return RefuseArgument(extras.front());
  }
  parsed.config_given = app.count("--config") > 0;
  for (const KeyInfo& info : ConfigKeys()) {
    if (app.count("--" + std::string(info.name)) == 0) continue;
    parsed.options.emplace_back(info.name, texts[KeyIndex(info.key)]);
  }
  if (version) {
    parsed.action = CommandAction::kVersion;
  } else if (app.count("--forget-namespace") > 0) {
    parsed.action = CommandAction::kForgetNamespace;
  } else if (print) {
    parsed.action = CommandAction::kPrintConfig;
  } else if (check) {
    parsed.action = CommandAction::kCheckConfig;
  }
  return parsed;
}

Environment ProcessEnvironment() {
  Environment environment;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const size_t equals = text.find('=');
    if (equals == std::string::npos) continue;
    environment.emplace_back(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

absl::StatusOr<RawConfig> LoadRawConfig(const CommandLine& command_line,
                                        const Environment& environment) {
  RawConfig raw;
  if (const std::string path = ConfigPath(command_line, environment); !path.empty()) {
    KVP_RETURN_IF_ERROR(ReadFile(path, raw));
  }
  KVP_RETURN_IF_ERROR(ReadEnvironment(environment, raw));
  for (const auto& [name, text] : command_line.options) {
    raw[FindKey(name)->key] = {text, ConfigSource::kFlag, "--" + name};
  }
  return raw;
}

}  // namespace kvpager
