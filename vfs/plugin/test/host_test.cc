#include "vfs/plugin/host/host.h"
#include "vfs/plugin/test/plugin_world.h"
#include "vfs/test/threads.h"

#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <random>
#include <sys/stat.h>

namespace bulkhead::vfs {
namespace {

namespace fs = std::filesystem;

using testing::ElementsAre;
using testing::UnorderedElementsAre;

/* A directory of the host that goes with the test. */
struct Scratch
{
	fs::path path;

	Scratch()
	{
		std::string name = (fs::temp_directory_path() / "bulkhead_host_XXXXXX").string();
		if (!mkdtemp(name.data())) std::abort();
		path = name;
	}
	~Scratch() { fs::remove_all(path); }
};

std::string content_of(fs::path const &path)
{
	std::ifstream file(path, std::ios::binary);
	return {std::istreambuf_iterator<char>(file), {}};
}

void put(fs::path const &path, std::string_view text)
{
	std::ofstream(path, std::ios::binary) << text;
}

class Host : public testing::Test
{
protected:
	Scratch scratch{};
	fs::path const inside = scratch.path / "inside";
	Threads threads{};
	Threaded_world world{threads};

	void SetUp() override
	{
		fs::create_directory(inside);
		put(scratch.path / "secret", "secret");
		use(true);
	}

	void use(bool writable, unsigned open_files = 64)
	{
		world.tree = Tree::create(world.heap, world.calendar).value();
		Host_options const options{
			.path = inside.c_str(), .writable = writable, .open_files = open_files};
		must(world.tree.attach("/", must(create_host(world.heap, threads, options))));
	}

	std::string content(std::string_view path)
	{
		auto const file = world.open(path, {});
		if (!file.ok()) return outcome(file);
		auto const text = world.read(*file.value(), 0, 1 << 20);
		return text.ok() ? text.value() : outcome(text);
	}

	std::string write(std::string_view path, std::string_view text)
	{
		auto const file = world.open(path, {.read = false, .write = true, .truncate = true});
		return file.ok() ? outcome(world.write(*file.value(), 0, text)) : outcome(file);
	}
};

TEST_F(Host, shows_what_is_there)
{
	put(inside / "a", "hello");
	fs::create_directory(inside / "d");
	fs::create_symlink("a", inside / "l");
	EXPECT_THAT(world.list("/"), UnorderedElementsAre("a", "d", "l"));
	EXPECT_EQ(content("/a"), "hello");
	EXPECT_EQ(content("/l"), "hello");
	EXPECT_EQ(world.stat("/l", Last::KEEP).value().type, Type::SYMLINK);
	EXPECT_EQ(content("/b"), "not found");
	Stat const s = world.stat("/a").value();
	EXPECT_EQ(s.size, 5U);
	EXPECT_EQ(s.type, Type::FILE);
}

TEST_F(Host, changes_what_is_there)
{
	must(world.create("/a", {.mode = 0640}));
	EXPECT_EQ(write("/a", "hello"), "ok");
	EXPECT_EQ(content_of(inside / "a"), "hello");
	EXPECT_EQ(world.stat("/a").value().mode, 0640);
	EXPECT_EQ(outcome(world.create("/a")), "exists already");
	must(world.create_directory("/d"));
	must(world.rename("/a", "/d/b"));
	EXPECT_EQ(content_of(inside / "d/b"), "hello");
	EXPECT_EQ(outcome(world.remove("/d", true)), "directory not empty");
	EXPECT_EQ(outcome(world.remove("/d")), "is a directory");
	EXPECT_EQ(outcome(world.remove("/d/b", true)), "not a directory");
	must(world.create_link("/l", "d/b"));
	EXPECT_EQ(fs::read_symlink(inside / "l"), "d/b");
	EXPECT_EQ(content("/l"), "hello");
	must(world.wait(world.tree.link(world.job, world.who, "/d/b", "/c")));
	EXPECT_EQ(world.stat("/c").value().links, 2U);
	must(world.remove("/d/b"));
	must(world.remove("/d", true));
	EXPECT_THAT(world.list("/"), UnorderedElementsAre("l", "c"));
}

TEST_F(Host, changes_attributes)
{
	put(inside / "a", "hello");
	Changes const changes{
		.mode = 0600, .size = 2, .accessed_ns = 1'500'000'000, .modified_ns = -1'500'000'000};
	must(world.wait(world.tree.change(world.job, world.who, "/a", changes)));
	Stat const s = world.stat("/a").value();
	EXPECT_EQ(s.mode, 0600);
	EXPECT_EQ(s.size, 2U);
	EXPECT_EQ(s.accessed_ns, 1'500'000'000);
	EXPECT_EQ(s.modified_ns, -1'500'000'000);
	Changes const hostile{.size = UINT64_MAX};
	EXPECT_EQ(outcome(world.wait(world.tree.change(world.job, world.who, "/a", hostile))),
		"out of range");
}

TEST_F(Host, a_directory_passes_its_group_on)
{
	if (geteuid() != 0) GTEST_SKIP() << "only user 0 gives files to others";
	fs::create_directory(inside / "d");
	ASSERT_EQ(chown((inside / "d").c_str(), 1000, 2000), 0);
	ASSERT_EQ(chmod((inside / "d").c_str(), 02777), 0);
	world.who.uid = world.who.gid = 1001;
	must(world.create("/d/file"));
	must(world.create_directory("/d/below"));
	for (auto const *path : {"/d/file", "/d/below"}) {
		Stat const made = world.stat(path).value();
		EXPECT_EQ(made.uid, 1001U) << path;
		EXPECT_EQ(made.gid, 2000U) << path;
		EXPECT_EQ(made.mode & S_ISGID, made.type == Type::DIRECTORY ? S_ISGID : 0) << path;
	}
}

TEST_F(Host, read_only_means_that)
{
	put(inside / "a", "hello");
	fs::create_directory(inside / "d");
	use(false);
	EXPECT_EQ(content("/a"), "hello");
	EXPECT_EQ(write("/a", "x"), "read-only");
	EXPECT_EQ(outcome(world.create("/b")), "read-only");
	EXPECT_EQ(outcome(world.remove("/a")), "read-only");
	EXPECT_EQ(outcome(world.remove("/d", true)), "read-only");
	EXPECT_EQ(outcome(world.rename("/a", "/b")), "read-only");
	EXPECT_EQ(outcome(world.wait(world.tree.link(world.job, world.who, "/a", "/b"))), "read-only");
	EXPECT_EQ(outcome(world.wait(world.tree.change(world.job, world.who, "/a", {.mode = 0}))),
		"read-only");
	EXPECT_EQ(content_of(inside / "a"), "hello");
}

TEST_F(Host, nothing_leads_out)
{
	fs::create_symlink("../secret", inside / "relative");
	fs::create_symlink(scratch.path / "secret", inside / "absolute");
	fs::create_directory_symlink("..", inside / "up");
	fs::create_symlink("/proc/self/root", inside / "magic");
	for (auto const *path : {"/../secret", "/../../../../etc/passwd", "/relative", "/absolute",
			 "/up/secret", "/magic/etc/passwd"})
		EXPECT_EQ(content(path), "not found") << path;
	// Who asks the nodes themselves gets no further.
	Node &root = world.tree.root();
	for (auto const *name : {"..", ".", "../secret", "up/secret", "/etc", ""}) {
		EXPECT_EQ(outcome(world.wait(root.lookup(world.job, name))), "invalid argument") << name;
		EXPECT_EQ(outcome(world.wait(root.remove(world.job, name, false))), "invalid argument");
	}
	EXPECT_FALSE(world.wait(root.create(world.job, world.who, "../new", {})).ok());
	EXPECT_FALSE(fs::exists(scratch.path / "new"));
}

TEST_F(Host, a_directory_that_becomes_a_link_is_not_followed)
{
	fs::create_directory(inside / "d");
	put(inside / "d/a", "inside");
	Ref<Node> const d = must(world.wait(world.tree.resolve(world.job, world.who, "/d")));
	fs::rename(inside / "d", inside / "moved");
	fs::create_directory_symlink(scratch.path, inside / "d");
	EXPECT_EQ(outcome(world.wait(d->lookup(world.job, "secret"))), "not found");
	EXPECT_EQ(outcome(world.wait(d->lookup(world.job, "a"))), "ok");
}

TEST_F(Host, pipes_and_sockets_are_not_shown)
{
	ASSERT_EQ(mkfifo((inside / "pipe").c_str(), 0600), 0);
	put(inside / "a", "");
	EXPECT_THAT(world.list("/"), ElementsAre("a"));
	EXPECT_EQ(content("/pipe"), "not supported");
}

TEST_F(Host, a_file_has_one_node_whatever_its_names)
{
	put(inside / "a", "hello");
	fs::create_hard_link(inside / "a", inside / "b");
	auto const a = must(world.wait(world.tree.resolve(world.job, world.who, "/a")));
	auto const b = must(world.wait(world.tree.resolve(world.job, world.who, "/b")));
	EXPECT_EQ(a, b);
}

TEST_F(Host, a_removed_file_in_use_lives_on)
{
	put(inside / "a", "hello");
	Ref<File> const file = must(world.open("/a"));
	Ref<Node> const node = must(world.wait(world.tree.resolve(world.job, world.who, "/a")));
	must(world.remove("/a"));
	EXPECT_EQ(must(world.read(*file, 0, 9)), "hello");
	EXPECT_EQ(must(world.wait(node->stat(world.job))).links, 0U);
	EXPECT_EQ(outcome(world.wait(node->change(world.job, {.size = 2}))), "ok");
	EXPECT_EQ(must(world.read(*file, 0, 9)), "he");
}

TEST_F(Host, descriptors_are_bounded_and_nodes_outlast_them)
{
	use(true, 16);
	std::vector<Ref<Node>> nodes;
	for (int i = 0; i < 100; ++i) {
		std::string const directory = "/d" + std::to_string(i);
		must(world.create_directory(directory));
		nodes.push_back(must(world.create(directory + "/a")));
	}
	size_t open_files = 0;
	for ([[maybe_unused]] auto const &entry : fs::directory_iterator("/proc/self/fd")) ++open_files;
	EXPECT_LT(open_files, 60U);
	for (auto const &node : nodes) EXPECT_EQ(outcome(world.wait(node->stat(world.job))), "ok");
	must(world.rename("/d0", "/e0"));
	EXPECT_EQ(outcome(world.wait(nodes[0]->stat(world.job))), "ok");
	fs::rename(inside / "d1", inside / "e1");
	for (auto const &node : nodes) static_cast<void>(world.wait(node->stat(world.job)));
	EXPECT_EQ(outcome(world.wait(nodes[1]->stat(world.job))), "not found");
	std::vector<Ref<File>> files;
	std::string result = "ok";
	for (int i = 2; i < 100 && result == "ok"; ++i) {
		auto file = world.wait(nodes[static_cast<size_t>(i)]->open(world.job, world.who, {}));
		result = outcome(file);
		if (file.ok()) files.push_back(std::move(file).value());
	}
	EXPECT_EQ(result, "too many open files");
}

TEST_F(Host, directories_that_swap_on_the_host_make_no_circle)
{
	fs::create_directories(inside / "a/b");
	Ref<Node> const a = must(world.wait(world.tree.resolve(world.job, world.who, "/a")));
	Ref<Node> const b = must(world.wait(world.tree.resolve(world.job, world.who, "/a/b")));
	fs::rename(inside / "a/b", inside / "b");
	fs::rename(inside / "a", inside / "b/a");
	EXPECT_EQ(outcome(world.wait(b->lookup(world.job, "a"))), "ok");
	EXPECT_EQ(outcome(world.wait(a->stat(world.job))), "ok");
	EXPECT_EQ(outcome(world.stat("/b/a")), "ok");
}

TEST_F(Host, a_large_file_is_read_in_whole)
{
	std::string text(900'000, 'x');
	for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7 / 5);
	must(world.create("/a"));
	EXPECT_EQ(write("/a", text), "ok");
	EXPECT_EQ(content("/a"), text);
	Ref<File> const file = must(world.open("/a"));
	EXPECT_EQ(must(world.read(*file, UINT64_MAX, 9)), "");
	EXPECT_EQ(must(world.read(*file, INT64_MAX, 9)), "");
	EXPECT_EQ(outcome(world.write(*file, UINT64_MAX, "x")), "out of range");
	EXPECT_EQ(outcome(world.write(*file, uint64_t{1} << 63, "x")), "out of range");
}

TEST_F(Host, many_entries_are_read_each_once)
{
	for (int i = 0; i < 2000; ++i) put(inside / ("name" + std::to_string(i)), "");
	Ref<File> const directory = must(world.open("/", {}));
	std::vector<std::string> all;
	Names names;
	do {
		names.names.clear();
		names.room = 77;
		must(world.wait(directory->read_directory(world.job, names.cookie, names)));
		all.insert(all.end(), names.names.begin(), names.names.end());
	} while (!names.names.empty());
	EXPECT_EQ(all.size(), 2000U);
	std::ranges::sort(all);
	EXPECT_EQ(std::ranges::adjacent_find(all), all.end());
	EXPECT_EQ(outcome(world.wait(directory->read_directory(world.job, UINT64_MAX, names))),
		"invalid argument");
}

TEST_F(Host, a_call_that_never_ends_stalls_only_its_caller)
{
	put(inside / "a", "hello");
	Ref<File> file = must(world.open("/a"));
	threads.hold = true;
	uint8_t buffer[16];
	{
		Pending<size_t> slow(world.executor, [&](Job &j) { return file->read(j, buffer, {}); });
		EXPECT_FALSE(slow.done());
		slow.cancel();
		ASSERT_TRUE(slow.done());
		EXPECT_EQ(outcome(slow.result), "cancelled");
	}
	{
		// Whoever vanishes while he waits leaves nothing behind.
		Pending<size_t> gone(world.executor, [&](Job &j) { return file->read(j, buffer, {}); });
	}
	file.reset();
	threads.hold = false;
	threads.deliver_all();
	EXPECT_EQ(content("/a"), "hello");
}

TEST_F(Host, faults_of_the_manifest_are_told)
{
	Plugin_world plugins;
	plugins.context.offload = &threads;
	Host_plugin const plugin;
	auto const fault = [&](Fake_config const &config) {
		auto const made = make(plugin, config, plugins.context);
		return made.ok() ? "ok"
						 : std::string(made.error().key) + ": " + std::string(made.error().problem);
	};
	EXPECT_EQ(fault({}), "path: is missing");
	EXPECT_EQ(fault({{"path", "/does/not/exist"}}), "path: can't be used: not found");
	EXPECT_EQ(fault({{"path", "/dev/null"}}), "path: can't be used: not a directory");
	EXPECT_EQ(
		fault({{"path", inside.string()}, {"open_files", 1}}), "open_files: is 1; the least is 16");
	EXPECT_EQ(fault({{"path", inside.string()}}), "ok");
	threads.deliver_all();
}

/* The same random operations on the tree and, as the oracle, by the host on another directory. */
class Twins : public Host
{
protected:
	std::mt19937 random{7};
	fs::path const other = scratch.path / "other";

	unsigned roll(unsigned sides) { return static_cast<unsigned>(random() % sides); }

	std::string name()
	{
		std::string path;
		for (unsigned i = 0, n = 1 + roll(3); i < n; ++i)
			path += "/" + std::string(1, static_cast<char>('a' + roll(4)));
		return path;
	}

	static std::string told(int result) { return result < 0 ? std::to_string(errno) : "ok"; }
	template <typename T>
	static std::string told(Attempt<T> const &attempt)
	{
		return attempt.ok() ? "ok" : std::to_string(errno_of(attempt.error()));
	}

	void step()
	{
		std::string const a = name(), b = name();
		std::string const at = other.string() + a, to = other.string() + b;
		switch (roll(7)) {
		case 0: {
			int const fd = open(at.c_str(), O_CREAT | O_EXCL | O_RDWR, 0600);
			EXPECT_EQ(told(world.create(a)), told(fd)) << a;
			if (fd >= 0) close(fd);
			break;
		}
		case 1:
			EXPECT_EQ(told(world.create_directory(a)), told(mkdir(at.c_str(), 0755))) << a;
			break;
		case 2: EXPECT_EQ(told(world.remove(a)), told(unlink(at.c_str()))) << a; break;
		case 3: EXPECT_EQ(told(world.remove(a, true)), told(rmdir(at.c_str()))) << a; break;
		case 4:
			EXPECT_EQ(told(world.rename(a, b)), told(::rename(at.c_str(), to.c_str())))
				<< a << " to " << b;
			break;
		case 5: {
			int const fd = open(at.c_str(), O_WRONLY | O_NOFOLLOW);
			std::string const text(roll(100), 'x');
			auto const file = world.open(a, {.read = false, .write = true});
			EXPECT_EQ(file.ok(), fd >= 0) << a;
			if (fd < 0 || !file.ok()) break;
			off_t const offset = roll(5000);
			EXPECT_EQ(must(world.write(*file.value(), static_cast<uint64_t>(offset), text)),
				static_cast<size_t>(pwrite(fd, text.data(), text.size(), offset)));
			close(fd);
			break;
		}
		default: {
			off_t const size = roll(5000);
			Changes const changes{.size = static_cast<uint64_t>(size)};
			EXPECT_EQ(told(world.wait(world.tree.change(world.job, world.who, a, changes))),
				told(truncate(at.c_str(), size)))
				<< a;
		}
		}
	}

	std::vector<std::string> everything(fs::path const &root)
	{
		std::vector<std::string> all;
		for (auto const &entry : fs::recursive_directory_iterator(root))
			all.push_back(fs::relative(entry.path(), root).string() +
				(entry.is_regular_file() ? "=" + content_of(entry.path()) : "/"));
		std::ranges::sort(all);
		return all;
	}
};

TEST_F(Twins, stay_the_same)
{
	fs::create_directory(other);
	use(true, 16);
	for (int round = 0; round < 20 && !HasFailure(); ++round) {
		for (int i = 0; i < 150 && !HasFailure(); ++i) step();
		EXPECT_EQ(everything(inside), everything(other));
	}
}

} // namespace
} // namespace bulkhead::vfs
