#include "memmgr/base/crash_point.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <string_view>

namespace kvpager::internal {
namespace {

// What KVPAGER_CRASH_AT asks for. Points into the environment, which nobody changes.
struct Request {
  std::string_view name;
  int64_t count = 1;
};

Request ReadRequest() {
  Request request;
  const char* text = std::getenv("KVPAGER_CRASH_AT");
  if (text == nullptr) return request;
  request.name = text;
  const size_t colon = request.name.find(':');
  if (colon == std::string_view::npos) return request;
  request.count = std::strtoll(text + colon + 1, nullptr, 10);
  request.name = request.name.substr(0, colon);
  return request;
}

}  // namespace

void ReachCrashPoint(std::string_view name) {
  static const Request request = ReadRequest();
  static std::atomic<int64_t> reached{0};
  if (name != request.name) return;
  if (reached.fetch_add(1) + 1 == request.count) kill(getpid(), SIGKILL);
}

}  // namespace kvpager::internal
