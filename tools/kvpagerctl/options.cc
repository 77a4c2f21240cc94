#include "tools/kvpagerctl/options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::ctl {
namespace {

bool ParseWhole(std::string_view text, int base, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

// What the subcommands fill in before it is checked.
struct Arguments {
  std::string sequence;
  std::string tier;
  double timeout_seconds = 10;
  double deadline_seconds = 0;
};

void AddSequence(CLI::App& command, Arguments& arguments) {
  command.add_option("SEQ", arguments.sequence, "A sequence, as `kvpagerctl seq ls` shows it.")
      ->required();
}

void AddCommands(CLI::App& app, Options& options, Arguments& arguments) {
  const auto add = [&](CLI::App& parent, const char* name, const char* help, Verb verb) {
    CLI::App* command = parent.add_subcommand(name, help);
    command->callback([&options, verb] { options.verb = verb; });
    command->fallthrough();
    return command;
  };
  CLI::App* status = add(app, "status", "One screen about the daemon.", Verb::kStatus);
  status->add_flag("--check", options.check, "Exit with 1 if there is a warning.");
  add(app, "tiers", "Capacity, pages and traffic of every tier.", Verb::kTiers);
  CLI::App* sequences = app.add_subcommand("seq", "Sequences of all engines.");
  sequences->require_subcommand(1);
  sequences->fallthrough();
  add(*sequences, "ls", "List them.", Verb::kSequenceList);
  AddSequence(*add(*sequences, "show", "One of them in full.", Verb::kSequenceShow), arguments);
  add(app, "clients", "Attached engines.", Verb::kClients);
  CLI::App* revoke =
      add(app, "revoke", "Take everything back from an engine that hangs, and kill it if allowed.",
          Verb::kRevoke);
  revoke->add_option("CLIENT", options.client, "Its number, as `kvpagerctl clients` shows it.")
      ->required();
  add(app, "namespaces", "Frames and quotas of each namespace, per tier.", Verb::kNamespaces);
  CLI::App* evict =
      add(app, "evict", "Move a sequence's pages down; waits until they have moved.", Verb::kEvict);
  AddSequence(*evict, arguments);
  evict->add_option("--tier", arguments.tier, "host or nvme")->required();
  CLI::App* prefetch =
      add(app, "prefetch", "Bring a sequence's pages nearer; does not wait.", Verb::kPrefetch);
  AddSequence(*prefetch, arguments);
  prefetch->add_option("--tier", arguments.tier, "hbm or host")->required();
  prefetch->add_option("--deadline", arguments.deadline_seconds, "Seconds; 0: none.");
  prefetch->add_option("--priority", options.priority, "Higher goes first.");
  add(app, "version", "Versions of this program and of the daemon.", Verb::kVersion);
}

absl::Status ReadTier(const Arguments& arguments, Options& options) {
  const bool evict = options.verb == Verb::kEvict;
  const std::map<std::string, Tier> names =
      evict ? std::map<std::string, Tier>{{"host", Tier::kHost}, {"nvme", Tier::kNvme}}
            : std::map<std::string, Tier>{{"hbm", Tier::kHbm}, {"host", Tier::kHost}};
  const auto found = names.find(arguments.tier);
  if (found == names.end()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--tier ", arguments.tier, ": ",
                     evict ? "evict goes to host or nvme" : "prefetch goes to hbm or host"));
  }
  options.tier = found->second;
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> Microseconds(const char* name, double seconds) {
  if (seconds >= 0 && seconds <= 1e6) return static_cast<uint64_t>(seconds * 1e6);
  return absl::InvalidArgumentError(absl::StrCat(name, " must be in [0, 1000000] seconds"));
}

}  // namespace

absl::StatusOr<SequenceId> ParseSequence(const std::string& text) {
  uint64_t value = 0;
  uint64_t slot = 0;
  const size_t dash = text.find('-');
  if (dash != std::string::npos) {
    if (ParseWhole(std::string_view(text).substr(0, dash), 16, value) &&
        ParseWhole(std::string_view(text).substr(dash + 1), 16, slot) && value <= UINT32_MAX &&
        slot <= UINT32_MAX) {
      return SequenceId{value << 32 | slot};
    }
  } else if (text.rfind("0x", 0) == 0 ? ParseWhole(std::string_view(text).substr(2), 16, value)
                                      : ParseWhole(text, 10, value)) {
    return SequenceId{value};
  }
  return absl::InvalidArgumentError(absl::StrCat(
      "\"", text, "\" is not a sequence; write it as `kvpagerctl seq ls` shows it, like 1-0012"));
}

std::string FormatSequence(SequenceId sequence) {
  return absl::StrFormat("%x-%04x", sequence.value >> 32, sequence.value & UINT32_MAX);
}

absl::StatusOr<Options> ParseOptions(int argc, char** argv) {
  Options options;
  Arguments arguments;
  CLI::App app("Looks into a running kvpagerd, and moves pages by hand.", "kvpagerctl");
  app.add_option("--socket", options.socket_path,
                 "The daemon's unix socket. Default: $KVPAGER_SOCKET, then the usual places.");
  app.add_option("--timeout", arguments.timeout_seconds, "Seconds to wait for the daemon. [10]");
  app.add_flag("--json", options.json, "JSON, with a \"schema\" and numbers only.");
  app.add_flag("--bytes", options.raw_bytes, "Sizes in bytes.");
  AddCommands(app, options, arguments);
  app.require_subcommand(1);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    options.verb = Verb::kHelp;
    options.help_text = app.help();
    return options;
  } catch (const CLI::ParseError& error) {
    return absl::InvalidArgumentError(absl::StrCat(error.what(), "; see kvpagerctl --help"));
  }
  KVP_ASSIGN_OR_RETURN(options.timeout_us, Microseconds("--timeout", arguments.timeout_seconds));
  KVP_ASSIGN_OR_RETURN(options.deadline_us, Microseconds("--deadline", arguments.deadline_seconds));
  if (!arguments.sequence.empty()) {
    KVP_ASSIGN_OR_RETURN(options.sequence, ParseSequence(arguments.sequence));
  }
  if (!arguments.tier.empty()) KVP_RETURN_IF_ERROR(ReadTier(arguments, options));
  return options;
}

}  // namespace kvpager::ctl
