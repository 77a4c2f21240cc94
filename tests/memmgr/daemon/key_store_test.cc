// That each namespace has a key of its own and keeps it, that no other master key opens it, and
// that whatever does not fit together is refused with a sentence that says what to do.

#include "memmgr/daemon/key_store.h"

#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvpager {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class KeyStoreTest : public ::testing::Test {
 protected:
  KeyStoreTest() {
    char name[] = "/tmp/kvpager_keys_XXXXXX";
    root_ = mkdtemp(name);
    data_ = root_ + "/data";
    std::filesystem::create_directory(data_);
    key_ = Write("key", std::string(32, 'k'));
  }
  ~KeyStoreTest() override { std::filesystem::remove_all(root_); }

  std::string Write(const std::string& name, const std::string& bytes, mode_t mode = 0600) {
    const std::string path = root_ + "/" + name;
    std::ofstream(path, std::ios::binary) << bytes;
    EXPECT_EQ(chmod(path.c_str(), mode), 0);
    return path;
  }
  std::string Refusal(const std::string& key_file) {
    const auto store = KeyStore::Open(data_, key_file);
    EXPECT_FALSE(store.ok());
    return std::string(store.status().message());
  }

  std::string root_;
  std::string data_;
  std::string key_;
};

TEST_F(KeyStoreTest, EachNamespaceHasAKeyOfItsOwnAndKeepsIt) {
  Key256 first;
  {
    const auto store = KeyStore::Open(data_, key_);
    ASSERT_TRUE(store.ok()) << store.status();
    first = *(*store)->KeyOf("alice");
    EXPECT_NE(*(*store)->KeyOf("bob"), first);
    EXPECT_EQ(*(*store)->KeyOf("alice"), first);
  }
  const auto store = KeyStore::Open(data_, key_);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(*(*store)->KeyOf("alice"), first);
}

TEST_F(KeyStoreTest, AForgottenKeyIsNotFoundAgain) {
  const auto store = KeyStore::Open(data_, key_);
  ASSERT_TRUE(store.ok()) << store.status();
  const Key256 first = *(*store)->KeyOf("alice");
  const Key256 other = *(*store)->KeyOf("bob");
  EXPECT_TRUE((*store)->Destroy("alice").ok());
  EXPECT_TRUE(absl::IsNotFound((*store)->Destroy("alice")));
  EXPECT_NE(*(*store)->KeyOf("alice"), first);
  EXPECT_EQ(*(*store)->KeyOf("bob"), other);
}

TEST_F(KeyStoreTest, WithoutAMasterKeyThereIsNone) {
  const auto store = KeyStore::Open(data_, "");
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ(*store, nullptr);
  EXPECT_TRUE(std::filesystem::is_empty(data_));
}

TEST_F(KeyStoreTest, ReadsHexDigitsAndCredentials) {
  ASSERT_TRUE(KeyStore::Open(data_, key_).ok());
  std::string hex;
  for (int i = 0; i < 32; ++i) hex += "6B";
  EXPECT_TRUE(KeyStore::Open(data_, Write("hex", hex + "\n")).ok());
  EXPECT_THAT(Refusal("credential:key"), HasSubstr("LoadCredential="));
  setenv("CREDENTIALS_DIRECTORY", root_.c_str(), 1);
  EXPECT_TRUE(KeyStore::Open(data_, "credential:key").ok());
  unsetenv("CREDENTIALS_DIRECTORY");
}

TEST_F(KeyStoreTest, RefusesAKeyThatIsMissingShortOrOpenToOthers) {
  EXPECT_THAT(Refusal(root_ + "/none"), HasSubstr("does not exist; make one"));
  EXPECT_THAT(Refusal(Write("short", "kkk")), HasSubstr("32 bytes, or 64 hex digits"));
  EXPECT_THAT(Refusal(Write("open", std::string(32, 'k'), 0644)), HasSubstr("chmod 600"));
}

TEST_F(KeyStoreTest, RefusesAnotherMasterKeyOrNone) {
  ASSERT_TRUE(KeyStore::Open(data_, key_).ok());
  EXPECT_THAT(Refusal(Write("other", std::string(32, 'o'))),
              HasSubstr("is not the one that " + data_));
  EXPECT_THAT(Refusal(""), AllOf(HasSubstr("is encrypted"), HasSubstr("encryption_key_file")));
}

TEST_F(KeyStoreTest, RefusesToEncryptBesideWhatIsPlain) {
  Write("data/pages.kvp", "plain");
  EXPECT_THAT(Refusal(key_), HasSubstr("written without encryption"));
}

TEST_F(KeyStoreTest, ADamagedKeyIsToldAndNotReplaced) {
  const auto store = KeyStore::Open(data_, key_);
  ASSERT_TRUE(store.ok()) << store.status();
  ASSERT_TRUE((*store)->KeyOf("alice").ok());
  for (const auto& file : std::filesystem::directory_iterator(data_ + "/keys")) {
    if (file.path().filename() == "check") continue;
    std::fstream stream(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(50);
    stream.put('!');
  }
  const auto key = (*store)->KeyOf("alice");
  EXPECT_TRUE(absl::IsDataLoss(key.status())) << key.status();
  EXPECT_TRUE(absl::IsDataLoss((*store)->KeyOf("alice").status()));
}

TEST_F(KeyStoreTest, ALostCheckIsNotTakenForAnUnencryptedDirectory) {
  {
    const auto store = KeyStore::Open(data_, key_);
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->KeyOf("alice").ok());
  }
  Write("data/pages.kvp", "sealed");
  ASSERT_TRUE(std::filesystem::remove(data_ + "/keys/check"));
  EXPECT_THAT(Refusal(""), HasSubstr("is encrypted"));
  EXPECT_TRUE(absl::IsDataLoss(KeyStore::Open(data_, key_).status()));
  EXPECT_THAT(Refusal(key_), AllOf(HasSubstr("keys/check is missing"), HasSubstr("restore it")));
}

TEST_F(KeyStoreTest, AnUnfinishedFirstStartIsBegunAgain) {
  std::filesystem::create_directory(data_ + "/keys");
  Write("data/keys/check.new", "half");
  EXPECT_TRUE(KeyStore::Open(data_, "").ok());
  EXPECT_TRUE(KeyStore::Open(data_, key_).ok());
}

}  // namespace
}  // namespace kvpager
