#include "tiers/nvme/nvme_executor.h"

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "tiers/nvme/thread_executor.h"
#include "tiers/nvme/uring_executor.h"

namespace kvpager {

absl::StatusOr<std::unique_ptr<NvmeExecutor>> NvmeExecutor::Create(const Options& options) {
  if (options.arena->frame_bytes() != options.file->frame_bytes()) {
    return absl::InvalidArgumentError(
        absl::StrCat("host frames of ", options.arena->frame_bytes(), " bytes and nvme frames of ",
                     options.file->frame_bytes(), " bytes differ; they must be of one geometry"));
  }
  if (options.depth == 0 || options.depth > 4096) {
    return absl::InvalidArgumentError(
        absl::StrCat("nvme: a depth of ", options.depth, " is not in [1, 4096]"));
  }
  if (options.backend == NvmeBackend::kThreads) {
    return ThreadExecutor::Create(options, "asked for");
  }
  auto uring = UringExecutor::Create(options);
  if (uring.ok()) return uring;
  return ThreadExecutor::Create(options, std::string(uring.status().message()));
}

}  // namespace kvpager
