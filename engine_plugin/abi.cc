#include "engine_plugin/abi.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace kvpager::engine {

std::string& LastError() {
  thread_local std::string text;
  return text;
}

kvp_status ToCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return KVP_OK;
    case absl::StatusCode::kInvalidArgument:
      return KVP_INVALID_ARGUMENT;
    case absl::StatusCode::kDeadlineExceeded:
      return KVP_DEADLINE_EXCEEDED;
    case absl::StatusCode::kNotFound:
      return KVP_NOT_FOUND;
    case absl::StatusCode::kPermissionDenied:
      return KVP_PERMISSION_DENIED;
    case absl::StatusCode::kResourceExhausted:
      return KVP_RESOURCE_EXHAUSTED;
    case absl::StatusCode::kFailedPrecondition:
      return KVP_FAILED_PRECONDITION;
    case absl::StatusCode::kAborted:
      return KVP_ABORTED;
    case absl::StatusCode::kUnimplemented:
      return KVP_UNIMPLEMENTED;
    case absl::StatusCode::kDataLoss:
      return KVP_DATA_LOSS;
    default:
      return KVP_UNAVAILABLE;  // No other code is part of the protocol.
  }
}

kvp_status Fail(kvp_client* client, const absl::Status& status) {
  std::string& text = client != nullptr ? client->error : LastError();
  text.assign(status.message().data(), status.message().size());
  return ToCode(status);
}

kvp_status Finish(kvp_client* client, const absl::Status& status) {
  return status.ok() ? KVP_OK : Fail(client, status);
}

kvp_status Invalid(kvp_client* client, std::string text) {
  return Fail(client, absl::InvalidArgumentError(std::move(text)));
}

absl::Status CheckRead(const char* what, size_t struct_size, size_t size_first, size_t size_now) {
  if (struct_size >= size_first && struct_size <= size_now) return absl::OkStatus();
  if (struct_size > size_now) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, ".struct_size is ", struct_size, "; this libkvpager knows ", size_now,
        " bytes of it: the caller was compiled against a newer kvpager.h, update the library"));
  }
  return absl::InvalidArgumentError(
      absl::StrCat(what, ".struct_size is ", struct_size, "; set it to sizeof(", what, ")"));
}

absl::Status CheckWritten(const char* what, size_t struct_size, size_t size_first) {
  if (struct_size >= size_first) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(what, ".struct_size is ", struct_size, "; set it to sizeof(", what, ")"));
}

absl::Status CheckKeys(const kvp_block_key* keys, size_t num_keys) {
  if (keys == nullptr && num_keys > 0) {
    return absl::InvalidArgumentError(absl::StrCat("keys is NULL, num_keys is ", num_keys));
  }
  for (size_t i = 0; i < num_keys; ++i) {
    bool zero = true;
    for (const uint8_t byte : keys[i].bytes) zero = zero && byte == 0;
    if (zero) {
      return absl::InvalidArgumentError(
          absl::StrCat("keys[", i, "] is all zero, which means \"no key\"; hash the tokens first"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTier(int32_t tier, int32_t first, int32_t last, const char* allowed) {
  if (tier >= first && tier <= last) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("tier is ", tier, "; it must be ", allowed));
}

}  // namespace kvpager::engine
