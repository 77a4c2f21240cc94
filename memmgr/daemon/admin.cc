#include "memmgr/daemon/admin.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "ipc/wire.h"
#include "memmgr/base/check.h"
#include "memmgr/base/geometry.h"
#include "memmgr/daemon/counters.h"

namespace kvpager {
namespace {

using Builder = flatbuffers::FlatBufferBuilder;
template <typename T>
using Offset = flatbuffers::Offset<T>;

struct TierFacts {
  Tier tier;
  const char* name;
  uint64_t frame_bytes;
  std::string detail;
  bool in_service;
};

std::vector<TierFacts> FactsOf(Pool& pool) {
  std::vector<TierFacts> facts;
  facts.push_back(
      {Tier::kHbm, "hbm", pool.device().frame_bytes(), std::string(pool.device().detail()), true});
  facts.push_back(
      {Tier::kHost, "host", pool.arena().frame_bytes(), std::string(pool.arena().detail()), true});
  const bool nvme = pool.nvme_executor() != nullptr;
  const bool lost = pool.core().nvme_lost();
  facts.push_back(
      {Tier::kNvme, "nvme", nvme ? pool.page_file()->frame_bytes() : 0,
       nvme ? absl::StrCat(pool.page_file()->path(), ", ", std::string(pool.page_file()->detail()),
                           ", ", std::string(pool.nvme_executor()->detail()),
                           lost ? ", out of service: the device has failed" : "")
            : "off: nvme.path is empty",
       nvme && !lost});
  return facts;
}

std::vector<Offset<wire::TierStatus>> BuildTiers(Pool& pool, Builder& builder) {
  std::vector<Offset<wire::TierStatus>> tiers;
  for (const TierFacts& facts : FactsOf(pool)) {
    const TierInfo info = pool.core().tier_info(facts.tier);
    tiers.push_back(wire::CreateTierStatusDirect(
        builder, facts.name, info.frames, info.frames_free, facts.frame_bytes, info.pages_clean,
        info.pages_pinned, info.blocks, facts.detail.c_str(), facts.in_service));
  }
  return tiers;
}

std::vector<Offset<wire::NamespaceStatus>> BuildNamespaces(const AdminView& view,
                                                           Builder& builder) {
  std::vector<Offset<wire::NamespaceStatus>> namespaces;
  if (view.pool == nullptr) return namespaces;
  const Limits& limits = view.pool->limits();
  for (uint32_t i = 0; i < view.namespaces.size(); ++i) {
    const NamespaceQuota quota = i < limits.quotas.size() ? limits.quotas[i] : NamespaceQuota{};
    std::vector<Offset<wire::NamespaceTier>> tiers;
    for (Tier tier : {Tier::kHbm, Tier::kHost, Tier::kNvme}) {
      const Quota& tier_quota = quota.tiers[TierIndex(tier)];
      tiers.push_back(wire::CreateNamespaceTier(
          builder, view.pool->core().frames_charged(NamespaceId{i}, tier), tier_quota.guaranteed,
          std::min(tier_quota.max, limits.frames_max[TierIndex(tier)])));
    }
    namespaces.push_back(wire::CreateNamespaceStatusDirect(
        builder, view.namespaces.NameOf(NamespaceId{i}).c_str(), quota.share, &tiers));
  }
  return namespaces;
}

std::vector<Offset<wire::Counter>> BuildCounters(const AdminView& view, const Server& server,
                                                 Builder& builder) {
  std::vector<NamedCounter> counters;
  const auto append = [&](std::vector<NamedCounter> more) {
    counters.insert(counters.end(), more.begin(), more.end());
  };
  if (view.pool != nullptr) {
    append(CoreCounters(view.pool->core().metrics()));
    append(PoolCounters(*view.pool));
  }
  append(ServerCounters(server.counts()));
  append({{"attaches_refused", view.reception.refused()},
          {"messages_dropped", server.messages_dropped()}});
  std::vector<Offset<wire::Counter>> built;
  for (const NamedCounter& counter : counters) {
    built.push_back(wire::CreateCounterDirect(builder, counter.name.c_str(), counter.value));
  }
  return built;
}

absl::Status EncodeStatus(const AdminQuery& query, const AdminView& view, Server& server,
                          MessageBytes& message) {
  Builder builder;
  std::vector<Offset<wire::TierStatus>> tiers;
  std::string pool_name;
  std::string geometry;
  std::string model;
  if (view.pool != nullptr) {
    tiers = BuildTiers(*view.pool, builder);
    pool_name = view.pool->identity().name;
    geometry = Describe(view.pool->identity().geometry);
    model = view.pool->identity().model;
  }
  const auto counters = BuildCounters(view, server, builder);
  const auto namespaces = BuildNamespaces(view, builder);
  const auto reply = wire::CreateStatusReplyDirect(
      builder, kVersion, static_cast<uint32_t>(getpid()), (view.now.ns - view.started_at.ns) / 1000,
      pool_name.c_str(), geometry.c_str(), model.c_str(), server.sessions().engines(),
      view.pool == nullptr ? 0 : view.pool->core().sequences_open(),
      view.pool == nullptr ? 0 : view.pool->core().steps_open(), &tiers, &counters, &namespaces);
  return EncodeMessage<wire::StatusReply>(query.message.header().request, query.session->token,
                                          builder, reply, message);
}

absl::Status EncodeSequences(const AdminQuery& query, const AdminView& view,
                             MessageBytes& message) {
  const auto& body = query.message.body<wire::SequencesRequest>();
  const uint32_t count_max =
      std::min(body.count_max() == 0 ? kSequencesPerReply : body.count_max(), kSequencesPerReply);
  Builder builder;
  std::vector<Offset<wire::SequenceStatus>> sequences;
  uint32_t slot = body.slot_first();
  bool more = false;
  while (view.pool != nullptr) {
    const SequenceInfo info = view.pool->core().sequence_info(slot);
    if (info.sequence.is_none()) break;
    if (sequences.size() == count_max) {
      more = true;
      break;
    }
    sequences.push_back(wire::CreateSequenceStatusDirect(
        builder, info.sequence.value, info.client.value,
        view.namespaces.NameOf(info.name_space).c_str(), info.length_tokens, info.blocks,
        info.steps, info.pages[TierIndex(Tier::kHbm)], info.pages[TierIndex(Tier::kHost)],
        info.pages[TierIndex(Tier::kNvme)], info.suspended));
    slot = Core::SlotOf(info.sequence) + 1;
  }
  const auto reply = wire::CreateSequencesReplyDirect(builder, &sequences, slot, more);
  return EncodeMessage<wire::SequencesReply>(query.message.header().request, query.session->token,
                                             builder, reply, message);
}

std::vector<uint32_t> SequencesPerClient(const AdminView& view, uint32_t clients) {
  std::vector<uint32_t> counts(clients);
  uint32_t slot = 0;
  while (view.pool != nullptr) {
    const SequenceInfo info = view.pool->core().sequence_info(slot);
    if (info.sequence.is_none()) break;
    if (info.client.value < clients) ++counts[info.client.value];
    slot = Core::SlotOf(info.sequence) + 1;
  }
  return counts;
}

const char* StateName(const Session& session) {
  switch (session.state) {
    case Session::State::kFree:
      break;
    case Session::State::kAttached:
      return session.overdue ? "overdue" : "attached";
    case Session::State::kHungUp:
      return "hung up";
    case Session::State::kCutOff:
      return "cut off";
    case Session::State::kRevoked:
      return "revoked";
    case Session::State::kLeaving:
      return "leaving";
  }
  return "free";
}

absl::Status EncodeClients(const AdminQuery& query, const AdminView& view, Server& server,
                           MessageBytes& message) {
  SessionTable& sessions = server.sessions();
  const std::vector<uint32_t> sequences = SequencesPerClient(view, sessions.size());
  Builder builder;
  std::vector<Offset<wire::ClientStatus>> clients;
  for (uint32_t i = 0; i < sessions.size(); ++i) {
    const Session& session = sessions.at(i);
    if (session.admin || session.state == Session::State::kFree) continue;
    const StepsInfo steps =
        view.pool == nullptr ? StepsInfo{} : view.pool->core().steps_of(session.client());
    const HoldingsInfo holdings =
        view.pool == nullptr ? HoldingsInfo{} : view.pool->core().holdings_of(session.client());
    clients.push_back(wire::CreateClientStatusDirect(
        builder, i, static_cast<uint32_t>(session.identity.pid),
        static_cast<uint32_t>(session.identity.uid), session.engine_name.c_str(),
        view.namespaces.NameOf(session.name_space).c_str(), sequences[i],
        steps.waiting + steps.ready, session.requests,
        (view.now.ns - session.attached_at.ns) / 1000, StateName(session),
        session.held_steps.age_ns(view.lease_clock_ns) / 1000, holdings.pages_pinned,
        holdings.frames_limbo, holdings.frames_quarantined));
  }
  const auto reply = wire::CreateClientsReplyDirect(builder, &clients);
  return EncodeMessage<wire::ClientsReply>(query.message.header().request, query.session->token,
                                           builder, reply, message);
}

}  // namespace

void AnswerQuery(const AdminQuery& query, const AdminView& view, Server& server) {
  MessageBytes message;
  absl::Status encoded;
  switch (query.message.type()) {
    case MessageType::kStatus:
      encoded = EncodeStatus(query, view, server, message);
      break;
    case MessageType::kSequences:
      encoded = EncodeSequences(query, view, message);
      break;
    case MessageType::kClients:
      encoded = EncodeClients(query, view, server, message);
      break;
    default:
      KVP_CHECK(false && "not an admin query");
  }
  if (encoded.ok()) {
    server.Send(*query.session, message);
  } else {
    server.AnswerAdmin(*query.session, query.message.header().request, encoded);
  }
}

}  // namespace kvpager
