#include "vfs/plugin/ram/ram.h"
#include "vfs/test/world.h"

#include <gmock/gmock.h>

namespace bulkhead::vfs {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t OFFSET_MAX = (uint64_t{1} << 63) - 1;

class Ram : public testing::Test, protected World
{
protected:
	void use(Ram_limits const &limits)
	{
		tree = Tree::create(heap, calendar).value();
		ASSERT_TRUE(tree.attach("/", create_ram(heap, calendar, limits).value()).ok());
	}

	void SetUp() override { use({}); }

	Ref<File> file(std::string_view path, std::string_view text = {})
	{
		EXPECT_EQ(outcome(create(path)), "ok");
		Ref<File> made = open(path).value();
		EXPECT_EQ(write(*made, 0, text).value(), text.size());
		return made;
	}

	std::string content(std::string_view path)
	{
		auto const opened = open(path, {});
		return opened.ok() ? read(*opened.value(), 0, 65536).value() : outcome(opened);
	}

	Space space() { return wait(tree.root().space(job)).value(); }

	Attempt<void> change(std::string_view path, Changes const &changes)
	{
		return wait(tree.change(job, who, path, changes));
	}
};

TEST_F(Ram, reads_back_what_was_written)
{
	Ref<File> const f = file("/a", "hello");
	EXPECT_EQ(read(*f, 0, 100).value(), "hello");
	EXPECT_EQ(read(*f, 1, 3).value(), "ell");
	EXPECT_EQ(read(*f, 5, 3).value(), "");
	EXPECT_EQ(read(*f, OFFSET_MAX, 3).value(), "");
	EXPECT_EQ(read(*f, UINT64_MAX, 3).value(), "");
	EXPECT_EQ(stat("/a").value().size, 5U);
}

TEST_F(Ram, holes_read_as_zeros_and_take_no_memory)
{
	Ref<File> const f = file("/a");
	EXPECT_EQ(write(*f, uint64_t{1} << 40, "x").value(), 1U);
	Stat const s = stat("/a").value();
	EXPECT_EQ(s.size, (uint64_t{1} << 40) + 1);
	EXPECT_LE(s.used, 16384U);
	EXPECT_EQ(read(*f, (uint64_t{1} << 40) - 2, 3).value(), std::string("\0\0x", 3));
	EXPECT_EQ(read(*f, 12345, 2).value(), std::string("\0\0", 2));
}

TEST_F(Ram, the_last_byte_of_all_offsets_can_be_written)
{
	Ref<File> const f = file("/a");
	EXPECT_EQ(write(*f, OFFSET_MAX - 1, "xyz").value(), 1U);
	EXPECT_EQ(stat("/a").value().size, OFFSET_MAX);
	EXPECT_EQ(read(*f, OFFSET_MAX - 1, 9).value(), "x");
	EXPECT_EQ(outcome(write(*f, OFFSET_MAX, "x")), "out of range");
	EXPECT_EQ(outcome(write(*f, UINT64_MAX, "x")), "out of range");
	EXPECT_EQ(outcome(change("/a", {.size = OFFSET_MAX + 1})), "out of range");
	EXPECT_EQ(outcome(change("/a", {.size = UINT64_MAX})), "out of range");
	EXPECT_EQ(outcome(change("/a", {.size = 1})), "ok");
	EXPECT_EQ(stat("/a").value().used, 0U);
}

TEST_F(Ram, what_was_cut_reads_as_zeros_when_the_file_grows_again)
{
	Ref<File> const f = file("/a", "hello world");
	EXPECT_EQ(outcome(change("/a", {.size = 3})), "ok");
	EXPECT_EQ(outcome(change("/a", {.size = 6})), "ok");
	EXPECT_EQ(read(*f, 0, 10).value(), std::string("hel\0\0\0", 6));
}

TEST_F(Ram, cutting_gives_memory_back)
{
	uint64_t const free = space().free;
	Ref<File> const f = file("/a", std::string(100'000, 'x'));
	EXPECT_LT(space().free, free - 100'000);
	EXPECT_EQ(outcome(change("/a", {.size = 0})), "ok");
	EXPECT_EQ(stat("/a").value().used, 0U);
	EXPECT_EQ(outcome(remove("/a")), "ok");
	EXPECT_EQ(space().free, free);
}

TEST_F(Ram, a_write_beyond_the_limit_is_partial_then_fails)
{
	use({.bytes = 65536, .nodes = 10});
	Ref<File> const f = file("/a");
	std::string const text(100'000, 'x');
	size_t const n = write(*f, 0, text).value();
	EXPECT_GT(n, 50'000U);
	EXPECT_LT(n, 65'536U);
	EXPECT_EQ(stat("/a").value().size, n);
	EXPECT_EQ(outcome(write(*f, n, text)), "no space left");
	EXPECT_EQ(outcome(write(*f, uint64_t{1} << 50, "x")), "no space left");
	EXPECT_EQ(write(*f, 0, "y").value(), 1U);
	EXPECT_EQ(outcome(remove("/a")), "ok");
	EXPECT_EQ(outcome(create("/b")), "ok");
}

TEST_F(Ram, the_limit_of_nodes_holds)
{
	use({.bytes = 1 << 20, .nodes = 3});
	EXPECT_EQ(outcome(create("/a")), "ok");
	EXPECT_EQ(outcome(create_directory("/b")), "ok");
	EXPECT_EQ(outcome(create_link("/c", "x")), "no space left");
	EXPECT_EQ(space().nodes_free, 0U);
	EXPECT_EQ(outcome(remove("/a")), "ok");
	EXPECT_EQ(outcome(create_link("/c", "x")), "ok");
}

TEST_F(Ram, names_count_against_the_limit)
{
	use({.bytes = 1 << 16, .nodes = 10});
	EXPECT_EQ(outcome(create("/a")), "ok");
	std::string result = "ok";
	for (int i = 0; result == "ok" && i < 10'000; ++i)
		result = outcome(wait(tree.link(job, who, "/a", "/" + std::to_string(i))));
	EXPECT_EQ(result, "no space left");
	EXPECT_EQ(outcome(rename("/0", "/x")), "ok") << "a name no longer than before still fits";
}

TEST_F(Ram, lack_of_memory_is_an_error_and_loses_nothing)
{
	Ref<File> const f = file("/a", "hello");
	heap.limit = heap.used;
	EXPECT_EQ(outcome(create("/b")), "out of memory");
	heap.limit = heap.used + 1200;
	for (int i = 0; i < 3; ++i) {
		EXPECT_EQ(
			outcome(f->write(job, bytes_of("x"), {.offset = 1 << 20}).take()), "out of memory");
	}
	heap.limit = SIZE_MAX;
	EXPECT_EQ(content("/a"), "hello");
	EXPECT_THAT(list("/"), ElementsAre("a"));
}

TEST_F(Ram, an_unlinked_open_file_lives_on)
{
	uint64_t const free = space().free;
	Ref<File> f = file("/a", "hello");
	EXPECT_EQ(outcome(remove("/a")), "ok");
	EXPECT_EQ(content("/a"), "not found");
	EXPECT_EQ(read(*f, 0, 9).value(), "hello");
	EXPECT_EQ(write(*f, 5, "!").value(), 1U);
	EXPECT_EQ(read(*f, 0, 9).value(), "hello!");
	f.reset();
	EXPECT_EQ(space().free, free);
}

TEST_F(Ram, appending_writes_at_the_end_whatever_the_offset)
{
	Ref<File> const f = file("/a", "hello");
	Ref<File> const end = open("/a", {.read = false, .append = true}).value();
	EXPECT_EQ(write(*end, 0, "!").value(), 1U);
	EXPECT_EQ(content("/a"), "hello!");
	EXPECT_EQ(outcome(read(*end, 0, 1)), "permission denied");
}

TEST_F(Ram, opening_can_truncate)
{
	file("/a", "hello");
	Ref<File> const f = open("/a", {.write = true, .truncate = true}).value();
	EXPECT_EQ(content("/a"), "");
	EXPECT_EQ(outcome(open("/a", {.truncate = true})), "invalid argument");
}

TEST_F(Ram, hard_links_are_one_file)
{
	file("/a", "hello");
	EXPECT_EQ(outcome(wait(tree.link(job, who, "/a", "/b"))), "ok");
	EXPECT_EQ(stat("/a").value().links, 2U);
	EXPECT_EQ(stat("/a").value().inode, stat("/b").value().inode);
	EXPECT_EQ(outcome(wait(tree.link(job, who, "/a", "/b"))), "exists already");
	EXPECT_EQ(outcome(remove("/a")), "ok");
	EXPECT_EQ(content("/b"), "hello");
	EXPECT_EQ(stat("/b").value().links, 1U);
	EXPECT_EQ(outcome(create_directory("/d")), "ok");
	EXPECT_EQ(outcome(wait(tree.link(job, who, "/d", "/e"))), "is a directory");
}

TEST_F(Ram, a_file_without_a_name_gets_none_again)
{
	Ref<Node> const a = create("/a").value();
	EXPECT_EQ(outcome(remove("/a")), "ok");
	EXPECT_EQ(outcome(wait(tree.root().link(job, "b", *a))), "not found");
}

TEST_F(Ram, links_across_file_systems_are_refused)
{
	must(create("/a"));
	World other;
	ASSERT_TRUE(other.tree.attach("/", create_ram(other.heap, other.calendar, {}).value()).ok());
	Ref<Node> const b = other.create("/b").value();
	EXPECT_EQ(outcome(wait(tree.root().link(job, "b", *b))), "on another file system");
	EXPECT_EQ(outcome(wait(tree.root().rename(job, "a", other.tree.root(), "c", Rename::REPLACE))),
		"on another file system");
}

TEST_F(Ram, only_empty_directories_are_removed_and_only_as_directories)
{
	must(create_directory("/d"));
	must(create("/d/a"));
	EXPECT_EQ(outcome(remove("/d", true)), "directory not empty");
	EXPECT_EQ(outcome(remove("/d")), "is a directory");
	EXPECT_EQ(outcome(remove("/d/a", true)), "not a directory");
	EXPECT_EQ(outcome(remove("/d/a")), "ok");
	EXPECT_EQ(outcome(remove("/d", true)), "ok");
	EXPECT_EQ(outcome(remove("/d", true)), "not found");
}

TEST_F(Ram, nothing_is_made_in_a_removed_directory)
{
	Ref<Node> const d = create_directory("/d").value();
	must(create("/a"));
	must(remove("/d", true));
	EXPECT_EQ(outcome(wait(d->create(job, who, "x", {}))), "not found");
	EXPECT_EQ(outcome(wait(tree.root().rename(job, "a", *d, "a", Rename::REPLACE))), "not found");
	EXPECT_EQ(outcome(wait(d->lookup(job, "x"))), "not found");
	EXPECT_EQ(wait(d->stat(job)).value().links, 0U);
}

TEST_F(Ram, directories_count_their_subdirectories_as_links)
{
	EXPECT_EQ(stat("/").value().links, 2U);
	must(create_directory("/d"));
	must(create_directory("/e"));
	must(create_directory("/d/x"));
	EXPECT_EQ(stat("/").value().links, 4U);
	must(rename("/d/x", "/x"));
	EXPECT_EQ(stat("/d").value().links, 2U);
	EXPECT_EQ(stat("/").value().links, 5U);
	must(rename("/x", "/e"));
	EXPECT_EQ(stat("/").value().links, 4U);
	must(remove("/d", true));
	EXPECT_EQ(stat("/").value().links, 3U);
}

TEST_F(Ram, rename_replaces_as_posix_says)
{
	file("/a", "a");
	file("/b", "b");
	must(create_directory("/d"));
	must(create_directory("/full"));
	must(create("/full/x"));
	EXPECT_EQ(outcome(rename("/nothing", "/a")), "not found");
	EXPECT_EQ(outcome(rename("/a", "/b")), "ok");
	EXPECT_EQ(content("/b"), "a");
	EXPECT_EQ(outcome(rename("/b", "/d")), "is a directory");
	EXPECT_EQ(outcome(rename("/d", "/b")), "not a directory");
	EXPECT_EQ(outcome(rename("/d", "/full")), "directory not empty");
	EXPECT_EQ(outcome(rename("/full", "/d")), "ok");
	EXPECT_THAT(list("/"), ElementsAre("b", "d"));
	EXPECT_THAT(list("/d"), ElementsAre("x"));
	EXPECT_EQ(outcome(rename("/b", "/b")), "ok");
	EXPECT_EQ(outcome(rename("/d", "/d")), "ok");
}

TEST_F(Ram, a_directory_does_not_move_below_itself)
{
	must(create_directory("/a"));
	must(create_directory("/a/b"));
	must(create_directory("/a/b/c"));
	EXPECT_EQ(outcome(rename("/a", "/a/b/c/d")), "invalid argument");
	EXPECT_EQ(outcome(rename("/a", "/a/b")), "invalid argument");
	EXPECT_EQ(outcome(rename("/a/b/c", "/a")), "directory not empty");
	EXPECT_EQ(outcome(rename("/a/b/c", "/a", Rename::EXCHANGE)), "invalid argument");
	EXPECT_EQ(outcome(rename("/a/b/c", "/c")), "ok");
	EXPECT_EQ(outcome(rename("/a", "/c/a")), "ok");
}

TEST_F(Ram, two_names_of_one_file_both_survive_a_rename)
{
	file("/a", "x");
	must(wait(tree.link(job, who, "/a", "/b")));
	EXPECT_EQ(outcome(rename("/a", "/b")), "ok");
	EXPECT_THAT(list("/"), ElementsAre("a", "b"));
}

TEST_F(Ram, rename_may_refuse_to_replace)
{
	file("/a", "a");
	file("/b", "b");
	EXPECT_EQ(outcome(rename("/a", "/b", Rename::NO_REPLACE)), "exists already");
	EXPECT_EQ(outcome(rename("/a", "/a", Rename::NO_REPLACE)), "exists already");
	EXPECT_EQ(outcome(rename("/a", "/c", Rename::NO_REPLACE)), "ok");
}

TEST_F(Ram, rename_may_exchange)
{
	file("/a", "a");
	must(create_directory("/d"));
	must(create("/d/x"));
	EXPECT_EQ(outcome(rename("/a", "/none", Rename::EXCHANGE)), "not found");
	EXPECT_EQ(outcome(rename("/a", "/d", Rename::EXCHANGE)), "ok");
	EXPECT_EQ(content("/d"), "a");
	EXPECT_THAT(list("/a"), ElementsAre("x"));
	EXPECT_EQ(outcome(rename("/d", "/a/x", Rename::EXCHANGE)), "ok");
	EXPECT_EQ(content("/a/x"), "a");
	EXPECT_EQ(stat("/").value().links, 3U);
}

TEST_F(Ram, reading_a_directory_stands_still_while_it_changes)
{
	for (int i = 0; i < 100; ++i) must(create("/" + std::to_string(i)));
	Ref<File> const directory = open("/", {}).value();
	Names names;
	std::vector<std::string> all;
	for (int round = 0;; ++round) {
		names.names.clear();
		names.room = 7;
		ASSERT_TRUE(wait(directory->read_directory(job, names.cookie, names)).ok());
		if (names.names.empty()) break;
		all.insert(all.end(), names.names.begin(), names.names.end());
		if (round >= 15) continue;
		must(remove("/" + std::to_string(round)));
		must(remove("/" + std::to_string(60 + round)));
		must(create("/new" + std::to_string(round)));
		must(rename("/" + std::to_string(99 - round), "/" + std::to_string(99 - round) + "x"));
	}
	for (int i = 20; i < 60; ++i) EXPECT_EQ(std::ranges::count(all, std::to_string(i)), 1) << i;
	std::ranges::sort(all);
	EXPECT_EQ(std::ranges::adjacent_find(all), all.end());
}

TEST_F(Ram, cookies_that_were_never_given_do_no_harm)
{
	must(create("/a"));
	Ref<File> const directory = open("/", {}).value();
	for (uint64_t const cookie : {uint64_t{2}, uint64_t{1} << 63, UINT64_MAX}) {
		Names names;
		ASSERT_TRUE(wait(directory->read_directory(job, cookie, names)).ok());
		EXPECT_THAT(names.names, IsEmpty());
	}
}

TEST_F(Ram, times_tell_what_happened)
{
	Ref<File> const f = file("/a", "hello");
	calendar.time_ns = 2'000'000'000;
	must(read(*f, 0, 1));
	EXPECT_EQ(stat("/a").value().accessed_ns, 2'000'000'000);
	calendar.time_ns = 3'000'000'000;
	must(write(*f, 0, "x"));
	EXPECT_EQ(stat("/a").value().modified_ns, 3'000'000'000);
	calendar.time_ns = 4'000'000'000;
	must(change("/a", {.mode = 0600}));
	EXPECT_EQ(stat("/a").value().modified_ns, 3'000'000'000);
	EXPECT_EQ(stat("/a").value().changed_ns, 4'000'000'000);
	must(change("/a", {.accessed_ns = -5, .modified_ns = INT64_MAX}));
	EXPECT_EQ(stat("/a").value().accessed_ns, -5);
	EXPECT_EQ(stat("/a").value().modified_ns, INT64_MAX);
	calendar.time_ns = 5'000'000'000;
	must(create("/b"));
	EXPECT_EQ(stat("/").value().modified_ns, 5'000'000'000);
}

TEST_F(Ram, a_directory_that_sets_the_group_passes_it_on)
{
	must(create_directory("/d"));
	must(change("/d", {.mode = 02777, .gid = 7}));
	who.uid = 5;
	who.gid = 6;
	must(create("/d/a"));
	must(create_directory("/d/b"));
	EXPECT_EQ(stat("/d/a").value().gid, 7U);
	EXPECT_EQ(stat("/d/a").value().uid, 5U);
	EXPECT_EQ(stat("/d/b").value().mode, 02755);
}

struct Bell final : Watcher
{
	int rings = 0;
	void changed() override { ++rings; }
};

TEST_F(Ram, watchers_are_told_of_changes)
{
	Ref<File> const f = file("/a");
	Bell of_file, of_root;
	Ref<Node> const node = wait(tree.resolve(job, who, "/a")).value();
	ASSERT_TRUE(node->watch(of_file).ok());
	ASSERT_TRUE(tree.root().watch(of_root).ok());
	must(write(*f, 0, "x"));
	EXPECT_EQ(of_file.rings, 1);
	EXPECT_EQ(of_root.rings, 0);
	must(create("/b"));
	EXPECT_EQ(of_root.rings, 1);
	must(change("/a", {.mode = 0}));
	EXPECT_EQ(of_file.rings, 2);
	must(remove("/a"));
	EXPECT_EQ(of_file.rings, 3);
	of_file.unlink();
	must(write(*f, 0, "y"));
	EXPECT_EQ(of_file.rings, 3);
}

TEST_F(Ram, a_deep_tree_is_freed_without_deep_recursion)
{
	Ref<Node> at(tree.root());
	for (int i = 0; i < 50'000; ++i) {
		auto below = wait(at->create(job, who, "d", {.type = Type::DIRECTORY, .mode = 0755}));
		ASSERT_TRUE(below.ok());
		at = std::move(below).value();
	}
	at.reset();
	use({});
	EXPECT_LT(heap.blocks, 10U);
}

TEST_F(Ram, open_files_outlive_their_file_system)
{
	Ref<File> const f = file("/a", "hello");
	must(create_directory("/d"));
	Ref<Node> const d = create_directory("/d/e").value();
	use({});
	EXPECT_EQ(read(*f, 0, 9).value(), "hello");
	EXPECT_EQ(outcome(wait(d->create(job, who, "x", {}))), "ok");
}

} // namespace
} // namespace bulkhead::vfs
