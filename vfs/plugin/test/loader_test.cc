#include "vfs/plugin/builtin.h"
#include "vfs/plugin/loader.h"
#include "vfs/plugin/test/plugin_world.h"

#include <gmock/gmock.h>

namespace bulkhead::vfs {
namespace {

using testing::HasSubstr;

class Loader : public testing::Test, protected Plugin_world
{
protected:
	Plugin_set plugins{};

	std::string problem(std::string const &path)
	{
		auto const loaded = plugins.load(path);
		return loaded.ok() ? "ok" : std::string(loaded.error().problem);
	}
};

TEST_F(Loader, knows_what_is_built_in)
{
	for (auto const *name : {"char_device", "dir", "host", "inline", "log", "null", "ram", "zero"})
		EXPECT_NE(find_plugin(plugins.all(), name), nullptr) << name;
	EXPECT_EQ(find_plugin(plugins.all(), "counter"), nullptr);
}

TEST_F(Loader, loads_a_plugin)
{
	auto const loaded = plugins.load(COUNTER_PLUGIN);
	ASSERT_TRUE(loaded.ok()) << loaded.error().problem.view();
	Plugin const &counter = *loaded.value();
	EXPECT_EQ(find_plugin(plugins.all(), "counter"), &counter);
	{
		Fake_config const config{{"start", 41}};
		attach("/n", vfs::make(counter, config, context));
		Ref<File> const file = open("/n", {}).value();
		EXPECT_EQ(read(*file, 0, 9).value(), "42\n");
		EXPECT_EQ(read(*file, 0, 9).value(), "43\n");
		Fake_config const wrong{{"begin", 1}};
		EXPECT_FALSE(vfs::make(counter, wrong, context).ok());
	}
	EXPECT_THAT(problem(COUNTER_PLUGIN), HasSubstr("there is one already"));
	must(tree.detach("/n"));
}

TEST_F(Loader, says_what_is_wrong_with_a_file)
{
	EXPECT_THAT(problem("/does/not/exist.so"), HasSubstr("No such file"));
	EXPECT_THAT(problem("does_not_exist.so"), HasSubstr("No such file"));
	EXPECT_THAT(problem("/etc/passwd"), HasSubstr("/etc/passwd"));
	EXPECT_THAT(problem(NO_ENTRY_PLUGIN), HasSubstr("has no bulkhead_vfs_plugin"));
	EXPECT_THAT(problem(OTHER_ABI_PLUGIN), HasSubstr("has plugin interface 999"));
	EXPECT_THAT(problem(OTHER_SIZE_PLUGIN), HasSubstr("other sizes"));
	EXPECT_THAT(problem(SAME_NAME_PLUGIN), HasSubstr("'null', and there is one already"));
	EXPECT_EQ(plugins.all().size(), builtin_plugins().size() + 1);
}

} // namespace
} // namespace bulkhead::vfs
