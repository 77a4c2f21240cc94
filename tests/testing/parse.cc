#include "tests/testing/parse.h"

#include <cstdint>
#include <string>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace kvpager::testing {
namespace {

// The words of a line, consumed from the front; `failed` keeps the first complaint.
class Words {
 public:
  explicit Words(std::string_view line)
      : words_(absl::StrSplit(std::string(line), absl::ByAnyChar(" \t"), absl::SkipEmpty())) {}

  bool done() const { return next_ == words_.size(); }
  bool ok() const { return problem_.empty(); }
  const std::string& problem() const { return problem_; }

  std::string Next() {
    if (done()) {
      Fail("the line ends too early");
      return "";
    }
    return words_[next_++];
  }

  // Consumes the next word if it starts with `prefix`, and returns what follows the prefix.
  std::optional<std::string> TakePrefix(std::string_view prefix) {
    if (done() || words_[next_].compare(0, prefix.size(), prefix) != 0) return std::nullopt;
    return words_[next_++].substr(prefix.size());
  }

  bool TakeWord(std::string_view word) {
    if (done() || words_[next_] != word) return false;
    ++next_;
    return true;
  }

  void Fail(const std::string& problem) {
    if (problem_.empty()) problem_ = problem;
  }

 private:
  std::vector<std::string> words_;
  size_t next_ = 0;
  std::string problem_;
};

uint64_t ToNumber(const std::string& text, Words& words) {
  uint64_t number = 0;
  if (text == "*") return kAllOfThem;
  if (!absl::SimpleAtoi(text, &number)) words.Fail(absl::StrCat("'", text, "' is no number"));
  return number;
}

uint32_t ToNumber32(const std::string& text, Words& words) {
  return static_cast<uint32_t>(ToNumber(text, words));
}

std::pair<std::string, std::string> SplitAt(const std::string& text, char separator) {
  return absl::StrSplit(text, absl::MaxSplits(separator, 1));
}

BlockKey ToKey(const std::string& text, Words& words) {
  BlockKey key;
  if (text == "none") return key;
  if (text.empty() || text[0] != 'k') {
    words.Fail(absl::StrCat("'", text, "' is no key"));
    return key;
  }
  const auto [low, high] = SplitAt(text.substr(1), '.');
  const bool good = absl::SimpleHexAtoi(low, &key.words[0]) &&
                    (high.empty() || absl::SimpleHexAtoi(high, &key.words[1]));
  if (!good) words.Fail(absl::StrCat("'", text, "' is no key"));
  return key;
}

std::vector<BlockKey> ToKeys(const std::string& text, Words& words) {
  std::vector<BlockKey> keys;
  for (const auto& key : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    keys.push_back(ToKey(std::string(key), words));
  }
  return keys;
}

SequenceId ToSequence(const std::string& text, Words& words) {
  if (text.empty() || text[0] != 's') {
    words.Fail(absl::StrCat("'", text, "' is no sequence"));
    return {};
  }
  const auto [slot, generation] = SplitAt(text.substr(1), '.');
  return {ToNumber(generation, words) << 32 | ToNumber(slot, words)};
}

Ticket ToTicket(const std::string& text, Words& words) {
  const auto [lane, number] = SplitAt(text, ':');
  return {ToNumber32(lane, words), ToNumber(number, words)};
}

Tier ToTier(const std::string& text, Words& words) {
  if (text == "hbm") return Tier::kHbm;
  if (text == "host") return Tier::kHost;
  if (text == "nvme") return Tier::kNvme;
  words.Fail(absl::StrCat("'", text, "' is no tier"));
  return Tier::kHbm;
}

Ticket TakeAfter(Words& words) {
  const auto after = words.TakePrefix("after=");
  return after ? ToTicket(*after, words) : Ticket{};
}

StepEntry ToEntry(const std::string& text, Words& words) {
  StepEntry entry;
  std::vector<std::string> parts = absl::StrSplit(text, '/');
  const auto [sequence, append] = SplitAt(parts[0], '+');
  entry.sequence = ToSequence(sequence, words);
  if (!append.empty()) entry.append_tokens = ToNumber32(append, words);
  for (size_t i = 1; i < parts.size(); ++i) {
    const std::string& part = parts[i];
    if (part == "draft") {
      entry.draft = true;
    } else if (part.compare(0, 8, "rewrite=") == 0) {
      entry.rewrite_from_tokens = ToNumber(part.substr(8), words);
    } else if (part.size() > 1 && (part[0] == 'g' || part[0] == 'b')) {
      const auto [first, count] = SplitAt(part.substr(1), '+');
      uint32_t& first_field = part[0] == 'g' ? entry.range.group_first : entry.range.block_first;
      uint32_t& count_field = part[0] == 'g' ? entry.range.group_count : entry.range.block_count;
      first_field = ToNumber32(first, words);
      count_field = ToNumber32(count, words);
    } else {
      words.Fail(absl::StrCat("'", part, "' is no part of a step's entry"));
    }
  }
  return entry;
}

std::vector<BlockKey> TakeKeys(Words& words) {
  const auto keys = words.TakePrefix("keys=");
  return keys ? ToKeys(*keys, words) : std::vector<BlockKey>{};
}

void ParseBegin(Words& words, ParsedInput& input) {
  StepBeginCommand body;
  body.ticket = ToTicket(words.Next(), words);
  if (words.TakeWord("split")) body.residency = Residency::kSplit;
  while (auto entry = words.TakePrefix("s")) {
    input.entries.push_back(ToEntry(absl::StrCat("s", *entry), words));
  }
  body.entries = input.entries;
  input.command.body = body;
}

void ParsePrefetch(Words& words, ParsedInput& input) {
  PrefetchCommand body;
  if (auto sequence = words.TakePrefix("s")) {
    body.sequence = ToSequence(absl::StrCat("s", *sequence), words);
  }
  input.keys = TakeKeys(words);
  body.keys = input.keys;
  if (auto tier = words.TakePrefix("tier=")) body.tier = ToTier(*tier, words);
  if (auto deadline = words.TakePrefix("deadline=")) body.deadline.ns = ToNumber(*deadline, words);
  if (auto priority = words.TakePrefix("priority=")) {
    body.priority = ToNumber32(*priority, words);
  }
  input.command.body = body;
}

void ParseName(Words& words, ParsedInput& input) {
  NameCommand body;
  body.sequence = ToSequence(words.Next(), words);
  if (auto from = words.TakePrefix("from=")) body.block_first = ToNumber32(*from, words);
  input.keys = TakeKeys(words);
  body.keys = input.keys;
  body.durable = words.TakeWord("durable");
  body.ticket = TakeAfter(words);
  input.command.body = body;
}

// The commands that open, change or close a sequence. False: `verb` is none of them.
bool ParseSequenceVerb(const std::string& verb, Words& words, ParsedInput& input) {
  auto& body = input.command.body;
  if (verb == "open") {
    input.keys = TakeKeys(words);
    body = OpenCommand{input.keys};
  } else if (verb == "extend") {
    const SequenceId sequence = ToSequence(words.Next(), words);
    input.keys = TakeKeys(words);
    body = ExtendCommand{sequence, input.keys};
  } else if (verb == "fork") {
    const SequenceId parent = ToSequence(words.Next(), words);
    body = ForkCommand{parent, TakeAfter(words)};
  } else if (verb == "truncate") {
    TruncateCommand truncate;
    truncate.sequence = ToSequence(words.Next(), words);
    if (auto tokens = words.TakePrefix("tokens=")) truncate.tokens = ToNumber(*tokens, words);
    truncate.accept = words.TakeWord("accept");
    truncate.ticket = TakeAfter(words);
    body = truncate;
  } else if (verb == "name") {
    ParseName(words, input);
  } else if (verb == "suspend") {
    const SequenceId sequence = ToSequence(words.Next(), words);
    body = SuspendCommand{sequence, TakeAfter(words)};
  } else if (verb == "resume") {
    body = ResumeCommand{ToSequence(words.Next(), words)};
  } else if (verb == "appended") {
    AppendedCommand appended;
    appended.sequence = ToSequence(words.Next(), words);
    if (auto tokens = words.TakePrefix("tokens=")) {
      const auto [length, count] = SplitAt(*tokens, '+');
      appended.length_tokens = ToNumber(length, words);
      appended.tokens = ToNumber32(count, words);
    }
    if (auto written = words.TakePrefix("written=")) {
      appended.written_tokens = ToNumber(*written, words);
    }
    body = appended;
  } else if (verb == "used") {
    body = UsedCommand{ToSequence(words.Next(), words)};
  } else if (verb == "close") {
    const SequenceId sequence = ToSequence(words.Next(), words);
    body = CloseCommand{sequence, TakeAfter(words)};
  } else {
    return false;
  }
  return true;
}

bool ParseOtherVerb(const std::string& verb, Words& words, ParsedInput& input) {
  auto& body = input.command.body;
  if (verb == "attach") {
    AttachCommand attach{NamespaceId{0}};
    if (auto ns = words.TakePrefix("ns=")) attach.name_space = {ToNumber32(*ns, words)};
    attach.message_free = words.TakeWord("message-free");
    body = attach;
  } else if (verb == "gone") {
    body = GoneCommand{};
  } else if (verb == "revoke") {
    body = RevokeCommand{};
  } else if (verb == "begin") {
    ParseBegin(words, input);
  } else if (verb == "end") {
    body = StepEndCommand{ToTicket(words.Next(), words)};
  } else if (verb == "cancel") {
    body = StepCancelCommand{ToTicket(words.Next(), words)};
  } else if (verb == "prefetch") {
    ParsePrefetch(words, input);
  } else if (verb == "evict") {
    const SequenceId sequence = ToSequence(words.Next(), words);
    const auto tier = words.TakePrefix("tier=");
    body = EvictCommand{sequence, tier ? ToTier(*tier, words) : Tier::kHost};
  } else {
    return false;
  }
  return true;
}

void ParseCommand(const std::string& verb, Words& words, ParsedInput& input) {
  input.kind = InputKind::kCommand;
  const std::string client = words.Next();
  if (client != "admin") {
    if (client.empty() || client[0] != 'c') {
      return words.Fail(absl::StrCat("'", client, "' is no client"));
    }
    input.command.client = {ToNumber32(client.substr(1), words)};
  }
  if (!ParseSequenceVerb(verb, words, input) && !ParseOtherVerb(verb, words, input)) {
    return words.Fail(absl::StrCat("'", verb, "' is no command"));
  }
  if (auto request = words.TakePrefix("#")) {
    input.command.request = ToNumber(*request, words);
    input.has_request = true;
  }
}

void ParseCompletion(Words& words, ParsedInput& input) {
  input.kind = InputKind::kCompletion;
  const auto op = words.TakePrefix("op");
  if (!op) return words.Fail("complete needs an operation, as op0.1");
  const auto [slot, generation] = SplitAt(*op, '.');
  input.completion.op = {ToNumber32(slot, words), ToNumber32(generation, words)};
  const std::string outcome = words.done() ? "ok" : words.Next();
  for (Outcome value : {Outcome::kOk, Outcome::kFailed, Outcome::kCorrupt}) {
    if (outcome == (value == Outcome::kOk       ? "ok"
                    : value == Outcome::kFailed ? "failed"
                                                : "corrupt")) {
      input.completion.outcome = value;
      return;
    }
  }
  words.Fail(absl::StrCat("'", outcome, "' is no outcome"));
}

Stamp ToStamp(const std::string& text, Words& words) {
  const auto [incarnation, counter] = SplitAt(text, '.');
  return {ToNumber(incarnation, words), ToNumber(counter, words)};
}

void ParseRestore(Words& words, ParsedInput& input) {
  input.kind = InputKind::kRestore;
  RestoredBlock& block = input.restored;
  block.key = ToKey(words.Next(), words);
  if (auto parent = words.TakePrefix("parent=")) block.parent_key = ToKey(*parent, words);
  if (auto frame = words.TakePrefix("frame=")) block.frame_first = {ToNumber32(*frame, words)};
  if (auto stamp = words.TakePrefix("stamp=")) {
    block.stamp = ToStamp(std::string(*stamp), words);
  }
  if (auto use = words.TakePrefix("use=")) block.last_use = ToNumber(*use, words);
  block.durable = words.TakeWord("durable");
}

void ParseReconcile(Words& words, ParsedInput& input) {
  input.kind = InputKind::kReconcile;
  FoundRun& run = input.run;
  if (auto frame = words.TakePrefix("frame=")) run.frame_first = {ToNumber32(*frame, words)};
  run.found.frame_first = run.frame_first;
  if (auto key = words.TakePrefix("found=")) run.found.key = ToKey(*key, words);
  if (auto parent = words.TakePrefix("parent=")) run.found.parent_key = ToKey(*parent, words);
  if (auto stamp = words.TakePrefix("stamp=")) {
    run.found.stamp = ToStamp(std::string(*stamp), words);
  }
  if (auto key = words.TakePrefix("expected=")) run.expected_key = ToKey(*key, words);
  if (auto stamp = words.TakePrefix("expected-stamp=")) {
    run.expected_stamp = ToStamp(std::string(*stamp), words);
  }
  input.run_last = words.TakeWord("last");
}

void ParseCreate(Words& words, ParsedInput& input) {
  input.kind = InputKind::kCreate;
  while (!words.done() && words.ok()) {
    const std::string word = words.Next();
    if (!SetField(word, input.setup)) {
      words.Fail(absl::StrCat("'", word, "' is no option of create"));
    }
  }
}

}  // namespace

absl::StatusOr<ParsedInput> ParseInput(std::string_view line) {
  ParsedInput input;
  Words words(line);
  if (auto now = words.TakePrefix("@")) input.now = Instant{ToNumber(*now, words)};
  const std::string verb = words.Next();
  if (verb == "create") {
    ParseCreate(words, input);
  } else if (verb == "restore") {
    ParseRestore(words, input);
  } else if (verb == "hold-unread") {
    input.kind = InputKind::kHoldUnread;
  } else if (verb == "reconcile") {
    ParseReconcile(words, input);
  } else if (verb == "complete") {
    ParseCompletion(words, input);
  } else if (verb == "tick") {
    input.kind = InputKind::kTick;
  } else if (verb == "lose-nvme") {
    input.kind = InputKind::kLoseNvme;
  } else {
    ParseCommand(verb, words, input);
  }
  if (words.ok() && !words.done()) {
    words.Fail(absl::StrCat("'", words.Next(), "' is one word too many"));
  }
  if (!words.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(words.problem(), ": ", std::string(line)));
  }
  return input;
}

}  // namespace kvpager::testing
