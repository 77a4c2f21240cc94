#include "engine_plugin/client.h"

#include <unistd.h>

#include <fstream>
#include <string>
#include <utility>

#include "ipc/default_paths.h"
#include "memmgr/base/status_macros.h"

namespace kvpager::engine {
namespace {

// What `ps` calls this process, for people.
std::string ProcessName() {
  std::ifstream comm("/proc/self/comm");
  std::string name;
  std::getline(comm, name);
  return name.empty() ? "engine" : name;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Client>> Client::Open(const ClientOptions& options) {
  KVP_RETURN_IF_ERROR(options.geometry.Validate(1));  // The daemon knows the number of frames.
  LinkOptions link_options;
  link_options.socket_path = options.socket_path.empty() ? ClientSocketPath() : options.socket_path;
  link_options.timeout_us = options.timeout_us;
  link_options.transport = options.transport;
  link_options.spin_us = options.spin_us;
  AttachRequest& attach = link_options.attach;
  attach.pool = options.pool;
  attach.geometry = options.geometry;
  attach.model = options.model;
  attach.name_space = options.name_space;
  attach.token = options.token;
  attach.engine_name = options.engine_name.empty() ? ProcessName() : options.engine_name;
  attach.message_free = options.message_free;
  attach.gpu = options.gpu;
  KVP_ASSIGN_OR_RETURN(std::unique_ptr<Link> link, Link::Attach(link_options));
  return std::unique_ptr<Client>(new Client(std::move(link), options));
}

}  // namespace kvpager::engine
