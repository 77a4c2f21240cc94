// memmgr/base/status_macros.h
//
// Early return for absl::Status and absl::StatusOr.

#ifndef KVPAGER_MEMMGR_BASE_STATUS_MACROS_H_
#define KVPAGER_MEMMGR_BASE_STATUS_MACROS_H_

#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define KVP_RETURN_IF_ERROR(expression)                               \
  do {                                                                \
    if (absl::Status kvp_status_ = (expression); !kvp_status_.ok()) { \
      return kvp_status_;                                             \
    }                                                                 \
  } while (false)

#define KVP_CONCAT_INNER(a, b) a##b
#define KVP_CONCAT(a, b) KVP_CONCAT_INNER(a, b)

#define KVP_ASSIGN_OR_RETURN(target, expression)                                          \
  auto KVP_CONCAT(kvp_or_, __LINE__) = (expression);                                      \
  if (!KVP_CONCAT(kvp_or_, __LINE__).ok()) return KVP_CONCAT(kvp_or_, __LINE__).status(); \
  target = *std::move(KVP_CONCAT(kvp_or_, __LINE__))

#endif  // KVPAGER_MEMMGR_BASE_STATUS_MACROS_H_
