// tools/kvpager-bench/nvme_fio.h
//
// What fio, the benchmark that people know, gets out of the same device: for orientation only, for
// as a process of its own it varies by a fifth from run to run.
//
// Thread-safety: one thread. Errors: kNotFound where fio is not installed; kUnavailable with what
// it said.

#ifndef KVPAGER_TOOLS_KVPAGER_BENCH_NVME_FIO_H_
#define KVPAGER_TOOLS_KVPAGER_BENCH_NVME_FIO_H_

#include "absl/status/statusor.h"
#include "tools/kvpager-bench/flags.h"
#include "tools/kvpager-bench/nvme_traffic.h"

namespace kvpager::bench {

// GB/s of direct io_uring I/O at random places of a file of its own in options.nvme_folder, in
// pieces of a frame of the case. Takes some seconds; the file is removed.
absl::StatusOr<double> RunFio(const Options& options, const NvmeCase& one);

}  // namespace kvpager::bench

#endif  // KVPAGER_TOOLS_KVPAGER_BENCH_NVME_FIO_H_
