// That a namespace is given only to who may have it, and that its secret is its own.

#include "memmgr/daemon/namespaces.h"

#include <stdlib.h>

#include <cstdio>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace kvpager {
namespace {

using ::testing::HasSubstr;

Config SmallConfig() {
  Config config;
  config.pool.namespaces_max = 3;
  return config;
}

NamespaceTable Make(const Config& config) {
  absl::StatusOr<NamespaceTable> table = NamespaceTable::Create(config, "data secret");
  EXPECT_TRUE(table.ok()) << table.status();
  return *std::move(table);
}

TEST(NamespaceTable, AnUnlistedNamespaceIsOpenToAnEmptyToken) {
  NamespaceTable table = Make(SmallConfig());
  const auto admitted = table.Admit("", "");
  ASSERT_TRUE(admitted.ok()) << admitted.status();
  EXPECT_EQ(table.NameOf(*admitted), "default");
  EXPECT_EQ(table.Admit("default", "").value(), *admitted);
  EXPECT_NE(table.Admit("other", "").value(), *admitted);
  EXPECT_TRUE(absl::IsPermissionDenied(table.Admit("default", "guess").status()));
}

TEST(NamespaceTable, AListedNamespaceWantsItsToken) {
  Config config = SmallConfig();
  config.namespaces = {{.name = "a", .token = "right"}};
  NamespaceTable table = Make(config);
  EXPECT_TRUE(table.Admit("a", "right").ok());
  EXPECT_TRUE(absl::IsPermissionDenied(table.Admit("a", "").status()));
  EXPECT_TRUE(absl::IsPermissionDenied(table.Admit("a", "wrong").status()));
}

TEST(NamespaceTable, RequireTokenShutsOutWhoeverHasNone) {
  Config config = SmallConfig();
  config.token_required = true;
  config.namespaces = {{.name = "a", .token = "right"}, {.name = "b"}};
  NamespaceTable table = Make(config);
  EXPECT_TRUE(table.Admit("a", "right").ok());
  EXPECT_TRUE(absl::IsPermissionDenied(table.Admit("b", "").status()));
  EXPECT_TRUE(absl::IsPermissionDenied(table.Admit("c", "").status()));
}

TEST(NamespaceTable, ThePoolMayNameItsNamespaces) {
  Config config = SmallConfig();
  config.pool_namespaces = {"a"};
  NamespaceTable table = Make(config);
  EXPECT_TRUE(table.Admit("a", "").ok());
  EXPECT_TRUE(absl::IsPermissionDenied(table.Admit("b", "").status()));
}

TEST(NamespaceTable, NumbersRunOutWithASentence) {
  NamespaceTable table = Make(SmallConfig());
  for (const char* name : {"a", "b", "c"}) EXPECT_TRUE(table.Admit(name, "").ok());
  const auto fourth = table.Admit("d", "");
  EXPECT_TRUE(absl::IsResourceExhausted(fourth.status()));
  EXPECT_THAT(std::string(fourth.status().message()), HasSubstr("limits.namespaces"));
  EXPECT_TRUE(table.Admit("a", "").ok());
}

TEST(NamespaceTable, SecretsAreConfiguredReadOrMadeFromTheDirectorys) {
  char path[] = "/tmp/kvpager_secret_XXXXXX";
  const int fd = mkstemp(path);
  ASSERT_GE(fd, 0);
  close(fd);
  std::ofstream(path) << "from a file\nsecond line\n";
  Config config = SmallConfig();
  config.namespaces = {{.name = "a", .secret = "given"}, {.name = "b", .secret_file = path}};
  NamespaceTable table = Make(config);
  EXPECT_EQ(table.SecretOf(table.Admit("a", "").value()), "given");
  EXPECT_EQ(table.SecretOf(table.Admit("b", "").value()), "from a file");
  EXPECT_EQ(table.SecretOf(table.Admit("c", "").value()).size(), 32u);
  std::remove(path);
  EXPECT_FALSE(NamespaceTable::Create(config, "x").ok());
}

TEST(NamespaceTable, TwoNamespacesMayNotHaveOneSecret) {
  Config config = SmallConfig();
  config.namespaces = {{.name = "a", .secret = "same"}, {.name = "b", .secret = "same"}};
  const auto table = NamespaceTable::Create(config, "x");
  ASSERT_FALSE(table.ok());
  EXPECT_THAT(std::string(table.status().message()), HasSubstr("the same secret"));
}

}  // namespace
}  // namespace kvpager
