#include "base/event.h"
#include "vfs/name.h"
#include "vfs/permission.h"
#include "vfs/plugin/ram/ram.h"
#include "vfs/test/world.h"
#include "vfs/tree.h"

#include <gmock/gmock.h>
#include <map>
#include <random>

namespace bulkhead::vfs {
namespace {

using testing::ElementsAre;

TEST(Name, is_no_path)
{
	for (auto const *name : {"a", "...", ".a", "a.", " ", "\xff"}) EXPECT_TRUE(valid_name(name));
	for (auto const *name : {"", ".", "..", "/", "a/b", "a/"}) EXPECT_FALSE(valid_name(name));
	EXPECT_FALSE(valid_name(std::string_view("a\0b", 3)));
	EXPECT_TRUE(valid_name(std::string(NAME_MAX_BYTES, 'x')));
	EXPECT_FALSE(valid_name(std::string(NAME_MAX_BYTES + 1, 'x')));
}

TEST(Permission, is_that_of_the_callers_class_only)
{
	Stat const stat{.mode = 0640, .uid = 1, .gid = 2};
	EXPECT_TRUE(permitted(stat, {.uid = 1, .gid = 9}, READ | WRITE));
	EXPECT_TRUE(permitted(stat, {.uid = 3, .gid = 2}, READ));
	EXPECT_FALSE(permitted(stat, {.uid = 3, .gid = 2}, WRITE));
	EXPECT_FALSE(permitted(stat, {.uid = 3, .gid = 9}, READ));
	EXPECT_TRUE(permitted({.mode = 0, .uid = 1}, {.uid = 0}, READ | WRITE));
	EXPECT_FALSE(permitted({.mode = 0666}, {.uid = 0}, EXECUTE));
	EXPECT_TRUE(permitted({.type = Type::DIRECTORY, .mode = 0}, {.uid = 0}, EXECUTE));
	// An owner who took his own right away doesn't get it as one of the others.
	EXPECT_FALSE(permitted({.mode = 0077, .uid = 1}, {.uid = 1}, READ));
}

struct Number : Sorted_link<Number, Number>
{
	int value = 0;
	static int key(Number const &n) { return n.value; }
};

TEST(Sorted, is_a_set_in_order)
{
	std::mt19937 random{1};
	std::vector<Number> numbers(500);
	for (size_t i = 0; i < numbers.size(); ++i) numbers[i].value = static_cast<int>(i);
	Sorted<Number, Number> sorted;
	std::map<int, Number *> model;
	for (int i = 0; i < 20'000; ++i) {
		Number &n = numbers[random() % numbers.size()];
		if (model.erase(n.value)) {
			sorted.remove(n);
		} else {
			sorted.insert(n);
			model[n.value] = &n;
		}
		int const sought = static_cast<int>(random() % 501);
		auto const from = model.lower_bound(sought);
		ASSERT_EQ(sorted.first_from(sought), from == model.end() ? nullptr : from->second);
		ASSERT_EQ(sorted.find(sought) != nullptr, model.contains(sought));
		ASSERT_EQ(sorted.size(), model.size());
		if (i % 500) continue;
		auto at = model.begin();
		for (Number *o = sorted.first(); o; o = sorted.next(*o)) ASSERT_EQ(o, (at++)->second);
		ASSERT_EQ(at, model.end());
	}
}

class Paths : public testing::Test, protected World
{
protected:
	void SetUp() override
	{
		must(tree.attach("/ram", must(create_ram(heap, calendar, {}))));
		must(create_directory("/ram/d"));
		must(create("/ram/d/a"));
	}

	std::string found(std::string_view path, Last last = Last::FOLLOW)
	{
		return outcome(wait(tree.resolve(job, who, path, last)));
	}
	bool same(std::string_view a, std::string_view b)
	{
		return must(wait(tree.resolve(job, who, a))) == must(wait(tree.resolve(job, who, b)));
	}
	Attempt<void> change(std::string_view path, Changes const &changes)
	{
		return wait(tree.change(job, who, path, changes));
	}
};

TEST_F(Paths, lead_from_the_root)
{
	for (auto const *path : {"ram/d/a", "//ram///d//a", "/./ram/./d/a", "/ram/d/../d/a",
			 "/../../ram/d/a", "/ram/d/../../ram/d/a"})
		EXPECT_TRUE(same(path, "/ram/d/a")) << path;
	for (auto const *path : {"/", "//", "/.", "/..", "..", ".", "/ram/..", "/../.."})
		EXPECT_TRUE(same(path, "/")) << path;
}

TEST_F(Paths, that_are_none_are_refused)
{
	EXPECT_EQ(found(""), "not found");
	EXPECT_EQ(found(std::string_view("/ram\0/d", 7)), "invalid argument");
	EXPECT_EQ(found("/" + std::string(NAME_MAX_BYTES, 'x')), "not found");
	EXPECT_EQ(found("/" + std::string(NAME_MAX_BYTES + 1, 'x')), "too long");
	EXPECT_EQ(found("/" + std::string(NAME_MAX_BYTES + 1, 'x') + "/a"), "too long");
	EXPECT_EQ(found(std::string(PATH_MAX_BYTES, '/')), "ok");
	EXPECT_EQ(found(std::string(PATH_MAX_BYTES + 1, '/')), "too long");
	EXPECT_EQ(found("/ram/d/a/x"), "not a directory");
	EXPECT_EQ(found("/ram/d/a/.."), "not a directory");
	EXPECT_EQ(found("/ram/none/.."), "not found");
}

TEST_F(Paths, with_a_slash_behind_are_directories)
{
	EXPECT_EQ(found("/ram/d/"), "ok");
	EXPECT_EQ(found("/ram/d/a/"), "not a directory");
	EXPECT_EQ(outcome(create("/ram/x/")), "is a directory");
	EXPECT_EQ(outcome(create_directory("/ram/x/")), "ok");
	EXPECT_EQ(outcome(remove("/ram/d/a/")), "not a directory");
	EXPECT_EQ(outcome(rename("/ram/d/a", "/ram/b/")), "not a directory");
	EXPECT_EQ(outcome(rename("/ram/x/", "/ram/y/")), "ok");
	EXPECT_EQ(outcome(remove("/ram/y/", true)), "ok");
}

TEST_F(Paths, follow_links)
{
	must(create_link("/ram/relative", "d/a"));
	must(create_link("/ram/absolute", "/ram/d"));
	must(create_link("/ram/up", "../.."));
	must(create_link("/ram/dangling", "none"));
	must(create_link("/ram/slash", "d/a/"));
	EXPECT_TRUE(same("/ram/relative", "/ram/d/a"));
	EXPECT_TRUE(same("/ram/absolute/a", "/ram/d/a"));
	EXPECT_TRUE(same("/ram/absolute/..", "/ram"));
	EXPECT_TRUE(same("/ram/up", "/"));
	EXPECT_TRUE(same("/ram/up/ram/d/a", "/ram/d/a"));
	EXPECT_EQ(found("/ram/dangling"), "not found");
	EXPECT_EQ(found("/ram/slash"), "not a directory");
	EXPECT_EQ(found("/ram/dangling", Last::KEEP), "ok");
	EXPECT_EQ(stat("/ram/absolute", Last::KEEP).value().type, Type::SYMLINK);
	EXPECT_EQ(stat("/ram/absolute/", Last::KEEP).value().type, Type::DIRECTORY);
	EXPECT_EQ(outcome(create("/ram/dangling")), "exists already");
	EXPECT_EQ(outcome(remove("/ram/absolute/", true)), "not a directory");
}

TEST_F(Paths, end_in_circles_of_links)
{
	must(create_link("/ram/a", "b"));
	must(create_link("/ram/b", "a"));
	must(create_link("/ram/self", "self/self"));
	EXPECT_EQ(found("/ram/a"), "too many symbolic links");
	EXPECT_EQ(found("/ram/self"), "too many symbolic links");
	must(create_link("/ram/l0", "d"));
	for (unsigned i = 1; i <= LINKS_MAX; ++i)
		must(create_link("/ram/l" + std::to_string(i), "l" + std::to_string(i - 1)));
	EXPECT_EQ(found("/ram/l" + std::to_string(LINKS_MAX - 1)), "ok");
	EXPECT_EQ(found("/ram/l" + std::to_string(LINKS_MAX)), "too many symbolic links");
}

TEST_F(Paths, that_grow_by_links_are_bounded)
{
	must(create_link("/ram/long", std::string(LINK_MAX_BYTES, '.')));
	EXPECT_EQ(found("/ram/long"), "too long");
	std::string dots;
	while (dots.size() + 2 <= 3000) dots += "./";
	must(create_link("/ram/dots", dots));
	EXPECT_TRUE(same("/ram/dots", "/ram"));
	EXPECT_EQ(found("/ram/dots/" + dots), "too long");
}

TEST_F(Paths, have_a_depth)
{
	std::string path = "/ram";
	for (unsigned i = 1; i < DEPTH_MAX; ++i) must(create_directory(path += "/x"));
	EXPECT_EQ(found(path), "ok");
	EXPECT_EQ(outcome(create_directory(path + "/x")), "ok");
	EXPECT_EQ(found(path + "/x"), "too long");
	must(remove(path + "/x", true));
}

TEST_F(Paths, need_the_right_to_search)
{
	must(change("/ram/d", {.mode = 0700, .uid = 5}));
	who.uid = 6;
	EXPECT_EQ(found("/ram/d"), "ok");
	EXPECT_EQ(found("/ram/d/a"), "permission denied");
	EXPECT_EQ(found("/ram/d/."), "permission denied");
	who.uid = 5;
	EXPECT_EQ(found("/ram/d/a"), "ok");
}

TEST_F(Paths, need_the_right_to_change_a_directory)
{
	must(change("/ram/d", {.mode = 0755, .uid = 5}));
	who.uid = 6;
	EXPECT_EQ(outcome(create("/ram/d/x")), "permission denied");
	EXPECT_EQ(outcome(remove("/ram/d/a")), "permission denied");
	EXPECT_EQ(outcome(rename("/ram/d/a", "/ram/d/b")), "permission denied");
	EXPECT_EQ(outcome(wait(tree.link(job, who, "/ram/d/a", "/ram/d/b"))), "permission denied");
	who.uid = 5;
	EXPECT_EQ(outcome(rename("/ram/d/a", "/ram/d/b")), "ok");
	EXPECT_EQ(outcome(create("/ram/d/x")), "ok");
}

TEST_F(Paths, in_a_sticky_directory_one_removes_ones_own)
{
	must(change("/ram/d", {.mode = 01777}));
	must(change("/ram/d/a", {.uid = 5}));
	must(create("/ram/d/b"));
	who.uid = 6;
	EXPECT_EQ(outcome(create("/ram/d/mine")), "ok");
	EXPECT_EQ(outcome(remove("/ram/d/a")), "permission denied");
	EXPECT_EQ(outcome(rename("/ram/d/a", "/ram/d/x")), "permission denied");
	EXPECT_EQ(outcome(rename("/ram/d/mine", "/ram/d/a")), "permission denied");
	EXPECT_EQ(outcome(remove("/ram/d/mine")), "ok");
	who.uid = 5;
	EXPECT_EQ(outcome(remove("/ram/d/a")), "ok");
}

TEST_F(Paths, open_what_the_bits_permit)
{
	must(change("/ram/d/a", {.mode = 0640, .uid = 5, .gid = 6}));
	who = {.uid = 5};
	EXPECT_EQ(outcome(open("/ram/d/a")), "ok");
	who = {.uid = 7, .gid = 6};
	EXPECT_EQ(outcome(open("/ram/d/a")), "permission denied");
	EXPECT_EQ(outcome(open("/ram/d/a", {})), "ok");
	EXPECT_EQ(outcome(open("/ram/d/a", {.read = false, .append = true})), "permission denied");
	who = {.uid = 7, .gid = 7};
	EXPECT_EQ(outcome(open("/ram/d/a", {})), "permission denied");
	who = {};
	EXPECT_EQ(outcome(open("/ram/d")), "is a directory");
	EXPECT_EQ(outcome(open("/ram/d", {})), "ok");
}

TEST_F(Paths, open_handles_for_what_was_asked)
{
	Ref<File> const reader = must(open("/ram/d/a", {}));
	Ref<File> const writer = must(open("/ram/d/a", {.read = false, .write = true}));
	EXPECT_EQ(outcome(write(*reader, 0, "x")), "permission denied");
	EXPECT_EQ(outcome(write(*writer, 0, "x")), "ok");
	EXPECT_EQ(outcome(read(*writer, 0, 1)), "permission denied");
	EXPECT_EQ(must(read(*reader, 0, 1)), "x");
	EXPECT_EQ(outcome(wait(reader->close(job))), "ok");
}

TEST_F(Paths, let_only_owners_change_attributes)
{
	must(change("/ram/d/a", {.mode = 0666, .uid = 5, .gid = 6}));
	who = {.uid = 7, .gid = 6};
	EXPECT_EQ(outcome(change("/ram/d/a", {.mode = 0777})), "permission denied");
	EXPECT_EQ(outcome(change("/ram/d/a", {.modified_ns = 1})), "permission denied");
	EXPECT_EQ(outcome(change("/ram/d/a", {.uid = 7})), "permission denied");
	EXPECT_EQ(outcome(change("/ram/d/a", {.gid = 6})), "permission denied");
	EXPECT_EQ(outcome(change("/ram/d/a", {.size = 3})), "ok");
	who = {.uid = 5, .gid = 9};
	EXPECT_EQ(outcome(change("/ram/d/a", {.mode = 0600})), "ok");
	EXPECT_EQ(outcome(change("/ram/d/a", {.uid = 7})), "permission denied");
	EXPECT_EQ(outcome(change("/ram/d/a", {.gid = 7})), "permission denied");
	EXPECT_EQ(outcome(change("/ram/d/a", {.gid = 9})), "ok");
	who = {.uid = 8};
	EXPECT_EQ(outcome(change("/ram/d/a", {.size = 3})), "permission denied");
}

TEST_F(Paths, that_are_no_names_can_neither_be_made_nor_removed)
{
	for (auto const *path : {"/", "/ram/.", "/ram/d/..", "."}) {
		EXPECT_EQ(outcome(create(path)), "exists already") << path;
		EXPECT_EQ(outcome(remove(path, true)), "invalid argument") << path;
		EXPECT_EQ(outcome(rename(path, "/ram/x")), "invalid argument") << path;
		EXPECT_EQ(outcome(rename("/ram/d", path)), "invalid argument") << path;
	}
	EXPECT_EQ(outcome(create("/ram/none/x")), "not found");
	EXPECT_EQ(outcome(create("/ram/d/a/x")), "not a directory");
}

TEST_F(Paths, cross_from_one_file_system_to_another_by_name_only)
{
	must(tree.attach("/other", must(create_ram(heap, calendar, {}))));
	EXPECT_TRUE(same("/ram/../other/../ram/d", "/ram/d"));
	EXPECT_EQ(outcome(rename("/ram/d", "/other/d")), "on another file system");
	EXPECT_EQ(outcome(wait(tree.link(job, who, "/ram/d/a", "/other/a"))), "on another file system");
	EXPECT_EQ(outcome(remove("/other", true)), "read-only");
	EXPECT_EQ(outcome(create("/x")), "read-only");
}

TEST_F(Paths, are_attached_and_detached)
{
	auto const ram = [&] { return must(create_ram(heap, calendar, {})); };
	must(tree.attach("/x/y/z", ram()));
	EXPECT_THAT(list("/"), ElementsAre("ram", "x"));
	EXPECT_THAT(list("/x/y"), ElementsAre("z"));
	EXPECT_EQ(stat("/x").value().links, 3U);
	EXPECT_EQ(outcome(tree.attach("/x/y/z", ram())), "exists already");
	EXPECT_EQ(outcome(tree.attach("/x/y/z/u", ram())), "not a directory");
	EXPECT_EQ(outcome(tree.attach("/x/../u", ram())), "invalid argument");
	EXPECT_EQ(outcome(tree.attach("", ram())), "invalid argument");
	EXPECT_EQ(outcome(tree.attach("/", ram())), "exists already");
	EXPECT_EQ(outcome(tree.detach("/x/y/none")), "not found");
	EXPECT_EQ(outcome(tree.detach("/ram/d")), "not found");
	EXPECT_EQ(outcome(tree.detach("/")), "not found");
	EXPECT_EQ(outcome(tree.detach("/x/y/z")), "ok");
	EXPECT_EQ(found("/x/y/z"), "not found");
	World empty;
	Ref<Node> const file = must(create("/ram/file"));
	EXPECT_EQ(outcome(empty.tree.attach("/", file)), "not a directory");
	must(empty.tree.attach("/", must(create_ram(empty.heap, empty.calendar, {}))));
	EXPECT_EQ(outcome(empty.create("/a")), "ok");
	EXPECT_EQ(outcome(empty.tree.attach("/b", ram())), "not a directory");
}

TEST_F(Paths, without_memory_or_frames_are_errors)
{
	heap.limit = heap.used;
	EXPECT_EQ(found("/ram/d/a"), "out of memory");
	heap.limit = SIZE_MAX;
	Job_with_arena<512> small(executor);
	EXPECT_EQ(
		outcome(sync_wait(small, tree.resolve(small, who, "/ram/d/a"))), "out of coroutine frames");
	EXPECT_EQ(small.used(), 0U);
	EXPECT_LT(job.peak(), 4096U);
}

/* A file that answers only when told. */
class Slow_directory final : public Node
{
public:
	Event event{};
	Ref<Node> below{};

	Task<Ref<Node>> later(Job &job)
	{
		CO_TRY(co_await event.wait(job));
		co_return below;
	}
	Type type() const override { return Type::DIRECTORY; }
	Task<Stat> stat(Job &) override { return Stat{.type = Type::DIRECTORY, .mode = 0755}; }
	Task<Ref<Node>> lookup(Job &job, std::string_view) override { return later(job); }

protected:
	void unreferenced() override {}
};

TEST_F(Paths, through_a_slow_directory_stall_nobody_and_can_be_cancelled)
{
	Slow_directory slow;
	slow.below = must(wait(tree.resolve(job, who, "/ram/d")));
	must(tree.attach("/slow", Ref<Node>(slow)));
	{
		Pending<Stat> first(
			executor, [&](Job &j) { return tree.stat(j, who, "/slow/x/a", Last::FOLLOW); });
		Pending<Stat> second(
			executor, [&](Job &j) { return tree.stat(j, who, "/slow/x/a", Last::FOLLOW); });
		EXPECT_FALSE(first.done());
		EXPECT_EQ(found("/ram/d/a"), "ok");
		second.cancel();
		EXPECT_EQ(outcome(second.result), "cancelled");
		slow.event.raise_all();
		executor.run_ready();
		EXPECT_EQ(outcome(first.result), "ok");
	}
	must(tree.detach("/slow"));
	slow.below.reset();
}

/* Random operations on a file, and the same on a plain string. */
TEST_F(Paths, to_files_in_memory_hold_what_a_plain_model_holds)
{
	std::mt19937 random{3};
	std::map<std::string, std::string> model;
	auto const name = [&] { return "/ram/f" + std::to_string(random() % 6); };
	for (int i = 0; i < 20'000; ++i) {
		std::string const a = name(), b = name();
		bool const there = model.contains(a);
		uint64_t const offset = random() % 3 ? random() % 9000 : random() % 400'000;
		size_t const size = random() % 9000;
		switch (random() % 6) {
		case 0: {
			ASSERT_EQ(outcome(create(a)), there ? "exists already" : "ok");
			model.try_emplace(a);
			break;
		}
		case 1: {
			if (random() % 4) break;
			ASSERT_EQ(outcome(remove(a)), there ? "ok" : "not found");
			model.erase(a);
			break;
		}
		case 2: {
			ASSERT_EQ(outcome(rename(a, b)), there ? "ok" : "not found");
			if (!there || a == b) break;
			model[b] = std::move(model[a]);
			model.erase(a);
			break;
		}
		case 3: {
			ASSERT_EQ(outcome(change(a, {.size = offset})), there ? "ok" : "not found");
			if (there) model[a].resize(offset);
			break;
		}
		case 4: {
			if (!there) break;
			std::string const text(size, static_cast<char>(random()));
			ASSERT_EQ(must(write(*must(open(a)), offset, text)), size);
			std::string &plain = model[a];
			if (size && plain.size() < offset + size) plain.resize(offset + size);
			if (size) plain.replace(offset, size, text);
			break;
		}
		default: {
			if (!there) break;
			std::string const &plain = model[a];
			ASSERT_EQ(must(stat(a)).size, plain.size());
			std::string const expected = offset < plain.size() ? plain.substr(offset, size) : "";
			ASSERT_EQ(must(read(*must(open(a)), offset, size)), expected);
		}
		}
	}
}

} // namespace
} // namespace bulkhead::vfs
