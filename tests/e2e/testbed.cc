#include "tests/e2e/testbed.h"

#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "ipc/attach.h"
#include "ipc/fd_channel.h"

namespace kvpager::e2e {
namespace {

constexpr uint32_t kStartTimeoutMs = 120'000;
constexpr uint32_t kPollMs = 20;
constexpr uint32_t kStopTimeoutSeconds = 120;

// Missing or strange values make the report absent: a test that reads it then fails.
Report ReadReport(const std::string& path) {
  Report report;
  const auto json = nlohmann::json::parse(ReadFileText(path), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return report;
  report.present = true;
  const auto number = [&](const nlohmann::json& object, const char* name) -> uint64_t {
    const auto found = object.find(name);
    if (found == object.end() || !found->is_number_unsigned()) {
      report.present = false;
      return 0;
    }
    return found->get<uint64_t>();
  };
  const nlohmann::json empty = nlohmann::json::object();
  const auto hits = json.find("hit_blocks");
  const nlohmann::json& tiers = hits != json.end() && hits->is_object() ? *hits : empty;
  report.requests = number(json, "requests");
  report.lookup_blocks = number(json, "lookup_blocks");
  report.hit_hbm = number(tiers, "hbm");
  report.hit_host = number(tiers, "host");
  report.hit_nvme = number(tiers, "nvme");
  report.pages_verified = number(json, "pages_verified");
  report.pages_mismatched = number(json, "pages_mismatched");
  report.steps = number(json, "steps");
  report.nvme_written_bytes = number(json, "nvme_written_bytes");
  report.injected = number(json, "injected_host") + number(json, "injected_nvme");
  return report;
}

}  // namespace

uint32_t Rounds(uint32_t rounds) {
  const char* sanitized = std::getenv("KVPAGER_TEST_SANITIZED");
  const bool is_short = sanitized != nullptr && std::string(sanitized) == "short";
  return is_short ? std::max(rounds / 10, 1u) : rounds;
}

DaemonStatus::Use DaemonStatus::UseOf(const std::string& name_space,
                                      const std::string& tier) const {
  for (const Use& use : uses) {
    if (use.name_space == name_space && use.tier == tier) return use;
  }
  return {};
}

DaemonStatus AskStatus(const TemporaryDirectory& directory, const std::string& socket_path) {
  DaemonStatus status;
  const std::string output_path = directory.File("status.json");
  WriteFileText(output_path, "");
  ProcessOptions options;
  options.command = {ProgramPath("kvpagerctl"), "--socket", socket_path, "--json", "status"};
  options.output_path = output_path;
  Process ctl(options);
  if (ctl.Wait(60) != 0) return status;
  const auto json = nlohmann::json::parse(ctl.Output(), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return status;
  status.present = true;
  status.engines = json.value("engines", uint64_t{0});
  const nlohmann::json none = nlohmann::json::array();
  for (const auto& tier : json.value("tiers", none)) {
    const std::string name = tier.value("tier", "");
    status.used_frames.emplace_back(
        name, tier.value("capacity_frames", uint64_t{0}) - tier.value("free_frames", uint64_t{0}));
    for (const auto& entry : json.value("namespaces", none)) {
      const auto use = entry.value(name, nlohmann::json::object());
      status.uses.push_back({.name_space = entry.value("namespace", ""),
                             .tier = name,
                             .frames = use.value("frames", uint64_t{0}),
                             .guaranteed_frames = use.value("guaranteed_frames", uint64_t{0}),
                             .max_frames = use.value("max_frames", uint64_t{0})});
    }
  }
  return status;
}

Daemon::Daemon(const TemporaryDirectory& directory, const DaemonOptions& options)
    : socket_path_(options.socket_path.empty() ? directory.File("kvpager.sock")
                                               : options.socket_path) {
  ProcessOptions process;
  process.command = {
      options.program_path.empty() ? ProgramPath("kvpagerd") : options.program_path,
      "--config=" + options.config_path,
      "--listen.socket=" + socket_path_,
      "--nvme.path=" + (options.nvme_path.empty() ? directory.File("nvme") : options.nvme_path),
      absl::StrCat("--hbm.blocks=", options.blocks_hbm),
      absl::StrCat("--host.blocks=", options.blocks_host),
      absl::StrCat("--nvme.blocks=", options.blocks_nvme),
      "--nvme.admit=always",
      "--log.format=text"};
  process.command.insert(process.command.end(), options.flags.begin(), options.flags.end());
  process.environment = options.environment;
  process.output_path = directory.File("kvpagerd.log");
  process.uid = options.uid;
  process.file_size_bytes_max = options.file_size_bytes_max;
  process.memlock_bytes_max = options.memlock_bytes_max;
  process.forbid_uring = options.forbid_uring;
  process_ = std::make_unique<Process>(std::move(process));
}

bool Daemon::WaitUntilReady() {
  AttachRequest request;
  request.admin = true;
  request.engine_name = "e2e";
  for (uint32_t waited_ms = 0; waited_ms < kStartTimeoutMs; waited_ms += kPollMs) {
    if (AttachClient::Attach(socket_path_, request, 10'000'000).ok()) return true;
    if (process_->EndsWithin(kPollMs)) return false;
  }
  return false;
}

int Daemon::Stop() {
  process_->Signal(SIGTERM);
  return process_->Wait(kStopTimeoutSeconds);
}

void Daemon::Kill() {
  process_->Signal(SIGKILL);
  process_->Wait(kStopTimeoutSeconds);
}

std::unique_ptr<Process> StartReplay(const TemporaryDirectory& directory,
                                     const ReplayOptions& options) {
  ProcessOptions process;
  process.command = {
      options.program_path.empty() ? ProgramPath("kvpager-replay") : options.program_path,
      "--socket=" + options.socket_path, "--trace=" + options.trace_path,
      "--json=" + directory.File(options.name + ".json")};
  process.command.insert(process.command.end(), options.flags.begin(), options.flags.end());
  process.output_path = directory.File(options.name + ".out");
  process.uid = options.uid;
  return std::make_unique<Process>(std::move(process));
}

ReplayResult FinishReplay(const TemporaryDirectory& directory, const ReplayOptions& options,
                          Process& process) {
  ReplayResult result;
  result.exit_status = process.Wait(kReplayTimeoutSeconds);
  result.output = process.Output();
  result.report = ReadReport(directory.File(options.name + ".json"));
  return result;
}

ReplayResult RunReplay(const TemporaryDirectory& directory, const ReplayOptions& options) {
  const std::unique_ptr<Process> process = StartReplay(directory, options);
  return FinishReplay(directory, options, *process);
}

std::string Facts::Text(const std::string& path) const {
  const auto found = values_.find(path);
  return found == values_.end() ? "" : found->second;
}

uint64_t Facts::Number(const std::string& path) const {
  const auto found = values_.find(path);
  EXPECT_TRUE(found != values_.end()) << "kvpagerctl does not say " << path;
  return found == values_.end() ? 0 : std::strtoull(found->second.c_str(), nullptr, 10);
}

Facts RunCtl(const Daemon& daemon, const TemporaryDirectory& directory,
             const std::vector<std::string>& arguments, int* exit_status) {
  ProcessOptions options;
  options.command = {ProgramPath("kvpagerctl"), "--socket=" + daemon.socket_path(), "--json",
                     "--timeout=60"};
  options.command.insert(options.command.end(), arguments.begin(), arguments.end());
  options.output_path = directory.File("kvpagerctl.out");
  WriteFileText(options.output_path, "");
  Process process(options);
  const int status = process.Wait(90);
  const std::string output = process.Output();
  if (exit_status != nullptr) {
    *exit_status = status;
  } else {
    EXPECT_EQ(status, 0) << output;
  }
  const auto json = nlohmann::json::parse(output, nullptr, /*allow_exceptions=*/false);
  std::map<std::string, std::string> values;
  if (json.is_object()) {
    const auto flat = json.flatten();
    for (const auto& [path, value] : flat.items()) {
      values[path] = value.is_string() ? value.get<std::string>() : value.dump();
    }
  }
  return Facts(std::move(values));
}

std::string WriteTrace(const TemporaryDirectory& directory, const std::string& name,
                       const TraceShape& shape) {
  std::string text;
  uint64_t timestamp_ms = 0;
  const auto add = [&](uint32_t session, uint32_t turn) {
    const uint64_t first = shape.block_first + uint64_t{session} * shape.turns * shape.turn_blocks;
    const uint64_t count = uint64_t{turn + 1} * shape.turn_blocks;
    nlohmann::json hashes = nlohmann::json::array();
    for (uint64_t i = 0; i < count; ++i) hashes.push_back(first + i);
    const nlohmann::json line = {{"timestamp", timestamp_ms},
                                 {"input_length", count * 512},
                                 {"output_length", shape.output_tokens},
                                 {"hash_ids", hashes}};
    absl::StrAppend(&text, line.dump(), "\n");
    timestamp_ms += 50;
  };
  for (uint32_t turn = 0; turn < shape.turns; turn += 2) {
    for (uint32_t session = 0; session < shape.sessions; ++session) {
      add(session, turn);
      if (turn + 1 < shape.turns) add(session, turn + 1);
    }
  }
  const std::string path = directory.File(name);
  WriteFileText(path, text);
  return path;
}

}  // namespace kvpager::e2e
