#include "tests/sim/world.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim/failure.h"
#include "tests/sim/input_log.h"
#include "tests/testing/describe.h"
#include "tests/testing/no_alloc_scope.h"
#include "tests/testing/setup.h"

namespace kvpager::sim {
namespace {

Limits LimitsOf(const SimOptions& options) {
  const absl::StatusOr<Limits> limits = testing::DeriveLimits(options.setup);
  if (!limits.ok()) {
    Fail(absl::StrCat("good options are refused: ", std::string(limits.status().message()), ": ",
                      testing::Describe(options.setup)));
  }
  return *limits;
}

}  // namespace

World::World(const SimOptions& options)
    : options_(options),
      random_(testing::Mix(options.seed, 0x3071d)),
      limits_(LimitsOf(options)),
      catalogue_(options_, random_),
      conversations_(options_, random_),
      incarnation_(options.setup.options.incarnation) {
  tiers_.emplace(limits_, options_, random_);
  engines_.resize(options_.engines);
  StartCore({}, false);
}

void World::StartCore(const std::vector<RestoredBlock>& found, bool hints) {
  testing::CoreSetup setup = options_.setup;
  setup.options.incarnation = incarnation_;
  limits_.incarnation = incarnation_;
  RecordInput(testing::Describe(setup));
  auto core = Core::Create(limits_);
  if (!core.ok()) Fail(absl::StrCat("no core: ", std::string(core.status().message())));
  core_ = *std::move(core);
  effects_ = core_->MakeEffects();
  tiers_->set_incarnation(incarnation_);
  watch_.emplace(limits_);
  environment_.emplace(Environment{options_,
                                   limits_,
                                   random_,
                                   *watch_,
                                   *tiers_,
                                   conversations_,
                                   promises_,
                                   tally_,
                                   now_ns_,
                                   {}});
  for (const RestoredBlock& block : found) {
    RecordInput(testing::Describe(block));
    const bool restored = core_->Restore(block);
    if (Verbose()) std::printf("%s\n", restored ? "restored" : "no room");
  }
  if (hints) {
    RecordInput("hold-unread");
    core_->HoldUnread();
  }
  core_->Verify();
  for (size_t i = 0; i < engines_.size(); ++i) Attach(i);
}

void World::Attach(size_t engine) {
  const ClientId client{static_cast<uint32_t>(engine)};
  const NamespaceId name_space{static_cast<uint32_t>(engine) % options_.namespaces};
  // What lanes say is no recorded input.
  const bool message_free = !Recording() && random_.Chance(options_.message_free_permille);
  engines_[engine] = std::make_unique<Engine>(*environment_, client, name_space, message_free);
  Command command;
  command.client = client;
  command.body = AttachCommand{name_space, message_free};
  FeedCommand(command);
}

void World::FeedCommand(const Command& command) {
  if (Recording() || Verbose()) {
    RecordInput(absl::StrCat("@", now_ns_, " ", testing::Describe(command)));
  }
  if (!command.client.is_none()) NoteLanes(command.client.value);
  {
    const testing::NoAllocScope no_alloc;
    core_->Step(Instant{now_ns_}, command, effects_);
  }
  Execute();
}

void World::FeedCompletion(const Completion& completion) {
  if (Recording() || Verbose()) {
    RecordInput(absl::StrCat("@", now_ns_, " ", testing::Describe(completion)));
  }
  {
    const testing::NoAllocScope no_alloc;
    core_->Complete(Instant{now_ns_}, completion, effects_);
  }
  Execute();
}

void World::FeedTick() {
  if (Recording() || Verbose()) RecordInput(absl::StrCat("@", now_ns_, " tick"));
  {
    const testing::NoAllocScope no_alloc;
    core_->Tick(Instant{now_ns_}, effects_);
  }
  Execute();
}

void World::LoseNvme() {
  if (core_->nvme_lost()) return;
  ++tally_.nvme_losses;
  tiers_->LoseNvme();
  if (Recording() || Verbose()) RecordInput(absl::StrCat("@", now_ns_, " lose-nvme"));
  {
    const testing::NoAllocScope no_alloc;
    core_->LoseNvme(Instant{now_ns_}, effects_);
  }
  Execute();
}

void World::NoteLanes(size_t engine) {
  if (engine >= engines_.size() || !engines_[engine]->alive()) return;
  if (!engines_[engine]->message_free()) return;
  core_->NoteLanes(engines_[engine]->client(), engines_[engine]->lanes());
}

bool World::FeedLanes() {
  if (Verbose()) std::printf("@%llu lanes\n", static_cast<unsigned long long>(now_ns_));
  for (size_t i = 0; i < engines_.size(); ++i) NoteLanes(i);
  {
    const testing::NoAllocScope no_alloc;
    core_->PassLimbo(Instant{now_ns_}, effects_);
  }
  const bool any = !effects_.empty();
  ExecuteEffects();
  return any;
}

// Between the page table's stores and the samples anything may happen.
void World::Execute() {
  ExecuteEffects();
  while (!credit_answers_.empty() || core_->has_unstamped_frames()) {
    if (!credit_answers_.empty()) {
      FeedCreditAnswer();
      continue;
    }
    Engine& engine = *random_.Pick(engines_);
    if (!draining_ && engine.alive() && random_.Chance(300)) {
      engine.RunKernels();
      engine.Act();
    }
    engine.RunRevoked();
    FeedLanes();
  }
}

// In the order that effect.h demands.
void World::ExecuteEffects() {
  ++inputs_;
  if (Verbose() && !effects_.empty()) std::fputs(testing::Describe(effects_).c_str(), stdout);
  for (const PageTableWrite& write : effects_.page_table_writes) watch_->Publish(write);
  for (const CreditWrite& write : effects_.credit_writes) ExecuteCredit(write);
  for (const Reply& reply : effects_.replies) {
    if (reply.client.value >= engines_.size()) {
      Fail(absl::StrCat("an answer to a client that is not there: ",
                        testing::Describe(reply, effects_)));
    }
    engines_[reply.client.value]->OnReply(reply, effects_);
    // At once: a later answer may be that something was closed.
    for (const RoomRefusal& refusal : environment_->room_refusals) CheckRoom(refusal);
    environment_->room_refusals.clear();
  }
  for (const CopyOp& copy : effects_.copies) tiers_->Submit(copy, *watch_, now_ns_);
  for (const CatalogueWrite& write : effects_.catalogue_writes) {
    catalogue_.Submit(write, *tiers_, now_ns_);
  }
  effects_.Clear();
  core_->Verify();
}

void World::ExecuteCredit(const CreditWrite& write) {
  Engine& engine = *engines_[write.client.value];
  switch (write.kind) {
    case CreditWriteKind::kGrant:
      engine.GrantCredit(write);
      return;
    case CreditWriteKind::kRevoke:
      credit_answers_.push_back({write.sequence, engine.RevokeCredit(write)});
      return;
    case CreditWriteKind::kClear:
      engine.ClearCredit(write);
      return;
  }
}

void World::FeedCreditAnswer() {
  const CreditAnswer answer = credit_answers_.front();
  credit_answers_.pop_front();
  if (Recording() || Verbose()) {
    RecordInput(absl::StrCat("@", now_ns_, " credit ", testing::Describe(answer.sequence),
                             answer.taken ? " taken" : " revoked"));
  }
  {
    const testing::NoAllocScope no_alloc;
    core_->AnswerCredit(Instant{now_ns_}, answer.sequence, answer.taken, effects_);
  }
  ExecuteEffects();
}

uint64_t World::NextDue() const {
  return std::min(tiers_->next_due_ns(), catalogue_.next_due_ns());
}

bool World::FinishOne() {
  if (NextDue() > now_ns_) return false;
  if (tiers_->next_due_ns() <= catalogue_.next_due_ns()) {
    FeedCompletion(tiers_->FinishNext(*watch_));
    return true;
  }
  Completion completion;
  if (catalogue_.FinishNext(completion)) FeedCompletion(completion);
  return true;
}

bool World::DeliverOne() {
  const size_t first = static_cast<size_t>(random_.Below(engines_.size()));
  for (size_t i = 0; i < engines_.size(); ++i) {
    Engine& engine = *engines_[(first + i) % engines_.size()];
    if (!engine.alive() || !engine.has_due()) continue;
    const Outgoing outgoing = engine.TakeDue();
    FeedCommand(outgoing.command);
    return true;
  }
  return false;
}

void World::Turn() {
  now_ns_ += random_.Below(options_.think_ns_max);
  if (random_.Chance(50)) now_ns_ += 100'000;
  environment_->now_ns = now_ns_;
  while (FinishOne()) {
    if (random_.Chance(100)) break;
  }
  while (DeliverOne()) {
    if (random_.Chance(200)) break;
  }
  if (random_.Chance(300)) FeedHeaders();
  for (uint32_t i = 0; core_->has_work() && i < 4 && random_.Chance(900); ++i) FeedTick();
  if (core_->wants_lanes() && random_.Chance(300)) {
    FeedLanes();
    Execute();
  }
  if (Instant{now_ns_} >= core_->next_deadline() || random_.Chance(30)) FeedTick();
  Engine& engine = *random_.Pick(engines_);
  if (engine.alive()) {
    engine.RunKernels();
    engine.Act();
  } else if (engine.haunts()) {
    engine.RunRevoked();
    if (random_.Chance(100)) EndRevoked(engine.client().value);
  } else if (engine.released()) {
    Attach(engine.client().value);
  }
  StrikeFaults();
}

void World::StrikeFaults() {
  const Faults& faults = options_.faults;
  if (random_.Chance(faults.host_corrupt)) tiers_->FlipHostBit(*watch_);
  if (random_.Chance(faults.channel_slow)) tiers_->ToggleSlowChannel();
  if (random_.Chance(faults.engine_dies)) KillEngine(random_.Below(engines_.size()));
  if (random_.Chance(faults.engine_revoked)) RevokeEngine(random_.Below(engines_.size()));
  if (random_.Chance(faults.restart)) Restart();
  if (faults.nvme_lost > 0 && random_.Chance(faults.nvme_lost)) LoseNvme();
}

void World::KillEngine(size_t engine) {
  if (!engines_[engine]->alive()) return;
  engines_[engine]->Die();
  Command command;
  command.client = engines_[engine]->client();
  command.body = GoneCommand{};
  FeedCommand(command);
}

void World::RevokeEngine(size_t engine) {
  if (!engines_[engine]->alive()) return;
  engines_[engine]->Revoke();
  Command command;
  command.client = engines_[engine]->client();
  command.body = RevokeCommand{};
  FeedCommand(command);
}

void World::EndRevoked(size_t engine) {
  engines_[engine]->EndRevoked();
  Command command;
  command.client = engines_[engine]->client();
  command.body = GoneCommand{};
  FeedCommand(command);
}

void World::Restart() {
  ++tally_.restarts;
  const bool clean = options_.clean_restarts;
  core_.reset();
  const bool hints = !clean && random_.Chance(500);
  std::vector<RestoredBlock> found;
  unread_.clear();
  if (clean) {
    catalogue_.Stop();
    tiers_->Stop();
    found = catalogue_.Entries();
  } else if (hints) {
    catalogue_.Crash();
    tiers_->Crash(options_.power_cuts);
    found = FindByHints();
  } else {
    catalogue_.Crash();
    tiers_->Crash(options_.power_cuts);
    found = tiers_->Scan();
    catalogue_.MarkDurable(found);
    std::stable_sort(found.begin(), found.end(),
                     [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
  }
  ++incarnation_;
  if (Verbose()) std::printf("-- restart, %s\n", clean ? "clean" : "unclean");
  StartCore(found, hints);
}

// What the catalogue says, right or not; the headers are to be shown while engines are served.
std::vector<RestoredBlock> World::FindByHints() {
  tiers_->set_may_miss_cached();
  const uint32_t num_groups = limits_.num_groups;
  const uint32_t runs = limits_.frames_max[TierIndex(Tier::kNvme)] / num_groups;
  std::vector<RestoredBlock> by_run(runs);
  const auto is_newer = [](const Stamp& a, const Stamp& b) {
    return a.incarnation != b.incarnation ? a.incarnation > b.incarnation : a.counter > b.counter;
  };
  for (const RestoredBlock& entry : catalogue_.Entries()) {
    RestoredBlock& place = by_run[entry.frame_first.value / num_groups];
    if (place.key.is_none() || is_newer(entry.stamp, place.stamp)) place = entry;
  }
  std::vector<RestoredBlock> found;
  for (uint32_t i = 0; i < runs; ++i) {
    UnreadRun unread;
    unread.run.frame_first = FrameIndex{i * num_groups};
    unread.run.expected_key = by_run[i].key;
    unread.run.expected_stamp = by_run[i].stamp;
    // Read now, or when they are shown: anything may have been written in between.
    if (random_.Chance(500)) unread.run.found = tiers_->HeadersOf(unread.run.frame_first);
    unread_.push_back(unread);
    if (!by_run[i].key.is_none()) found.push_back(by_run[i]);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.last_use < b.last_use; });
  return found;
}

bool World::FeedHeaders() {
  if (unread_.empty()) return false;
  UnreadRun unread = unread_.front();
  unread_.pop_front();
  if (unread.run.found.frame_first.is_none()) {
    unread.run.found = tiers_->HeadersOf(unread.run.frame_first);
  }
  if (Recording() || Verbose()) {
    RecordInput(absl::StrCat("@", now_ns_, " ", testing::Describe(unread.run, unread.last)));
  }
  RunFinding finding;
  {
    const testing::NoAllocScope no_alloc;
    finding = core_->Reconcile(Instant{now_ns_}, unread.run, unread.last, effects_);
  }
  if (unread.last && finding.again) Fail("a run is asked for a third time");
  if (finding.again) unread_.push_back({unread.run, true});
  Execute();
  return true;
}

void World::Run() {
  for (uint64_t turn = 0; turn < options_.turns; ++turn) Turn();
}

}  // namespace kvpager::sim
