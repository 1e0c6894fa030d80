#include "vfs/remote/rules.h"
#include "vfs/remote/test/world.h"

#include <gtest/gtest.h>
#include <set>

namespace bulkhead::remote {
namespace {

constexpr vfs::Access WRITE{.read = true, .write = true};

class Names final : public vfs::Entry_sink
{
public:
	std::set<std::string> names{};

	bool entry(std::string_view name, vfs::Type, uint64_t, uint64_t) override
	{
		names.emplace(name);
		return true;
	}
};

class Remote_rules : public testing::Test
{
protected:
	Served_tree tree{};
	Job_with_arena<16 * 1024> job{tree.executor};
	Credentials const who{.label = "tester"};

	Remote_rules()
	{
		auto const directory = vfs::Type::DIRECTORY;
		make("/ram/public", directory);
		make("/ram/public/a", vfs::Type::FILE);
		make("/ram/secret", directory);
		make("/ram/secret/key", vfs::Type::FILE);
		make("/ram/log1", vfs::Type::FILE);
		make("/ram/log2", vfs::Type::FILE);
	}

	void make(std::string_view path, vfs::Type type)
	{
		size_t const slash = path.rfind('/');
		auto parent = wait(tree.tree.resolve(job, who, path.substr(0, slash))).value();
		vfs::New_node const wanted{.type = type, .mode = 0755};
		ASSERT_TRUE(wait(parent->create(job, who, path.substr(slash + 1), wanted)).ok());
	}

	template <typename T>
	Attempt<T> wait(Task<T> task)
	{
		return sync_wait(job, std::move(task));
	}

	Ref<vfs::Node> view(Rules const &rules) { return restricted(tree.root(), rules).value(); }

	/* Of a view, by names from its root. */
	Attempt<Ref<vfs::Node>> at(Ref<vfs::Node> node, std::initializer_list<char const *> names)
	{
		for (char const *const name : names) {
			auto next = wait(node->lookup(job, name));
			if (!next.ok()) return next.error();
			node = std::move(next).value();
		}
		return node;
	}

	std::set<std::string> names_in(vfs::Node &directory)
	{
		Names names;
		auto const file = wait(directory.open(job, who, {})).value();
		EXPECT_TRUE(wait(file->read_directory(job, 0, names)).ok());
		return names.names;
	}
};

TEST_F(Remote_rules, show_everything_where_there_are_none)
{
	auto const root = view({});
	EXPECT_EQ(names_in(*root), (std::set<std::string>{"ram", "mailbox"}));
	auto const key = at(root, {"ram", "secret", "key"}).value();
	EXPECT_TRUE(wait(key->open(job, who, WRITE)).ok());
}

TEST_F(Remote_rules, show_only_what_is_named_and_the_way_to_it)
{
	auto const root = view({.nodes = {"/ram/public", "ram/log*"}});
	EXPECT_EQ(names_in(*root), (std::set<std::string>{"ram"}));
	auto const ram = at(root, {"ram"}).value();
	EXPECT_EQ(names_in(*ram), (std::set<std::string>{"public", "log1", "log2"}));
	EXPECT_TRUE(at(root, {"ram", "public", "a"}).ok());
	EXPECT_EQ(at(root, {"ram", "secret"}).error(), Error::NOT_FOUND);
	EXPECT_EQ(at(root, {"mailbox"}).error(), Error::NOT_FOUND);
}

TEST_F(Remote_rules, keep_what_isnt_named_from_being_changed)
{
	auto const root = view({.nodes = {"ram/public", "ram/log*"}});
	auto const ram = at(root, {"ram"}).value();
	auto const open = at(root, {"ram", "public"}).value();
	EXPECT_EQ(wait(ram->create(job, who, "x", {})).error(), Error::DENIED);
	EXPECT_TRUE(wait(ram->create(job, who, "log3", {})).ok());
	EXPECT_EQ(wait(ram->remove(job, "secret", true)).error(), Error::DENIED);
	EXPECT_EQ(wait(ram->change(job, {.mode = 0})).error(), Error::DENIED);
	EXPECT_EQ(wait(ram->rename(job, "log1", *ram, "secret", vfs::Rename::EXCHANGE)).error(),
		Error::DENIED);
	EXPECT_EQ(wait(ram->rename(job, "secret", *open, "mine", vfs::Rename::REPLACE)).error(),
		Error::DENIED);
	EXPECT_TRUE(wait(ram->rename(job, "log1", *open, "moved", vfs::Rename::REPLACE)).ok());
	EXPECT_TRUE(at(root, {"ram", "public", "moved"}).ok());
	auto const log = at(root, {"ram", "log2"}).value();
	EXPECT_TRUE(wait(open->link(job, "second", *log)).ok());
	EXPECT_EQ(wait(ram->link(job, "secret2", *log)).error(), Error::DENIED);
	EXPECT_EQ(wait(open->link(job, "way", *ram)).error(), Error::DENIED);
}

TEST_F(Remote_rules, take_no_node_of_another_view)
{
	auto const one = view({}), two = view({});
	auto const ram = at(one, {"ram"}).value(), other = at(two, {"ram"}).value();
	auto const log = at(two, {"ram", "log1"}).value();
	EXPECT_EQ(wait(ram->link(job, "l", *log)).error(), Error::CROSS_DEVICE);
	EXPECT_EQ(wait(ram->rename(job, "log1", *other, "l", vfs::Rename::REPLACE)).error(),
		Error::CROSS_DEVICE);
	auto const bare = at(tree.root(), {"ram", "log1"}).value();
	EXPECT_EQ(wait(ram->link(job, "l", *bare)).error(), Error::CROSS_DEVICE);
}

TEST_F(Remote_rules, make_everything_read_only)
{
	auto const root = view({.read_only = true});
	auto const ram = at(root, {"ram"}).value();
	auto const log = at(root, {"ram", "log1"}).value();
	EXPECT_EQ(wait(log->open(job, who, WRITE)).error(), Error::READ_ONLY);
	EXPECT_EQ(wait(log->open(job, who, {.truncate = true})).error(), Error::READ_ONLY);
	EXPECT_EQ(wait(log->change(job, {.size = 0})).error(), Error::READ_ONLY);
	EXPECT_EQ(wait(ram->create(job, who, "x", {})).error(), Error::READ_ONLY);
	EXPECT_EQ(wait(ram->link(job, "x", *log)).error(), Error::READ_ONLY);
	EXPECT_EQ(wait(ram->remove(job, "log1", false)).error(), Error::READ_ONLY);
	EXPECT_EQ(
		wait(ram->rename(job, "log1", *ram, "x", vfs::Rename::REPLACE)).error(), Error::READ_ONLY);
	auto const file = wait(log->open(job, who, {})).value();
	EXPECT_EQ(wait(file->write(job, bytes_of("x"), {})).error(), Error::READ_ONLY);
	uint8_t byte[1];
	EXPECT_TRUE(wait(file->read(job, byte, {})).ok());
}

TEST_F(Remote_rules, let_devices_only_tell_where_all_is_read_only)
{
	auto const device = at(view({.read_only = true}), {"mailbox"}).value();
	auto const file = wait(device->open(job, who, {})).value();
	uint8_t value[4]{};
	vfs::Control const tell{.command = fuse::MAILBOX_WAITING, .in = {}, .out = value};
	EXPECT_TRUE(wait(file->control(job, tell)).ok());
	vfs::Control const change{.command = fuse::MAILBOX_ADD, .in = value, .out = value};
	EXPECT_EQ(wait(file->control(job, change)).error(), Error::DENIED);
}

TEST_F(Remote_rules, know_a_node_again)
{
	auto const root = view({.nodes = {"ram"}});
	auto const one = at(root, {"ram", "log1"}).value();
	EXPECT_EQ(one.pointer(), at(root, {"ram", "log1"}).value().pointer());
	auto const ram = at(root, {"ram"}).value();
	ASSERT_TRUE(wait(ram->link(job, "second", *one)).ok());
	EXPECT_EQ(one.pointer(), at(root, {"ram", "second"}).value().pointer());
}

TEST_F(Remote_rules, refuse_paths_that_make_no_sense)
{
	for (char const *const path : {"", "/", "ram/../x", ".."})
		EXPECT_EQ(restricted(tree.root(), {.nodes = {path}}).error(), Error::INVALID) << path;
	Rules many;
	many.nodes.assign(NODES_MAX + 1, "x");
	EXPECT_EQ(restricted(tree.root(), many).error(), Error::INVALID);
}

} // namespace
} // namespace bulkhead::remote
