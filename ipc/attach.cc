#include "ipc/attach.h"

#include <cstring>

#include "ipc/wire_values.h"
#include "memmgr/base/status_macros.h"

namespace kvpager {
namespace {

flatbuffers::Offset<wire::PoolGeometry> Put(flatbuffers::FlatBufferBuilder& builder,
                                            const Geometry& geometry) {
  return wire::CreatePoolGeometry(
      builder, geometry.page_tokens, geometry.num_layers, geometry.layers_per_page,
      geometry.num_kv_heads, geometry.head_dim_k, geometry.head_dim_v,
      static_cast<uint32_t>(geometry.dtype), static_cast<uint32_t>(geometry.layout));
}

Geometry Take(const wire::PoolGeometry& geometry) {
  return {.page_tokens = geometry.page_tokens(),
          .num_layers = geometry.num_layers(),
          .layers_per_page = geometry.layers_per_page(),
          .num_kv_heads = geometry.num_kv_heads(),
          .head_dim_k = geometry.head_dim_k(),
          .head_dim_v = geometry.head_dim_v(),
          .dtype = static_cast<Dtype>(geometry.dtype()),
          .layout = static_cast<KvLayout>(geometry.layout())};
}

flatbuffers::Offset<wire::PoolInfo> Put(flatbuffers::FlatBufferBuilder& builder,
                                        const PoolInfo& pool) {
  uint64_t words[2];
  std::memcpy(words, pool.gpu.data(), sizeof(words));
  const wire::GpuUuid gpu(words[0], words[1]);
  return wire::CreatePoolInfo(builder, pool.blocks_max, pool.num_groups, pool.frames_hbm,
                              pool.frame_bytes_hbm, pool.frames_host, pool.frame_bytes_host,
                              pool.blocks_nvme, pool.page_tokens, pool.keys_per_command_max,
                              pool.entries_per_step_max, pool.gpu == GpuUuid{} ? nullptr : &gpu);
}

PoolInfo Take(const wire::PoolInfo& pool) {
  GpuUuid gpu{};
  if (pool.gpu() != nullptr) {
    const uint64_t words[2] = {pool.gpu()->word0(), pool.gpu()->word1()};
    std::memcpy(gpu.data(), words, sizeof(words));
  }
  return {.blocks_max = pool.blocks_max(),
          .num_groups = pool.num_groups(),
          .frames_hbm = pool.frames_hbm(),
          .frame_bytes_hbm = pool.frame_bytes_hbm(),
          .frames_host = pool.frames_host(),
          .frame_bytes_host = pool.frame_bytes_host(),
          .blocks_nvme = pool.blocks_nvme(),
          .page_tokens = pool.page_tokens(),
          .keys_per_command_max = pool.keys_per_command_max(),
          .entries_per_step_max = pool.entries_per_step_max(),
          .gpu = gpu};
}

flatbuffers::Offset<flatbuffers::String> Put(flatbuffers::FlatBufferBuilder& builder,
                                             std::string_view text) {
  return builder.CreateString(text.data(), text.size());
}

template <typename Table>
absl::StatusOr<MessageView> DecodeAs(absl::Span<const uint8_t> bytes) {
  KVP_ASSIGN_OR_RETURN(MessageView view, DecodeMessage(bytes));
  if (view.type() != kMessageTypeOf<Table>) {
    return absl::InvalidArgumentError(std::string("the attach socket takes one message, ") +
                                      std::string(MessageTypeName(kMessageTypeOf<Table>)) +
                                      ", not " + std::string(MessageTypeName(view.type())));
  }
  return view;
}

// Of what EncodeMessage made. Whoever encodes checks his own values, with the same sentences as the
// other side would: an engine learns of its mistake without a round trip.
absl::Status CheckEncoded(const MessageBytes& message) {
  if (message.size() > kAttachBytesMax) {
    return absl::InvalidArgumentError("the attach message is longer than 16 KiB");
  }
  return DecodeMessage(message).status();
}

}  // namespace

std::string GpuPartName(size_t index) { return "gpu_part." + std::to_string(index); }

absl::Status EncodeAttachRequest(const AttachRequest& request, MessageBytes& message) {
  flatbuffers::FlatBufferBuilder builder(1024);
  const auto pool = Put(builder, request.pool);
  const auto geometry = Put(builder, request.geometry);
  const auto model = Put(builder, request.model);
  const auto name_space = Put(builder, request.name_space);
  const auto token = Put(builder, request.token);
  const auto engine_name = Put(builder, request.engine_name);
  const auto root = wire::CreateAttachRequest(
      builder, request.version_major, request.version_minor, request.admin, pool, geometry, model,
      name_space, token, engine_name, request.message_free, request.ring, request.gpu);
  KVP_RETURN_IF_ERROR(EncodeMessage(0, SessionToken{}, builder, root, message));
  return CheckEncoded(message);
}

absl::StatusOr<AttachRequest> DecodeAttachRequest(absl::Span<const uint8_t> bytes) {
  KVP_ASSIGN_OR_RETURN(const MessageView view, DecodeAs<wire::AttachRequest>(bytes));
  const auto& body = view.body<wire::AttachRequest>();
  AttachRequest request;
  request.version_major = body.version_major();
  request.version_minor = body.version_minor();
  request.admin = body.admin();
  request.pool = StringOf(body.pool());
  if (body.geometry() != nullptr && !request.admin) request.geometry = Take(*body.geometry());
  request.model = StringOf(body.model());
  request.name_space = StringOf(body.name_space());
  if (request.name_space.empty()) request.name_space = "default";
  request.token = StringOf(body.token());
  request.engine_name = StringOf(body.engine_name());
  request.message_free = body.message_free();
  request.ring = body.ring();
  request.gpu = body.gpu();
  return request;
}

absl::Status EncodeAttachReply(const AttachReply& reply, MessageBytes& message) {
  KVP_CHECK(reply.regions.size() <= kRegionsMax);
  flatbuffers::FlatBufferBuilder builder(1024);
  const absl::string_view reason = reply.status.message().substr(0, kReasonBytesMax);
  const auto reason_text = Put(builder, std::string_view(reason.data(), reason.size()));
  const auto endpoint = Put(builder, reply.endpoint);
  const auto pool = Put(builder, reply.pool);
  std::vector<flatbuffers::Offset<wire::Region>> regions;
  for (const RegionInfo& region : reply.regions) {
    const auto name = Put(builder, region.name);
    regions.push_back(wire::CreateRegion(builder, name, region.bytes, region.writable));
  }
  const auto regions_list = builder.CreateVector(regions);
  const wire::SessionToken session(reply.session.words[0], reply.session.words[1]);
  const auto root = wire::CreateAttachReply(builder, static_cast<uint32_t>(reply.status.code()),
                                            reason_text, kWireMajor, 0, kWireMajor, kWireMinor,
                                            reply.client, &session, endpoint, pool, regions_list);
  KVP_RETURN_IF_ERROR(EncodeMessage(0, SessionToken{}, builder, root, message));
  return CheckEncoded(message);
}

absl::StatusOr<AttachReply> DecodeAttachReply(absl::Span<const uint8_t> bytes) {
  KVP_ASSIGN_OR_RETURN(const MessageView view, DecodeAs<wire::AttachReply>(bytes));
  const auto& body = view.body<wire::AttachReply>();
  AttachReply reply;
  reply.status = StatusOf(body.status(), StringOf(body.reason()));
  reply.client = body.client();
  if (body.session() != nullptr) {
    reply.session = {{body.session()->word0(), body.session()->word1()}};
  }
  reply.endpoint = StringOf(body.endpoint());
  if (body.pool() != nullptr) reply.pool = Take(*body.pool());
  for (uint32_t i = 0; i < CountOf(body.regions()); ++i) {
    const wire::Region& region = *body.regions()->Get(i);
    reply.regions.push_back(
        {std::string(StringOf(region.name())), region.bytes(), region.writable()});
  }
  if (reply.status.ok() && (reply.session.is_none() || reply.endpoint.empty())) {
    return absl::InvalidArgumentError("the attach reply has no session token or no endpoint");
  }
  return reply;
}

}  // namespace kvpager
