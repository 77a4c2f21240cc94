#include "memmgr/daemon/key_store.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "ipc/unique_fd.h"
#include "memmgr/base/status_macros.h"
#include "memmgr/daemon/config.h"
#include "memmgr/daemon/keys.h"
#include "memmgr/daemon/small_file.h"

namespace kvpager {
namespace {

constexpr std::string_view kMagic("KVPKEY1\0", 8);
constexpr std::string_view kCredential = "credential:";
constexpr std::string_view kCheckName = "check";
constexpr std::string_view kMendDisk = "let this user write there, or mend the disk";

struct KeyFile {
  char magic[8];
  GcmSeal seal;
  Key256 wrapped;
};
static_assert(sizeof(KeyFile) == 8 + 12 + 16 + 32);

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

// On the disk before anything is encrypted with what is in it.
absl::Status WriteKeyFile(const std::string& path, const KeyFile& file) {
  return WriteSmallFile(path, {reinterpret_cast<const char*>(&file), sizeof file});
}

absl::StatusOr<std::string> MasterKeyPath(const std::string& master_key_file) {
  if (master_key_file.compare(0, kCredential.size(), kCredential) != 0) return master_key_file;
  const char* const folder = std::getenv("CREDENTIALS_DIRECTORY");
  if (folder == nullptr) {
    return absl::FailedPreconditionError(absl::StrCat(
        "nvme.encryption_key_file is ", master_key_file,
        ", but systemd handed over no credentials ($CREDENTIALS_DIRECTORY is not set); add "
        "LoadCredential= to the unit, or give a path"));
  }
  return absl::StrCat(folder, "/", master_key_file.substr(kCredential.size()));
}

absl::StatusOr<Key256> ReadMasterKey(const std::string& master_key_file) {
  KVP_ASSIGN_OR_RETURN(const std::string path, MasterKeyPath(master_key_file));
  KVP_ASSIGN_OR_RETURN(std::optional<std::string> bytes, ReadSmallFile(path));
  if (!bytes.has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path,
                     " (nvme.encryption_key_file) does not exist; make one, for example with "
                     "\"head -c 32 /dev/urandom\", and keep it where the data is not"));
  }
  KVP_RETURN_IF_ERROR(CheckPrivate(path));
  Key256 key;
  std::string text = *bytes;
  if (text.size() != key.size()) {
    if (!text.empty() && text.back() == '\n') text.pop_back();
    const bool is_hex = text.size() == 2 * key.size() &&
                        text.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
    text = is_hex ? absl::HexStringToBytes(text) : std::string();
  }
  OPENSSL_cleanse(bytes->data(), bytes->size());
  if (text.size() != key.size()) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " (nvme.encryption_key_file) has to have 32 bytes, or 64 hex digits"));
  }
  std::memcpy(key.data(), text.data(), key.size());
  OPENSSL_cleanse(text.data(), text.size());
  return key;
}

std::string AssociatedWith(std::string_view name) {
  return absl::StrCat(std::string(kMagic), std::string(name));
}

absl::Span<const std::byte> BytesOf(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

absl::Span<const std::byte> KeyBytes(const Key256& key) {
  return {reinterpret_cast<const std::byte*>(key.data()), key.size()};
}

KeyFile Wrap(const Key256& master, std::string_view name, const Key256& key) {
  KeyFile file;
  std::memcpy(file.magic, kMagic.data(), kMagic.size());
  file.seal = GcmEncrypt(master, BytesOf(AssociatedWith(name)), KeyBytes(key),
                         reinterpret_cast<std::byte*>(file.wrapped.data()));
  return file;
}

std::optional<Key256> Unwrap(const Key256& master, std::string_view name, std::string_view bytes) {
  KeyFile file;
  if (bytes.size() != sizeof file) return std::nullopt;
  std::memcpy(&file, bytes.data(), sizeof file);
  if (std::string_view(file.magic, sizeof file.magic) != kMagic) return std::nullopt;
  Key256 key;
  if (!GcmDecrypt(master, BytesOf(AssociatedWith(name)), file.seal, KeyBytes(file.wrapped),
                  reinterpret_cast<std::byte*>(key.data()))) {
    return std::nullopt;
  }
  return key;
}

// Whether there are wrapped keys in the folder.
bool HasKeys(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".new") return true;
  }
  return false;
}

absl::Status CheckLost(const std::string& directory, const std::string& check) {
  return absl::DataLossError(
      absl::StrCat(check, " is missing, and there are keys beside it; restore it, or remove ",
                   std::string(kDataFileName), ", catalogue and keys from ", directory,
                   " and lose what they hold"));
}

// The first start with a key: nothing may be there yet.
absl::Status Begin(const std::string& directory, const std::string& folder, const Key256& master) {
  if (Exists(absl::StrCat(directory, "/", std::string(kDataFileName)))) {
    return absl::FailedPreconditionError(
        absl::StrCat("what is in ", directory, " was written without encryption; remove ",
                     std::string(kDataFileName),
                     ", catalogue and keys there, choose another nvme.path, or remove "
                     "nvme.encryption_key_file"));
  }
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return SystemError(errno, "make", folder, kMendDisk);
  KVP_RETURN_IF_ERROR(SyncFolder(directory));
  return WriteKeyFile(absl::StrCat(folder, "/", std::string(kCheckName)),
                      Wrap(master, "", Key256{}));
}

}  // namespace

absl::StatusOr<std::unique_ptr<KeyStore>> KeyStore::Open(const std::string& directory,
                                                         const std::string& master_key_file) {
  const std::string folder = directory + "/keys";
  const std::string check = absl::StrCat(folder, "/", std::string(kCheckName));
  if (master_key_file.empty()) {
    if (!HasKeys(folder)) return std::unique_ptr<KeyStore>();
    return absl::FailedPreconditionError(
        absl::StrCat("what is in ", directory,
                     " is encrypted; set nvme.encryption_key_file, or choose another nvme.path"));
  }
  KVP_ASSIGN_OR_RETURN(const Key256 master, ReadMasterKey(master_key_file));
  KVP_ASSIGN_OR_RETURN(const std::optional<std::string> found, ReadSmallFile(check));
  if (!found.has_value()) {
    if (HasKeys(folder)) return CheckLost(directory, check);
    KVP_RETURN_IF_ERROR(Begin(directory, folder, master));
  } else if (!Unwrap(master, "", *found).has_value()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the key in ", master_key_file, " is not the one that ", directory,
                     " was encrypted with; give that one, or choose another nvme.path"));
  }
  return std::unique_ptr<KeyStore>(new KeyStore(folder, master));
}

KeyStore::~KeyStore() { OPENSSL_cleanse(master_.data(), master_.size()); }

std::string KeyStore::PathOf(std::string_view name_space) const {
  const Digest256 digest = Sha256(name_space);
  return absl::StrCat(
      folder_, "/",
      absl::BytesToHexString({reinterpret_cast<const char*>(digest.data()), digest.size()}));
}

absl::StatusOr<Key256> KeyStore::KeyOf(std::string_view name_space) {
  const std::string path = PathOf(name_space);
  KVP_ASSIGN_OR_RETURN(const std::optional<std::string> found, ReadSmallFile(path));
  if (!found.has_value()) {
    const Key256 key = RandomKey();
    KVP_RETURN_IF_ERROR(WriteKeyFile(path, Wrap(master_, name_space, key)));
    return key;
  }
  const std::optional<Key256> key = Unwrap(master_, name_space, *found);
  if (key.has_value()) return *key;
  return absl::DataLossError(absl::StrCat(
      path, ", the key of namespace \"", std::string(name_space),
      "\", is damaged; restore it, or remove it and lose what the namespace has on NVMe"));
}

absl::Status KeyStore::Destroy(std::string_view name_space) {
  const std::string path = PathOf(name_space);
  const UniqueFd fd(open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd.is_none()) {
    if (errno != ENOENT) return SystemError(errno, "open", path, kMendDisk);
    return absl::NotFoundError(
        absl::StrCat("namespace \"", std::string(name_space),
                     "\" has no key here: it never wrote to this tier, or was forgotten before"));
  }
  // A disk may keep what a file was; what can be done is done.
  const Key256 noise[3] = {RandomKey(), RandomKey(), RandomKey()};
  static_assert(sizeof noise >= sizeof(KeyFile));
  if (write(fd.get(), noise, sizeof(KeyFile)) != ssize_t{sizeof(KeyFile)} || fsync(fd.get()) != 0 ||
      unlink(path.c_str()) != 0) {
    return SystemError(errno, "delete", path, kMendDisk);
  }
  return SyncFolder(folder_);
}

}  // namespace kvpager
