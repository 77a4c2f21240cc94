// The C ABI as golden files: sizes and offsets of every struct, values of every enumerator, and the
// symbols that libkvpager.so exports. A change here breaks engines that are compiled already: add
// at the end, raise KVP_ABI_MINOR, and only then run with KVPAGER_REWRITE_GOLDENS=1.

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "engine_plugin/kvpager.h"

namespace kvpager {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void ExpectGolden(const std::string& name, const std::string& actual) {
  const std::string path = std::string(KVPAGER_ABI_DIR) + "/" + name;
  if (std::getenv("KVPAGER_REWRITE_GOLDENS") != nullptr) {
    std::ofstream(path) << actual;
  }
  EXPECT_EQ(ReadAll(path), actual) << "in " << path;
}

TEST(Abi, StructsHaveTheSizesAndOffsetsTheyAlwaysHad) {
  std::ostringstream text;
#define KVP_STRUCT(type) text << #type << " " << sizeof(type) << "\n"
#define KVP_MEMBER(type, member) \
  text << "  " << #member << " " << offsetof(type, member) << " " << sizeof(type::member) << "\n"
  KVP_STRUCT(kvp_block_key);
  KVP_MEMBER(kvp_block_key, bytes);
  KVP_STRUCT(kvp_geometry);
  KVP_MEMBER(kvp_geometry, struct_size);
  KVP_MEMBER(kvp_geometry, page_tokens);
  KVP_MEMBER(kvp_geometry, num_layers);
  KVP_MEMBER(kvp_geometry, layers_per_page);
  KVP_MEMBER(kvp_geometry, num_kv_heads);
  KVP_MEMBER(kvp_geometry, head_dim_k);
  KVP_MEMBER(kvp_geometry, head_dim_v);
  KVP_MEMBER(kvp_geometry, dtype);
  KVP_MEMBER(kvp_geometry, layout);
  KVP_STRUCT(kvp_client_options);
  KVP_MEMBER(kvp_client_options, struct_size);
  KVP_MEMBER(kvp_client_options, abi_version);
  KVP_MEMBER(kvp_client_options, socket_path);
  KVP_MEMBER(kvp_client_options, pool);
  KVP_MEMBER(kvp_client_options, name_space);
  KVP_MEMBER(kvp_client_options, token);
  KVP_MEMBER(kvp_client_options, model);
  KVP_MEMBER(kvp_client_options, engine_name);
  KVP_MEMBER(kvp_client_options, geometry);
  KVP_MEMBER(kvp_client_options, timeout_us);
  KVP_MEMBER(kvp_client_options, pinned_steps);
  KVP_MEMBER(kvp_client_options, transport);
  KVP_MEMBER(kvp_client_options, spin_us);
  KVP_MEMBER(kvp_client_options, memory);
  KVP_STRUCT(kvp_pool_info);
  KVP_MEMBER(kvp_pool_info, struct_size);
  KVP_MEMBER(kvp_pool_info, num_groups);
  KVP_MEMBER(kvp_pool_info, frames_hbm);
  KVP_MEMBER(kvp_pool_info, frames_host);
  KVP_MEMBER(kvp_pool_info, frame_bytes_hbm);
  KVP_MEMBER(kvp_pool_info, frame_bytes_host);
  KVP_MEMBER(kvp_pool_info, blocks_nvme);
  KVP_MEMBER(kvp_pool_info, k_strides);
  KVP_MEMBER(kvp_pool_info, v_strides);
  KVP_MEMBER(kvp_pool_info, host_page_stride);
  KVP_STRUCT(kvp_reuse);
  KVP_MEMBER(kvp_reuse, struct_size);
  KVP_MEMBER(kvp_reuse, tokens);
  KVP_MEMBER(kvp_reuse, hit_blocks);
  KVP_STRUCT(kvp_step_entry);
  KVP_MEMBER(kvp_step_entry, seq);
  KVP_MEMBER(kvp_step_entry, append_tokens);
  KVP_MEMBER(kvp_step_entry, draft);
  KVP_MEMBER(kvp_step_entry, first_group);
  KVP_MEMBER(kvp_step_entry, num_groups);
  KVP_MEMBER(kvp_step_entry, first_block);
  KVP_MEMBER(kvp_step_entry, num_blocks);
  KVP_STRUCT(kvp_step_options);
  KVP_MEMBER(kvp_step_options, struct_size);
  KVP_MEMBER(kvp_step_options, lane);
  KVP_MEMBER(kvp_step_options, residency);
  KVP_STRUCT(kvp_view);
  KVP_MEMBER(kvp_view, struct_size);
  KVP_MEMBER(kvp_view, batch_size);
  KVP_MEMBER(kvp_view, page_tokens);
  KVP_MEMBER(kvp_view, reserved);
  KVP_MEMBER(kvp_view, indptr);
  KVP_MEMBER(kvp_view, indices);
  KVP_MEMBER(kvp_view, last_page_len);
  KVP_MEMBER(kvp_view, positions);
  KVP_STRUCT(kvp_step_times);
  KVP_MEMBER(kvp_step_times, struct_size);
  KVP_MEMBER(kvp_step_times, reserved);
  KVP_MEMBER(kvp_step_times, queue_ns);
  KVP_MEMBER(kvp_step_times, room_ns);
  KVP_MEMBER(kvp_step_times, nvme_ns);
  KVP_MEMBER(kvp_step_times, host_ns);
  KVP_MEMBER(kvp_step_times, promoted_host_pages);
  KVP_MEMBER(kvp_step_times, promoted_nvme_pages);
  KVP_STRUCT(kvp_request);
  KVP_MEMBER(kvp_request, struct_size);
  KVP_MEMBER(kvp_request, op);
  KVP_MEMBER(kvp_request, user_data);
  KVP_MEMBER(kvp_request, timeout_us);
  KVP_MEMBER(kvp_request, seq);
  KVP_MEMBER(kvp_request, step);
  KVP_MEMBER(kvp_request, keys);
  KVP_MEMBER(kvp_request, num_keys);
  KVP_MEMBER(kvp_request, first_block);
  KVP_MEMBER(kvp_request, tier);
  KVP_STRUCT(kvp_completion);
  KVP_MEMBER(kvp_completion, struct_size);
  KVP_MEMBER(kvp_completion, op);
  KVP_MEMBER(kvp_completion, user_data);
  KVP_MEMBER(kvp_completion, status);
  KVP_MEMBER(kvp_completion, reuse_tokens);
  KVP_MEMBER(kvp_completion, hit_blocks);
  KVP_MEMBER(kvp_completion, reserved);
  KVP_MEMBER(kvp_completion, seq);
  KVP_MEMBER(kvp_completion, error);
  ExpectGolden("structs.golden", text.str());
}

TEST(Abi, EnumeratorsKeepTheirNumbers) {
  std::ostringstream text;
#define KVP_VALUE(name) text << #name << " " << (name) << "\n"
  KVP_VALUE(KVP_OK);
  KVP_VALUE(KVP_INVALID_ARGUMENT);
  KVP_VALUE(KVP_DEADLINE_EXCEEDED);
  KVP_VALUE(KVP_NOT_FOUND);
  KVP_VALUE(KVP_PERMISSION_DENIED);
  KVP_VALUE(KVP_RESOURCE_EXHAUSTED);
  KVP_VALUE(KVP_FAILED_PRECONDITION);
  KVP_VALUE(KVP_ABORTED);
  KVP_VALUE(KVP_UNIMPLEMENTED);
  KVP_VALUE(KVP_UNAVAILABLE);
  KVP_VALUE(KVP_DATA_LOSS);
  KVP_VALUE(KVP_LAYOUT_NHD);
  KVP_VALUE(KVP_LAYOUT_HND);
  KVP_VALUE(KVP_DTYPE_F16);
  KVP_VALUE(KVP_DTYPE_BF16);
  KVP_VALUE(KVP_DTYPE_F32);
  KVP_VALUE(KVP_DTYPE_F8_E4M3);
  KVP_VALUE(KVP_TIER_HBM);
  KVP_VALUE(KVP_TIER_HOST);
  KVP_VALUE(KVP_TIER_NVME);
  KVP_VALUE(KVP_TIER_COUNT);
  KVP_VALUE(KVP_NAME_DURABLE);
  KVP_VALUE(KVP_RESIDENT);
  KVP_VALUE(KVP_STREAMED);
  KVP_VALUE(KVP_SPLIT);
  KVP_VALUE(KVP_TRANSPORT_AUTO);
  KVP_VALUE(KVP_TRANSPORT_ZMQ);
  KVP_VALUE(KVP_TRANSPORT_RING);
  KVP_VALUE(KVP_MEMORY_HOST);
  KVP_VALUE(KVP_MEMORY_CUDA);
  KVP_VALUE(KVP_ALL);
  KVP_VALUE(KVP_STEP_KEEP);
  KVP_VALUE(KVP_STEP_DISCARD);
  KVP_VALUE(KVP_OP_OPEN);
  KVP_VALUE(KVP_OP_FORK);
  KVP_VALUE(KVP_OP_RESUME);
  KVP_VALUE(KVP_OP_EVICT);
  KVP_VALUE(KVP_OP_NAME);
  KVP_VALUE(KVP_OP_STEP);
  KVP_VALUE(KVP_SUBMITTED_MAX);
  ExpectGolden("enumerators.golden", text.str());
}

TEST(Abi, TheLibraryExportsTheFunctionsOfTheHeaderAndNothingElse) {
  const std::string command =
      std::string(KVPAGER_NM) + " -D --defined-only --with-symbol-versions " + KVPAGER_LIBRARY;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), pclose);
  ASSERT_NE(pipe, nullptr);
  std::vector<std::string> symbols;
  char line[512];
  while (std::fgets(line, sizeof(line), pipe.get()) != nullptr) {
    std::istringstream words(line);
    std::string address, kind, symbol;
    words >> address >> kind >> symbol;
    if (kind != "A") symbols.push_back(kind + " " + symbol);  // "A" is the version itself.
  }
  std::sort(symbols.begin(), symbols.end());
  std::string text;
  for (const std::string& symbol : symbols) text += symbol + "\n";
  ExpectGolden("symbols.golden", text);
}

TEST(Abi, TheSharedLibraryLoadsAndTellsItsVersion) {
  void* library = dlopen(KVPAGER_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << dlerror();
  const auto version = reinterpret_cast<uint32_t (*)()>(dlsym(library, "kvp_abi_version"));
  ASSERT_NE(version, nullptr);
  EXPECT_EQ(version(), uint32_t{KVP_ABI_MAJOR << 16 | KVP_ABI_MINOR});
}

}  // namespace
}  // namespace kvpager
