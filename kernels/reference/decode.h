// kernels/reference/decode.h
//
// Decode attention written as the formula says, in double: the oracle of every other kernel. Slow
// on purpose; nothing here is shared with what it judges, except the addressing of paged_kv.h.

#ifndef KVPAGER_KERNELS_REFERENCE_DECODE_H_
#define KVPAGER_KERNELS_REFERENCE_DECODE_H_

#include "kernels/decode_query.h"
#include "kernels/paged_kv.h"

namespace kvpager::kernels {

// Attends `query` to every token of every entry. Entries without tokens give zeros, lse -infinity.
void ReferenceDecode(const PagedKv& kv, const DecodeQuery& query, const DecodeOutput& output);

}  // namespace kvpager::kernels

#endif  // KVPAGER_KERNELS_REFERENCE_DECODE_H_
