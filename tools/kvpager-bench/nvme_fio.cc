#include "tools/kvpager-bench/nvme_fio.h"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "memmgr/base/units.h"
#include "tiers/nvme/frame_header.h"

namespace kvpager::bench {
namespace {

constexpr int kSeconds = 3;
constexpr int kNotInstalled = 127;  // What a shell says.
// Of a line of fio's terse output, version 3, counted from 0: KiB/s.
constexpr size_t kReadRate = 6;
constexpr size_t kWriteRate = 47;

std::string Quoted(const std::string& text) {
  return absl::StrCat("'", absl::StrReplaceAll(text, {{"'", "'\\''"}}), "'");
}

std::string CommandOf(const Options& options, const NvmeCase& one) {
  const char* const kind = one.read_percent == 100 ? "randread"
                           : one.read_percent == 0 ? "randwrite"
                                                   : "randrw";
  const std::string path = absl::StrCat(options.nvme_folder, "/kvpager-bench.fio.", getpid());
  return absl::StrCat(
      "fio --name=kvpager --filename=", Quoted(path), " --rw=", kind,
      " --rwmixread=", one.read_percent, " --bs=", one.page_bytes + kFrameHeaderBytes,
      " --iodepth=", one.depth, " --size=", options.nvme_bytes,
      " --time_based --runtime=", kSeconds,
      " --direct=1 --ioengine=io_uring --unlink=1 --minimal --terse-version=3 2>&1");
}

}  // namespace

absl::StatusOr<double> RunFio(const Options& options, const NvmeCase& one) {
  std::FILE* const pipe = popen(CommandOf(options, one).c_str(), "r");
  if (pipe == nullptr) return absl::UnavailableError("no process can be started");
  std::string output;
  char piece[4096];
  while (std::fgets(piece, sizeof piece, pipe) != nullptr) output += piece;
  const int status = pclose(pipe);
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNotInstalled) {
    return absl::NotFoundError("fio is not installed");
  }
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(output, '\n'))) {
    const std::vector<std::string> fields = absl::StrSplit(line, ';');
    double read = 0;
    double written = 0;
    if (fields.size() <= kWriteRate || fields[0] != "3") continue;
    if (!absl::SimpleAtod(fields[kReadRate], &read)) continue;
    if (!absl::SimpleAtod(fields[kWriteRate], &written)) continue;
    return (read + written) * double{kKiB} / 1e9;
  }
  return absl::UnavailableError(absl::StrCat("fio: ", output));
}

}  // namespace kvpager::bench
