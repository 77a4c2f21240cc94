// engine_plugin/pool_layout.h
//
// Geometry and pool as the C ABI shows them: validated enums, strides in elements.
//
// Units: strides in elements, sizes in bytes. Errors: kInvalidArgument names the field.

#ifndef KVPAGER_ENGINE_PLUGIN_POOL_LAYOUT_H_
#define KVPAGER_ENGINE_PLUGIN_POOL_LAYOUT_H_

#include "absl/status/statusor.h"
#include "engine_plugin/kvpager.h"
#include "ipc/attach.h"
#include "memmgr/base/geometry.h"

namespace kvpager::engine {

absl::StatusOr<Geometry> ToGeometry(const kvp_geometry& geometry);

// Everything but struct_size.
kvp_pool_info PoolInfoOf(const PoolInfo& pool, const Geometry& geometry);

}  // namespace kvpager::engine

#endif  // KVPAGER_ENGINE_PLUGIN_POOL_LAYOUT_H_
