// memmgr/core/client_info.h
//
// What one client waits for and holds, for leases and administrators. Reads only.
//
// Thread-safety: none. No allocation. Errors: none.

#ifndef KVPAGER_MEMMGR_CORE_CLIENT_INFO_H_
#define KVPAGER_MEMMGR_CORE_CLIENT_INFO_H_

#include "memmgr/base/ids.h"
#include "memmgr/core/core.h"
#include "memmgr/core/state.h"

namespace kvpager {

StepsInfo StepsOf(const CoreState& state, ClientId client);
HoldingsInfo HoldingsOf(const CoreState& state, ClientId client);

}  // namespace kvpager

#endif  // KVPAGER_MEMMGR_CORE_CLIENT_INFO_H_
