#include "tools/kvpager-replay/trace_reader.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "memmgr/base/status_macros.h"
#include "tools/kvpager-replay/line_reader.h"

namespace kvpager::replay {
namespace {

using Json = nlohmann::json;

constexpr uint64_t kTokensMax = uint64_t{1} << 32;  // Of one request; catches nonsense early.

absl::StatusOr<uint64_t> NumberOf(const Json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end()) {
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is missing"));
  }
  if (!member->is_number() || (member->is_number_integer() && !member->is_number_unsigned()) ||
      (member->is_number_float() && !(member->get<double>() >= 0.0))) {
    return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is not a number of 0 or more"));
  }
  // Some published traces write times as 1234.0.
  const double value = member->get<double>();
  if (value > 9e15) return absl::InvalidArgumentError(absl::StrCat("\"", name, "\" is too large"));
  return member->is_number_float() ? static_cast<uint64_t>(value) : member->get<uint64_t>();
}

absl::StatusOr<Request> ParseRequest(const std::string& line) {
  const Json object = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (object.is_discarded()) return absl::InvalidArgumentError("not JSON");
  if (!object.is_object()) return absl::InvalidArgumentError("not a JSON object");
  Request request;
  KVP_ASSIGN_OR_RETURN(request.timestamp_ms, NumberOf(object, "timestamp"));
  KVP_ASSIGN_OR_RETURN(request.input_tokens, NumberOf(object, "input_length"));
  KVP_ASSIGN_OR_RETURN(request.output_tokens, NumberOf(object, "output_length"));
  if (request.input_tokens > kTokensMax || request.output_tokens > kTokensMax) {
    return absl::InvalidArgumentError("more than 4294967296 tokens");
  }
  const auto ids = object.find("hash_ids");
  if (ids == object.end() || !ids->is_array()) {
    return absl::InvalidArgumentError("\"hash_ids\" is missing or not a list");
  }
  request.hash_ids.reserve(ids->size());
  for (const Json& id : *ids) {
    if (!id.is_number_unsigned()) {
      return absl::InvalidArgumentError("\"hash_ids\" has an element that is not a whole number");
    }
    request.hash_ids.push_back(id.get<uint64_t>());
  }
  if (request.hash_ids.size() < request.full_blocks()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"hash_ids\" has ", request.hash_ids.size(), " ids, but the prompt has ",
                     request.full_blocks(), " full blocks of ", kTraceBlockTokens, " tokens"));
  }
  return request;
}

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

}  // namespace

absl::StatusOr<Trace> ReadTrace(const TraceReaderOptions& options) {
  KVP_ASSIGN_OR_RETURN(const std::unique_ptr<LineReader> reader, LineReader::Open(options.path));
  Trace trace;
  trace.name = options.path;
  std::string line;
  for (uint64_t number = 1; trace.requests.size() < options.requests_max; ++number) {
    KVP_ASSIGN_OR_RETURN(const bool more, reader->Next(line));
    if (!more) break;
    if (IsBlank(line)) continue;
    absl::StatusOr<Request> request = ParseRequest(line);
    if (request.ok()) {
      trace.requests.push_back(*std::move(request));
    } else if (options.bad_lines == BadLines::kSkip) {
      ++trace.lines_skipped;
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat(options.path, ":", number, ": ", std::string(request.status().message()),
                       "; correct the line, or pass --skip-bad-lines"));
    }
  }
  if (trace.requests.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(options.path, " has no requests"));
  }
  return trace;
}

}  // namespace kvpager::replay
