// engine_plugin/kvpager_async.cc
//
// The C ABI's submit, event_fd and drain. Requests and completions are arrays of structs that may
// grow: the distance between two is what the caller says that one is large.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "engine_plugin/abi.h"
#include "engine_plugin/kvpager.h"
#include "memmgr/base/status_macros.h"

namespace engine = kvpager::engine;
using kvpager::engine::CheckKeys;
using kvpager::engine::CheckRead;
using kvpager::engine::CheckTier;
using kvpager::engine::CheckWritten;
using kvpager::engine::Fail;
using kvpager::engine::Finish;
using kvpager::engine::Invalid;
using kvpager::engine::OperationKind;

namespace {

absl::StatusOr<OperationKind> ToKind(uint32_t op) {
  switch (op) {
    case KVP_OP_OPEN:
      return OperationKind::kOpen;
    case KVP_OP_FORK:
      return OperationKind::kFork;
    case KVP_OP_RESUME:
      return OperationKind::kResume;
    case KVP_OP_EVICT:
      return OperationKind::kEvict;
    case KVP_OP_NAME:
      return OperationKind::kName;
    case KVP_OP_STEP:
      return OperationKind::kStep;
    default:
      return absl::InvalidArgumentError(
          absl::StrCat("op is ", op, "; it must be a KVP_OP_* value"));
  }
}

uint32_t FromKind(OperationKind kind) {
  switch (kind) {
    case OperationKind::kOpen:
      return KVP_OP_OPEN;
    case OperationKind::kFork:
      return KVP_OP_FORK;
    case OperationKind::kResume:
      return KVP_OP_RESUME;
    case OperationKind::kEvict:
      return KVP_OP_EVICT;
    case OperationKind::kName:
      return KVP_OP_NAME;
    case OperationKind::kStep:
      return KVP_OP_STEP;
  }
  return 0;
}

absl::Status CheckStep(const kvp_client* client, const kvp_step* step) {
  if (step == nullptr) return absl::InvalidArgumentError("step is NULL");
  if (step->client == client) return absl::OkStatus();
  return absl::InvalidArgumentError("step is of another client");
}

absl::StatusOr<engine::OperationRequest> ToRequest(const kvp_client* client,
                                                   const kvp_request& request) {
  engine::OperationRequest result;
  KVP_ASSIGN_OR_RETURN(result.kind, ToKind(request.op));
  result.user_data = request.user_data;
  result.timeout_us = request.timeout_us;
  result.sequence = request.seq;
  if (request.op == KVP_OP_OPEN || request.op == KVP_OP_NAME) {
    KVP_RETURN_IF_ERROR(CheckKeys(request.keys, request.num_keys));
    result.keys = {request.keys, request.num_keys};
    result.block_first = request.first_block;
  } else if (request.op == KVP_OP_STEP) {
    KVP_RETURN_IF_ERROR(CheckStep(client, request.step));
    result.step = request.step->step;
  } else if (request.op == KVP_OP_EVICT) {
    KVP_RETURN_IF_ERROR(
        CheckTier(request.tier, KVP_TIER_HOST, KVP_TIER_NVME, "KVP_TIER_HOST or KVP_TIER_NVME"));
    result.tier = static_cast<kvpager::Tier>(request.tier);
  }
  return result;
}

absl::Status ToRequests(kvp_client* client, const kvp_request* requests, size_t num_requests) {
  client->operations.clear();
  const auto* at = reinterpret_cast<const uint8_t*>(requests);
  for (size_t i = 0; i < num_requests; ++i) {
    kvp_request request{};
    std::memcpy(&request, at, sizeof(request.struct_size));
    KVP_RETURN_IF_ERROR(
        CheckRead("kvp_request", request.struct_size, sizeof(kvp_request), sizeof(kvp_request)));
    if (request.struct_size != requests->struct_size) {
      return absl::InvalidArgumentError(
          absl::StrCat("requests[", i, "].struct_size is ", request.struct_size, ", that of the ",
                       "first ", requests->struct_size, "; set all to sizeof(kvp_request)"));
    }
    std::memcpy(&request, at, request.struct_size);
    absl::StatusOr<engine::OperationRequest> operation = ToRequest(client, request);
    if (!operation.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("requests[", i, "]: ", std::string(operation.status().message())));
    }
    client->operations.push_back(*operation);
    at += request.struct_size;
  }
  return absl::OkStatus();
}

kvp_completion ToCompletion(const engine::Completion& completion, const std::string& error) {
  kvp_completion result{};
  result.op = FromKind(completion.kind);
  result.user_data = completion.user_data;
  result.status = engine::ToCode(completion.status);
  result.reuse_tokens = static_cast<uint32_t>(completion.reuse.tokens);
  for (size_t tier = 0; tier < KVP_TIER_COUNT; ++tier) {
    result.hit_blocks[tier] = completion.reuse.hit_blocks[tier];
  }
  result.seq = completion.sequence;
  result.error = error.c_str();
  return result;
}

}  // namespace

kvp_status kvp_submit(kvp_client* client, const kvp_request* requests, size_t num_requests,
                      size_t* accepted) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  if (accepted == nullptr) return Invalid(client, "accepted is NULL; nowhere to put the number");
  *accepted = 0;
  if (requests == nullptr && num_requests > 0) {
    return Invalid(client, absl::StrCat("requests is NULL, num_requests is ", num_requests));
  }
  const absl::Status checked = ToRequests(client, requests, num_requests);
  if (!checked.ok()) return Fail(client, checked);
  return Finish(client, client->client->Submit(client->operations, accepted));
}

kvp_status kvp_event_fd(kvp_client* client, int* fd) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  if (fd == nullptr) return Invalid(client, "fd is NULL; nowhere to put the descriptor");
  *fd = -1;
  const absl::StatusOr<int> made = client->client->EventFd();
  if (!made.ok()) return Fail(client, made.status());
  *fd = *made;
  return KVP_OK;
}

kvp_status kvp_drain(kvp_client* client, kvp_completion* out, size_t max, size_t* count) {
  if (client == nullptr) return Invalid(nullptr, "client is NULL");
  if (count == nullptr) return Invalid(client, "count is NULL; nowhere to put the number");
  *count = 0;
  if (out == nullptr && max > 0) {
    return Invalid(client, absl::StrCat("out is NULL, max is ", max));
  }
  const size_t element_bytes = max > 0 ? out->struct_size : 0;
  if (max > 0) {
    const absl::Status size = CheckWritten("kvp_completion", element_bytes, sizeof(kvp_completion));
    if (!size.ok()) return Fail(client, size);
  }
  std::vector<engine::Completion>& completions = client->completions;
  completions.clear();
  client->completion_errors.clear();
  const absl::Status drained = client->client->Drain(max, completions);
  auto* at = reinterpret_cast<uint8_t*>(out);
  for (const engine::Completion& completion : completions) {
    client->completion_errors.emplace_back(completion.status.message());
    kvp_completion written = ToCompletion(completion, client->completion_errors.back());
    written.struct_size = static_cast<uint32_t>(element_bytes);
    std::memcpy(at, &written, sizeof(written));
    at += element_bytes;
  }
  *count = completions.size();
  return Finish(client, drained);
}
