// memmgr/daemon/router.h
//
// Carries what the core wants to those who do it: words to the page table, answers to the server,
// copies to the executors, entries to the catalogue. And their completions back.
//
// Order (effect.h): words, then answers, at once; copies and entries are collected and handed over
// by Flush, one Submit per executor and turn.
//
// Ownership: none; pool and server outlive it. Thread-safety: the loop thread. Errors: none.

#ifndef KVPAGER_MEMMGR_DAEMON_ROUTER_H_
#define KVPAGER_MEMMGR_DAEMON_ROUTER_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "memmgr/core/effect.h"
#include "memmgr/daemon/pool.h"
#include "memmgr/daemon/server.h"

namespace kvpager {

class Router {
 public:
  Router(Pool* pool, Server* server);

  // Publishes and answers now, queues the rest. Leaves `effects` empty.
  void Execute(Effects& effects);

  void Flush();

  // What became of a credit that was to be revoked; nullopt: of none. The core must hear of all of
  // them before its next input.
  struct CreditAnswer {
    SequenceId sequence;
    bool taken = false;
  };
  std::optional<CreditAnswer> TakeCreditAnswer();

  // Completions of all executors, at most out.size().
  size_t Poll(absl::Span<Completion> out);

  // An executor has work that no descriptor announces: the loop must not sleep.
  bool wants_poll() const;

 private:
  void Write(const CreditWrite& write);

  Pool* pool_;
  Server* server_;
  std::vector<CopyOp> device_copies_;
  std::vector<CopyOp> nvme_copies_;
  std::deque<CreditAnswer> credit_answers_;
  std::vector<CatalogueWrite> catalogue_writes_;
};

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_DAEMON_ROUTER_H_
