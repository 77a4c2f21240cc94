/* tests/engine_plugin/abi/header_c.c: kvpager.h alone, in each C standard that CMake asks for. */
#include "engine_plugin/kvpager.h"

typedef char kvp_seq_is_64_bits[sizeof(kvp_seq) == 8 ? 1 : -1];
typedef char kvp_status_is_32_bits[sizeof(kvp_status) == 4 ? 1 : -1];

uint32_t kvp_abi_header_version(void);
uint32_t kvp_abi_header_version(void) { return KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR; }
