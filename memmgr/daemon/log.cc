// The only source of kvpagerd that includes spdlog.

#include "memmgr/daemon/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/str_format.h"

namespace kvpager {
namespace {

bool json_lines = false;

std::string EscapeJson(std::string_view line) {
  std::string escaped;
  escaped.reserve(line.size());
  for (char c : line) {
    if (c == '"' || c == '\\') escaped.push_back('\\');
    if (static_cast<unsigned char>(c) < ' ') {
      escaped += absl::StrFormat("\\u%04x", static_cast<unsigned>(c));
    } else {
      escaped.push_back(c);
    }
  }
  return escaped;
}

// A line of the log is one line, whatever a client called itself.
std::string EscapeText(std::string_view line) {
  std::string escaped(line);
  for (char& c : escaped) {
    if (static_cast<unsigned char>(c) < ' ' || c == 127) c = '?';
  }
  return escaped;
}

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("kvpagerd",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %L %v");
    made->flush_on(spdlog::level::debug);
    return made;
  }();
  return *logger;
}

void Log(spdlog::level::level_enum level, std::string_view line) {
  if (!Logger().should_log(level)) return;
  const std::string text = json_lines ? EscapeJson(line) : EscapeText(line);
  Logger().log(level, spdlog::string_view_t(text.data(), text.size()));
}

}  // namespace

void StartLog(std::string_view level, bool json) {
  json_lines = json;
  if (json) {
    Logger().set_pattern(
        R"({"time":"%Y-%m-%dT%H:%M:%S.%f%z","level":"%l","pid":%P,"message":"%v"})");
  }
  Logger().set_level(spdlog::level::from_str(std::string(level)));
}

void LogDebug(std::string_view line) { Log(spdlog::level::debug, line); }
void LogInfo(std::string_view line) { Log(spdlog::level::info, line); }
void LogWarning(std::string_view line) { Log(spdlog::level::warn, line); }
void LogError(std::string_view line) { Log(spdlog::level::err, line); }

}  // namespace kvpager
