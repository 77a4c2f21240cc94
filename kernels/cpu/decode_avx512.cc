#include "kernels/cpu/decode_body.h"
#include "kernels/cpu/decode_range.h"

namespace kvpager::kernels::internal {

void DecodeRangeAvx512(const PagedKv& kv, const DecodeQuery& query, int32_t entry, TokenRange range,
                       AttentionState<float>* states) {
  DecodeRangeBody(kv, query, entry, range, states);
}

}  // namespace kvpager::kernels::internal
