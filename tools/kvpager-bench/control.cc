#include "tools/kvpager-bench/control.h"

#include <array>
#include <memory>

#include "memmgr/base/status_macros.h"
#include "tools/support/private_daemon.h"

namespace kvpager::bench {
namespace {

struct Part {
  const char* name;
  absl::Status (*measure)(const Bench& bench);
  std::vector<std::string> flags;  // Of the daemon.
};

}  // namespace

absl::Status MeasureControl(const Options& options, std::vector<Figure>& figures) {
  const std::vector<std::string> small = {"--hbm.blocks", "256", "--host.blocks", "1024"};
  std::vector<std::string> spinning = small;
  spinning.insert(spinning.end(), {"--ring.spin_us", std::to_string(kSpinUs)});
  const std::array<Part, 6> parts = {{
      {"resident", MeasureResidentSteps, {"--hbm.blocks", "300000", "--host.blocks", "64"}},
      {"fault", MeasureFaultsOf4KiB, small},
      {"fault", MeasureFaultsOf64KiB, small},
      {"fault", MeasureFaultsSpinning, spinning},
      {"rate", MeasureRequestRate, small},
      {"core", MeasureCore, small},
  }};
  for (const Part& part : parts) {
    if (std::string(part.name).find(options.only) == std::string::npos) continue;
    KVP_ASSIGN_OR_RETURN(const std::unique_ptr<tools::PrivateDaemon> daemon,
                         tools::PrivateDaemon::Start(options.kvpagerd, part.flags));
    KVP_RETURN_IF_ERROR(part.measure(Bench{options, daemon->socket(), figures}));
  }
  return absl::OkStatus();
}

}  // namespace kvpager::bench
